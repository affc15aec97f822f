from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated, decorated_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import ionic_radii_ang
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.maps.channels import compress, expand
from crystalloop.models.maps.kernels import general_maps
from crystalloop.models.maps.voxels import (
    VoxelConfig,
    coordinates,
    density_batch,
    lattice_from_coordinates,
    voxelize,
    voxelize_batch,
    widths_and_radii_ang,
)

CONFIG = VoxelConfig(n=16)
TRICLINIC = np.array([[4.2, 0.0, 0.0], [1.1, 4.6, 0.0], [-0.7, 0.9, 5.3]])


def random_crystal(seed: int, lattice: np.ndarray | None = None) -> Crystal:
    rng = np.random.default_rng(seed)
    atoms = int(rng.integers(1, 6))
    cell = np.diag(rng.uniform(3.0, 7.0, 3)) if lattice is None else lattice
    return Crystal(cell, rng.integers(1, 90, atoms), rng.random((atoms, 3)))


def by_direct_sum(crystal: Crystal, config: VoxelConfig):
    widths, radii = widths_and_radii_ang(crystal.numbers, float(crystal.lengths_ang.max()), config)
    return general_maps(crystal.lattice, crystal.numbers, crystal.frac_coords, widths, radii, config.n, config.tail)


def electrons(crystal: Crystal, density: np.ndarray) -> float:
    return float(density.sum(dtype=np.float64) * crystal.volume_ang3 / density.size)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_separable_maps_equal_the_direct_sum_in_orthorhombic_cells(seed):
    crystal = random_crystal(seed)
    grid = voxelize(crystal, CONFIG)
    density, species = by_direct_sum(crystal, CONFIG)
    np.testing.assert_allclose(grid.density, density, atol=3e-6 * density.max())
    assert (grid.species != species).sum() <= 2  # a distance equal to the radius may round either way


@pytest.mark.parametrize(
    "lattice",
    [np.eye(3) * 4.0, np.diag([4.0, 4.0, 6.5]), np.diag([3.5, 4.4, 6.0]), TRICLINIC],
    ids=["cubic", "tetragonal", "orthorhombic", "triclinic"],
)
def test_the_density_integrates_to_the_electrons(lattice):
    for seed in range(4):
        crystal = random_crystal(seed, lattice)
        density = voxelize(crystal, CONFIG).density
        assert electrons(crystal, density) == pytest.approx(crystal.numbers.sum(), rel=1e-4)


@pytest.mark.parametrize("lattice", [np.diag([3.5, 4.4, 6.0]), TRICLINIC], ids=["orthorhombic", "triclinic"])
def test_a_periodic_translation_by_whole_voxels_rolls_the_maps(lattice):
    crystal = random_crystal(3, lattice)
    shift = np.array([5, -3, 11])
    moved = Crystal(crystal.lattice, crystal.numbers, crystal.frac_coords + shift / CONFIG.n)
    before, after = voxelize(crystal, CONFIG), voxelize(moved, CONFIG)
    np.testing.assert_allclose(
        after.density, np.roll(before.density, shift, (0, 1, 2)), atol=3e-6 * before.density.max()
    )
    assert (after.species != np.roll(before.species, shift, (0, 1, 2))).sum() <= 2


def test_an_orthogonal_cell_that_is_turned_in_space_gives_the_same_maps():
    crystal = random_crystal(5)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = Crystal(crystal.lattice @ turn, crystal.numbers, crystal.frac_coords)
    assert turned.is_orthogonal
    np.testing.assert_array_equal(voxelize(turned, CONFIG).density, voxelize(crystal, CONFIG).density)


def test_a_rocksalt_and_a_cscl_of_one_element_pair_differ():
    salt = voxelize(decorated(Prototype.ROCKSALT, ("Na", "Cl"), 5.64), CONFIG)
    other = voxelize(decorated(Prototype.CSCL, ("Na", "Cl"), 5.64 / 2 ** (2 / 3)), CONFIG)
    assert np.abs(salt.density - other.density).max() > 1.0


def test_species_are_those_of_the_nearest_site_within_its_radius():
    crystal = decorated(Prototype.ROCKSALT, ("Na", "Cl"), 5.64)
    grid = voxelize(crystal, VoxelConfig(n=32))
    assert grid.species.dtype == np.int16
    assert grid.species[0, 0, 0] == 11
    assert grid.species[16, 16, 16] == 17
    assert grid.species[8, 8, 8] == 0
    for number in (11, 17):
        filled = (grid.species == number).mean() * crystal.volume_ang3
        assert filled == pytest.approx(4 * 4 / 3 * np.pi * ionic_radii_ang()[number] ** 3, rel=0.05)


def test_a_batch_keeps_the_order_and_does_not_depend_on_threads():
    crystals = [*decorated_sample(12), random_crystal(1, TRICLINIC), *decorated_sample(80)]
    batch = voxelize_batch(crystals, CONFIG, threads=2)
    np.testing.assert_array_equal(batch.density, density_batch(crystals, CONFIG))
    for index in (0, 11, 12, 13, 60, 92):
        alone = voxelize(crystals[index], CONFIG)
        np.testing.assert_allclose(batch.density[index], alone.density, rtol=1e-5, atol=1e-5)
        assert (batch.species[index] == alone.species).mean() > 0.999
        np.testing.assert_array_equal(batch.lattices[index], crystals[index].lattice)


def test_an_empty_batch_gives_empty_maps():
    batch = voxelize_batch([], CONFIG)
    assert batch.density.shape == (0, 16, 16, 16)
    assert batch.lattices.shape == (0, 3, 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 24))
def test_the_lattice_is_read_back_from_the_coordinates(seed, n):
    lattice = np.random.default_rng(seed).normal(size=(3, 3)) * 3 + np.eye(3) * 6
    grid = coordinates(lattice, n)
    np.testing.assert_allclose(lattice_from_coordinates(grid + 1.7), lattice, atol=2e-5)


def test_noise_in_the_coordinates_averages_out_of_the_lattice():
    rng = np.random.default_rng(1)
    grid = coordinates(np.eye(3) * 5.0, 32)
    noisy = grid + rng.normal(scale=0.1, size=grid.shape)
    error = np.abs(lattice_from_coordinates(noisy) - np.eye(3) * 5.0).max()
    assert error < 5 * 0.1 * np.sqrt(12) / 32**1.5
    assert abs(np.ptp(grid[..., 0]) - 5.0) > 0.1  # what max - min would have given


def test_coordinates_of_a_batch_are_those_of_its_crystals():
    lattices = np.stack([np.eye(3) * 4, TRICLINIC])
    grids = coordinates(lattices, 8)
    assert grids.shape == (2, 8, 8, 8, 3)
    np.testing.assert_allclose(grids[1, 1, 2, 3], np.array([1, 2, 3]) / 8 @ TRICLINIC, rtol=1e-6)
    np.testing.assert_array_equal(grids[0], coordinates(lattices[0], 8))


def test_compression_keeps_one_per_cent_of_every_elements_peak():
    radii = ionic_radii_ang()[1:99]
    peaks = np.arange(1, 99) / ((2 * np.pi) ** 1.5 * radii**3)
    assert (np.diff([compress(peaks), compress(1.01 * peaks)], axis=0) > 0.002).all()
    np.testing.assert_allclose(expand(compress(peaks)), peaks, rtol=1e-5)


@pytest.mark.parametrize("change", [{"n": 2}, {"width_scale": 0.0}, {"min_width_voxels": 0.3}, {"tail": 0.5}])
def test_a_config_refuses_values_out_of_bounds(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} = {next(iter(change.values()))}"):
        VoxelConfig(**change)
