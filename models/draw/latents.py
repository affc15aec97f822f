"""Latent vectors to decode: random, around a base compound, between two. What is made of them is `generate`'s."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import canonical_origin
from crystalloop.models.crystals.formulas import anonymous_counts
from crystalloop.models.draw.conditioning import POOL, WIDE_POOL, Wish, decile_range, near_energy, wanted_latents
from crystalloop.models.draw.lookahead import Critic
from crystalloop.models.draw.proposal import Base, Draws, Kind
from crystalloop.models.draw.target import Range
from crystalloop.models.maps.channels import Floats, draw_maps
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.configs import DECILES
from crystalloop.models.nets.vae import DensityVAE


def draw_random(
    vae: DensityVAE,
    rng: np.random.Generator,
    count: int,
    deciles: Sequence[int] | None = None,
    wanted: Sequence[Range] = (),
    critic: Critic | None = None,
) -> Draws:
    """Latents from the VAE's prior, conditioned on deciles of the formation energy and on ranges of properties.

    Args:
        vae: gives prior, head and deciles.
        rng: source of randomness; the same state draws from the same pools whatever decile is asked for.
        count: how many.
        deciles: conditions to go through in turn, 0 (lowest formation energy) to 9; all of them when None.
        wanted: ranges that every draw shall meet.
        critic: looks at what a few latents of each pool decode to; without one the head alone decides.

    Raises:
        ValueError: a decile outside 0 to 9.
    """
    given = list(range(DECILES)) if deciles is None else list(deciles)
    if not given or min(given) < 0 or max(given) >= DECILES:
        raise ValueError(f"deciles {given}: give numbers from 0 to {DECILES - 1}")
    condition = np.zeros((count, DECILES), np.float32)
    wishes = [Wish(tuple(wanted))] * count
    if vae.config.decile_edges_ev:
        turns = np.resize(given, count)
        condition[np.arange(count), turns] = 1.0
        wishes = [Wish((decile_range(vae, int(turn)), *wanted)) for turn in turns]

    size = WIDE_POOL if wanted else POOL

    def pools(some: int) -> Floats:
        return vae.prior.sample(rng, some * size).reshape(some, size, -1)

    latent = wanted_latents(vae, pools, wishes, condition, critic)
    return Draws(latent, condition, ((),) * count, Kind.RANDOM)


def draw_under_each(vae: DensityVAE, rng: np.random.Generator, critic: Critic | None = None) -> Draws:
    """One pool of latents, and what each of the ten deciles chooses from it: [10].

    Raises:
        ValueError: the VAE was trained without formation energies.
    """
    if not vae.config.decile_edges_ev:
        raise ValueError("this VAE was trained without formation energies: it knows no deciles")
    pool = vae.prior.sample(rng, POOL)[None]
    wishes = [Wish((decile_range(vae, decile),)) for decile in range(DECILES)]
    condition = np.eye(DECILES, dtype=np.float32)
    latent = wanted_latents(vae, lambda some: np.repeat(pool, some, axis=0), wishes, condition, critic)
    return Draws(latent, condition, ((),) * DECILES, Kind.RANDOM)


def draw_around(
    vae: DensityVAE,
    rng: np.random.Generator,
    count: int,
    bases: Sequence[Base],
    voxels: VoxelConfig,
    scale: float,
    wanted: Sequence[Range] = (),
    critic: Critic | None = None,
) -> Draws:
    """Draw z round mu_base under the base's decile, going through the bases in turn.

    Args:
        vae: encodes the bases.
        rng: source of randomness.
        count: how many.
        bases: compounds to start from.
        voxels: the grid.
        scale: of the spread, in standard deviations of the base's component of the prior (the paper draws from
            N(mu, scale^2) in the frame of its prior N(0, I); its "variance 0.5" is a standard deviation in its code).
        wanted: ranges of properties that every draw shall meet.
        critic: looks at what a few latents decode to. Of those it takes one with the base's anonymous formula and,
            where nothing else is wanted, within a fifth of its formation energy: what the paper's Table 2 keeps.
    """
    mean, condition = encode_bases(vae, bases, voxels)
    which = np.resize(np.arange(len(bases)), count)
    names = tuple((bases[int(i)].name,) for i in which)
    wishes = [Wish(tuple(wanted) or near_energy(base.e_f_ev), anonymous_counts(base.crystal)) for base in bases]
    each = [wishes[int(i)] for i in which] if critic is not None else [Wish(tuple(wanted))] * count
    latent = _near(vae, rng, mean[which], condition[which], scale, each, critic)
    return Draws(latent, condition[which], names, Kind.AROUND)


def _near(
    vae: DensityVAE,
    rng: np.random.Generator,
    centres: Floats,
    condition: Floats,
    scale: float,
    wishes: Sequence[Wish],
    critic: Critic | None,
) -> Floats:
    """Latents round each centre [b, latent], spread as its component of the prior is, among a pool where there are wishes.

    Equal noise in all directions would leave what crystals of the centre's kind have in common.
    """
    size = POOL if any(wish.ranges for wish in wishes) else 1 if critic is None else critic.finalists
    start, prior = 0, vae.prior
    component = prior.likeliest(centres)

    def pools(some: int) -> Floats:
        nonlocal start
        rows = slice(start, start + some)
        start += some
        noise = rng.standard_normal((some, size, centres.shape[1]))
        spread = np.einsum("bij,bpj->bpi", prior.roots[component[rows]], noise)
        return np.asarray(centres[rows, None] + scale * spread, np.float32)

    return wanted_latents(vae, pools, wishes, condition, critic)


def draw_between(
    vae: DensityVAE,
    rng: np.random.Generator,
    count: int,
    bases: Sequence[Base],
    voxels: VoxelConfig,
    scale: float = 0.0,
    wanted: Sequence[Range] = (),
    critic: Critic | None = None,
) -> Draws:
    """Points on the lines between pairs of bases, at random places, with the condition of the nearer end.

    Pairs have the same anonymous formula and number of atoms where any do: between a perovskite and a rock salt there
    are few crystals.

    Raises:
        ValueError: fewer than two bases.
    """
    if len(bases) < 2:
        raise ValueError(f"{len(bases)} base compound: lines need two; name another one or draw around it")
    mean, condition = encode_bases(vae, bases, voxels)
    ends = _pairs(bases, rng, count)
    along = rng.random((count, 1)).astype(np.float32)
    line = np.asarray((1 - along) * mean[ends[:, 0]] + along * mean[ends[:, 1]], np.float32)
    nearer = np.where(along[:, 0] < 0.5, ends[:, 0], ends[:, 1])
    latent = _near(vae, rng, line, condition[nearer], scale, [Wish(tuple(wanted))] * count, critic)
    names = tuple((bases[int(i)].name, bases[int(j)].name) for i, j in ends)
    return Draws(latent, condition[nearer], names, Kind.BETWEEN)


def _pairs(bases: Sequence[Base], rng: np.random.Generator, count: int) -> NDArray[np.intp]:
    """Two different bases for each draw, of one anonymous formula where possible: [count, 2]."""
    kinds = [tuple(sorted(base.crystal.composition.values())) for base in bases]
    every = [(i, j) for i in range(len(bases)) for j in range(len(bases)) if i != j]
    alike = [(i, j) for i, j in every if kinds[i] == kinds[j]]
    pool = np.array(alike or every, np.intp)
    return pool[rng.integers(len(pool), size=count)]


def encode_bases(vae: DensityVAE, bases: Sequence[Base], voxels: VoxelConfig) -> tuple[Floats, Floats]:
    """Latent mean [b, latent] and condition [b, 10] of base compounds."""
    e_f = np.array([np.nan if base.e_f_ev is None else base.e_f_ev for base in bases])
    condition = vae.condition(e_f)
    mean, _ = vae.encode(draw_maps([canonical_origin(base.crystal) for base in bases], voxels), condition)
    return mean, condition
