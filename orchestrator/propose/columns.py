"""Proposals of a round as columns of numbers while they are ranked, and back: thousands of them are told of at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.surrogate.base import Prediction, Values


@dataclass
class Columns:
    """What is said of some proposals so far; NaN where nothing is.

    Attributes:
        told: property -> value and error bar of each, [n].
        parts: name of a model -> what it said of the target's property, [n].
        surrogate: which model spoke; empty where none did.
        intervals: [n, 2], of the target's property.
        chances, success, cost_s: [n]; None where nobody said.
    """

    told: dict[str, Prediction]
    parts: dict[str, Values]
    surrogate: str = ""
    intervals: Values | None = None
    chances: Values | None = None
    success: Values | None = None
    cost_s: Values | None = None

    @classmethod
    def of(cls, proposals: Sequence[Proposal], names: Iterable[str]) -> Columns:
        """What the networks said of these properties."""
        told = {
            name: Prediction(
                _numbers(one.value(name) for one in proposals), _numbers(one.sigma_of(name) for one in proposals)
            )
            for name in names
        }
        return cls(told, {})

    def put_into(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """The proposals with what was said of them."""
        names = list(self.told)
        means = zip(*(_known(self.told[name].mean) for name in names), strict=True)
        sigmas = zip(*(_known(self.told[name].sigma) for name in names), strict=True)
        chances, success, cost = (_optional(one) for one in (self.chances, self.success, self.cost_s))
        intervals = repeat(None) if self.intervals is None else map(_interval, self.intervals.tolist())
        words = zip(*map(_known, self.parts.values()), strict=True) if self.parts else repeat(())
        parts = (_parts(self.parts, row) for row in words)
        rows = zip(proposals, means, sigmas, parts, intervals, chances, success, cost, strict=False)
        return [
            replace(
                one,
                predicted={**one.predicted, **dict(zip(names, mean, strict=True))},
                sigmas=(bars := {**one.sigmas, **dict(zip(names, sigma, strict=True))}),
                sigma=bars.get(E_F, one.sigma),
                surrogate=self.surrogate,
                parts=said,
                interval=ends,
                chance=chance,
                success=ends_well,
                cost_s=price,
            )
            for one, mean, sigma, said, ends, chance, ends_well, price in rows
        ]


def _numbers(values: Iterable[float | None]) -> Values:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _known(values: Values) -> list[float | None]:
    return [value if value == value else None for value in values.tolist()]


def _optional(values: Values | None) -> Iterable[float | None]:
    return repeat(None) if values is None else _known(values)


def _interval(ends: list[float]) -> tuple[float, float] | None:
    return (ends[0], ends[1]) if ends[0] == ends[0] and ends[1] == ends[1] else None


def _parts(names: Iterable[str], row: Sequence[float | None]) -> dict[str, float]:
    return {name: value for name, value in zip(names, row, strict=True) if value is not None}
