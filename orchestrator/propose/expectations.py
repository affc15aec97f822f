"""What may become of ranked crystals: intervals, chances to be a hit and to end with a value, prices. From the past alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.draw.target import Direction, Range, Target
from crystalloop.models.surrogate.base import FeatureRows, Prediction, Values
from crystalloop.models.surrogate.chances.calibrated import Calibrated, calibrated, covered_by_round
from crystalloop.models.surrogate.chances.conformal import Outcomes
from crystalloop.models.surrogate.chances.success import fit_success
from crystalloop.models.surrogate.cost import cost_features, fit_cost
from crystalloop.orchestrator.propose.history import Past, PastResults


def chances_of_hits(
    told: Mapping[str, Prediction], prototypes: Sequence[str], target: Target, history: PastResults, held_out: Outcomes
) -> tuple[Values, Values]:
    """90 % intervals of the target's property, [n, 2], and chances to meet the whole target, [n]; NaN without a prediction.

    Args:
        told: property -> value and error bar of each crystal.
        prototypes: of each; errors may depend on it.
        target: what is looked for.
        history: what was forecast before, and found.
        held_out: labels as the surrogate predicts them without having seen them.
    """
    own, count = told[target.property], len(prototypes)
    intervals, chances = np.full((count, 2), np.nan), np.full(count, np.nan)
    known = np.flatnonzero(np.isfinite(own.mean) & (own.sigma > 0))
    if len(known):
        asked = Prediction(own.mean[known], own.sigma[known])
        made = _calibrated(asked, [prototypes[place] for place in known.tolist()], target, history, held_out)
        others = np.prod([_in_range(told[one.property], one) for one in target.also], axis=0) * np.ones(count)
        intervals[known], chances[known] = made.intervals, np.clip(made.chances * others[known], 0.0, 1.0)
    return intervals, chances


def _calibrated(
    prediction: Prediction, classes: Sequence[str], target: Target, history: PastResults, held_out: Outcomes
) -> Calibrated:
    name = target.property
    past = [one for one in history if one.arm == "loop" and _is_judged(one, name)]
    best = max((target.merit(one.values[name]) for one in history if name in one.values), default=None)

    def met(values: Values) -> NDArray[np.bool_]:
        if target.has_range() or best is None:
            return np.asarray(target.as_range().distance(values) == 0, dtype=np.bool_)
        return np.asarray(values < -best if target.direction is Direction.MINIMISE else values > best, dtype=np.bool_)

    return calibrated(prediction, classes, met, _outcomes(past, name), held_out, _covered(past, name))


def _is_judged(past: Past, name: str) -> bool:
    return (
        past.forecast is not None
        and past.forecast.property == name
        and name in past.values
        and bool(past.forecast.sigma)
    )


def _outcomes(past: Sequence[Past], name: str) -> Outcomes:
    """What was forecast, and found."""
    said = [(one.forecast.mean, one.forecast.sigma, one.values[name]) for one in past if one.forecast is not None]
    mean, sigma, found = np.array(said, dtype=np.float64).reshape(-1, 3).T
    rounds = np.array([one.round for one in past], dtype=np.int_)
    return Outcomes(mean, sigma, found, rounds, tuple(one.prototype or "" for one in past))


def _covered(past: Sequence[Past], name: str) -> tuple[tuple[int, int], ...]:
    ends = [(one.forecast.low, one.forecast.high) for one in past if one.forecast is not None]
    low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T  # None becomes NaN
    found = np.array([one.values[name] for one in past], dtype=np.float64)
    return covered_by_round(np.array([one.round for one in past], dtype=np.int_), low, high, found)


def _in_range(told: Prediction, wanted: Range) -> Values:
    """Chances of another property to lie in its range, by a normal distribution; 1 where nobody predicts it. [n]."""
    sigma = np.where(told.sigma > 0, told.sigma, np.nan)
    chances = ndtr((wanted.high - told.mean) / sigma) - ndtr((wanted.low - told.mean) / sigma)
    return np.where(np.isfinite(chances), chances, 1.0)


def chances_of_success(rows: FeatureRows, history: PastResults, ended: FeatureRows, seed: int) -> Values:
    """Of calculations to end with a value, [n].

    Args:
        rows: features of each crystal, [n, f].
        history: what ended before.
        ended: features of each of these.
        seed: of the fit.
    """
    return fit_success(ended, np.array([not one.failed for one in history], dtype=np.bool_), seed).chances(rows)


def expected_costs(crystals: Sequence[Crystal], history: PastResults) -> Values | None:
    """Processor seconds that each calculation is expected to take, [n]; None where too few were computed to say."""
    costs = np.array([one.cost_s for one in history], dtype=np.float64)
    if not (costs > 0).any():
        return None
    model = fit_cost(cost_features([one.crystal for one in history]), costs)
    return None if model is None else model.predict(cost_features(crystals))
