"""The surrogate that asks several and believes each as far as it was right on chemical systems that it had not seen.

Weights are those of the mean squared error in grouped cross-validation (Breiman, Machine Learning 24, 49, 1996): not
negative, adding up to one, drawn towards equal shares while labels are few. They are found again whenever the labels have
grown by a tenth, from the first of them in the order given, so that a campaign that is resumed finds the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.model_selection import GroupKFold

from crystalloop.models.surrogate.base import FeatureRows, Fitted, Labelled, Prediction, Surrogate
from crystalloop.models.surrogate.growth import settled
from crystalloop.models.surrogate.labels import checked

JUDGEABLE = 12
"""Labels below which nobody can be judged: every member counts the same."""
PRIOR = 20.0
"""Labels' worth of belief in equal shares."""
FOLDS = 4
Weights = NDArray[np.float64]
Words = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What several surrogates said of labels without having seen any of their groups.

    Attributes:
        weights: what each counts in consequence, adding up to 1. [members].
        told: what they say together; NaN where there were too few groups to judge by.
    """

    weights: Weights
    told: Prediction


@dataclass(frozen=True)
class Stack:
    """See models.surrogate.base.Surrogate.

    Attributes:
        members: surrogates by name.
        most: labels up to which a member takes part; those that are not named take part always.
        judges: what stands for a member in cross-validation, where a cheaper one errs in the same way.
    """

    members: Mapping[str, Surrogate]
    most: Mapping[str, int] = field(default_factory=dict)
    judges: Mapping[str, Surrogate] = field(default_factory=dict)
    _found: dict[tuple[int, float, int], Verdict] = field(default_factory=dict, repr=False, compare=False)

    def fit(self, labelled: Labelled, seed: int) -> FittedStack:
        """See Surrogate."""
        known = checked(labelled)
        names = self._taking_part(len(known))
        fitted = tuple(self.members[name].fit(known, seed) for name in names)
        return FittedStack(names, fitted, self.judged(known, seed).weights)

    def judged(self, labelled: Labelled, seed: int) -> Verdict:
        """How the members did on the first of the labels, as many as there were when they were last judged."""
        names = self._taking_part(len(labelled))
        part = labelled.part(np.arange(settled(len(labelled))))
        key = len(part), float(part.values.sum()), seed
        if key not in self._found:
            judges = {name: self.judges.get(name, self.members[name]) for name in names}
            self._found[key] = judged_by_groups(judges, part, seed)
        return self._found[key]

    def _taking_part(self, labels: int) -> tuple[str, ...]:
        return tuple(name for name in self.members if labels <= self.most.get(name, labels))


def judged_by_groups(members: Mapping[str, Surrogate], part: Labelled, seed: int) -> Verdict:
    """Grouped cross-validation: weights of the least squared error, drawn towards equal ones, and what is said with them."""
    equal = np.full(len(members), 1.0 / len(members))
    silent = np.full(len(part), np.nan)
    if len(part) < JUDGEABLE or len(set(part.groups)) < FOLDS:
        return Verdict(equal, Prediction(silent, silent))
    means, sigmas = _out_of_fold(members, part, seed)
    weights = equal if len(members) == 1 else _least_squares(means - part.values[:, None], part, equal)
    return Verdict(weights, _together(weights, means.T, sigmas.T))


def _out_of_fold(members: Mapping[str, Surrogate], part: Labelled, seed: int) -> tuple[Words, Words]:
    """What each member says of each label, and with what error bar. Two of [labels, members]."""
    means, sigmas = np.empty((len(part), len(members))), np.empty((len(part), len(members)))
    for seen, unseen in GroupKFold(FOLDS).split(part.rows, part.values, part.groups):
        known = part.part(seen)
        for place, member in enumerate(members.values()):
            told = member.fit(known, seed).predict(part.rows[unseen])
            means[unseen, place], sigmas[unseen, place] = told.mean, told.sigma
    return means, sigmas


def _least_squares(errors: Words, part: Labelled, equal: Weights) -> Weights:
    spread = max(float(part.values.std()), 1e-9)
    strength = np.sqrt(PRIOR * float(np.mean(errors**2)))
    sums_to_one = 1e4 * spread * np.ones(len(equal))
    rows = np.vstack([errors, strength * np.eye(len(equal)), sums_to_one])
    found, _ = nnls(rows, np.concatenate([np.zeros(len(part)), strength * equal, [1e4 * spread]]))
    return np.asarray(found / found.sum())


def _together(weights: Weights, means: Words, sigmas: Words) -> Prediction:
    """The word of several; the error bar holds each one's own, and how far they are from each other. Tables: [members, n]."""
    mean = weights @ means
    variance = weights @ (sigmas**2 + (means - mean) ** 2)
    return Prediction(mean, np.sqrt(np.maximum(variance, 1e-18)))


@dataclass(frozen=True)
class FittedStack:
    """See Fitted.

    Attributes:
        names, members: of those that take part.
        weights: what each counts, adding up to 1. [members].
    """

    names: tuple[str, ...]
    members: tuple[Fitted, ...]
    weights: Weights

    @property
    def name(self) -> str:
        """The members with what they count."""
        shares = zip(self.names, self.weights, strict=True)
        return ", ".join(f"{share:.0%} {name}" for name, share in shares if share >= 0.005)

    def predict(self, rows: FeatureRows) -> Prediction:
        """See Fitted."""
        each = [member.predict(rows) for member in self.members]
        return _together(self.weights, np.array([one.mean for one in each]), np.array([one.sigma for one in each]))
