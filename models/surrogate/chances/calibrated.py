"""The one call that a ranking makes: intervals and chances of candidates, calibrated on everything that came out so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.surrogate.base import Prediction, Values
from crystalloop.models.surrogate.chances.conformal import Outcomes, adapted, calibrate, recency
from crystalloop.models.surrogate.chances.reliability import Met, chances, recalibrate


@dataclass(frozen=True)
class Calibrated:
    """What may be expected of some candidates.

    Attributes:
        intervals: [n, 2], ends of the 90 % intervals, in the unit of the values.
        chances: [n], probability that the value meets the target, given that there is one.
    """

    intervals: Values
    chances: Values


def calibrated(
    prediction: Prediction,
    classes: Sequence[str],
    met: Met,
    past: Outcomes,
    held_out: Outcomes,
    covered: Sequence[tuple[int, int]] = (),
) -> Calibrated:
    """Intervals and chances of candidates.

    Args:
        prediction: of the candidates.
        classes: of each, such as its prototype.
        met: whether values meet the target.
        past: what was forecast of earlier candidates that were chosen, and found.
        held_out: labels, predicted without them by the surrogate that predicts now.
        covered: of each earlier round, as `covered_by_round` counts; moves the level of the intervals.

    Raises:
        ValueError: not one class for each candidate.
    """
    if len(classes) != len(prediction):
        raise ValueError(f"{len(classes)} classes for {len(prediction)} candidates; give one for each")
    calibration = calibrate(past, held_out, adapted(covered))
    before = chances(calibration, Prediction(past.mean, past.sigma), past.classes, met)
    mended = recalibrate(before, met(past.found), recency(len(past)))
    return Calibrated(
        calibration.intervals(prediction, classes), mended(chances(calibration, prediction, classes, met))
    )


def covered_by_round(rounds: NDArray[np.int_], low: Values, high: Values, found: Values) -> tuple[tuple[int, int], ...]:
    """Of each round, in order, how many values its intervals held, and of how many.

    Args:
        rounds: [n], of past forecasts.
        low: [n], lower ends; NaN where there was no interval.
        high: [n], upper ends.
        found: [n], values.
    """
    has = np.isfinite(low) & np.isfinite(high)
    inside = has & (found >= low) & (found <= high)
    numbers = np.unique(rounds[has]) if len(rounds) else ()
    return tuple((int(inside[rounds == one].sum()), int(has[rounds == one].sum())) for one in numbers)
