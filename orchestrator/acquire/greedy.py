"""The acquirer that adds up value, uncertainty and diversity, and takes the best again and again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import Scored

CROWDING = 0.3
"""Worth of a full unit of novelty against the already chosen, in eV/atom of merit."""


@dataclass(frozen=True)
class Greedy:
    """Predicted merit, optimism, and distance from those chosen before; see `base.Acquirer` for what it promises.

    Attributes:
        kappa: weight of the uncertainty in mu + kappa sigma, the upper confidence bound.
        crowding: worth of a full unit of novelty against the already chosen, in the unit of merit.
    """

    kappa: float = 1.0
    crowding: float = CROWDING

    def choose(self, proposals: Sequence[Proposal], target: Target, count: int, rng: np.random.Generator) -> Scored:
        """Up to `count` proposals with their scores; `rng` breaks ties."""
        merits = np.array([self._merit(proposal, target) for proposal in proposals])
        return _one_by_one(proposals, merits + 1e-9 * rng.random(len(proposals)), count, self.crowding)

    def _merit(self, proposal: Proposal, target: Target) -> float:
        value, sigma = proposal.value(target.property), proposal.sigma_of(target.property) or 0.0
        if value is None:
            return -1e3  # computed only when nothing with a prediction is left
        optimistic = target.best_merit(value - self.kappa * sigma, value + self.kappa * sigma)
        optimistic -= 10.0 * target.others_distance(proposal.value)
        return optimistic if not target.has_range() else optimistic + 0.1 * sigma


def spread(proposals: Sequence[Proposal], preference: Sequence[float], count: int) -> Scored:
    """Up to `count` proposals that differ most from each other; `preference` (larger is better) decides among equals."""
    return _one_by_one(proposals, np.asarray(preference, dtype=float), count, CROWDING)


def features(proposals: Sequence[Proposal]) -> NDArray[np.float64]:
    """Composition fractions and the prototype as one-hot, both halved: distances between 0 and about 1. [p, f]."""
    symbols = sorted({symbol for proposal in proposals for symbol in proposal.crystal.composition})
    kinds = sorted({proposal.prototype or "" for proposal in proposals})
    rows = np.zeros((len(proposals), len(symbols) + len(kinds)))
    for row, proposal in zip(rows, proposals, strict=True):
        for symbol, atoms in proposal.crystal.composition.items():
            row[symbols.index(symbol)] = atoms / len(proposal.crystal)
        row[len(symbols) + kinds.index(proposal.prototype or "")] = 0.5
    return rows


def _one_by_one(proposals: Sequence[Proposal], scores: NDArray[np.float64], count: int, crowding: float) -> Scored:
    """Repeatedly take the best sum of score and distance to the nearest one taken."""
    rows = features(proposals)
    nearest = np.full(len(proposals), 1.0)  # distance to the nearest chosen one, 1 before the first
    open_ = np.ones(len(proposals), dtype=bool)
    chosen: Scored = []
    while open_.any() and len(chosen) < count:
        total = np.where(open_, scores + crowding * np.minimum(nearest, 1.0), -np.inf)
        best = int(np.argmax(total))
        chosen.append((proposals[best], float(total[best])))
        open_[best] = False
        nearest = np.minimum(nearest, np.linalg.norm(rows - rows[best], axis=1))
    return chosen
