"""The contract of a surrogate: what a property will be, with an error bar, learnt from labels. Nothing is fitted here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FeatureRows = NDArray[np.float64]
"""Crystals as features, [crystals, features]; see models.surrogate.features."""
Values = NDArray[np.float64]
"""One number per crystal, [crystals]."""


@dataclass(frozen=True)
class Labelled:
    """Crystals whose value is known.

    Attributes:
        rows: [n, f], finite.
        values: [n], in one unit.
        groups: of each, what it must not be separated from when a model is judged on part of them: its chemical system.
        unlabelled: [m, f], crystals without a value, those that will be asked for among them; None where there are none.
            Their spread says what is far and what is near.
    """

    rows: FeatureRows
    values: Values
    groups: tuple[str, ...]
    unlabelled: FeatureRows | None = None

    def part(self, chosen: NDArray[np.intp]) -> Labelled:
        """Some of them, by their places."""
        groups = tuple(self.groups[place] for place in chosen)
        return Labelled(self.rows[chosen], self.values[chosen], groups, self.unlabelled)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Prediction:
    """What is expected of some crystals.

    Attributes:
        mean, sigma: [n], value and standard deviation, both in the unit of the labels; sigma > 0.
    """

    mean: Values
    sigma: Values

    def __len__(self) -> int:
        return len(self.mean)


class Fitted(Protocol):
    """A surrogate that has seen its labels."""

    @property
    def name(self) -> str:
        """Which model it is, in a word or two; a stack names the members that it chose."""

    def predict(self, rows: FeatureRows) -> Prediction:
        """Value and standard deviation of every row, in order."""


class Surrogate(Protocol):
    """Learns a property from labels.

    Every surrogate promises (tests/contracts/surrogate.py holds each to it):

    * `predict` gives a finite mean and a finite, positive sigma for every row, seen or not, for one row and for none.
    * Two labels are enough; all labels equal, or all rows equal, is no error.
    * The same labels and seed give the same predictions; the order of the rows asked for changes none of them.
    * Adding a constant to all labels adds it to all means, to a hundredth of the labels' spread.
    * Labels and rows are not changed.
    """

    def fit(self, labelled: Labelled, seed: int) -> Fitted:
        """Fit to at least two labels.

        Raises:
            ValueError: fewer than two labels, or a row or a value that is not finite.
        """
