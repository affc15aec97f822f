"""Latents for what is wanted: each draw chooses among many, by the latent's own head and then by what a few decode to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.contacts import touches
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.formulas import anonymous_counts, reduced_counts
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.draw.lookahead import Critic
from crystalloop.models.draw.target import Range
from crystalloop.models.maps.channels import Floats
from crystalloop.models.nets.vae import DensityVAE

POOL = 64
"""Latents that each draw chooses from: a property that one in twenty crystals has is met by 96 % of the pools."""
WIDE_POOL = 256
"""Where ranges are asked for beside or instead of a decile: they may be rarer."""
NEAR_BASE = 0.2
"""How far from the base's formation energy a candidate may be, as a share of it (the paper's Table 2)."""
_DRAWS = 64  # chosen at once
_FARTHEST, _TOUCHES, _OTHER_SHAPE, _REPEAT = 4.0, 2.0, 1.0, 0.5  # faults, in standard deviations of a property


def decile_range(vae: DensityVAE, decile: int) -> Range:
    """The formation energies of a decile, 0 (lowest) to 9; the outer ones are open."""
    edges = (-np.inf, *vae.config.decile_edges_ev, np.inf)
    return Range(E_F, float(edges[decile]), float(edges[decile + 1]))


@dataclass(frozen=True)
class Wish:
    """What one draw shall be.

    Attributes:
        ranges: of properties; those without known labels are ignored.
        shape: the anonymous formula (`anonymous_counts`); a critic is needed to see it.
    """

    ranges: tuple[Range, ...] = ()
    shape: tuple[int, ...] | None = None


def near_energy(e_f_ev: float | None) -> tuple[Range, ...]:
    """Formation energies within NEAR_BASE of a base's, eV/atom; no range where it is not known."""
    if e_f_ev is None or not np.isfinite(e_f_ev):
        return ()
    room = NEAR_BASE * abs(e_f_ev)
    return (Range(E_F, e_f_ev - room, e_f_ev + room),)


def wanted_latents(
    vae: DensityVAE,
    pools: Callable[[int], Floats],
    wishes: Sequence[Wish],
    condition: Floats,
    critic: Critic | None = None,
) -> Floats:
    """One latent for each draw: of its pool, the first without a fault, else the one with the least.

    Rejection sampling of p(z | y in range), proportional to p(z), in two stages: the head ranks the whole pool, and a
    critic looks at what its first few decode to. Faults are distances from the wanted ranges in standard deviations of
    the labels, atoms that touch, another anonymous formula than wanted, a formula that an earlier draw had. Deciles,
    numbers and ranges of any property go this one way. Where nothing is wanted and nobody looks, it is the pool's first.

    Args:
        vae: gives the head.
        pools: count -> that many pools, [count, p, latent], in order; the same noise gives the same pools.
        wishes: one for each draw.
        condition: that the draws will be decoded under, [len(wishes), 10].
        critic: looks at a few of each pool; without one, or where the maps show no elements, the head alone decides.

    Returns:
        [len(wishes), latent].
    """
    chosen, seen = [], set[object]()
    looks = critic if critic is not None and critic.sees(vae) else None
    for start in range(0, len(wishes), _DRAWS):
        some = wishes[start : start + _DRAWS]
        pool = pools(len(some))  # [s, p, d]
        if looks is None and not any(wish.ranges for wish in some):
            chosen.append(pool[:, 0])
            continue
        first = _put_forward(vae, pool, some, 1 if looks is None else looks.finalists)  # [s, f, d]
        if looks is None:
            chosen.append(first[:, 0])
        else:
            chosen.append(_looked_at(vae, first, some, condition[start : start + _DRAWS], looks, seen))
    return np.concatenate(chosen) if chosen else np.zeros((0, vae.config.latent), np.float32)


def _put_forward(vae: DensityVAE, pool: Floats, wishes: Sequence[Wish], count: int) -> Floats:
    """The latents of each pool [s, p, d] that the head puts nearest to the ranges, [s, count, d]."""
    if not any(wish.ranges for wish in wishes):
        return pool[:, :count]
    says = vae.predict(pool.reshape(-1, pool.shape[-1])).reshape(*pool.shape[:2], -1)  # [s, p, 8]
    scales = np.array(vae.config.property_scale)
    distance = np.stack([_distance(row, wish.ranges, scales) for row, wish in zip(says, wishes, strict=True)])
    order = np.argsort(distance, axis=1, kind="stable")[:, :count, None]
    return np.take_along_axis(pool, order, axis=1)


def _looked_at(
    vae: DensityVAE, first: Floats, wishes: Sequence[Wish], condition: Floats, critic: Critic, seen: set[object]
) -> Floats:
    """The latent that each draw takes of its finalists [s, f, d]: [s, d]. Its formula is added to those seen.

    It is the latent of the crystal that was looked at, not the one that was sampled: that one may lie between elements.
    """
    count = first.shape[1]
    under = np.repeat(condition, count, axis=0)
    crystals = critic.sketches(vae, first.reshape(-1, first.shape[-1]), under)
    values = critic.properties_of(crystals)
    scales = np.array([scale or 1.0 for scale in vae.config.property_scale])  # the critic may know more than the head
    latent, taken = first[:, 0].copy(), dict[int, Crystal]()
    picks = np.zeros(len(wishes), np.intp)
    for i, wish in enumerate(wishes):
        rows = slice(i * count, (i + 1) * count)
        off = np.zeros(count) if values is None else _distance(values[rows], wish.ranges, scales)
        off = np.array([_fault(*pair, wish, seen) for pair in zip(off, crystals[rows], strict=True)])
        picks[i] = off.argmin()
        best = crystals[rows][picks[i]]
        if best is not None:
            taken[i] = best
            seen.add(reduced_counts(best))
    if taken:
        which = list(taken)
        kept = first[which, picks[which]]
        latent[which] = critic.settled(vae, list(taken.values()), kept, condition[which])
    return latent


def _fault(off: float, crystal: Crystal | None, wish: Wish, seen: set[object]) -> float:
    """How far a crystal is from what is wanted, in standard deviations of a property; `off` from the ranges."""
    if crystal is None:
        return 2 * _FARTHEST
    other = wish.shape is not None and anonymous_counts(crystal) != wish.shape
    repeat = reduced_counts(crystal) in seen
    return min(off, _FARTHEST) + _TOUCHES * touches(crystal) + _OTHER_SHAPE * other + _REPEAT * repeat


def _distance(values: Floats, ranges: Sequence[Range], scales: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far values [p, 8] are outside the ranges, in units of the scales [8]; 0 inside, and where a scale is 0: [p]."""
    total = np.zeros(len(values))
    for one in ranges:
        column = PROPERTIES.index(one.property)
        scale = float(scales[column])
        if scale > 0:
            total += one.distance(values[:, column]) / scale
    return total
