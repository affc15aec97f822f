"""Latents for a wanted property: each draw chooses among many from the prior by the latent's own head. No crystals here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.channels import Floats
from models.properties import E_F, PROPERTIES
from models.vae import DensityVAE

POOL = 64
"""Latents that each draw chooses from: a property that one in twenty crystals has is met by 96 % of the pools."""
_ROWS = 1 << 15  # latents predicted at once


@dataclass(frozen=True)
class Range:
    """A wanted range of a property, in its unit; ends may be infinite.

    Raises:
        ValueError: an unknown property, or no value lies in the range.
    """

    property: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.property not in PROPERTIES:
            raise ValueError(f"property {self.property!r} is unknown; the networks predict {', '.join(PROPERTIES)}")
        if not self.low <= self.high:
            raise ValueError(f"{self.property} from {self.low} to {self.high} holds no value; give the lower end first")


def decile_range(vae: DensityVAE, decile: int) -> Range:
    """The formation energies of a decile, 0 (lowest) to 9; the outer ones are open."""
    edges = (-np.inf, *vae.config.decile_edges_ev, np.inf)
    return Range(E_F, float(edges[decile]), float(edges[decile + 1]))


def wanted_latents(
    vae: DensityVAE,
    pools: Callable[[int], Floats],
    wanted: Sequence[Sequence[Range]],
) -> Floats:
    """One latent for each draw: the first of its pool that the head puts inside all ranges, else the nearest to them.

    Rejection sampling of p(z | y in range), proportional to p(z) with the head deciding about y. Deciles, numbers and
    ranges of any property go this one way. What is already wanted of nobody costs nothing: no ranges, the first.

    Args:
        vae: gives the head.
        pools: count -> that many pools, [count, p, latent], in order; the same noise gives the same pools.
        wanted: the ranges of each draw; those without known labels are ignored.

    Returns:
        [len(wanted), latent].
    """
    d, chosen, size = vae.config.latent, [], max(1, _ROWS // POOL)
    for start in range(0, len(wanted), size):
        some = wanted[start : start + size]
        pool = pools(len(some))  # [s, p, d]
        if not any(some):
            chosen.append(pool[:, 0])
            continue
        values = vae.predict(pool.reshape(-1, d)).reshape(*pool.shape[:2], len(PROPERTIES))
        distance = np.stack([_distance(vae, row, ranges) for row, ranges in zip(values, some, strict=True)])  # [s, p]
        chosen.append(pool[np.arange(len(pool)), distance.argmin(axis=1)])
    return np.concatenate(chosen) if chosen else np.zeros((0, d), np.float32)


def _distance(vae: DensityVAE, values: Floats, ranges: Sequence[Range]) -> NDArray[np.float64]:
    """How far each latent of a pool is outside the ranges, in standard deviations of the labels; 0 inside: [p]."""
    total = np.zeros(len(values))
    for one in ranges:
        column = PROPERTIES.index(one.property)
        scale = vae.config.property_scale[column]
        if scale > 0:
            outside = np.maximum(np.maximum(one.low - values[:, column], values[:, column] - one.high), 0.0)
            total += np.nan_to_num(outside, nan=np.inf) / scale
    return total
