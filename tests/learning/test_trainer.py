"""The loop's trainer: which crystals, labels, sizes and folders a training gets, and what is recorded of it."""

from __future__ import annotations

import numpy as np
import pytest
from example_campaign import campaign, candidates, version
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.learn.job import FittedNetwork, TrainError, TrainOutcome
from crystalloop.orchestrator.learn.trainer import NetworkTrainer
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.loop.events import Note, Training

SALT = decorate(Prototype.ROCKSALT, ("Na", "Cl"), 5.64)
PEROVSKITE = decorate(Prototype.PEROVSKITE, ("Sr", "Ti", "O"))
WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(3.25, 5.2), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]]
)
TETRAGONAL = Structure(Lattice.tetragonal(4.0, 4.1), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]])
E_F = "formation_energy_per_atom"
SOURCES = Sources(
    (
        KnownCrystal("a", "a", WURTZITE, {E_F: -1.8}),
        KnownCrystal("1", "b", SALT.get_primitive_structure(), {E_F: -2.1, "band_gap": 5.0}),
        KnownCrystal("c", "c", TETRAGONAL, {E_F: -3.0}),
    ),
    (Proposal(Crystal.from_structure(PEROVSKITE), Kind.DECORATED),),
)


class FakeFit:
    """Remembers what it was asked for, and says that it was done."""

    def __init__(self):
        self.asked, self.ray_runs = [], 0

    def ray(self):
        self.ray_runs += 1
        return 0.5

    def __call__(self, job, resources):
        assert self.ray_runs > len(self.asked)
        self.asked.append((job, resources))
        done = {n: FittedNetwork(job.folder / n, f"sha-{n}", {"loss": 0.5}, 2, 1.5) for n in ("unet", "vae", "cgcnn")}
        return TrainOutcome(done, step_s=4.0, wall_s=9.0)


def train(folder, sources=SOURCES, parent=None, relaxed=(), heard=None, **changes):
    fit, heard = FakeFit(), [] if heard is None else heard
    trainer = NetworkTrainer(campaign(**changes), folder, fit, fit.ray, sources, heard.append)
    trained = trainer.train("first-v2", 3, relaxed, parent)
    return *fit.asked[0], trained


def test_only_cubic_crystals_are_trained_on_in_their_conventional_cells(tmp_path):
    job, _, _ = train(tmp_path)
    assert [crystal.formula for crystal in job.crystals] == ["NaCl", "SrTiO3"]
    assert [len(crystal) for crystal in job.crystals] == [8, 5]
    np.testing.assert_allclose(job.crystals[0].lengths_ang, 5.64, rtol=1e-6)


def test_labels_stand_in_the_order_of_the_properties(tmp_path):
    job, _, _ = train(tmp_path)
    expected = np.full((2, 8), np.nan)
    expected[0, PROPERTIES.index("formation_energy_per_atom")], expected[0, PROPERTIES.index("band_gap")] = -2.1, 5.0
    np.testing.assert_array_equal(job.labels, expected)


def test_the_digest_is_that_of_the_training_set(tmp_path):
    job, _, trained = train(tmp_path)
    assert job.data_digest == trained.data_digest == SOURCES.training_set(())[0].digest


def test_sizes_steps_and_workers_are_the_campaigns(tmp_path):
    job, resources, _ = train(
        tmp_path,
        voxels={"n": 16, "width_scale": 0.7},
        networks={"unet": {"base": 4}, "steps": {"vae": 11}, "warm_share": 0.25},
        ray={"train_workers": 3, "cpus_per_train_worker": 1.5, "use_gpu": True},
    )
    assert (job.voxels.n, job.voxels.width_scale, job.warm_share) == (16, 0.7, 0.25)
    assert job.overrides["unet"] == {"base": 4}
    assert job.steps_of("vae", warm=False) == 11
    assert (resources.num_workers, resources.cpus_per_worker, resources.use_gpu) == (3, 1.5, True)


