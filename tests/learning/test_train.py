"""Training in this process: it learns, it repeats itself for a seed, and it goes on where it was stopped."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny_networks import OVERRIDES, SAVES_WEIGHTS, VOXELS, e_f_labels, salts, tiny_job

from crystalloop.models.crystals.crystal import canonical_origin
from crystalloop.models.crystals.properties import PROPERTIES, label_array
from crystalloop.models.learn.engine import read_progress
from crystalloop.models.learn.job import NETWORKS, UNTUNED, TrainError, TrainJob, TrainResources
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.maps.voxels import voxelize_batch
from crystalloop.models.nets.cgcnn import CGCNN, predict_properties
from crystalloop.models.nets.checkpoint import CheckpointError, load, read_card
from crystalloop.models.nets.unet import UNet, segment
from crystalloop.models.nets.vae import DensityVAE
from crystalloop.orchestrator.learn.ray_fit import fit_networks

pytestmark = [SAVES_WEIGHTS, pytest.mark.slow]
HERE = TrainResources(num_workers=0)
SHORT = {"steps": {"unet": 3, "vae": 3, "cgcnn": 3}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished training of all three networks: the job and its outcome."""
    folder = tmp_path_factory.mktemp("trained")
    job = tiny_job(folder / "v1", progress=folder / "v1.progress.jsonl")
    return job, fit_networks(job, HERE)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A training of three steps: the job and its outcome."""
    job = tiny_job(tmp_path_factory.mktemp("short") / "v1", **SHORT)
    return job, fit_networks(job, HERE)


def digests(outcome) -> dict[str, str]:
    return {name: network.sha256 for name, network in outcome.networks.items()}


def test_every_networks_loss_falls(trained):
    job, _ = trained
    for network in NETWORKS:
        lines = [line for line in read_progress(job.progress) if line["network"] == network]
        # The VAE starts from the maps' principal components: of its loss, what names the elements starts from nothing.
        losses = [line["elements" if network == "vae" else "loss"] for line in lines]
        assert np.mean(losses[-3:]) < 0.95 * np.mean(losses[:3]), network


def test_the_trained_vae_gives_maps_back_no_worse_than_its_frame_alone(trained):
    job, _ = trained
    maps = draw_maps([canonical_origin(crystal) for crystal in salts()], VOXELS)
    condition = np.zeros((len(maps), 10), np.float32)
    vae = load(job.folder / "vae", DensityVAE)
    frame = DensityVAE(vae.config)
    frame.start_frame(maps)
    errors = [
        np.square(one.decode(one.encode(maps, condition)[0], condition).maps - maps).mean() for one in (vae, frame)
    ]
    assert errors[0] < 1.05 * errors[1]


def test_progress_tells_step_steps_and_seconds(trained):
    job, _ = trained
    lines = [line for line in read_progress(job.progress) if line["network"] == "vae"]
    assert lines[-1]["step"] == lines[-1]["steps"] == job.steps["vae"]
    assert sorted(line["seconds"] for line in lines) == [line["seconds"] for line in lines]
    assert {"density", "coordinates", "features", "kl"} <= lines[0].keys()


def test_the_outcome_is_what_the_checkpoints_say(trained):
    job, outcome = trained
    assert tuple(outcome.networks) == NETWORKS
    for name, network in outcome.networks.items():
        card = read_card(job.folder / name)
        assert (network.sha256, network.samples) == (card.digest, 8 if name == "cgcnn" else 12)
        assert card.data_digest == "tiny"
        assert all(np.isfinite(value) for value in network.metrics.values())
    assert 0 < outcome.step_s < outcome.wall_s


def test_the_trained_networks_know_something(trained):
    job, outcome = trained
    unet, vae, cgcnn = (load(job.folder / kind.kind, kind) for kind in (UNet, DensityVAE, CGCNN))
    drawn, maps = voxelize_batch(salts(), VOXELS), draw_maps(salts(), VOXELS)
    assert ((segment(unet, maps).occupancy > 0.5) == (drawn.species > 0)).mean() > 0.6
    assert vae.config.a_ang == pytest.approx(np.mean([crystal.lengths_ang for crystal in salts()]))
    assert len(vae.config.decile_edges_ev) == 9
    assert outcome.networks["vae"].metrics["lattice_mae_ang"] < 1.5
    values, sigma = predict_properties(cgcnn, salts())
    assert np.abs(values["formation_energy_per_atom"][:8] - e_f_labels(12)[:8, 0]).mean() < 1.0
    assert (sigma > 0).all()
    assert np.isnan(values["band_gap"]).all()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(short, tmp_path):
    job, outcome = short
    again = digests(fit_networks(replace(job, folder=tmp_path / "again"), HERE, ("unet", "cgcnn")))
    untuned = read_card(job.folder / UNTUNED).digest  # the VAE's training tunes the UNet
    assert again == {"unet": untuned, "cgcnn": digests(outcome)["cgcnn"]}
    other = digests(fit_networks(replace(job, folder=tmp_path / "other", seed=1), HERE, ("unet", "cgcnn")))
    assert not set(other.values()) & {untuned, *digests(outcome).values()}


def test_training_again_after_a_crash_keeps_what_was_finished(short, tmp_path):
    job, outcome = short
    repeated = replace(job, folder=tmp_path / "v1", progress=tmp_path / "progress")
    shutil.copytree(job.folder, repeated.folder)
    shutil.rmtree(repeated.folder / "vae")
    again = fit_networks(repeated, HERE)
    assert digests(again) == digests(outcome)
    assert {line["network"] for line in read_progress(repeated.progress)} == {"vae", "head", "tuning"}


def test_other_data_in_the_same_folder_are_trained_on_anew(short, tmp_path):
    job, _ = short
    shutil.copytree(job.folder, tmp_path / "v1")
    again = replace(job, folder=tmp_path / "v1", progress=tmp_path / "p", data_digest="other")
    fit_networks(again, HERE, ("unet",))
    assert read_progress(tmp_path / "p")
    assert read_card(tmp_path / "v1" / "unet").data_digest == "other"


def test_a_warm_start_goes_on_from_the_parents_weights_in_fewer_steps(trained, tmp_path):
    job, parent = trained
    child = tiny_job(tmp_path / "v2", parent=job.folder, warm_share=0.1, progress=tmp_path / "p", seed=3)
    outcome = fit_networks(child, HERE, ("unet", "vae"))
    lines = {line["network"]: line["steps"] for line in read_progress(tmp_path / "p")}
    assert {name: lines[name] for name in ("unet", "vae")} == {"unet": 3, "vae": 3}
    assert read_card(tmp_path / "v2" / "vae").notes["warm"]
    cold = [line["loss"] for line in read_progress(job.progress) if line["network"] == "unet"]
    warm = [line["loss"] for line in read_progress(tmp_path / "p") if line["network"] == "unet"]
    assert warm[0] < 0.9 * cold[0]
    assert digests(outcome)["unet"] != digests(parent)["unet"]


def test_networks_of_another_shape_than_the_parents_start_afresh(trained, tmp_path):
    job, _ = trained
    wider = OVERRIDES | {"unet": {**OVERRIDES["unet"], "base": 8}}
    fit_networks(tiny_job(tmp_path / "v2", parent=job.folder, overrides=wider, **SHORT), HERE, ("unet",))
    card = read_card(tmp_path / "v2" / "unet")
    assert (card.notes["warm"], card.notes["steps"]) == (False, 3)


def test_a_parent_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*gone.unet"):
        fit_networks(tiny_job(tmp_path / "v2", parent=tmp_path / "gone", **SHORT), HERE, ("unet",))


def test_the_vae_needs_a_unet(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*v1.unet"):
        fit_networks(tiny_job(tmp_path / "v1", **SHORT), HERE, ("vae",))


def test_without_any_label_networks_are_trained_and_no_property_is_known(short, tmp_path):
    job = tiny_job(tmp_path / "v1", labels=e_f_labels(12, known=0), **SHORT)
    shutil.copytree(short[0].folder / "unet", job.folder / "unet")
    fit_networks(job, HERE, ("vae", "cgcnn"))
    assert load(job.folder / "vae", DensityVAE).config.decile_edges_ev == ()
    values, sigma = predict_properties(load(job.folder / "cgcnn", CGCNN), salts()[:2])
    assert all(np.isnan(values[name]).all() for name in PROPERTIES if name != "band_gap")
    assert np.isnan(sigma).all()


def test_an_empty_training_set_is_an_error(tmp_path):
    with pytest.raises(TrainError, match="the training set is empty; name data files, or let decorated"):
        TrainJob(tmp_path, (), np.zeros((0, 8)), "none")


def test_labels_that_do_not_fit_the_crystals_are_an_error(tmp_path):
    with pytest.raises(TrainError, match=r"labels \(3, 8\) for 12 crystals and 8 properties"):
        tiny_job(tmp_path, labels=e_f_labels(3))


@pytest.mark.parametrize("steps", [{"unet": 0}, {"gan": 10}])
def test_steps_that_make_no_sense_are_an_error(tmp_path, steps):
    with pytest.raises(TrainError, match="give a positive number for unet, vae or cgcnn"):
        tiny_job(tmp_path, steps=steps)


def test_an_unknown_field_of_a_network_is_an_error(tmp_path):
    job = tiny_job(tmp_path / "v1", overrides={"unet": {"colour": 1}}, **SHORT)
    with pytest.raises(TrainError, match=r"networks.unet has no field 'colour'; known: .*base"):
        fit_networks(job, HERE)


def test_labels_by_name_become_rows():
    array = label_array([{"band_gap": 1.5}, {}])
    assert array[0, PROPERTIES.index("band_gap")] == 1.5
    assert np.isnan(array).sum() == 15
    assert label_array([]).shape == (0, 8)


def test_half_a_line_of_progress_is_left_for_later(tmp_path):
    assert read_progress(tmp_path / "none") == []
    (tmp_path / "p").write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert [line["step"] for line in read_progress(tmp_path / "p")] == [1, 2]
