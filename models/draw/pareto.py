"""Several objectives at once, on plain arrays: one number for a compromise, and what is not dominated. No properties here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AUGMENTED = 0.05
"""Weight of the sum beside the worst objective: enough to tell apart those whose worst is equal."""


def compromise(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """The augmented Chebyshev merit of each row, 0 at the ideal point and negative elsewhere; [n].

    How far a row stays behind the best value of each objective among the rows: the largest shortfall counts, and a
    little of their sum (Steuer and Choo, Math. Program. 26, 326 (1983)). Every row with the largest merit is
    Pareto-optimal, which a weighted sum reaches on convex fronts alone.

    Args:
        gains: [n, k], larger is better, each objective divided by its scale and multiplied by its weight; a row with a
            nan has merit -inf.
    """
    known = np.isfinite(gains).all(axis=1)
    merits = np.full(len(gains), -np.inf)
    if known.any():
        behind = gains[known].max(axis=0) - gains[known]
        merits[known] = -behind.max(axis=1) - AUGMENTED * behind.sum(axis=1)
    return merits


def dominated(gains: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each row [n, k] is no better in any objective than some row of `by` [m, k]; one with a nan is.

    A row that only equals one of `by` counts as dominated: it brings nothing new.
    """
    reached = np.array([bool((gains[i] <= by).all(axis=1).any()) for i in range(len(gains))], dtype=bool)
    return reached | ~np.isfinite(gains).all(axis=1)
