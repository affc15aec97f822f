"""A critic sees what latents decode to, and a draw takes the one without a fault."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated
from tiny_networks import PAIRS

from crystalloop.models.crystals.contacts import touches
from crystalloop.models.crystals.crystal import Crystal, canonical_origin, rescaled
from crystalloop.models.crystals.formulas import anonymous_counts
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.conditioning import Wish, wanted_latents
from crystalloop.models.draw.lookahead import Critic
from crystalloop.models.draw.target import Range
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.configs import VAEConfig
from crystalloop.models.nets.vae import DensityVAE

VOXELS = VoxelConfig(n=16)
SALTS = [canonical_origin(decorated(kind, pair)) for kind in (Prototype.ROCKSALT, Prototype.CSCL) for pair in PAIRS]
PEROVSKITE = canonical_origin(decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O")))
KNOWN = [*SALTS, PEROVSKITE]


def lightest(crystals):
    """A made-up formation energy: the atomic number of the lightest element, negative."""
    values = np.full((len(crystals), 8), np.nan, np.float32)
    values[:, 0] = [-float(crystal.numbers.min()) for crystal in crystals]
    return values


@pytest.fixture(scope="module")
def vae() -> DensityVAE:
    """A linear frame that knows the salts exactly."""
    network = DensityVAE(
        VAEConfig(n=16, latent=12, filters=(4,), hidden=12, rank=2, property_scale=(1.0,) + (0.0,) * 7)
    )
    network.start_frame(draw_maps(KNOWN, VOXELS))
    return network


def latents(vae: DensityVAE, crystals):
    return vae.encode(draw_maps(crystals, VOXELS), condition(len(crystals)))[0]


def condition(count: int):
    return np.zeros((count, 10), np.float32)


def choose(vae, crystals, wishes, critic):
    """Every draw chooses among the same crystals' latents."""
    pool = latents(vae, crystals)
    return wanted_latents(vae, lambda some: np.repeat(pool[None], some, axis=0), wishes, condition(len(wishes)), critic)


def test_a_sketch_is_the_crystal_that_was_encoded(vae):
    sketches = Critic(VOXELS, rescale=0.0).sketches(vae, latents(vae, KNOWN), condition(len(KNOWN)))
    assert [sketch and sketch.composition for sketch in sketches] == [crystal.composition for crystal in KNOWN]


def test_what_cannot_be_read_has_no_sketch_and_no_properties(vae):
    critic = Critic(VOXELS, lightest)
    nowhere = np.full((1, 12), 0.0, np.float32)
    nowhere[0, 0] = 1e4
    sketches = [*critic.sketches(vae, nowhere, condition(1)), SALTS[0]]
    assert sketches[0] is None
    values = critic.properties_of(sketches)
    assert np.isnan(values[0]).all()
    assert values[1, 0] == -11.0
    assert Critic(VOXELS).properties_of(sketches) is None


def test_the_first_crystal_inside_the_range_is_taken_whatever_the_head_says(vae):
    wish = Wish((Range(E_F, -3.5, -2.5),))  # lithium fluoride alone
    chosen = choose(vae, SALTS, [wish], Critic(VOXELS, lightest, finalists=len(SALTS), rescale=0.0))
    assert Critic(VOXELS, rescale=0.0).sketches(vae, chosen, condition(1))[0].composition == SALTS[1].composition


def test_a_range_of_a_property_that_the_head_never_learned_is_met_by_the_critics_word(vae):
    def gaps(crystals):
        values = np.full((len(crystals), 8), np.nan, np.float32)
        values[:, PROPERTIES.index("band_gap")] = [crystal.numbers.min() for crystal in crystals]
        return values

    wish = Wish((Range("band_gap", 2.5, 3.5),))
    chosen = choose(vae, SALTS, [wish], Critic(VOXELS, gaps, finalists=len(SALTS), rescale=0.0))
    assert Critic(VOXELS, rescale=0.0).sketches(vae, chosen, condition(1))[0].composition == SALTS[1].composition


def test_a_wanted_formula_is_kept_and_repeats_are_passed_over(vae):
    critic = Critic(VOXELS, lightest, finalists=len(KNOWN), rescale=0.0)
    chosen = choose(vae, KNOWN, [Wish(shape=anonymous_counts(PEROVSKITE))] + [Wish()] * 4, critic)
    found = critic.sketches(vae, chosen, condition(5))
    assert found[0].composition == PEROVSKITE.composition
    assert len({crystal.formula for crystal in found}) == 5


def test_touching_atoms_are_passed_over(vae):
    close = Crystal(SALTS[0].lattice * 0.55, SALTS[0].numbers, SALTS[0].frac_coords)
    assert touches(close)
    assert not any(touches(crystal) for crystal in KNOWN)
    chosen = choose(vae, [close, SALTS[1]], [Wish()], Critic(VOXELS, finalists=2, rescale=0.0))
    assert Critic(VOXELS, rescale=0.0).sketches(vae, chosen, condition(1))[0].composition == SALTS[1].composition


def test_the_taken_latent_lies_nearer_to_its_crystals_elements_than_the_sampled_one(vae):
    ends = latents(vae, [SALTS[0], SALTS[2]])
    sampled = 0.7 * ends[:1] + 0.3 * ends[1:]
    critic = Critic(VOXELS, finalists=1, rescale=0.0)
    chosen = wanted_latents(vae, lambda some: sampled[None], [Wish()], condition(1), critic)
    true = draw_maps(SALTS[:1], VOXELS)[..., 4:]
    errors = [np.abs(vae.decode(z, condition(1)).maps[..., 4:] - true).mean() for z in (chosen, sampled)]
    assert errors[0] < 0.5 * errors[1]


class Exploding:
    """Encodes every crystal far outside of what it decodes, as a network of a few crystals does."""

    def __init__(self, vae: DensityVAE) -> None:
        self.decode = vae.decode

    def encode(self, maps, condition):
        return np.full((len(maps), 12), 50.0, np.float32), None


def test_a_sampled_latent_stays_where_its_crystal_cannot_be_encoded(vae):
    sampled = latents(vae, SALTS[:2])
    settled = Critic(VOXELS).settled(Exploding(vae), SALTS[:2], sampled, condition(2))
    np.testing.assert_array_equal(settled, sampled)


def test_an_edge_is_moved_by_the_allowed_share_at_most():
    assert rescaled(SALTS[0], 100.0, 0.25).volume_ang3 == pytest.approx(1.25**3 * SALTS[0].volume_ang3)
    assert rescaled(SALTS[0], 100.0, 0.0) is SALTS[0]
    assert rescaled(SALTS[0], float("nan"), 0.25) is SALTS[0]
