"""The fit of the CGCNN refuses wrong units, needs few steps of many crystals, and calibrates on validation crystals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_networks import SAVES_WEIGHTS, e_f_labels, salts, tiny_job

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.learn.fit_cgcnn import ENOUGH, MOST_VISITS, check_labels, stage_steps
from crystalloop.models.learn.job import BATCH, EPOCHS, STEPS, TrainError, TrainResources
from crystalloop.models.nets.cgcnn import CGCNN, predict_with_intervals
from crystalloop.models.nets.checkpoint import load
from crystalloop.orchestrator.learn.ray_fit import fit_networks

E_F = "formation_energy_per_atom"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (E_F, -300.0, "formation_energy_per_atom of crystal 2 is -300, outside -8 to 8 eV/atom"),
        ("log10_bulk_modulus", 160.0, "log10_bulk_modulus of crystal 2 is 160, outside -2 to 3.2 GPa"),
        ("poisson_ratio", 0.7, "poisson_ratio of crystal 2 is 0.7, outside -1 to 0.5 "),
        ("refractive_index", 0.0, "refractive_index of crystal 2 is 0, outside 1 to 100 "),
    ],
)
def test_a_label_in_another_unit_is_refused(name, value, said):
    labels = e_f_labels(4)
    labels[2:, PROPERTIES.index(name)] = value
    with pytest.raises(TrainError, match=said.replace("(", r"\(")) as error:
        check_labels(labels)
    assert "(2 such labels); check the unit" in str(error.value)


def test_missing_labels_are_not_refused():
    check_labels(e_f_labels(12, known=3))


def test_steps_grow_with_the_labelled_crystals_up_to_a_bound(tmp_path):
    job = replace(tiny_job(tmp_path), steps={}, batch={})
    found = {rows: stage_steps(job, rows) for rows in (10, 2_000, 20_000, 2_000_000)}
    assert found[10] == STEPS["cgcnn"]
    assert found[2_000] == EPOCHS["cgcnn"] * 2_000 // BATCH["cgcnn"]
    assert found[20_000] == found[2_000_000] == -(-MOST_VISITS // BATCH["cgcnn"])
    assert stage_steps(tiny_job(tmp_path), 10) == 30


@SAVES_WEIGHTS
def test_intervals_are_calibrated_on_validation_crystals(tmp_path):
    kept = tuple(salts() * 5)
    truth = np.full((len(kept), len(PROPERTIES)), np.nan)
    truth[:, 0] = np.tile(e_f_labels(12)[:, 0], 5) + np.random.default_rng(0).normal(0.0, 0.7, len(kept))
    assert len(kept) >= ENOUGH
    job = tiny_job(tmp_path, validation=kept, validation_labels=truth)
    metrics = fit_networks(job, TrainResources(num_workers=0), ("cgcnn",)).networks["cgcnn"].metrics
    found = predict_with_intervals(load(tmp_path / "cgcnn", CGCNN), kept)
    errors = np.abs(found.values[E_F] - truth[:, 0])
    inside = (truth[:, 0] >= found.lower[E_F]) & (truth[:, 0] <= found.upper[E_F])
    assert 0.9 <= inside.mean() <= 0.95
    assert metrics[f"mae_{E_F}"] == pytest.approx(errors.mean(), rel=1e-4)
    assert metrics[f"rmse_{E_F}"] > 0.5
