"""Sites are read from codes to a hundredth of a voxel, with the elements that codes, votes and presence say together."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.maps.regions import minimum_image_ang
from crystalloop.models.maps.sites_from_codes import PeakConfig, crystal_from_codes
from crystalloop.models.maps.sites_from_density import ReconstructionError
from crystalloop.models.maps.voxels import VoxelConfig, code_batch, voxelize_batch

VOXELS = VoxelConfig(n=16)


def read(crystal: Crystal, noise: float = 0.0, codes=None, presence=None, **changes):
    if codes is None:
        codes = code_batch([crystal], VOXELS)[0]
    codes = codes + np.random.default_rng(0).normal(0.0, noise, codes.shape).astype(np.float32)
    species = voxelize_batch([crystal], VOXELS).species[0]
    occupancy = (species > 0).astype(np.float32)
    present = np.ones(95) if presence is None else presence
    return crystal_from_codes(codes, species, occupancy, present, crystal.lattice, VOXELS, PeakConfig(**changes))


def largest_error(found: Crystal, true: Crystal) -> float:
    distance = minimum_image_ang(found.frac_coords[:, None] - true.frac_coords[None], true.lattice)
    same = found.numbers[:, None] == true.numbers[None]
    return float(np.where(same, distance, 9.0).min(axis=1).max())


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        (Prototype.CSCL, ("Cs", "Br")),
        (Prototype.PEROVSKITE, ("Sr", "Ti", "O")),
        (Prototype.HEUSLER, ("Co", "Mn", "Si")),
        (Prototype.HEUSLER, ("Hf", "Ta", "W")),
    ],
)
@pytest.mark.parametrize("shift", [0.0, 0.03], ids=["on the grid", "between the voxels"])
def test_crystals_come_back_exactly(kind, elements, shift):
    crystal = canonical_origin(decorated(kind, elements))
    moved = Crystal(crystal.lattice, crystal.numbers, crystal.frac_coords + shift)
    reading = read(moved)
    assert sorted(reading.crystal.numbers) == sorted(moved.numbers)
    assert largest_error(reading.crystal, moved) < 0.01
    assert reading.confidence > 0.95


def test_noise_of_a_few_percent_moves_atoms_by_hundredths_of_an_angstrom():
    crystal = canonical_origin(decorated(Prototype.PEROVSKITE, ("Ba", "Ti", "O")))
    reading = read(crystal, noise=0.03)
    assert sorted(reading.crystal.numbers) == sorted(crystal.numbers)
    assert largest_error(reading.crystal, crystal) < 0.05


def test_a_doubtful_code_is_decided_by_what_the_latent_says_is_present():
    crystal = canonical_origin(decorated(Prototype.CSCL, ("Na", "Cl")))
    other = Crystal(crystal.lattice, np.where(crystal.numbers == 11, 19, crystal.numbers), crystal.frac_coords)
    doubtful = 0.49 * code_batch([crystal], VOXELS)[0] + 0.51 * code_batch([other], VOXELS)[0]
    presence = np.full(95, 1e-6)
    presence[[11, 17]] = 0.99
    assert set(read(crystal, codes=doubtful, presence=presence).crystal.numbers) == {11, 17}
    presence[[11, 19]] = presence[[19, 11]]
    assert set(read(crystal, codes=doubtful, presence=presence, vote=0.0).crystal.numbers) == {19, 17}


def test_what_cannot_be_read_is_a_counted_failure():
    crystal = canonical_origin(decorated(Prototype.CSCL, ("Na", "Cl")))
    with pytest.raises(ReconstructionError, match="nothing found"):
        read(crystal, codes=np.zeros((16, 16, 16, 8), np.float32))
    with pytest.raises(ReconstructionError, match="too many sites: 2 sites, at most 1"):
        read(crystal, max_sites=1)
    with pytest.raises(ReconstructionError, match="bad lattice"):
        read(crystal, max_edge_ang=2.0)


def test_atoms_of_one_sublattice_between_two_elements_get_one_of_them():
    salt = canonical_origin(decorated(Prototype.ROCKSALT, ("Na", "Cl")))
    other = Crystal(salt.lattice, np.where(salt.numbers == 11, 19, salt.numbers), salt.frac_coords)
    pure, mixed = (code_batch([crystal], VOXELS)[0] for crystal in (salt, other))
    lean = np.linspace(0.42, 0.58, VOXELS.n)[:, None, None, None]  # some sites nearer to Na, some to K
    codes = (1 - lean) * pure + lean * mixed
    assert len(set(read(salt, codes=codes, vote=0.0, presence=None, alike=1e-9).crystal.numbers)) == 3
    assert len(set(read(salt, codes=codes, vote=0.0, presence=None).crystal.numbers)) == 2


def test_two_elements_are_never_taken_for_one_in_a_true_map():
    heusler = canonical_origin(decorated(Prototype.HEUSLER, ("Ti", "Zr", "Hf")))
    assert read(heusler).crystal.composition == heusler.composition
