from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.maps.kernels import Atoms, general_maps
from crystalloop.models.maps.voxels import VoxelConfig, voxelize_batch, widths_and_radii_ang


def heusler(shift: np.ndarray) -> Crystal:
    crystal = decorated(Prototype.HEUSLER, ("Fe", "V", "Al"), 5.7)
    return Crystal(crystal.lattice, crystal.numbers, crystal.frac_coords + shift)


def centred(crystals: list[Crystal]) -> list[bool]:
    owner = np.repeat(np.arange(len(crystals)), [len(crystal) for crystal in crystals])
    numbers = np.concatenate([crystal.numbers for crystal in crystals])
    ones = np.ones(len(owner))
    coords = np.concatenate([crystal.frac_coords for crystal in crystals])
    return Atoms.sort(owner, numbers, coords, ones[:, None].repeat(3, 1), ones, ones).face_centred.tolist()


def one_atom_moved(crystal: Crystal, by: float) -> Crystal:
    coords = crystal.frac_coords.copy()
    coords[3, 1] += by
    return Crystal(crystal.lattice, crystal.numbers, coords)


def test_face_centred_cells_are_told_from_others():
    rng = np.random.default_rng(0)
    whole = [heusler(rng.random(3)) for _ in range(20)]
    perovskite = decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O"), 3.9)
    caesium = decorated(Prototype.CSCL, ("Cs", "Cl"), 4.1)
    swapped = heusler(np.zeros(3))
    swapped = Crystal(swapped.lattice, np.r_[swapped.numbers[-1], swapped.numbers[1:]], swapped.frac_coords)
    moved = one_atom_moved(heusler(np.zeros(3)), 1e-6)
    assert centred([*whole, perovskite, caesium, swapped, moved, *whole]) == [*[True] * 20, *[False] * 4, *[True] * 20]


@pytest.mark.parametrize("n", [12, 13, 16])
def test_a_face_centred_cell_drawn_by_its_quarter_equals_the_direct_sum(n):
    config = VoxelConfig(n=n, width_scale=0.5)
    rng = np.random.default_rng(n)
    crystals = [heusler(rng.random(3)), one_atom_moved(heusler(rng.random(3)), 0.01), heusler(np.zeros(3))]
    batch = voxelize_batch(crystals, config)
    for crystal, density, species in zip(crystals, batch.density, batch.species, strict=True):
        widths, radii = widths_and_radii_ang(crystal.numbers, float(crystal.lengths_ang.max()), config)
        true, named = general_maps(
            crystal.lattice, crystal.numbers, crystal.frac_coords, widths, radii, config.n, config.tail
        )
        np.testing.assert_allclose(density, true, atol=1e-6 * true.max())
        at_rest = bool((crystal.frac_coords[0] == 0).all())  # there, distances tie with radii and with each other
        assert (species != named).sum() <= (0.02 * n**3 if at_rest else 2)


def test_a_cell_and_its_neighbours_in_a_batch_do_not_mix():
    config = VoxelConfig(n=16)
    rng = np.random.default_rng(3)
    perovskite = decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O"), 3.9)
    crystals = [perovskite, heusler(rng.random(3)), perovskite, heusler(rng.random(3)), heusler(rng.random(3))]
    together = voxelize_batch(crystals, config)
    for index, crystal in enumerate(crystals):
        alone = voxelize_batch([crystal], config)
        np.testing.assert_allclose(together.density[index], alone.density[0], rtol=1e-5, atol=1e-5)
        assert (together.species[index] != alone.species[0]).sum() <= 2
