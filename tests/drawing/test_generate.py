"""Latent vectors to crystals: the draws, what is read from perfect maps, and what is counted as failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from cubic_crystals import decorated
from tiny_networks import VOXELS, salts, scrambled, tiny_unet, tiny_vae

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import match_prototype
from crystalloop.models.draw.latents import draw_around, draw_between, draw_random, encode_bases
from crystalloop.models.draw.proposal import Base, Draws, Kind
from crystalloop.models.draw.target import Range
from crystalloop.models.generate.density_vae import GenerateConfig, propose
from crystalloop.models.learn.map_batches import elements_present
from crystalloop.models.maps.channels import CLASSES, draw_maps
from crystalloop.models.maps.voxels import VoxelConfig, lattices_of, voxelize_batch
from crystalloop.models.nets.vae import Decoded

pytestmark = pytest.mark.slow

EDGES = tuple(np.linspace(-3.0, -1.0, 9))
BASES = [Base(f"salt {i}", crystal, -2.0 if i else None) for i, crystal in enumerate(salts()[:4])]
FINE = VoxelConfig(n=16, width_scale=0.5)


def vae(**config):
    return scrambled(tiny_vae(decile_edges_ev=EDGES, **config))


def rng(seed: int = 0):
    return np.random.default_rng(seed)


@dataclass
class PerfectVAE:
    """Decodes the i-th latent vector to the i-th crystal."""

    crystals: list[Crystal]
    codes: bool = True
    config: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(n=FINE.n))

    def edges(self, latent):
        return lattices_of(self.crystals)[:, 0, 0]

    def decode(self, latent, condition):
        maps = draw_maps(self.crystals, FINE)
        maps[..., 4:] *= self.codes
        return Decoded(maps, lattices_of(self.crystals), elements_present(self.crystals))


@dataclass
class PerfectUNet:
    """Knows species and occupancy of the crystals' voxels."""

    crystals: list[Crystal]

    species_table = np.eye(CLASSES, dtype=np.float32), np.zeros(CLASSES, np.float32)

    def trained(self, maps, training):
        species = voxelize_batch(self.crystals, FINE).species
        names = np.where(np.arange(CLASSES) == species[..., None], 9.0, 0.0).astype(np.float32)
        return {"voxels": names, "occupancy": np.where(species > 0, 9.0, -9.0).astype(np.float32)}


def read(crystals: list[Crystal], codes: bool = True, **config):
    size = len(crystals)
    draws = Draws(np.zeros((size, 3)), np.zeros((size, 10)), (("base",),) * size, Kind.AROUND)
    settings = GenerateConfig(voxels=FINE, **config)
    return propose(PerfectVAE(crystals, codes), PerfectUNet(crystals), draws, settings)


@pytest.mark.parametrize("draw", ["random", "around", "between"])
def test_the_same_seed_gives_the_same_draws(draw):
    model = vae()
    make = {
        "random": lambda seed: draw_random(model, rng(seed), 6),
        "around": lambda seed: draw_around(model, rng(seed), 6, BASES, VOXELS, 0.5),
        "between": lambda seed: draw_between(model, rng(seed), 6, BASES, VOXELS),
    }[draw]
    first, again, other = make(1), make(1), make(2)
    np.testing.assert_array_equal(first.latent, again.latent)
    assert first.bases == again.bases
    assert not np.allclose(first.latent, other.latent)
    assert (len(first), str(first.kind)) == (6, draw)


def test_random_draws_go_through_the_wanted_deciles():
    draws = draw_random(vae(), rng(), 5, deciles=[3, 0])
    assert draws.condition.argmax(axis=1).tolist() == [3, 0, 3, 0, 3]
    assert draw_random(vae(), rng(), 20).condition.sum(axis=0).tolist() == [2] * 10


def test_without_known_energies_nothing_is_conditioned():
    assert not draw_random(scrambled(tiny_vae()), rng(), 5).condition.any()


@pytest.mark.parametrize("deciles", [[], [10], [-1, 2]])
def test_a_decile_that_does_not_exist_is_refused(deciles):
    with pytest.raises(ValueError, match="give numbers from 0 to 9"):
        draw_random(vae(), rng(), 5, deciles)


def test_around_a_base_without_spread_is_the_bases_own_latent_mean():
    model = vae()
    mean, condition = encode_bases(model, BASES, VOXELS)
    draws = draw_around(model, rng(), 6, BASES, VOXELS, scale=0.0)
    np.testing.assert_array_equal(draws.latent, mean[[0, 1, 2, 3, 0, 1]])
    np.testing.assert_array_equal(draws.condition, condition[[0, 1, 2, 3, 0, 1]])
    assert draws.bases[1] == ("salt 1",)


def test_the_scale_is_the_standard_deviation_round_the_base():
    model = vae()
    mean, _ = encode_bases(model, BASES, VOXELS)
    draws = draw_around(model, rng(), 2000, BASES, VOXELS, scale=0.4)
    assert (draws.latent - np.resize(mean, draws.latent.shape)).std() == pytest.approx(0.4, rel=0.05)


