"""Training under Ray Train: workers share the batches, sum their gradients and hold the same weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_networks import CGCNN_SIZES, OVERRIDES, SAVES_WEIGHTS, e_f_labels, salts, tiny_job

from crystalloop.models.learn.engine import read_progress
from crystalloop.models.learn.job import NETWORKS, TrainResources
from crystalloop.models.nets.cgcnn import CGCNN
from crystalloop.models.nets.checkpoint import load
from crystalloop.orchestrator.learn.ray_fit import fit_networks

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    SAVES_WEIGHTS,
    # Ray Train imports Ray Data, which sets its own deprecated options.
    pytest.mark.filterwarnings(r"ignore:.* is deprecated:Warning:ray\.data\.context"),
]
SHORT = {"unet": 4, "vae": 4, "cgcnn": 6}


@pytest.fixture(scope="module")
def session():
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def ensemble_job(folder):
    """Few enough labels that no member is spared one: each worker's half of the batch weighs the same."""
    members = OVERRIDES | {"cgcnn": {**CGCNN_SIZES, "members": 12}}
    return tiny_job(folder, steps=SHORT, labels=e_f_labels(12), overrides=members)


@pytest.mark.usefixtures("session")
def test_one_worker_trains_what_this_process_would(tmp_path):
    job = tiny_job(tmp_path / "ray", steps=SHORT, progress=tmp_path / "p")
    outcome = fit_networks(job, TrainResources(num_workers=1))
    assert list(outcome.networks) == list(NETWORKS)
    assert {line["network"] for line in read_progress(tmp_path / "p")} == {*NETWORKS, "head", "tuning"}
    assert 0 < outcome.step_s < outcome.wall_s
    assert not (job.folder / "ray").exists()
    here = fit_networks(
        replace(job, folder=tmp_path / "here", progress=None), TrainResources(num_workers=0), ("cgcnn",)
    )
    cgcnns = [load(tmp_path / place / "cgcnn", CGCNN) for place in ("ray", "here")]
    ray_side, here_side = (model.member_predictions(model.graphs(salts())) for model in cgcnns)
    np.testing.assert_allclose(ray_side, here_side, rtol=1e-4, atol=1e-4)
    assert here.networks["cgcnn"].samples == outcome.networks["cgcnn"].samples


@pytest.mark.usefixtures("session")
def test_two_workers_train_all_networks_and_learn_what_one_would_from_the_whole_batch(tmp_path):
    job = ensemble_job(tmp_path / "two")
    outcome = fit_networks(job, TrainResources(num_workers=2))
    assert all(np.isfinite(value) for network in outcome.networks.values() for value in network.metrics.values())
    fit_networks(replace(job, folder=tmp_path / "one"), TrainResources(num_workers=0), ("cgcnn",))
    two, one = (load(tmp_path / place / "cgcnn", CGCNN) for place in ("two", "one"))
    values = [model.member_predictions(model.graphs(salts()))[..., 0] for model in (two, one)]
    assert np.ptp(values[1]) > 0.01
    np.testing.assert_allclose(values[0], values[1], rtol=0.01, atol=0.005)


@pytest.mark.usefixtures("session")
def test_both_workers_end_with_the_same_weights(tmp_path):
    from ray.train import ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    job = tiny_job(tmp_path / "v1", steps={"unet": 5})

    def on_each_worker(config):  # a nested function travels by value: the workers cannot import this file
        import os

        os.environ.pop("TF_USE_LEGACY_KERAS", None)
        from ray import train

        from crystalloop.models.learn.engine_tensorflow import TensorFlowEngine
        from crystalloop.models.learn.map_batches import unet_batches
        from crystalloop.models.nets.checkpoint import weights_digest
        from crystalloop.models.nets.configs import UNetConfig
        from crystalloop.models.nets.unet import UNet

        job, context = config["job"], train.get_context()
        rank = context.get_world_rank()
        engine = TensorFlowEngine(rank, context.get_world_size())
        with engine.begin(job.seed):
            unet = UNet(UNetConfig(n=job.voxels.n, **job.overrides["unet"]))
        first = weights_digest(unet)
        batches = unet_batches(job.crystals, job.voxels, unet.config, 4, 5, job.seed, engine.share)
        engine.minimise("unet", unet.compute_loss, unet.trainable, batches, 5, 1e-3)
        (config["folder"] / f"rank-{rank}").write_text(f"{first} {weights_digest(unet)}")

    scaling = ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1})
    TensorflowTrainer(on_each_worker, train_loop_config={"job": job, "folder": tmp_path}, scaling_config=scaling).fit()
    first, second = ((tmp_path / f"rank-{rank}").read_text().split() for rank in (0, 1))
    assert first == second
    assert first[0] != first[1]
