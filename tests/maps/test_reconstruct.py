from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cubic_crystals import crystal_of, decorated, decorated_sample, shared_records
from scipy.optimize import linear_sum_assignment

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import match_prototype
from crystalloop.models.crystals.symmetry import symmetrise
from crystalloop.models.maps.regions import minimum_image_ang, periodic_regions
from crystalloop.models.maps.sites_from_density import (
    ReconstructConfig,
    ReconstructionError,
    ReconstructionFailure,
    SpeciesFrom,
    structure_from_map,
)
from crystalloop.models.maps.voxels import VoxelConfig, voxelize

VOTE, DENSITY, BOTH = (ReconstructConfig(species_from=source) for source in SpeciesFrom)


def rebuild(crystal: Crystal, n: int, config: ReconstructConfig, allowed=None):
    grid = voxelize(crystal, VoxelConfig(n=n))
    occupancy = (grid.species > 0).astype(np.float32)
    return structure_from_map(grid.density, grid.species, occupancy, crystal.lattice, config, allowed)


def largest_error_ang(found: Crystal, true: Crystal) -> float:
    """Largest distance between paired sites of one element; infinite when the compositions differ."""
    if found.composition != true.composition:
        return np.inf
    distance = minimum_image_ang(found.frac_coords[:, None] - true.frac_coords[None], true.lattice)
    distance[found.numbers[:, None] != true.numbers[None]] = 1e3
    return float(distance[linear_sum_assignment(distance)].max())


@pytest.mark.parametrize("n", [16, 32])
@pytest.mark.parametrize("config", [VOTE, BOTH], ids=["vote", "both"])
def test_decorated_prototypes_survive_the_round_trip(n, config):
    for crystal in decorated_sample(60):
        assert largest_error_ang(rebuild(crystal, n, config).crystal, crystal) < 0.05, crystal


@pytest.mark.parametrize("config", [VOTE, DENSITY, BOTH], ids=["vote", "density", "both"])
def test_atoms_drawn_with_one_width_for_all_elements_survive_the_round_trip(config):
    voxels = VoxelConfig(n=16, constant_width_ang=0.5)
    for crystal in decorated_sample(12):
        grid = voxelize(crystal, voxels)
        occupancy = (grid.species > 0).astype(np.float32)
        maps = (grid.density, grid.species, occupancy, crystal.lattice)
        allowed = sorted({*crystal.numbers.tolist(), 3, 26})  # more candidates than one, each with the same width
        found = structure_from_map(*maps, replace(config, voxels=voxels), allowed)
        assert largest_error_ang(found.crystal, crystal) < 0.05, crystal


@pytest.mark.slow
def test_two_hundred_shared_crystals_survive_the_round_trip(shared_data):
    for index, record in enumerate(shared_records(shared_data, 200)):
        crystal, config = crystal_of(record), (VOTE, BOTH)[index % 2]
        assert largest_error_ang(rebuild(crystal, 32, config).crystal, crystal) < 0.05, record["id"]


def test_touching_atoms_of_one_element_stay_two():
    crystal = Crystal(np.eye(3) * 4.0, np.array([8, 8]), np.array([[0.2, 0.5, 0.5], [0.57, 0.5, 0.5]]))
    for config in (VOTE, DENSITY):
        assert largest_error_ang(rebuild(crystal, 32, config, allowed=[8]).crystal, crystal) < 0.05


def test_the_atoms_of_a_superoxide_pair_stay_two():
    half = 0.64 / 5.0
    crystal = Crystal(np.eye(3) * 5.0, np.array([8, 8]), np.array([[0.5 - half, 0.5, 0.5], [0.5 + half, 0.5, 0.5]]))
    assert largest_error_ang(rebuild(crystal, 32, VOTE).crystal, crystal) < 0.05


def test_an_atom_that_crosses_the_cell_faces_is_one():
    crystal = Crystal(np.eye(3) * 5.0, np.array([55]), np.array([[0.99, 0.01, 0.5]]))
    assert largest_error_ang(rebuild(crystal, 16, VOTE).crystal, crystal) < 0.05


def test_positions_off_the_grid_are_found_below_a_hundredth_of_an_angstrom():
    rng = np.random.default_rng(4)
    for _ in range(8):
        crystal = decorated(Prototype.PEROVSKITE, ("Ba", "Ti", "O"))
        shaken = crystal.frac_coords + rng.random(3) + rng.normal(scale=0.02, size=(5, 3))
        crystal = Crystal(crystal.lattice, crystal.numbers, shaken)
        assert largest_error_ang(rebuild(crystal, 32, BOTH).crystal, crystal) < 0.01


def test_a_triclinic_cell_is_read_by_vote_and_centroid():
    lattice = np.array([[5.2, 0.0, 0.0], [1.1, 5.6, 0.0], [-0.7, 0.9, 6.3]])
    crystal = Crystal(lattice, np.array([12, 8]), np.array([[0.1, 0.2, 0.3], [0.6, 0.65, 0.8]]))
    assert largest_error_ang(rebuild(crystal, 32, BOTH).crystal, crystal) < 0.05


def test_the_density_alone_names_the_elements_of_a_true_map():
    everything = range(1, 90)
    for crystal in decorated_sample(12):
        assert rebuild(crystal, 32, DENSITY, everything).crystal.composition == crystal.composition


