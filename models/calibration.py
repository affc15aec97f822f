"""How wide a prediction's interval must be, from errors on crystals that were not trained on. numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
NORMAL_90 = 1.6448536269514722
"""A normal distribution has nine tenths of its mass within this many standard deviations."""
FEWEST = 20
"""Of fewer errors, nine tenths are not told apart from all: the root mean square decides alone."""


def calibrate(errors: NDArray[np.floating], spread: NDArray[np.floating]) -> tuple[float, float]:
    """Floor and factor of sigma = factor sqrt(spread^2 + floor^2), so that 1.645 sigma holds nine tenths of the errors.

    Split conformal prediction with a normalised score (Lei et al., J. Am. Stat. Assoc. 113, 1094, 2018). The floor
    resists outliers: it is the median absolute error over that of a normal distribution.

    Args:
        errors: label - prediction of crystals that were not trained on, [c].
        spread: standard deviation of the members' predictions, [c].

    Returns:
        0 and 1 without errors; the root mean square error and 1 of fewer than FEWEST.
    """
    if not errors.size:
        return 0.0, 1.0
    if errors.size < FEWEST:
        return float(np.sqrt(np.square(errors).mean())), 1.0
    floor = float(np.median(np.abs(errors))) / 0.6745
    scores = np.sort(np.abs(errors) / np.maximum(np.sqrt(np.square(spread) + floor**2), 1e-12))
    rank = min(int(np.ceil(LEVEL * (errors.size + 1))), errors.size)
    return floor, float(scores[rank - 1]) / NORMAL_90