def test_draws_round_and_between_bases_meet_what_is_wanted_by_the_heads_word():
    model = vae(property_mean=(-2.0,) + (0.0,) * 7, property_scale=(1.0,) + (0.0,) * 7)
    free = model.predict(draw_around(model, rng(), 200, BASES[:1], VOXELS, scale=1.0).latent)[:, 0]
    wanted = [Range("formation_energy_per_atom", *np.quantile(free, [0.1, 0.3]))]
    around = draw_around(model, rng(1), 40, BASES[:1], VOXELS, 1.0, wanted)
    met = model.predict(around.latent)[:, 0]
    assert ((met >= wanted[0].low) & (met <= wanted[0].high)).mean() > 0.95
    lower = draw_between(model, rng(1), 40, BASES, VOXELS, 1.0, [Range("formation_energy_per_atom", -np.inf, -1e9)])
    assert model.predict(lower.latent)[:, 0].mean() < free.mean()


def test_a_base_of_unknown_energy_has_no_condition():
    _, condition = encode_bases(vae(), BASES, VOXELS)
    assert condition.sum(axis=1).tolist() == [0, 1, 1, 1]


def test_draws_between_two_bases_stay_on_the_line_with_the_nearer_ends_condition():
    model = vae()
    mean, condition = encode_bases(model, BASES, VOXELS)
    draws = draw_between(model, rng(), 30, BASES, VOXELS)
    for latent, own, (start, end) in zip(draws.latent, draws.condition, draws.bases, strict=True):
        i, j = int(start[-1]), int(end[-1])
        assert i != j
        along = (latent - mean[i]) @ (mean[j] - mean[i]) / np.square(mean[j] - mean[i]).sum()
        assert 0 <= along <= 1
        np.testing.assert_allclose(latent, mean[i] + along * (mean[j] - mean[i]), rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(own, condition[i if along < 0.5 else j])


def test_pairs_have_one_anonymous_formula_where_there_are_any():
    mixed = [*BASES[:2], Base("perovskite", decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O")))]
    assert not any("perovskite" in pair for pair in draw_between(vae(), rng(), 20, mixed, VOXELS).bases)
    assert all("perovskite" in pair for pair in draw_between(vae(), rng(), 20, mixed[1:], VOXELS).bases)


def test_one_base_makes_no_line():
    with pytest.raises(ValueError, match="1 base compound: lines need two; name another one"):
        draw_between(vae(), rng(), 5, BASES[:1], VOXELS)


@pytest.mark.parametrize("codes", [False, True], ids=["from the density", "from the codes"])
def test_perfect_maps_are_read_as_the_crystals_that_they_show(codes):
    kinds = {
        Prototype.ROCKSALT: ("Na", "Cl"),
        Prototype.CSCL: ("Cs", "Br"),
        Prototype.ZINCBLENDE: ("Zn", "S"),
        Prototype.PEROVSKITE: ("Sr", "Ti", "O"),
    }
    crystals = [canonical_origin(decorated(kind, elements)) for kind, elements in kinds.items()]
    made = read(crystals, codes).made
    assert [proposal.crystal.formula for proposal in made] == [crystal.formula for crystal in crystals]
    assert [match_prototype(proposal.crystal.to_structure()) for proposal in made] == list(kinds)
    np.testing.assert_allclose(
        [proposal.crystal.lengths_ang for proposal in made], [crystal.lengths_ang for crystal in crystals], rtol=0.02
    )
    assert all(0 <= proposal.confidence <= 1 for proposal in made)
    assert {(proposal.kind, proposal.bases) for proposal in made} == {(Kind.AROUND, ("base",))}


def test_every_draw_becomes_a_proposal_or_a_counted_failure():
    model, unet = vae(), scrambled(tiny_unet())
    draws = draw_random(model, rng(), 12)
    proposals = propose(model, unet, draws, GenerateConfig(voxels=VOXELS))
    assert len(proposals.made) + proposals.failures.total() == 12


def test_empty_space_is_a_failure_with_a_reason():
    crystal = canonical_origin(salts()[0])
    vacuum = PerfectVAE([crystal])
    vacuum.decode = lambda latent, condition: Decoded(
        draw_maps([crystal], FINE) * np.array([0, 1, 1, 1] + [0] * 8, np.float32),
        lattices_of([crystal]),
        elements_present([crystal]),
    )
    nothing = SimpleNamespace(
        species_table=PerfectUNet.species_table,
        trained=lambda maps, training: {
            "voxels": np.zeros((*maps.shape[:4], CLASSES), np.float32),
            "occupancy": np.full(maps.shape[:4], -9.0, np.float32),
        },
    )
    draws = Draws(np.zeros((1, 3)), np.zeros((1, 10)), ((),), Kind.RANDOM)
    proposals = propose(vacuum, nothing, draws, GenerateConfig(voxels=FINE))
    assert proposals.made == ()
    assert isinstance(proposals.failures, Counter)
    assert proposals.failures.total() == 1
    assert all(isinstance(reason, str) and reason for reason in proposals.failures)


def test_only_allowed_elements_are_proposed():
    model, unet = vae(), scrambled(tiny_unet())
    kernel, bias = unet.model.get_layer("occupancy").get_weights()
    unet.model.get_layer("occupancy").set_weights([kernel, bias + 1.0])
    proposals = propose(model, unet, draw_random(model, rng(), 12), GenerateConfig(voxels=VOXELS), allowed=[11, 17])
    assert {symbol for proposal in proposals.made for symbol in proposal.crystal.composition} <= {"Na", "Cl"}
