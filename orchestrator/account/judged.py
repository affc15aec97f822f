"""Whether a relaxed crystal is a hit, by what was known before its round. Pure; counts and words are in rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.models.draw.pareto import dominated
from crystalloop.models.draw.target import ABOVE_HULL, Target


@dataclass(frozen=True)
class Mark:
    """What was found before a round, among crystals with everything that the target asks beside.

    Attributes:
        best: largest merit; None where nothing is known.
        gains: of each crystal in each of several objectives, [n, k].
    """

    best: float | None = None
    gains: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def with_(self, candidates: Sequence[Candidate], target: Target) -> Mark:
        """With what a round found."""
        fitting = [one for one in candidates if fits(one, target) and computed_value(one, target) is not None]
        merits = [target.merit(computed_value(one, target) or 0.0) for one in fitting]
        rows = [row for one in fitting if np.isfinite(row := _gains(one, target)).all()]
        gains = np.array([*self.gains, *rows]) if target.objectives and rows else self.gains
        return Mark(max([*merits, *([] if self.best is None else [self.best])], default=None), gains)


def is_hit(candidate: Candidate, target: Target, known: Mark) -> bool:
    """Whether a candidate is a hit.

    Of several objectives, of which not each has a range: no crystal known before its round is as good in every one
    of them. With one direction and no range: better than the best before, or so good that nothing can be better.
    """
    value = computed_value(candidate, target)
    if value is None or not fits(candidate, target):
        return False
    if target.is_pareto():
        row = _gains(candidate, target)[None]
        inside = target.distance(value) == 0
        return bool(inside and len(known.gains) and np.isfinite(row).all() and not dominated(row, known.gains)[0])
    if target.has_range():
        return target.distance(value) == 0
    if target.cannot_be_better(value):
        return True
    return known.best is not None and target.merit(value) > known.best


def is_unjudged(candidate: Candidate, target: Target) -> bool:
    """Whether a relaxed candidate might be a hit, were every property known that the target looks at.

    So it is with the height above a hull that is too sparse to tell.
    """
    if candidate.state is not CandidateState.RELAXED or not admits(candidate, target):
        return False
    values = {name: value_of(candidate, name) for name in target.properties()}
    outside = any(values[one.property] is not None and not one.holds(values[one.property]) for one in target.ranges())
    return None in values.values() and not outside


def fits(candidate: Candidate, target: Target) -> bool:
    """Whether a candidate has what the target asks beside its own property: other ranges, and the composition."""
    return admits(candidate, target) and target.others_hold(partial(value_of, candidate))


def admits(candidate: Candidate, target: Target) -> bool:
    """Whether a candidate's composition and prototype are wanted."""
    return target.admits(Counter(candidate.crystal.species), candidate.prototype)


def computed_value(candidate: Candidate, target: Target) -> float | None:
    """The target's property of a relaxed candidate; None for any other, and where there is no finite value."""
    if candidate.state is not CandidateState.RELAXED:
        return None
    return value_of(candidate, target.property)


def value_of(candidate: Candidate, name: str) -> float | None:
    """A property of a finished candidate, finite or None: as computed where it was, else as predicted."""
    value = candidate.e_above_hull if name == ABOVE_HULL else candidate.value(name)
    modulus_gpa = candidate.relaxation.bulk_modulus_gpa if candidate.relaxation is not None else None
    if name == "log10_bulk_modulus" and modulus_gpa is not None and modulus_gpa > 0:
        value = float(np.log10(modulus_gpa))
    return value if value is not None and np.isfinite(value) else None


def best_candidate(candidates: Sequence[Candidate], target: Target) -> Candidate | None:
    """The relaxed candidate with the largest merit, one with all that is asked beside before all that lack it.

    Of several objectives the best compromise among the candidates. The first by (round, id) of equals.
    """
    relaxed = [one for one in candidates if computed_value(one, target) is not None]
    known = sorted(relaxed, key=lambda one: (one.round, one.id))
    merits = _merits(known, target)
    return max(zip(known, merits, strict=True), key=lambda pair: (fits(pair[0], target), pair[1]), default=(None, 0.0))[
        0
    ]


def _merits(candidates: Sequence[Candidate], target: Target) -> Sequence[float]:
    if target.objectives:
        return [float(one) for one in target.merits_of([partial(value_of, one) for one in candidates])]
    return [target.merit(computed_value(one, target) or 0.0) for one in candidates]


def _gains(candidate: Candidate, target: Target) -> NDArray[np.float64]:
    return np.array([one.gain(value_of(candidate, one.property)) for one in target.objectives])
