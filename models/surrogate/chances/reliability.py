"""P(hit): from a predictive distribution, recalibrated on what was forecast and came out; and how reliable it was. Arrays alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.surrogate.base import Prediction, Values
from crystalloop.models.surrogate.chances.conformal import Calibration

Met = Callable[[Values], NDArray[np.bool_]]
"""Whether each of some values, of any shape, meets the target."""
BINS = 10
"""Bins of equal width over 0 to 1, as in Naeini et al., AAAI 2015."""
LEAST, MOST = 0.002, 0.998
"""No crystal is certain to be a hit, nor certain not to be."""
SHRINKAGE = 100.0
"""Forecasts that the prior of the recalibration, which changes nothing, counts for."""
NEWTON_STEPS = 30
SHORTER = (1.0, 0.5, 0.2, 0.05, 0.0)
"""Shares of a Newton step of which the best is taken: a whole one can lead away."""
DRAWN_WITH = 2007
"""Seed of the outcomes that a perfect forecast is tried on."""


def chances(calibration: Calibration, prediction: Prediction, classes: Sequence[str], met: Met) -> Values:
    """[n]: probability that each value meets the target, before recalibration.

    The share of the predictive distribution (Vovk et al., 2017, "nonparametric predictive distributions") that meets it.
    """
    bars = calibration.error_bars(prediction.sigma)
    made = np.zeros(len(prediction))
    labels = np.array(classes, dtype=np.str_)
    for one in set(classes):
        mine = labels == one
        points = calibration.points(one)
        values = prediction.mean[mine, None] + bars[mine, None] * points
        made[mine] = met(values).mean(axis=1)
    return np.clip(made, LEAST, MOST)


@dataclass(frozen=True)
class Recalibration:
    """Maps chances to chances: expit(shift + slope logit p), after Platt (1999).

    Attributes:
        shift, slope: 0 and 1 change nothing.
    """

    shift: float = 0.0
    slope: float = 1.0

    def __call__(self, before: Values) -> Values:
        """[n]: recalibrated chances."""
        return np.clip(_expit(self.shift + self.slope * _logit(before)), LEAST, MOST)


def recalibrate(before: Values, hits: NDArray[np.bool_], weights: Values | None = None) -> Recalibration:
    """Fit to what came out, shrunk to no change where that is little.

    Args:
        before: [n], chances as forecast, in the order in which they were made.
        hits: [n], what came out.
        weights: [n], forecasts that each counts for; 1 by default.
    """
    counts = np.ones(len(before)) if weights is None else weights
    given = np.column_stack([np.ones(len(before)), _logit(before)])
    unchanged = at = np.array([0.0, 1.0])

    def loss(place: Values) -> float:
        misfit = np.logaddexp(0.0, np.where(hits, -1.0, 1.0) * (given @ place))
        return float(counts @ misfit + SHRINKAGE / 2 * ((place - unchanged) ** 2).sum())

    for _ in range(NEWTON_STEPS):
        forecast = _expit(given @ at)
        slope = given.T @ (counts * (forecast - hits)) + SHRINKAGE * (at - unchanged)
        curvature = (given.T * (counts * forecast * (1 - forecast))) @ given + SHRINKAGE * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        at = min((at - step * share for share in SHORTER), key=loss)
    return Recalibration(float(np.clip(at[0], -3, 3)), float(np.clip(at[1], 0.2, 2.0)))


def _logit(chance: Values) -> Values:
    clipped = np.clip(chance, LEAST, MOST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _expit(x: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))))


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram.

    Attributes:
        chance: mean chance forecast of those in it.
        share: of them that were hits.
        count: how many.
    """

    chance: float
    share: float
    count: int


def reliability(forecast: Values, hits: NDArray[np.bool_], bins: int = BINS) -> tuple[Bin, ...]:
    """The bins that hold a forecast, in order: bins of equal width, the upper end included in the last alone."""
    place = _places(forecast, bins)
    return tuple(
        Bin(float(forecast[here].mean()), float(hits[here].mean()), int(here.sum()))
        for one in range(bins)
        if (here := place == one).any()
    )


def _places(forecast: Values, bins: int) -> NDArray[np.int_]:
    """[n]: in which bin each lies."""
    return np.asarray(np.minimum((np.asarray(forecast) * bins).astype(int), bins - 1))


def expected_calibration_error(forecast: Values, hits: NDArray[np.bool_], bins: int = BINS) -> float | None:
    """Mean distance of forecast and share over the bins, weighted by their counts (Naeini et al., 2015); None of nothing."""
    made = reliability(forecast, hits, bins)
    return sum(one.count * abs(one.chance - one.share) for one in made) / len(forecast) if made else None


def brier(forecast: Values, hits: NDArray[np.bool_]) -> float | None:
    """Mean squared distance of forecast and outcome (Brier, 1950); None of nothing."""
    return float(np.mean((forecast - hits) ** 2)) if len(forecast) else None


def perfect_error(forecast: Values, bins: int = BINS, draws: int = 100) -> float | None:
    """The calibration error that a perfect forecast would have by chance alone with so few outcomes; None of nothing.

    The mean over seeded outcomes drawn with the forecast chances themselves ("consistency resampling", Broecker and Smith,
    Weather and Forecasting 2007). An error near it says nothing against the forecasts.
    """
    if not len(forecast):
        return None
    rng = np.random.default_rng(DRAWN_WITH)
    hits = rng.random((draws, len(forecast))) < forecast
    in_bin = _places(forecast, bins)[:, None] == np.arange(bins)
    return float(np.abs((forecast - hits) @ in_bin).sum(axis=1).mean() / len(forecast))
