"""Rows of the round trips, from three crystals worked by hand: one right, one wrong, one that could not be read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.judge.metrics import VoxelTally
from crystalloop.models.judge.reconstruction import failures_of, judge, match_rms, reconstruction_rows
from crystalloop.models.judge.round_trip import MapErrors, RoundTrip

SALT = decorated(Prototype.CSCL, ("Na", "Cl"), 4.0)
NONE = np.zeros((2, 2, 2), np.int16)


def trip(raw, failure=None, lattice=None, **changes) -> RoundTrip:
    fields = {
        "true": SALT,
        "raw": raw,
        "crystal": raw,
        "failure": failure,
        "confidence": 1.0,
        "lattice": SALT.lattice if lattice is None else lattice,
        "species": NONE,
        "decoded_species": NONE,
        "voxels": VoxelTally(atoms=10, named=10, predicted=10, both=10),
        "voxels_of_true": VoxelTally(atoms=10, named=10, predicted=10, both=10),
        "errors": MapErrors(0.1, 0.01, 0.02),
        "density": NONE.astype(np.float32),
        "decoded_density": NONE.astype(np.float32),
        "latent": np.array([1.0, 0.0], np.float32),
        "log_variance": np.zeros(2, np.float32),
    }
    return RoundTrip(**(fields | changes))


# K for Na and an atom too many, in a cell of 4.2 instead of 4.0; the coordinate channels say 4.1.
WRONG = Crystal(np.eye(3) * 4.2, np.array([19, 17, 17]), np.array([(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0, 0)]))
TRIPS = [
    trip(SALT),
    trip(WRONG, lattice=np.eye(3) * 4.1, voxels=VoxelTally(atoms=10, named=5, predicted=15, both=10)),
    trip(None, "nothing found", np.eye(3) * 9.0, voxels=VoxelTally(atoms=10)),
]


@pytest.fixture(scope="module")
def rows():
    return {row.key: row for row in reconstruction_rows([judge(one) for one in TRIPS])}


@pytest.mark.parametrize(
    ("key", "seed", "strict"),
    [
        ("cell_mae", 0.1 / 2, 0.2 / 2),  # the failure has no edges in either
        ("site_error", (0.0 + np.sqrt(3) * 0.1 / 2) / 2, (0.0 + 3 / 2 + 1.0) / 3),  # K, Na and a Cl without a partner
        ("sites_difference", 1 / 2, (0 + 1 + 2) / 3),
        ("exact_count", 1 / 2, 1 / 3),
        ("voxel_recall", 15 / 30, (1.0 + 0.5 + 0.0) / 3),
        ("voxel_recall_true", 1.0, 1.0),
        ("occupancy_iou", 20 / 35, (1.0 + 10 / 15 + 0.0) / 3),
        ("species_accuracy", 3 / 4, 3 / 6),
        ("composition_exact", 1 / 2, 1 / 3),
        ("match_rate", 1 / 2, 1 / 3),
        ("match_rmse", 0.0, 0.0),
        ("density_mse", 0.1, 0.1),
        ("coordinate_mse", 0.02, 0.02),
        ("active_units", 1.0, 1.0),
    ],
)
def test_both_columns_of_a_row(rows, key, seed, strict):
    assert (rows[key].seed, rows[key].strict) == pytest.approx((seed, strict), abs=1e-6)


def test_failures_are_counted_beside_the_rows_and_by_reason(rows):
    assert (rows["cell_mae"].count, rows["cell_mae"].failures) == (3, 1)
    assert failures_of([judge(one) for one in TRIPS]) == {"nothing found": 1}


def test_near_misses_stand_beside_the_species(rows):
    parts = rows["species_accuracy"].parts
    assert parts["another of the group"] == pytest.approx(1 / 4)  # K on the place of Na
    assert parts["site found"] == pytest.approx(4 / 6)


def test_when_nothing_could_be_read_strict_still_has_numbers():
    rows = {row.key: row for row in reconstruction_rows([judge(TRIPS[2])])}
    assert math.isnan(rows["site_error"].seed)
    assert rows["site_error"].strict == 1.0
    assert (rows["exact_count"].strict, rows["match_rate"].strict) == (0.0, 0.0)
    assert reconstruction_rows([]) == []


def test_a_match_is_measured_over_the_edge_of_an_atoms_share_of_the_volume():
    moved = Crystal(SALT.lattice, SALT.numbers, SALT.frac_coords + np.array([[0, 0, 0], [0, 0, 0.02]]))
    # 0.08 A between the two sublattices, halved by the best shift: 0.04 A over (64 / 2)^(1/3) A.
    assert match_rms(SALT, moved) == pytest.approx(0.04 / 32 ** (1 / 3), rel=1e-3)
    assert math.isnan(match_rms(SALT, WRONG))
    assert math.isnan(match_rms(SALT, None))
