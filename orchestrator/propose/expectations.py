"""What may become of ranked crystals: intervals, chances to be a hit and to end with a value, prices. From the past alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Direction, Range, Target
from crystalloop.models.surrogate.base import FeatureRows, Prediction, Values
from crystalloop.models.surrogate.chances.calibrated import Calibrated, calibrated, covered_by_round
from crystalloop.models.surrogate.chances.conformal import Outcomes
from crystalloop.models.surrogate.chances.success import fit_success
from crystalloop.models.surrogate.cost import cost_features, fit_cost
from crystalloop.orchestrator.propose.history import Past, PastResults


def with_chances(
    proposals: Sequence[Proposal], target: Target, history: PastResults, held_out: Outcomes
) -> list[Proposal]:
    """Ranked proposals with the interval of the target's property and the chance to meet the whole target.

    Those without a prediction, and all of a target of several objectives, which has no range to be met, stay as they are.

    Args:
        proposals: with value and sigma.
        target: what is looked for.
        history: what was forecast before, and found.
        held_out: labels as the surrogate predicts them without having seen them.
    """
    name = target.property
    known = [place for place, one in enumerate(proposals) if one.value(name) is not None and one.sigma_of(name)]
    told = list(proposals)
    if not known or target.objectives:
        return told
    asked = [proposals[place] for place in known]
    made = _calibrated(asked, target, history, held_out)
    for place, one, ends, chance in zip(known, asked, made.intervals, made.chances, strict=True):
        others = float(np.prod([_chance(one, wanted) for wanted in target.also]))
        interval = float(ends[0]), float(ends[1])
        told[place] = replace(one, interval=interval, chance=float(np.clip(chance * others, 0.0, 1.0)))
    return told


def _calibrated(asked: Sequence[Proposal], target: Target, history: PastResults, held_out: Outcomes) -> Calibrated:
    name = target.property
    prediction = Prediction(
        np.array([one.value(name) for one in asked], dtype=np.float64),
        np.array([one.sigma_of(name) for one in asked], dtype=np.float64),
    )
    past = [one for one in history if one.arm == "loop" and _is_judged(one, name)]
    best = max((target.merit(one.values[name]) for one in history if name in one.values), default=None)

    def met(values: Values) -> NDArray[np.bool_]:
        if target.has_range() or best is None:
            return np.asarray(target.as_range().distance(values) == 0, dtype=np.bool_)
        return np.asarray(values < -best if target.direction is Direction.MINIMISE else values > best, dtype=np.bool_)

    classes = [one.prototype or "" for one in asked]
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


def _chance(proposal: Proposal, wanted: Range) -> float:
    """Of another property to lie in its range, by a normal distribution; 1 where nobody predicts it."""
    value, sigma = proposal.value(wanted.property), proposal.sigma_of(wanted.property)
    if value is None or not sigma:
        return 1.0
    low, high = ((end - value) / (sigma * sqrt(2.0)) for end in (wanted.low, wanted.high))
    return 0.5 * (erf(high) - erf(low))


def with_prospects(
    proposals: Sequence[Proposal], rows: FeatureRows, history: PastResults, ended: FeatureRows, seed: int
) -> list[Proposal]:
    """Proposals with the chance that their calculation ends with a value, and with what it is expected to take.

    Args:
        proposals: any.
        rows: features of each, [n, f].
        history: what ended before.
        ended: features of each of these.
        seed: of the fit.
    """
    success = np.ones(len(proposals))
    if history:
        success = fit_success(ended, np.array([not one.failed for one in history]), seed).chances(rows)
    model = fit_cost(
        cost_features([one.crystal for one in history]), np.array([one.cost_s for one in history], dtype=np.float64)
    )
    costs = None if model is None else model.predict(cost_features([one.crystal for one in proposals]))
    return [
        replace(one, success=float(success[place]), cost_s=None if costs is None else float(costs[place]))
        for place, one in enumerate(proposals)
    ]
