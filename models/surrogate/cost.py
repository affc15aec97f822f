"""What a calculation will cost in processor seconds, learnt from those that have ended. Pure; nobody is chosen here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import symbols
from crystalloop.models.surrogate.base import FeatureRows, Values

FEWEST_COSTS = 5
"""With fewer calculations nothing is said."""
SIZES = 5
"""So many columns of `cost_features` are sizes, which a few calculations can tell of; the others are elements."""
STIFF_SIZE, STIFF_ELEMENT = 10.0, 0.3
"""Ridge penalties of a standardised size and of an element's share; of nine pairs the best on the 63 crystals of tests/choosing."""


def cost_features(crystals: Sequence[Crystal]) -> FeatureRows:
    """What the time of a plane-wave calculation grows with, [c, SIZES + 103]; logarithms of sizes, then shares of elements.

    Electrons (all of them: those of the pseudopotentials are a fixed part per element), atoms, volume of the cell in
    cubic angstrom, shortest edge in angstrom (k points are as many as it is short), volume per atom (plane waves).
    """
    rows = np.zeros((len(crystals), SIZES + len(symbols()) - 1))
    for row, crystal in zip(rows, crystals, strict=True):
        atoms, volume = len(crystal), crystal.volume_ang3
        sizes = (crystal.numbers.sum(), atoms, volume, crystal.lengths_ang.min(), volume / atoms)
        row[:SIZES] = np.log(sizes)
        row[SIZES:] = np.bincount(crystal.numbers, minlength=len(symbols()))[1:] / atoms
    return rows


@dataclass(frozen=True)
class CostModel:
    """The logarithm of the processor time as a linear function.

    Attributes:
        middle, scale: of the features, [f].
        weights: [f].
        log_s: mean logarithm of the seconds.
        spread: standard deviation of the logarithm about the prediction, of calculations left out of the fit in turn.
        lowest_s, highest_s: no prediction lies beyond these.
    """

    middle: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    log_s: float
    spread: float
    lowest_s: float
    highest_s: float

    def predict(self, rows: FeatureRows) -> Values:
        """Expected processor seconds of calculations with these features, [n].

        The expectation of a log-normal value, exp(m + spread^2 / 2): what a budget is to be reckoned with.
        """
        log_s = self.log_s + (rows - self.middle) / self.scale @ self.weights
        made: Values = np.exp(np.clip(log_s, np.log(self.lowest_s), np.log(self.highest_s)) + self.spread**2 / 2)
        return made


def fit_cost(rows: FeatureRows, cpu_s: Values) -> CostModel | None:
    """Ridge regression of the logarithm of processor seconds; None with fewer than FEWEST_COSTS calculations.

    Rows with a time or a feature that is no number, or a time that is not above 0, tell nothing. The predictions stay
    between half the shortest and twice the longest time seen.

    Args:
        rows: features of calculations that have ended, whether or not with a value, [n, f]; see `cost_features`.
        cpu_s: what each took, [n].
    """
    usable = np.isfinite(rows).all(axis=1) & np.isfinite(cpu_s) & (cpu_s > 0)
    if usable.sum() < FEWEST_COSTS:
        return None
    kept, log_s = rows[usable], np.log(cpu_s[usable])
    middle, scale = kept.mean(axis=0), _scales(kept)
    x = (kept - middle) / scale
    weights, spread = _ridge(x, log_s - log_s.mean())
    return CostModel(
        middle,
        scale,
        weights,
        float(log_s.mean()),
        spread,
        float(np.exp(log_s.min()) / 2),
        float(np.exp(log_s.max()) * 2),
    )


def _scales(rows: FeatureRows) -> NDArray[np.float64]:
    """Sizes in their own spread, elements as their share, [f]; 1 for what is equal everywhere."""
    scale = np.ones(rows.shape[1])
    spread = rows[:, :SIZES].std(axis=0)
    scale[:SIZES] = np.where(spread > 1e-9, spread, 1.0)
    return scale


def _ridge(x: FeatureRows, y: Values) -> tuple[NDArray[np.float64], float]:
    """Weights [f], and the root mean square of what is left when each row is left out in turn.

    Through the dual, n x n: weights = P X' (X P X' + 1)^-1 y with P one over the penalties; what is left of row i is
    (y - H y)_i / (1 - H_ii), with 1 / n more in H for the mean that was taken off.
    """
    penalty = np.concatenate([np.full(SIZES, STIFF_SIZE), np.full(x.shape[1] - SIZES, STIFF_ELEMENT)])
    kernel = (x / penalty) @ x.T
    inverse = np.linalg.inv(kernel + np.eye(len(y)))
    hat = kernel @ inverse + 1.0 / len(y)
    left = (y - hat @ y) / (1.0 - np.minimum(np.diag(hat), 0.99))
    return (x / penalty).T @ (inverse @ y), float(np.sqrt(np.mean(left**2)))
