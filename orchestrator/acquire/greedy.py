"""Which candidates deserve DFT: value, uncertainty, diversity, cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target

KAPPA = 1.0
"""Weight of the uncertainty: mu + kappa sigma, the upper confidence bound that led science.md's Perov-5 baseline."""
CROWDING = 0.3
"""Worth of a full unit of novelty against the already chosen, in eV/atom of merit."""


def features(drafts: Sequence[Proposal]) -> NDArray[np.float64]:
    """Composition fractions and the prototype as one-hot, both halved: distances between 0 and about 1. [d, f]."""
    symbols = sorted({str(element) for draft in drafts for element in draft.structure.composition})
    kinds = sorted({draft.prototype or "" for draft in drafts})
    rows = np.zeros((len(drafts), len(symbols) + len(kinds)))
    for row, draft in zip(rows, drafts, strict=True):
        for element, share in draft.structure.composition.fractional_composition.items():
            row[symbols.index(str(element))] = share
        row[len(symbols) + kinds.index(draft.prototype or "")] = 0.5
    return rows


def choose(
    drafts: Sequence[Proposal], target: Target, count: int, rng: np.random.Generator
) -> list[tuple[Proposal, float]]:
    """Up to `count` drafts with their scores, best first: predicted merit, optimism, distance from those chosen before.

    Args:
        drafts: survivors of the funnel.
        target: what is wanted.
        count: how many relaxations there are to give.
        rng: breaks ties.
    """
    if not drafts:
        return []
    scores = np.array([_merit(draft, target) for draft in drafts]) + 1e-9 * rng.random(len(drafts))
    return _greedy(drafts, scores, count)


def spread(drafts: Sequence[Proposal], preference: Sequence[float], count: int) -> list[tuple[Proposal, float]]:
    """Up to `count` drafts that differ most from each other; `preference` (larger is better) decides among equals."""
    return _greedy(drafts, np.asarray(preference, dtype=float), count) if drafts else []


def _greedy(drafts: Sequence[Proposal], scores: NDArray[np.float64], count: int) -> list[tuple[Proposal, float]]:
    """Repeatedly take the best sum of score and distance to the nearest one taken."""
    rows = features(drafts)
    nearest = np.full(len(drafts), 1.0)  # distance to the nearest chosen one, 1 before the first
    open_ = np.ones(len(drafts), dtype=bool)
    chosen: list[tuple[Proposal, float]] = []
    while open_.any() and len(chosen) < count:
        total = np.where(open_, scores + CROWDING * np.minimum(nearest, 1.0), -np.inf)
        best = int(np.argmax(total))
        chosen.append((drafts[best], float(total[best])))
        open_[best] = False
        nearest = np.minimum(nearest, np.linalg.norm(rows - rows[best], axis=1))
    return chosen


def _merit(draft: Proposal, target: Target) -> float:
    value = draft.value(target.property)
    if value is None:
        return -1e3  # computed only when nothing with a prediction is left
    sigma = draft.sigma or 0.0
    optimistic = max(target.merit(value + KAPPA * sigma), target.merit(value - KAPPA * sigma))
    return optimistic if not target.has_range() else optimistic + 0.1 * sigma
