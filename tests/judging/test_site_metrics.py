"""Site errors of two atoms worked by hand, and where the paper's definition and the strict one part."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.contacts import periodic_distances_ang
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.formulas import anonymous_counts, reduced_counts
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.judge.site_metrics import (
    SpeciesTally,
    element_groups,
    emd_ang,
    same_composition,
    same_contents,
    site_error_ang,
    site_error_shifted_ang,
    tally_species,
)

CUBE = np.eye(3) * 4.0


def cell(numbers, coords, lattice=CUBE) -> Crystal:
    return Crystal(lattice, np.array(numbers), np.array(coords, float))


TRUE = cell([11, 17], [(0, 0, 0), (0.5, 0.5, 0.5)])


def test_the_same_crystal_has_no_error_in_either_definition():
    assert emd_ang(TRUE, TRUE) == site_error_ang(TRUE, TRUE) == 0.0


def test_a_displaced_atom_costs_its_share_in_both():
    found = cell([17, 11], [(0.5, 0.5, 0.6), (0, 0, 0)])  # another order; 0.1 x 4 A for one of two atoms
    assert emd_ang(TRUE, found) == pytest.approx(0.2)
    assert site_error_ang(TRUE, found) == pytest.approx(0.2)


def test_an_extra_atom_is_free_in_the_paper_and_costs_an_angstrom_in_strict():
    found = cell([11, 17, 17], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0, 0)])
    assert emd_ang(TRUE, found) == pytest.approx(0.0)
    assert site_error_ang(TRUE, found) == pytest.approx(1.0 / 2)


def test_a_missing_atom_is_free_in_the_paper_and_costs_an_angstrom_in_strict():
    found = cell([11], [(0, 0, 0)])
    assert emd_ang(TRUE, found) == pytest.approx(0.0)
    assert site_error_ang(TRUE, found) == pytest.approx(1.0 / 2)


def test_a_wrong_element_is_free_in_the_paper_and_in_strict_one_missing_and_one_too_many():
    found = cell([19, 17], [(0, 0, 0), (0.5, 0.5, 0.5)])
    assert emd_ang(TRUE, found) == pytest.approx(0.0)
    assert site_error_ang(TRUE, found) == pytest.approx(2.0 / 2)


def test_an_atom_beyond_the_face_is_far_in_the_paper_and_near_in_strict():
    found = cell([11, 17], [(0.975, 0, 0), (0.5, 0.5, 0.5)])
    assert emd_ang(TRUE, found) == pytest.approx(3.9 / 2)
    assert site_error_ang(TRUE, found) == pytest.approx(0.1 / 2)


def test_a_larger_cell_counts_in_the_paper_alone_because_strict_compares_fractions():
    found = cell([11, 17], [(0, 0, 0), (0.5, 0.5, 0.5)], CUBE * 1.1)
    assert emd_ang(TRUE, found) == pytest.approx(0.5 * np.sqrt(3) * 0.4 / 2)
    assert site_error_ang(TRUE, found) == pytest.approx(0.0)


def test_a_crashed_structure_costs_every_atom():
    assert site_error_ang(TRUE, None) == site_error_shifted_ang(TRUE, None) == 1.0
    assert tally_species(TRUE, None) == SpeciesTally(sites=2)
    assert not same_contents(TRUE, None)


def test_pairs_are_chosen_for_the_smallest_sum_not_one_after_the_other():
    true = cell([11, 11], [(0, 0, 0), (0.25, 0, 0)])
    found = cell([11, 11], [(0.2, 0, 0), (0.45, 0, 0)])  # greedy pairs .25 with .2 and leaves 0 with .45
    assert site_error_ang(true, found) == pytest.approx(0.8)


def test_the_rigid_shift_is_found_and_nothing_else_is_forgiven():
    shifted = cell([11, 17], [(0.3, 0.1, 0.2), (0.8, 0.6, 0.7)])
    assert site_error_ang(TRUE, shifted) > 0.5
    assert site_error_shifted_ang(TRUE, shifted) == pytest.approx(0.0, abs=1e-9)
    bent = cell([11, 17], [(0.3, 0.1, 0.2), (0.8, 0.6, 0.8)])  # 0.4 A split over both after the best shift
    assert site_error_shifted_ang(TRUE, bent) == pytest.approx(0.2)


def test_distances_in_an_oblique_cell_are_those_of_a_search_over_many_images():
    rng = np.random.default_rng(4)
    lattice = np.array([[4.0, 0, 0], [-1.9, 3.5, 0], [1.2, 1.1, 3.3]])
    one, other = rng.random((5, 3)), rng.random((4, 3))
    steps = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
    every = np.linalg.norm((one[:, None, None] - other[None, :, None] + steps) @ lattice, axis=-1).min(axis=-1)
    assert periodic_distances_ang(one, other, lattice) == pytest.approx(every)


def test_species_are_tallied_by_place_with_near_misses_beside():
    true = cell([26, 27, 8, 38], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0)])
    found = cell([26, 26, 16, 8], [(0.01, 0, 0), (0.5, 0.5, 0.49), (0.5, 0, 0), (0.5, 0.5, 0)])
    # Fe right; Co read as Fe, next element; O read as S, same group; Sr without a partner within 1 A.
    assert tally_species(true, found) == SpeciesTally(sites=4, found=3, right=1, next_element=1, same_group=1)


def test_tallies_add_up():
    assert SpeciesTally(2, 2, 1, 1, 0) + SpeciesTally(3, 1, 1, 0, 0) == SpeciesTally(5, 3, 2, 1, 0)


def test_composition_forgives_a_multiple_and_contents_do_not():
    double = cell([11, 17, 11, 17], [(0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)])
    assert same_composition(TRUE, double)
    assert not same_contents(TRUE, double)
    assert reduced_counts(double) == ((11, 1), (17, 1))
    assert anonymous_counts(decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O"))) == (1, 1, 3)


def test_groups_are_those_of_pymatgen():
    from pymatgen.core.periodic_table import Element

    assert element_groups() == (0, *(Element.from_Z(z).group for z in range(1, 119)))


def test_an_atom_just_before_the_origin_is_not_an_edge_away_for_the_papers_distance():
    found = Crystal(TRUE.lattice, TRUE.numbers, TRUE.frac_coords - 0.001)
    assert emd_ang(TRUE, found) == pytest.approx(0.001 * np.sqrt(3) * TRUE.lattice[0, 0])