def test_the_density_names_the_campaigns_elements_in_a_noisy_map():
    rng = np.random.default_rng(6)
    allowed = (3, 8, 9, 11, 12, 13, 17)  # Li O F Na Mg Al Cl
    right = total = 0
    for elements in (("Na", "Mg", "F"), ("Li", "Al", "O"), ("Na", "Al", "Cl"), ("Li", "Mg", "F")):
        crystal = decorated(Prototype.PEROVSKITE, elements)
        grid = voxelize(crystal, VoxelConfig(n=16))
        noisy = grid.density * np.exp(rng.normal(scale=0.2, size=grid.density.shape))
        occupancy = np.where(grid.species > 0, 0.95, 0.02)
        found = structure_from_map(noisy, grid.species, occupancy, crystal.lattice, DENSITY, allowed).crystal
        total += len(crystal)
        right += len(crystal) if found.composition == crystal.composition else 0
    assert right == total


def test_specks_of_wrong_species_do_not_split_atoms():
    rng = np.random.default_rng(7)
    for crystal in decorated_sample(18):
        grid = voxelize(crystal, VoxelConfig(n=32))
        wrong = (rng.random(grid.species.shape) < 0.1) & (grid.species > 0)
        species = np.where(wrong, rng.integers(1, 90, grid.species.shape), grid.species)
        occupancy = np.where(grid.species > 0, 0.97, 0.05)
        found = structure_from_map(grid.density, species, occupancy, crystal.lattice, BOTH)
        assert largest_error_ang(found.crystal, crystal) < 0.05, crystal
        assert 0.5 < found.confidence < 1.0


def test_confidence_is_that_of_the_least_certain_site():
    crystal = decorated(Prototype.CSCL, ("Cs", "Cl"), 4.1)
    grid = voxelize(crystal, VoxelConfig(n=16))
    occupancy = np.where(grid.species == 55, 0.99, np.where(grid.species == 17, 0.85, 0.0))
    found = structure_from_map(grid.density, grid.species, occupancy, crystal.lattice, VOTE)
    assert found.confidence == pytest.approx(0.85)
    assert {site.number: round(site.confidence, 2) for site in found.per_site} == {55: 0.99, 17: 0.85}


def failure_of(density, species, occupancy, lattice, config=VOTE, allowed=None) -> ReconstructionFailure:
    with pytest.raises(ReconstructionError) as caught:
        structure_from_map(density, species, occupancy, lattice, config, allowed)
    return caught.value.reason


def test_maps_without_a_crystal_fail_for_a_counted_reason():
    crystal = decorated(Prototype.ROCKSALT, ("Na", "Cl"))
    grid = voxelize(crystal, VoxelConfig(n=16))
    maps = (grid.density, grid.species, (grid.species > 0).astype(float))
    cell = crystal.lattice
    assert failure_of(maps[0], maps[1], 0 * maps[2], cell) is ReconstructionFailure.NOTHING_FOUND
    assert failure_of(maps[0] * np.nan, *maps[1:], cell) is ReconstructionFailure.BAD_MAP
    assert failure_of(maps[0], maps[1][:8], maps[2], cell) is ReconstructionFailure.BAD_MAP
    assert failure_of(*maps, cell * 0.1) is ReconstructionFailure.BAD_LATTICE
    assert failure_of(*maps, cell * np.nan) is ReconstructionFailure.BAD_LATTICE
    assert failure_of(*maps, cell, allowed=[3]) is ReconstructionFailure.NO_ALLOWED_SPECIES
    few = replace(VOTE, max_sites=4)
    assert failure_of(*maps, cell, few) is ReconstructionFailure.TOO_MANY_SITES


def test_regions_join_across_faces_and_not_across_species():
    values = np.zeros((6, 6, 6), dtype=int)
    values[0, 2, 2] = values[5, 2, 2] = 7
    values[1, 2, 2] = 8
    values[3, 4, 4] = 7
    regions = periodic_regions(values)
    assert regions[0, 2, 2] == regions[5, 2, 2] != regions[1, 2, 2]
    assert regions.max() == 3


def test_symmetrising_gives_back_the_ideal_cube():
    rng = np.random.default_rng(8)
    for prototype, elements in {
        Prototype.PEROVSKITE: ("Sr", "Ti", "O"),
        Prototype.HEUSLER: ("Co", "Mn", "Si"),
        Prototype.ROCKSALT: ("Na", "Cl"),
    }.items():
        ideal = decorated(prototype, elements)
        strained = np.diag(ideal.lengths_ang * (1 + rng.uniform(-0.01, 0.01, 3)))
        shaken = ideal.frac_coords + rng.normal(scale=0.01, size=(len(ideal), 3)) / ideal.lengths_ang
        raw = Crystal(strained, ideal.numbers, shaken)
        snapped = symmetrise(raw)
        assert np.ptp(snapped.lengths_ang) < 1e-9
        assert snapped.volume_ang3 == pytest.approx(raw.volume_ang3)
        assert match_prototype(snapped.to_structure(), symprec=1e-3) is prototype


def test_symmetrising_leaves_a_tetragonal_crystal_tetragonal():
    raw = Crystal(np.diag([4.0, 4.0, 6.0]), np.array([55, 17]), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    np.testing.assert_allclose(symmetrise(raw).lengths_ang, [4, 4, 6])
