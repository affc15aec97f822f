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


@dataclass(frozen=True)
class Stack:
    """See models.surrogate.base.Surrogate.

    Attributes:
        members: surrogates by name.
        most: labels up to which a member takes part; those that are not named take part always.
    """

    members: Mapping[str, Surrogate]
    most: Mapping[str, int] = field(default_factory=dict)
    _found: dict[tuple[int, float, int], Weights] = field(default_factory=dict, repr=False, compare=False)

    def fit(self, labelled: Labelled, seed: int) -> FittedStack:
        """See Surrogate."""
        known = checked(labelled)
        taking_part = {
            name: member for name, member in self.members.items() if len(known) <= self.most.get(name, len(known))
        }
        weights = self._weights(taking_part, known, seed)
        fitted = tuple(member.fit(known, seed) for member in taking_part.values())
        return FittedStack(tuple(taking_part), fitted, weights)

    def _weights(self, members: Mapping[str, Surrogate], known: Labelled, seed: int) -> Weights:
        """What each member counts, adding up to 1. [members]."""
        equal = np.full(len(members), 1.0 / len(members))
        judged = known.part(np.arange(settled(len(known))))
        if len(members) == 1 or len(judged) < JUDGEABLE or len(set(judged.groups)) < FOLDS:
            return equal
        key = len(judged), float(judged.values.sum()), seed
        if key not in self._found:
            self._found[key] = _stacked(members, judged, equal, seed)
        return self._found[key]


def _stacked(members: Mapping[str, Surrogate], judged: Labelled, equal: Weights, seed: int) -> Weights:
    """Weights by grouped cross-validation, drawn towards equal ones."""
    guessed = out_of_fold(members, judged, seed)  # [labels, members]
    spread = max(float(judged.values.std()), 1e-9)
    strength = np.sqrt(PRIOR * float(np.mean((guessed - judged.values[:, None]) ** 2)))
    rows = np.vstack(
        [guessed - judged.values[:, None], strength * np.eye(len(equal)), 1e4 * spread * np.ones(len(equal))]
    )
    wanted = np.concatenate([np.zeros(len(judged)), strength * equal, [1e4 * spread]])
    found, _ = nnls(rows, wanted)
    return np.asarray(found / found.sum())


def out_of_fold(members: Mapping[str, Surrogate], judged: Labelled, seed: int) -> NDArray[np.float64]:
    """What each member says of each label without having seen any of its group. [labels, members]."""
    guessed = np.empty((len(judged), len(members)))
    folds = GroupKFold(min(FOLDS, len(set(judged.groups))))
    for seen, unseen in folds.split(judged.rows, judged.values, judged.groups):
        part = judged.part(seen)
        for place, member in enumerate(members.values()):
            guessed[unseen, place] = member.fit(part, seed).predict(judged.rows[unseen]).mean
    return guessed


def held_out(surrogate: Surrogate, judged: Labelled, seed: int) -> Prediction:
    """What a surrogate says of each label without having seen any of its group; of too few groups nothing is said: NaN."""
    mean, sigma = np.full(len(judged), np.nan), np.full(len(judged), np.nan)
    groups = len(set(judged.groups))
    if len(judged) < JUDGEABLE or groups < FOLDS:
        return Prediction(mean, sigma)
    for seen, unseen in GroupKFold(FOLDS).split(judged.rows, judged.values, judged.groups):
        told = surrogate.fit(judged.part(seen), seed).predict(judged.rows[unseen])
        mean[unseen], sigma[unseen] = told.mean, told.sigma
    return Prediction(mean, sigma)


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
        """See Fitted. The error bar holds each member's own, and how far they are from each other."""
        each = [member.predict(rows) for member in self.members]
        means, sigmas = np.array([one.mean for one in each]), np.array([one.sigma for one in each])
        mean = self.weights @ means
        variance = self.weights @ (sigmas**2 + (means - mean) ** 2)
        return Prediction(mean, np.sqrt(np.maximum(variance, 1e-18)))
