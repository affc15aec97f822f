"""What an error bar is worth: predictive distributions and 90 % intervals from forecasts whose outcome is known. Arrays alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.surrogate.base import Prediction, Values

MISSED = 0.1
"""Share of values that an interval may miss: intervals are of 90 %."""
HALF_LIFE = 50.0
"""So many forecasts later, one counts half: the loop moves on, and its surrogate is fitted anew."""
HELD_OUT = 20.0
"""Forecasts that all held-out labels together count for before the first outcome, and half of it after so many outcomes: they
were not chosen, and what is chosen errs in another way."""
PRIOR, PRIOR_SCALE = 3.0, 2.0
"""Forecasts that the prior counts for, and its standard deviation: in sigmas, since ensembles are too sure of themselves, and
in standard deviations of the residuals as these come in, since a few of them do not reach where one in ten will lie."""
CLASS_ENOUGH = 30.0
"""Forecasts of a class with which those of other classes count no more."""
FLOOR = 0.2
"""Least error bar, in median sigmas: how sigmas differ from each other is believed in part only."""
LEAST_BAR = 1e-9
"""No value is known better, in any unit here."""
OUTLIER = 5.0
"""Residuals of more median ones count as so many where the prior's width is told."""
POINTS = 200
"""Points that stand for a predictive distribution, all of equal weight."""
HEIGHTS = (np.arange(POINTS) + 0.5) / POINTS
GAUSSIAN = np.array([NormalDist().inv_cdf(float(step)) for step in HEIGHTS])
STEP, WIDEST, NARROWEST = 0.1, 0.01, 0.3
"""How far one round moves the level, and its bounds."""


@dataclass(frozen=True)
class Outcomes:
    """Forecasts whose values are known by now, in the order in which they were made.

    Attributes:
        mean, sigma, found: [n], in one unit; sigma > 0.
        round: [n], in which each was made.
        classes: of each, what its errors may depend on, such as its prototype; one class is "" for all.
    """

    mean: Values
    sigma: Values
    found: Values
    round: NDArray[np.int_]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        lengths = {len(self.mean), len(self.sigma), len(self.found), len(self.round), len(self.classes)}
        if len(lengths) > 1:
            raise ValueError(f"mean, sigma, found, round and classes differ in length: {sorted(lengths)}")
        values = np.concatenate([self.mean, self.sigma, self.found])
        if not np.isfinite(values).all() or (np.asarray(self.sigma) < 0).any():
            raise ValueError("a mean, a sigma or a found value is not finite, or a sigma is negative")

    def __len__(self) -> int:
        return len(self.mean)

    @classmethod
    def none(cls) -> Outcomes:
        """No forecast at all."""
        empty = np.zeros(0)
        return cls(empty, empty, empty, np.zeros(0, dtype=np.int_), ())


@dataclass(frozen=True)
class Calibration:
    """What is known of the errors of a surrogate, as residuals in units of its error bars.

    Attributes:
        residuals: [n], (found - mean) / error bar.
        weights: [n], forecasts that each counts for.
        classes: [n].
        floor: least error bar, in the unit of the values.
        missed: share that the intervals are to miss; `MISSED`, moved by what earlier intervals missed.
    """

    residuals: Values
    weights: Values
    classes: NDArray[np.str_]
    floor: float
    missed: float = MISSED
    _points: dict[str, Values] = field(default_factory=dict, compare=False, repr=False)

    def error_bars(self, sigma: Values) -> Values:
        """[n]: sigmas, none below the floor."""
        bars: Values = np.hypot(sigma, self.floor)
        return np.maximum(bars, LEAST_BAR)

    def points(self, of_class: str = "") -> Values:
        """[POINTS]: residuals, ascending and equally likely, that stand for the next one of a class.

        Weighted quantiles of the residuals and of a wide Gaussian prior, which is the mass that conformal prediction puts
        at infinity (Tibshirani et al., NeurIPS 2019, equation 7) where there is little else. Other classes count for less
        the more residuals the class has of its own, and then not at all: Mondrian (Vovk et al., 2005, section 4.5).
        """
        if of_class not in self._points:
            self._points[of_class] = self._quantiles(of_class)
        return self._points[of_class]

    def _quantiles(self, of_class: str) -> Values:
        own = self.classes == of_class
        others = max(0.0, 1 - self.weights[own].sum() / CLASS_ENOUGH)
        weights = np.where(own, self.weights, others * self.weights)
        values = np.concatenate([self.residuals, PRIOR_SCALE * _spread(self.residuals, weights) * GAUSSIAN])
        return weighted_quantiles(values, np.concatenate([weights, np.full(POINTS, PRIOR / POINTS)]), HEIGHTS)

    def intervals(self, prediction: Prediction, classes: Sequence[str]) -> Values:
        """[n, 2]: ends of an interval that holds the value in nine of ten cases."""
        bars = self.error_bars(prediction.sigma)
        ends = (self.missed / 2, 1 - self.missed / 2)
        made = {one: np.interp(ends, HEIGHTS, self.points(one)) for one in set(classes)}
        spread = np.array([made[one] for one in classes]).reshape(-1, 2)
        return np.asarray(prediction.mean[:, None] + bars[:, None] * spread, dtype=np.float64)


