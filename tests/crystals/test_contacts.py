"""The shortest contact by arrays is pymatgen's, and so is the answer whether atoms touch."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated, decorated_sample

from crystalloop.models.crystals.contacts import STRICT_CONTACT, contact_ratio, is_valid_strict, touches
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import covalent_radii_ang
from crystalloop.models.crystals.prototypes import Prototype


def by_pymatgen(crystal: Crystal, within_ang: float) -> float:
    """Shortest distance over the sum of covalent radii, of the pairs that are that close; inf where none is."""
    structure = crystal.to_structure()
    centers, others, _, distances = structure.get_neighbor_list(within_ang)
    radii = covalent_radii_ang()[crystal.numbers]
    return float(np.min(distances / (radii[centers] + radii[others]), initial=np.inf))


def distorted(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Strained and sheared by up to a tenth, its atoms moved by up to an eighth of an edge."""
    strain = np.eye(3) + rng.uniform(-0.1, 0.1, (3, 3))
    moved = crystal.frac_coords + rng.uniform(-0.125, 0.125, crystal.frac_coords.shape)
    return Crystal(crystal.lattice @ strain * rng.uniform(0.6, 1.1), crystal.numbers, moved)


def crystals() -> list[Crystal]:
    rng = np.random.default_rng(11)
    ideal = decorated_sample(24)
    hexagonal = Crystal(np.array([[3.0, 0, 0], [-1.5, 2.598, 0], [0, 0, 4.9]]), np.array([12, 12]), rng.random((2, 3)))
    acute = Crystal(np.array([[0, 2.0, 2.0], [2.0, 0, 2.0], [2.0, 2.0, 0]]), np.array([29]), np.zeros((1, 3)))
    return [*ideal, *(distorted(one, rng) for one in ideal for _ in range(3)), hexagonal, acute]


def test_the_shortest_contact_is_pymatgens_in_prototypes_and_distorted_crystals():
    found = [contact_ratio(crystal) for crystal in crystals()]
    assert found == pytest.approx([by_pymatgen(crystal, 12.0) for crystal in crystals()], rel=1e-9)


def test_atoms_touch_where_pymatgen_finds_them_within_reach_of_the_largest_radii():
    reach = [2.0 * STRICT_CONTACT * covalent_radii_ang()[crystal.numbers].max() for crystal in crystals()]
    expected = [by_pymatgen(*pair) < STRICT_CONTACT for pair in zip(crystals(), reach, strict=True)]
    assert [touches(crystal) for crystal in crystals()] == expected
    assert set(expected) == {True, False}


def test_without_a_window_a_crystal_has_two_to_a_hundred_cubic_angstrom_an_atom():
    cells = [decorated(Prototype.ROCKSALT, ("Li", "F"), edge) for edge in (2.4, 4.03, 9.2, 9.3, 12.0)]
    assert [is_valid_strict(cell) for cell in cells] == [False, True, True, False, False]
