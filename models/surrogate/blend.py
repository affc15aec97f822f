"""How far the networks are believed beside the surrogate: by what both said of crystals before these were computed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.surrogate.base import Prediction, Values

HALF = 2_000
"""Labels at which networks and surrogate count the same before either was put to the test. Networks that saw tens of
thousands of crystals are the better ones, networks that saw a dozen are not."""
PRIOR = 20.0
"""Computed crystals' worth of that belief."""


@dataclass(frozen=True)
class Sayings:
    """What was said of crystals that were computed afterwards. Each [n], in one unit."""

    surrogate: Values
    networks: Values
    found: Values


def networks_share(labels: int, tested: Sayings) -> float:
    """Share of the networks' word, 0 to 1: least squares on what was tested, drawn towards labels / (labels + 2,000)."""
    before = labels / (labels + HALF)
    apart = tested.networks - tested.surrogate
    missed = tested.found - tested.surrogate
    weight = PRIOR * max(float(np.mean(apart**2)) if len(apart) else 1.0, 1e-12)
    share = (float(apart @ missed) + weight * before) / (float(apart @ apart) + weight)
    return float(np.clip(share, 0.0, 1.0))


def blended(surrogate: Prediction, networks: Prediction, share: float) -> Prediction:
    """Both together; the error bar holds each one's own and how far they are from each other. NaN networks are silent."""
    mean, sigma = networks.mean, networks.sigma
    shares: NDArray[np.float64] = np.where(np.isfinite(mean) & np.isfinite(sigma), share, 0.0)
    mean, sigma = np.where(shares > 0, mean, surrogate.mean), np.where(shares > 0, sigma, surrogate.sigma)
    both = (1 - shares) * surrogate.mean + shares * mean
    variance = (1 - shares) * (surrogate.sigma**2 + (surrogate.mean - both) ** 2) + shares * (
        sigma**2 + (mean - both) ** 2
    )
    return Prediction(both, np.sqrt(variance))