def test_workers_get_what_the_cluster_has_room_for_where_the_campaign_does_not_say(tmp_path):
    _, resources, _ = train(tmp_path)
    assert resources.cpus_per_worker == 0.5


def test_every_version_has_a_folder_a_progress_file_and_a_seed_of_its_own(tmp_path):
    job, _, _ = train(tmp_path, seed=2)
    assert job.folder == tmp_path / "first-v2"
    assert job.progress == tmp_path / "first-v2.progress.jsonl"
    assert job.parent is None
    fit = FakeFit()
    NetworkTrainer(campaign(seed=2), tmp_path, fit, fit.ray, SOURCES, print).train("first-v3", 4, (), None)
    assert fit.asked[0][0].seed != job.seed


def test_training_goes_on_from_the_parents_folder(tmp_path):
    job, _, _ = train(tmp_path, parent=version(1, 1, ["a"]))
    assert job.parent == tmp_path / "first-v1"


def test_what_was_trained_is_recorded_with_places_below_the_models_folder(tmp_path):
    _, _, trained = train(tmp_path)
    assert trained.busy_s == 4.0
    assert {name: record.folder for name, record in trained.networks.items()} == {
        name: f"first-v2/{name}" for name in ("unet", "vae", "cgcnn")
    }
    record = trained.networks["vae"]
    assert (record.sha256, record.metrics, record.samples, record.train_s) == ("sha-vae", {"loss": 0.5}, 2, 1.5)


def test_own_calculations_come_first_and_are_recorded_as_trained_on(tmp_path):
    computed = [c for c in candidates() if c.is_labelled][:2]
    unfinished = [c for c in candidates() if not c.is_labelled]
    job, _, trained = train(tmp_path, relaxed=(*unfinished, *computed))
    assert trained.trained_on == tuple(sorted(c.id for c in computed))
    assert [crystal.formula for crystal in job.crystals][-2:] == ["NaCl", "SrTiO3"]
    assert sorted(job.labels[:2, PROPERTIES.index(E_F)]) == sorted(c.e_f for c in computed)


def test_the_beginning_is_told_with_the_counts_and_the_progress_file(tmp_path):
    heard = []
    job, _, trained = train(tmp_path, heard=heard)
    assert heard == [Training("first-v2", 3, 1, job.progress)]
    assert (trained.labelled, trained.unlabelled) == (3, 1)


def test_nothing_cubic_to_train_on_is_an_error(tmp_path):
    with pytest.raises(TrainError, match="the training set is empty; name data files"):
        train(tmp_path, Sources(SOURCES.files[:1]))


def labelled_like(computed, off_ev):
    return tuple(
        KnownCrystal(one.id, "d.jsonl", one.relaxation.conventional.to_structure(), {E_F: one.e_f + off_ev})
        for one in computed
    )


def test_labels_that_are_far_from_what_pw_x_found_are_told_to_be_of_another_scheme():
    computed = [one for one in candidates() if one.e_f is not None and one.round == 1]
    near = Sources(labelled_like(computed, 0.01)).agreement(computed)
    assert near == (
        f"{len(computed)} crystals are in the data files and computed here, too: labels less pw.x are +0.010 eV/atom "
        "on average, 0.010 in size"
    )
    assert "another scheme? say `scheme:`" in Sources(labelled_like(computed, -0.4)).agreement(computed)
    assert "another scheme" not in Sources(labelled_like(computed[:2], -0.4)).agreement(computed)
    assert Sources(labelled_like(computed[:1], 0.0)).agreement(computed[1:2]) is None


def test_the_agreement_is_told_when_networks_are_trained(tmp_path):
    computed, heard = [one for one in candidates() if one.e_f is not None and one.round == 1], []
    train(tmp_path, Sources(labelled_like(computed, 0.01)), relaxed=computed, heard=heard)
    assert isinstance(heard[1], Note) and "labels less pw.x" in heard[1].text
