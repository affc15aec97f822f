"""Symmetry of maps on their grid, and crystals read from them orbit by orbit."""

from __future__ import annotations

import numpy as np
import pytest

from models.batches import canonical_origin
from models.channels import compress
from models.crystal import Crystal
from models.elements import atomic_number
from models.map_symmetry import FACES, average, common_operations, near_operations, near_translations, orbits
from models.prototypes import Prototype, decorate
from models.site_orbits import assign_elements, nearly_symmetric, site_orbits
from models.voxels import VoxelConfig, density_batch

VOXELS = VoxelConfig(n=16, width_scale=0.5)
CRYSTALS = {
    "LiF": (Prototype.ROCKSALT, ("Li", "F"), 4.0),
    "CsCl": (Prototype.CSCL, ("Cs", "Cl"), 4.1),
    "ZnS": (Prototype.ZINCBLENDE, ("Zn", "S"), 5.4),
    "KMgF3": (Prototype.PEROVSKITE, ("K", "Mg", "F"), 4.0),
    "Li2MgAl": (Prototype.HEUSLER, ("Li", "Mg", "Al"), 6.2),
}


def crystal(name):
    prototype, elements, a_ang = CRYSTALS[name]
    return canonical_origin(Crystal.from_structure(decorate(prototype, elements, a_ang)))


def density(name):
    return compress(density_batch([crystal(name)], VOXELS)[0])


def read(name, found, noise=0.0):
    """The crystal read from its own map, given rough places of some of its atoms."""
    true = crystal(name)
    noisy = density(name) + noise * np.random.default_rng(0).standard_normal((16, 16, 16))
    exact = common_operations(density(name)[None])
    group, maps = nearly_symmetric(average(noisy, exact, ()), exact, 0.5)
    sites = site_orbits(found, maps, true.lattice, group, 1.0)
    return assign_elements(maps, sites, true.lattice, sorted({int(z) for z in true.numbers}), group, VOXELS)


def test_rock_salt_has_all_48_operations_and_zinc_blende_half_of_them():
    assert len(common_operations(density("LiF")[None])) == 48
    assert len(common_operations(density("ZnS")[None])) == 24


def test_operations_common_to_several_maps_are_those_of_the_least_symmetric():
    maps = np.stack([density("LiF"), density("ZnS"), density("KMgF3")])
    assert common_operations(maps) == common_operations(density("ZnS")[None])


def test_only_the_identity_leaves_a_random_map_unchanged():
    assert common_operations(np.random.default_rng(0).random((1, 8, 8, 8))) == (0,)


@pytest.mark.parametrize(("name", "shifts"), [("LiF", FACES), ("Li2MgAl", FACES), ("CsCl", ()), ("KMgF3", ())])
def test_face_centring_is_found_where_it_is(name, shifts):
    assert near_translations(density(name), 0.3) == shifts


def test_a_body_centred_sublattice_of_two_elements_is_not_taken_for_one():
    alike = Crystal(np.eye(3) * 3.0, np.array([13, 14]), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert near_translations(compress(density_batch([alike], VOXELS)[0]), 0.5) == ()


def test_an_average_has_exactly_the_symmetry_that_the_noise_broke():
    noisy = density("LiF") + 0.1 * np.random.default_rng(1).standard_normal((16, 16, 16))
    exact = common_operations(density("ZnS")[None])
    group, averaged = nearly_symmetric(average(noisy, exact, ()), exact, 0.5)
    assert (len(group.operations), group.shifts) == (48, FACES)
    assert common_operations(averaged[None], 1e-4) == group.operations


def test_without_exact_symmetry_none_is_looked_for():
    assert near_operations(density("LiF"), (0,), 0.5) == (0,)


def test_orbits_of_a_cube_are_as_many_as_the_voxels_of_its_wedge():
    operations = common_operations(density("LiF")[None])
    counts = np.bincount(orbits(16, operations))
    half = 16 // 2 + 1  # coordinates 0 to n/2, up to their order
    assert len(counts) == half * (half + 1) * (half + 2) // 6
    assert counts.sum() == 16**3


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_crystal_is_read_from_one_atom_of_each_element(name, noise):
    true = crystal(name)
    rng = np.random.default_rng(2)
    kinds = true.frac_coords[np.unique(true.numbers, return_index=True)[1]]
    places = true.frac_coords if name == "Li2MgAl" else kinds
    reading = read(name, places + 0.1 / true.lengths_ang[0] * rng.standard_normal(places.shape), noise)
    assert reading.crystal.composition == true.composition
    offset = reading.crystal.frac_coords[:, None] - true.frac_coords[None]
    same = reading.crystal.numbers[:, None] == true.numbers[None]
    distance = np.linalg.norm((offset - np.round(offset)) @ true.lattice, axis=-1)
    assert (np.where(same, distance, np.inf).min(axis=1) < 0.01).all()
    assert reading.misfit < 0.02 + noise


def test_sites_too_many_are_left_empty():
    true = crystal("CsCl")
    reading = read("CsCl", np.vstack([true.frac_coords, [[0.5, 0.0, 0.0]]]))
    assert reading.crystal.composition == {"Cl": 1, "Cs": 1}


def test_nothing_found_is_no_crystal():
    true = crystal("LiF")
    group, maps = nearly_symmetric(density("LiF"), (0,), 0.5)
    assert assign_elements(maps, [], true.lattice, [atomic_number("Li")], group, VOXELS) is None
