"""One answer for every crystal and every draw: networks that know the answer give it back, failures are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from cubic_crystals import decorated
from tiny_networks import salts, scrambled, tiny_unet, tiny_vae

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.latents import draw_random
from crystalloop.models.draw.proposal import Draws, Kind
from crystalloop.models.generate.density_vae import GenerateConfig
from crystalloop.models.judge.round_trip import made_from, round_trip, same_noise, voxels_of_true_maps
from crystalloop.models.learn.map_batches import elements_present
from crystalloop.models.maps.channels import CLASSES, draw_maps
from crystalloop.models.maps.voxels import VoxelConfig, lattices_of, voxelize_batch
from crystalloop.models.nets.vae import Decoded

FINE = VoxelConfig(n=16, width_scale=0.5)
CONFIG = GenerateConfig(voxels=FINE)
CRYSTALS = [
    canonical_origin(decorated(kind, elements))
    for kind, elements in (
        (Prototype.ROCKSALT, ("Na", "Cl")),
        (Prototype.PEROVSKITE, ("Sr", "Ti", "O")),
        (Prototype.HEUSLER, ("Co", "Mn", "Si")),
    )
]


@dataclass
class PerfectVAE:
    """Its latent is the number of a crystal; a number without one is empty space."""

    config: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(n=16))

    def condition(self, e_f_ev):
        return np.zeros((len(e_f_ev), 10), np.float32)

    def encode(self, maps, condition):
        known = draw_maps(CRYSTALS, FINE)
        distance = np.abs(maps[:, None] - known[None]).mean(axis=(2, 3, 4, 5))
        number = np.where(distance.min(axis=1) < 1e-5, distance.argmin(axis=1), -1)
        return number[:, None].astype(np.float32), np.zeros((len(maps), 1), np.float32)

    def edges(self, latent):
        return lattices_of([CRYSTALS[max(int(number), 0)] for number in latent[:, 0]])[:, 0, 0]

    def decode(self, latent, condition):
        numbers = latent[:, 0].astype(int)
        crystals = [CRYSTALS[max(number, 0)] for number in numbers]
        maps = draw_maps(crystals, FINE)
        maps[numbers < 0] *= np.array([0, 1, 1, 1] + [0] * 8, np.float32)
        return Decoded(maps, lattices_of(crystals), elements_present(crystals))


class PerfectUNet:
    """Recognises the crystals' maps; of all others it says that they are empty."""

    config = SimpleNamespace(n=16)

    species_table = np.eye(CLASSES, dtype=np.float32), np.zeros(CLASSES, np.float32)

    def trained(self, maps, training):
        known, truth = draw_maps(CRYSTALS, FINE), voxelize_batch(CRYSTALS, FINE).species
        distance = np.abs(maps[:, None] - known[None]).mean(axis=(2, 3, 4, 5))
        species = np.where((distance.min(axis=1) < 1e-5)[:, None, None, None], truth[distance.argmin(axis=1)], 0)
        names = np.where(np.arange(CLASSES) == species[..., None], 9.0, 0.0).astype(np.float32)
        return {"voxels": names, "occupancy": np.where(species > 0, 9.0, -9.0).astype(np.float32)}


def trips(crystals, batch=64):
    return list(round_trip(PerfectVAE(), PerfectUNet(), crystals, np.full(len(crystals), np.nan), CONFIG, batch))


def test_networks_that_know_the_answer_give_every_crystal_back():
    moved = [Crystal(c.lattice, c.numbers, c.frac_coords + 0.25) for c in CRYSTALS]
    found = trips(moved, batch=2)
    assert [trip.raw.formula for trip in found] == ["NaCl", "SrTiO3", "MnCo2Si"]
    for trip, crystal in zip(found, CRYSTALS, strict=True):
        assert trip.failure is None
        assert trip.lattice == pytest.approx(crystal.lattice, abs=1e-4)
        assert trip.voxels.recall == trip.voxels_of_true.recall == trip.voxels.occupancy_iou == 1.0
        assert (trip.errors.density, trip.errors.compressed, trip.errors.coordinates) == (0.0, 0.0, 0.0)


def test_a_map_without_atoms_is_a_failure_with_a_reason_in_its_place():
    unknown = decorated(Prototype.CSCL, ("Cs", "I"))
    found = trips([CRYSTALS[0], unknown, CRYSTALS[1]])
    assert [trip.failure for trip in found] == [None, "nothing found", None]
    assert (found[1].raw, found[1].crystal, found[1].confidence) == (None, None, 0.0)
    assert found[1].voxels.recall == 0.0
    assert found[1].errors.density > 0


def test_every_draw_has_an_answer_in_its_place():
    latent = np.array([[0], [-1], [1], [-2], [-3], [2]], np.float32)
    draws = Draws(latent, np.zeros((6, 10), np.float32), ((),) * 6, Kind.RANDOM)
    made = list(made_from(PerfectVAE(), PerfectUNet(), draws, CONFIG, batch=4))
    assert [None if one is None else one.raw.formula for one in made] == ["NaCl", None, "SrTiO3", None, None, "MnCo2Si"]


def test_the_same_noise_is_drawn_under_all_ten_conditions():
    labelled = {"property_mean": (-2.0,) + (0.0,) * 7, "property_scale": (1.0,) + (0.0,) * 7}
    vae = scrambled(tiny_vae(decile_edges_ev=tuple(np.linspace(-3.0, -1.0, 9)), **labelled))
    draws = same_noise(vae, np.random.default_rng(0), 3)
    assert draws.condition.argmax(axis=1).tolist() == list(range(10)) * 3
    energies = vae.predict(draws.latent)[:, 0].reshape(3, 10)
    assert (np.diff(energies, axis=1) >= 0).mean() > 0.8  # the same pool, chosen from by energy
    assert np.ptp(draws.latent[::10], axis=0).min() > 0.0


def test_real_networks_of_no_worth_still_answer_for_every_crystal():
    vae, unet = scrambled(tiny_vae()), scrambled(tiny_unet())
    config = GenerateConfig(voxels=VoxelConfig(n=8))
    found = list(round_trip(vae, unet, salts(), np.full(12, -1.0), config, batch=5))
    assert len(found) == 12
    assert all((trip.raw is None) == (trip.failure is not None) for trip in found)
    assert len(list(made_from(vae, unet, draw_random(vae, np.random.default_rng(0), 7), config, batch=3))) == 7
    assert 0.0 <= voxels_of_true_maps(unet, salts()).recall <= 1.0
