"""Training with jax beside training with TensorFlow: one recipe, checkpoints that either loads, sentences where it cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from crystal_files import salt_rows, write_rows
from tiny_networks import SAVES_WEIGHTS, VOXELS, salts, tiny_job
from typer.testing import CliRunner

from crystalloop.models.crystals.crystal import canonical_origin
from crystalloop.models.learn.engine import read_progress
from crystalloop.models.learn.job import NETWORKS, TrainError, TrainResources
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.nets.cgcnn import CGCNN
from crystalloop.models.nets.checkpoint import load, read_card
from crystalloop.models.nets.unet import UNet, segment
from crystalloop.models.nets.vae import DensityVAE
from crystalloop.orchestrator.cli.app import app
from crystalloop.orchestrator.learn.ray_fit import fit_networks

ROOT = Path(__file__).parents[2]
NEEDS_JAX = pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed; pip install -e '.[jax]'")
STEPS = {"unet": 30, "vae": 30, "cgcnn": 30}


def says(folder: Path) -> dict[str, np.ndarray]:
    """What trained networks make of some crystals, and of a latent."""
    crystals = [canonical_origin(crystal) for crystal in salts()[:4]]
    maps, condition = draw_maps(crystals, VOXELS), np.zeros((4, 10), np.float32)
    unet, vae, cgcnn = (load(folder / kind.kind, kind) for kind in (UNet, DensityVAE, CGCNN))
    mean, _ = vae.encode(maps, condition)
    decoded = vae.decode(mean, condition)
    return {
        "occupancy": segment(unet, maps).occupancy,
        "latent": mean,
        "maps": decoded.maps,
        "lattice": decoded.lattice,
        "outlook": vae.outlook(mean),
        "energies": cgcnn.member_outputs(cgcnn.graphs(crystals)),
    }


if __name__ == "__main__":  # the child process below: Keras has one backend in each
    place = Path(sys.argv[1])
    fit_networks(
        tiny_job(place, steps=STEPS, progress=place / "progress"), TrainResources(num_workers=0, backend="jax")
    )
    np.savez(place / "says.npz", **says(place))


def in_a_child(*arguments: str) -> str:
    paths = [str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=1500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same job trained by jax in a child and by TensorFlow here: their folders."""
    folder = tmp_path_factory.mktemp("both")
    in_a_child(__file__, str(folder / "jax"))
    job = tiny_job(folder / "tensorflow", steps=STEPS, progress=folder / "tensorflow" / "progress")
    fit_networks(job, TrainResources(num_workers=0))
    return folder / "jax", folder / "tensorflow"


@NEEDS_JAX
@pytest.mark.slow
@SAVES_WEIGHTS
def test_losses_are_those_of_tensorflow_on_the_same_job(both):
    cards = [{name: read_card(folder / name) for name in NETWORKS} for folder in both]
    for name in NETWORKS:
        ours, theirs = (found[name] for found in cards)
        assert (ours.config.keys(), ours.notes.keys()) == (theirs.config.keys(), theirs.notes.keys())
        assert ours.metrics.keys() == theirs.metrics.keys()
        assert (ours.data_digest, ours.samples) == (theirs.data_digest, theirs.samples)
    for network, part in (("unet", "loss"), ("vae", "elements"), ("cgcnn", "loss"), ("head", "loss")):
        lines = [[line for line in read_progress(folder / "progress") if line["network"] == network] for folder in both]
        ours, theirs = ([line[part] for line in some] for some in lines)
        assert len(ours) == len(theirs)
        assert np.mean(ours[-3:]) < 0.95 * np.mean(ours[:3]), network
        # Initial weights are drawn by each backend in its own way: the losses are alike, not equal.
        assert 0.5 < np.mean(ours[-3:]) / np.mean(theirs[-3:]) < 2.0, network


@NEEDS_JAX
@pytest.mark.slow
@SAVES_WEIGHTS
def test_a_checkpoint_of_jax_predicts_the_same_under_tensorflow(both):
    ours = says(both[0])
    with np.load(both[0] / "says.npz") as theirs:
        for name, values in ours.items():
            np.testing.assert_allclose(values, theirs[name], rtol=1e-3, atol=1e-4, err_msg=name)


@NEEDS_JAX
@pytest.mark.slow
def test_the_command_trains_with_jax_in_its_own_process_and_says_so(tmp_path):
    data = write_rows(tmp_path / "salts.jsonl", salt_rows())
    call = "from crystalloop.orchestrator.cli.app import app; app()"
    arguments = ["--data", str(data), "--out", str(tmp_path / "nets"), "--n", "8", "--only", "unet", "--epochs", "2"]
    record = json.loads(in_a_child("-c", call, "train", "--backend", "jax", *arguments, "--json"))
    assert record["backend"] == "jax"
    assert np.isfinite(record["networks"]["unet"]["metrics"]["loss"])
    assert 0 <= record["networks"]["unet"]["validation"]["occupied_recall"] <= 1
    assert load(tmp_path / "nets" / "unet", UNet).config.n == 8


def test_without_jax_the_command_says_how_to_get_it_with_exit_code_3(tmp_path, monkeypatch):
    monkeypatch.setattr("crystalloop.models.learn.engine.find_spec", lambda name: None if name == "jax" else name)
    done = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "nets"), "--backend", "jax"])
    assert done.exit_code == 3, done.stderr
    assert "jax is not installed here; `pip install -e '.[jax]'` in the checkout installs it" in done.stderr
    assert not (tmp_path / "nets").exists()


def test_jax_on_several_workers_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("crystalloop.orchestrator.cli.networks.use_backend", lambda name: None)
    arguments = ["train", "--out", str(tmp_path / "nets"), "--backend", "jax", "--workers"]
    done = CliRunner().invoke(app, [*arguments, "2"])
    assert done.exit_code == 2, done.stderr
    assert "--workers 2 with --backend jax: jax trains in this process" in done.stderr
    with pytest.raises(TrainError, match="num_workers 2 with jax"):
        TrainResources(num_workers=2, backend="jax")
