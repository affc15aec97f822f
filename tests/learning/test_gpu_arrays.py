"""The GPU script's array file, and its maps beside the host's; the latter need jax, which the package does not."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.prototypes import Prototype, roles, sites
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.maps.voxels import VoxelConfig, voxelize_batch


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench"))
    return importlib.import_module


def some(count: int) -> list[Crystal]:
    """Decorated prototypes at random origins, without pymatgen: jax may live where it does not."""
    rng = np.random.default_rng(0)
    made = []
    for index in range(count):
        prototype = list(Prototype)[index % len(Prototype)]
        role_of, coords = sites(prototype)
        elements = rng.choice(np.arange(1, 84), len(roles(prototype)), replace=False)
        made.append(Crystal(np.eye(3) * rng.uniform(3.0, 7.0), elements[list(role_of)], coords + rng.random(3)))
    return made


def test_crystals_come_back_from_the_array_file(bench, tmp_path):
    arrays, crystals = bench("arrays"), some(10)
    labels = np.full((10, 8), np.nan)
    labels[:, 0] = np.arange(10)
    split = np.array(["train"] * 6 + ["val"] * 3 + ["test"])
    arrays.write(tmp_path / "a.npz", crystals, labels, split, "digest")
    read, found, digest = arrays.read(tmp_path / "a.npz", "val")
    assert (digest, found[:, 0].tolist()) == ("digest", [6.0, 7.0, 8.0])
    assert np.isnan(found[:, 1:]).all()
    for one, other in zip(read, crystals[6:9], strict=True):
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_array_equal(one.frac_coords, other.frac_coords)
        np.testing.assert_array_equal(one.lattice, other.lattice)


def test_a_limit_takes_crystals_from_the_whole_part(bench, tmp_path):
    arrays, crystals = bench("arrays"), some(12)
    labels = np.arange(96.0).reshape(12, 8)
    arrays.write(tmp_path / "a.npz", crystals, labels, np.array(["train"] * 12), "digest")
    _, found, _ = arrays.read(tmp_path / "a.npz", "train", limit=3)
    assert found[0, 0] == labels[0, 0]
    assert found[-1, 0] == labels[-1, 0]
    assert len(found) == 3


def test_maps_drawn_on_the_device_are_those_of_the_host(bench):
    jax = pytest.importorskip("jax")
    device, crystals, voxels = bench("device_batches"), some(12), VoxelConfig(n=16, width_scale=0.5)
    atoms = device.atoms_of(crystals, voxels)
    on_device = {name: jax.numpy.asarray(array) for name, array in atoms.items()}
    maps = device.draw_channels(on_device, device.Drawing.of(atoms, voxels))
    np.testing.assert_allclose(maps, draw_maps(crystals, voxels), atol=1e-5)
    species = np.asarray(device.draw_species(on_device, 16))
    assert (species != voxelize_batch(crystals, voxels).species).sum() <= 2


def test_an_oblique_cell_is_refused_on_the_device(bench):
    pytest.importorskip("jax")
    device = bench("device_batches")
    oblique = Crystal(np.array([[4.0, 0, 0], [1.0, 4, 0], [0, 0, 4]]), np.array([3]), np.zeros((1, 3)))
    with pytest.raises(device.Unlike, match="not orthogonal"):
        device.atoms_of([oblique], VoxelConfig(n=16))
