"""What makes a candidate worth a share of its gain: cost, success, repeats of a formula, single elements. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, Acquirer, History, Scored
from crystalloop.orchestrator.acquire.layers.likeness import fractions, times_computed
from crystalloop.orchestrator.acquire.outlook import PerProposal
from crystalloop.orchestrator.acquire.ranking import HAIR, last, ranked, scores_of

Factor = Callable[[Sequence[Proposal], History], PerProposal]
"""Proposals and what came before -> what each one's gain is multiplied by, [p]; 0 for those that come last."""
SHORTEST_S, LONGEST_S = 1e-3, 1e12
"""A cost beyond these is none."""
HOPELESS = 0.02
"""A calculation that ends well less often than so is left for when nothing else is."""
FREE, WORN = 3, 6
"""A formula computed up to FREE times counts in full, from WORN times on not at all: MatInvent's filter of repeats."""


@dataclass(frozen=True)
class Weighted:
    """The gains of an acquirer, each multiplied by factors; see base.Acquirer.

    Attributes:
        inner: whose scores.
        factors: of `by_success`, `by_cost`, `by_repeats`, `by_compound`, or others.
        zero: score of a candidate that brings nothing; None for the middle score, for scores that are no gains.
    """

    inner: Acquirer
    factors: tuple[Factor, ...]
    zero: float | None = None

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, the largest weighted gain first."""
        weight = np.prod([np.ones(len(proposals)), *(one(proposals, history) for one in self.factors)], axis=0)
        if (weight == 1.0).all():
            return self.inner.choose(proposals, target, count, rng, history)
        scores = scores_of(self.inner, proposals, target, rng, history)
        return ranked(proposals, last(weighted(scores, weight, self.zero), weight == 0), count, rng)


def by_success(proposals: Sequence[Proposal], history: History) -> PerProposal:
    """The probability that the calculation ends with a value, the usual one where nobody said; the hopeless are last."""
    success = np.array([one.success for one in proposals], dtype=np.float64)
    said = np.isfinite(success)
    known = np.clip(np.where(said, success, np.median(success[said]) if said.any() else 1.0), 0.0, 1.0)
    return np.where(known < HOPELESS, 0.0, known)


def by_cost(proposals: Sequence[Proposal], history: History) -> PerProposal:
    """One over the processor time, in that of the middle one, which counts where nobody said.

    As improvement per second of Snoek, Larochelle and Adams, NIPS 2012.
    """
    cost_s = np.array([one.cost_s for one in proposals], dtype=np.float64)
    said = (cost_s >= SHORTEST_S) & (cost_s <= LONGEST_S)
    middle = float(np.median(cost_s[said])) if said.any() else 1.0
    return middle / np.where(said, cost_s, middle)


def by_repeats(proposals: Sequence[Proposal], history: History) -> PerProposal:
    """1 for a formula that was computed up to FREE times, falling to 0, which is last, at WORN times."""
    often = {formula: times for formula, times in history.computed.items() if times > FREE}
    times = times_computed(proposals, often) if often else np.zeros(len(proposals))
    return np.clip((WORN - times) / (WORN - FREE), 0.0, 1.0)


def by_compound(proposals: Sequence[Proposal], history: History) -> PerProposal:
    """0 for a single element: it lies on the hull by definition, and flatters whoever looks for stability; else 1."""
    return np.where((fractions(proposals) == 1.0).any(axis=1), 0.0, 1.0)


def weighted(scores: PerProposal, weight: PerProposal, zero: float | None) -> PerProposal:
    """Scores whose gain over zero is multiplied; where there is none, a larger weight decides among equals, [p]."""
    if not len(scores):
        return scores
    start = float(np.median(scores)) if zero is None else zero
    hair = HAIR * max(1.0, float(np.abs(scores).max()))
    gain = scores - start + hair
    return np.where(gain > 0, start + gain * weight, scores - hair / (1.0 + weight))