def _spread(residuals: Values, weights: Values) -> float:
    """Standard deviation of the residuals about 0, outliers cut, beside that of the prior, which is 1."""
    sizes = np.abs(residuals)
    if not weights.sum() > 0:
        return 1.0
    (middle,) = weighted_quantiles(sizes, weights, np.array([0.5]))
    squares = np.minimum(sizes, OUTLIER * middle + 1) ** 2
    return float(np.sqrt((PRIOR + weights @ squares) / (PRIOR + weights.sum())))


def calibrate(past: Outcomes, held_out: Outcomes, missed: float = MISSED) -> Calibration:
    """Learn from past forecasts, and while they are few from held-out labels.

    Args:
        past: forecasts that were made before the value was known, of crystals that were then chosen. What is chosen for
            its forecast turns out worse than forecast, so that these alone say how those chosen next will err; late ones
            count most.
        held_out: labels predicted by the present surrogate fitted without them, as in grouped cross-validation.
        missed: share that intervals are to miss, as `adapted` gives it.
    """
    both = [one for one in (past, held_out) if len(one)]
    sigmas = np.concatenate([past.sigma, held_out.sigma])
    counts = np.concatenate([recency(len(past)), held_out_weights(len(held_out), len(past))])
    floor = FLOOR * float(weighted_quantiles(sigmas, counts, np.array([0.5]))[0]) if both else 0.0
    empty = Calibration(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.str_), floor, missed)
    if not both:
        return empty
    residuals = np.concatenate([(one.found - one.mean) / empty.error_bars(one.sigma) for one in both])
    return Calibration(residuals, counts, np.array([*past.classes, *held_out.classes], dtype=np.str_), floor, missed)


def recency(count: int) -> Values:
    """[count]: weights of forecasts in the order in which they were made; 1 for the last."""
    return np.asarray(0.5 ** (np.arange(count)[::-1] / HALF_LIFE), dtype=np.float64)


def held_out_weights(count: int, outcomes: int) -> Values:
    """[count]: weights of held-out labels beside so many outcomes; none counts for more than one."""
    together = HELD_OUT / (1 + outcomes / HELD_OUT)
    return np.full(count, min(1.0, together / max(1, count)))


def weighted_quantiles(values: Values, weights: Values, levels: Values) -> Values:
    """Quantiles of weighted values, interpolated between the middles of their steps."""
    order = np.argsort(values, kind="stable")
    heights = np.cumsum(weights[order]) - weights[order] / 2
    return np.asarray(np.interp(levels * weights.sum(), heights, values[order]), dtype=np.float64)


def adapted(covered: Sequence[tuple[int, int]], missed: float = MISSED) -> float:
    """The share to aim at so that the share missed in the long run is right, whatever the drift.

    Adaptive conformal inference (Gibbs and Candes, NeurIPS 2021, equation 2), a round at a time.

    Args:
        covered: of each earlier round with intervals, how many values they held, and of how many.
        missed: the share that is to be missed.
    """
    level = missed
    for held, count in covered:
        if count:
            level = min(NARROWEST, max(WIDEST, level + STEP * (missed - (1 - held / count))))
    return level
