"""A ranker that fits one surrogate to the rows called so far, for tables of columns alone. Of crystals: propose.ranking. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import erf, sqrt

import numpy as np

from crystalloop.db.ledger.records import Candidate
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.models.surrogate.base import FeatureRows, Labelled, Surrogate
from crystalloop.orchestrator.simulate.truth.laboratory import Laboratory

NINETY = 1.6449
"""Standard deviations of a normal distribution that hold 90 %."""


@dataclass(frozen=True)
class SurrogateRanker:
    """See pool.RowRanker: value and standard deviation of the surrogate, and what a normal distribution makes of them.

    Attributes:
        laboratory: gives order, hull energies and target of the rows; no value of a row that was not called.
        features: of each of its rows, [rows, f].
        surrogate: fitted anew in every round.
        seed: of the fits.
    """

    laboratory: Laboratory
    features: FeatureRows
    surrogate: Surrogate
    seed: int

    def rank(self, rows: Sequence[Proposal], earlier: Sequence[Candidate], round_: int) -> Sequence[Proposal]:
        """The rows with predictions; as they are where fewer than two were called with a value."""
        place = self.laboratory.place
        known = [(place[one.origin.bases[0]], one.e_f) for one in earlier if one.is_labelled and one.e_f is not None]
        if len(known) < 2:
            return rows
        called = np.array([index for index, _ in known])
        values = np.array([value for _, value in known], dtype=np.float64)
        groups = tuple(self.laboratory.rows[index].id for index in called)
        fitted = self.surrogate.fit(Labelled(self.features[called], values, groups), self.seed + round_)
        found = fitted.predict(self.features[[place[row.bases[0]] for row in rows]])
        pairs = zip(rows, found.mean.tolist(), found.sigma.tolist(), strict=True)
        return [self._told(row, mean, sigma, fitted.name) for row, mean, sigma in pairs]

    def _told(self, row: Proposal, mean: float, sigma: float, name: str) -> Proposal:
        target = self.laboratory.target
        return replace(
            row,
            predicted={target.property: mean},
            sigma=sigma,
            sigmas={target.property: sigma},
            interval=(mean - NINETY * sigma, mean + NINETY * sigma),
            chance=normal_chance(target, mean, sigma),
            surrogate=name,
        )


def normal_chance(target: Target, mean: float, sigma: float) -> float:
    """Probability that a normal distribution puts into the target's range."""
    wanted = target.as_range()
    return _below((wanted.high - mean) / sigma) - _below((wanted.low - mean) / sigma)


def _below(z: float) -> float:
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))


def columns_of(laboratory: Laboratory) -> FeatureRows:
    """The columns of a table without crystals, each with mean 0 and deviation 1. [rows, f]."""
    made = np.array([row.features for row in laboratory.rows], dtype=np.float64)
    spread = made.std(axis=0)
    return np.asarray((made - made.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
