"""Measures over many crystals on cases worked by hand, and where the paper's definition and the strict one part."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cubic_crystals import decorated
from scipy.stats import spearmanr

from crystalloop.models.crystals.contacts import (
    contact_ratio,
    is_valid_paper,
    is_valid_strict,
    shortest_ang,
    volume_window_ang3,
)
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.judge.metrics import (
    VoxelTally,
    cell_errors_ang,
    coverage,
    decile_of,
    deciles_obeyed,
    mean,
    mean_absolute_error,
    share,
    spearman,
    tally_voxels,
)

SALT = decorated(Prototype.ROCKSALT, ("Na", "Cl"), 5.64)
NAN = float("nan")


def test_recall_asks_for_the_element_and_overlap_only_for_an_atom():
    true = np.array([0, 0, 8, 8, 8, 26])
    predicted = np.array([0, 8, 8, 8, 26, 0])
    tally = tally_voxels(true, predicted)
    assert tally == VoxelTally(atoms=4, named=2, predicted=4, both=3)
    assert tally.recall == 0.5
    assert tally.occupancy_iou == pytest.approx(3 / 5)


def test_background_called_an_atom_leaves_recall_alone_and_lowers_the_overlap():
    true = np.array([0, 0, 0, 8])
    full = tally_voxels(true, np.full(4, 8))
    assert full.recall == 1.0
    assert full.occupancy_iou == 0.25


def test_nothing_is_not_a_number():
    assert math.isnan(share(0, 0))
    assert math.isnan(mean([]))
    assert math.isnan(VoxelTally().recall)
    assert mean([1.0, NAN, 3.0]) == 2.0
    assert mean([1.0, math.inf]) == math.inf


def test_the_shortest_distance_crosses_the_face():
    crystal = Crystal(np.eye(3) * 4.0, np.array([11, 17]), np.array([(0.05, 0, 0), (0.95, 0, 0)]))
    assert shortest_ang(crystal) == pytest.approx(0.4)
    assert not is_valid_paper(crystal)


def test_an_atom_of_its_own_images_is_a_contact():
    lone = Crystal(np.eye(3) * 2.0, np.array([55]), np.zeros((1, 3)))
    assert contact_ratio(lone) == pytest.approx(2.0 / 4.88)
    assert is_valid_paper(lone)
    assert not is_valid_strict(lone, (2.0, 100.0))


def test_atoms_too_close_for_chemistry_are_valid_in_the_paper_alone():
    squeezed = decorated(Prototype.ROCKSALT, ("Na", "Cl"), 3.0)  # 1.5 A apart, radii 1.66 + 1.02
    assert is_valid_paper(squeezed)
    assert not is_valid_strict(squeezed, (2.0, 100.0))
    assert is_valid_paper(SALT)
    assert is_valid_strict(SALT, (2.0, 100.0))


def test_a_crystal_blown_up_is_valid_in_the_paper_alone():
    blown = decorated(Prototype.ROCKSALT, ("Na", "Cl"), 11.0)
    window = volume_window_ang3([SALT])
    assert window == pytest.approx((22.43 / 1.25, 22.43 * 1.25), rel=1e-3)
    assert is_valid_paper(blown)
    assert not is_valid_strict(blown, window)


def test_no_training_set_widens_the_window_beyond_its_bounds():
    vast = Crystal(np.eye(3) * 9.0, np.array([55]), np.zeros((1, 3)))
    tiny = Crystal(np.eye(3) * 1.1, np.array([1]), np.zeros((1, 3)))
    assert volume_window_ang3([vast, tiny]) == (2.0, 100.0)
    assert volume_window_ang3([]) == (2.0, 100.0)


def test_deciles_follow_the_edges_of_the_training_set():
    edges = np.linspace(-4.0, -0.0, 9)  # -4, -3.5, ..., 0
    assert decile_of(np.array([-9.0, -3.9, -0.1, 5.0, NAN]), edges).tolist() == [0, 1, 8, 9, -1]


def test_no_answer_is_a_missed_decile():
    assert deciles_obeyed(np.array([0, 3, 9, 9]), np.array([0, 4, 2, -1])) == (1, 2)


def test_ranks_agree_with_scipy_and_need_something_to_rank():
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 5, 40).astype(float), rng.random(40)
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert spearman(np.append(one, NAN), np.append(other, 3.0)) == pytest.approx(spearman(one, other))
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert math.isnan(spearman(np.arange(2.0), np.arange(2.0)))


def test_errors_skip_missing_labels():
    assert mean_absolute_error(np.array([1.0, 2.0, 3.0]), np.array([1.5, NAN, 2.0])) == pytest.approx(0.75)


def test_coverage_counts_the_ends_in_and_missing_labels_out():
    low, high = np.array([0.0, 0.0, 0.0, NAN]), np.array([1.0, 1.0, 1.0, 1.0])
    assert coverage(low, high, np.array([0.0, 1.0, 1.1, 0.5])) == (2, 3)


def test_cell_errors_are_of_the_edges():
    true, found = np.diag([4.0, 5.0, 6.0]), np.diag([4.1, 5.0, 5.7])
    assert cell_errors_ang(true, found) == pytest.approx([0.1, 0.0, 0.3])
