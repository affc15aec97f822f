"""Diversity of a batch: those like the ones already chosen wait. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, Acquirer, History, Scored
from crystalloop.orchestrator.acquire.layers.likeness import TWIN, Likeness
from crystalloop.orchestrator.acquire.outlook import PerProposal
from crystalloop.orchestrator.acquire.ranking import ranked, scores_of

TAKEN_IN_TURN = 256
"""So many are compared with those chosen before them; more are no batch but a ranking."""


@dataclass(frozen=True)
class Diverse:
    """The best of an acquirer, one after the other, each less what it is like the nearest one chosen; see base.Acquirer.

    Before anything is computed, candidates that are alike tell the same: local penalisation (Gonzalez et al., AISTATS
    2016) with a likeness of composition, prototype, sites and formula in place of a length.

    Attributes:
        inner: whose scores.
        weight: worth of a full unit of likeness, as a share of the way from the middle score to the best one; 0 leaves
            the choice as it is.
    """

    inner: Acquirer
    weight: float = 0.3

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals with the inner scores, lowered where they are like those before."""
        if self.weight == 0:
            return self.inner.choose(proposals, target, count, rng, history)
        scores = scores_of(self.inner, proposals, target, rng, history)
        unit = self.weight * spread_of(scores[_predicted(proposals, target)])
        near = _contenders(scores, count, unit * (1.0 + TWIN))
        pool = [*(proposals[i] for i in near.tolist()), *history.batch]
        taken, lowered = in_turn(
            scores[near],
            Likeness.of(pool).to,
            unit,
            min(count, TAKEN_IN_TURN),
            rng.permutation(len(near)),
            range(len(near), len(pool)),
        )
        first = [(proposals[int(near[i])], float(lowered[i])) for i in taken]
        if len(taken) == min(count, len(proposals)):
            return first
        scores[near] = lowered
        rest = np.delete(np.arange(len(proposals)), near[taken]).tolist()
        return first + ranked([proposals[i] for i in rest], scores[rest], count - len(taken), rng)


def spread_of(scores: PerProposal) -> float:
    """From the middle score to the best one; 1 where they are equal, so that likeness alone decides."""
    span = float(scores.max() - np.median(scores)) if len(scores) else 0.0
    return span if span > 0 else 1.0


def in_turn(
    scores: PerProposal,
    likeness_to: Callable[[int], PerProposal],
    unit: float,
    count: int,
    order: NDArray[np.intp],
    already: Sequence[int] = (),
) -> tuple[list[int], PerProposal]:
    """The best taken again and again, each score less `unit` times the largest likeness to those before: places, scores.

    Args:
        scores: [p].
        likeness_to: of one of them to each, and to those `already` taken, which follow them: [p + a].
        unit: worth of a likeness of 1.
        count: so many are taken.
        order: who is taken first among equals, [p].
        already: places of those taken before.
    """
    nearest = np.full(len(scores), 0.0)
    for one in already:
        nearest = np.maximum(nearest, likeness_to(one)[: len(scores)])
    taken: list[int] = []
    open_, made = np.ones(len(scores), dtype=bool), scores - unit * nearest
    while len(taken) < min(count, len(scores)):
        best = int(order[np.argmax(np.where(open_, made, -np.inf)[order])])
        open_[best] = False
        taken.append(best)
        nearest = np.maximum(nearest, likeness_to(best)[: len(scores)])
        made = np.where(open_, scores - unit * nearest, made)
    return taken, made


def _predicted(proposals: Sequence[Proposal], target: Target) -> NDArray[np.bool_]:
    return np.array([one.value(target.property) is not None for one in proposals], dtype=bool)


def _contenders(scores: PerProposal, count: int, most: float) -> NDArray[np.intp]:
    """Places of those that can be among the first `count`, when no score is lowered by more than `most`."""
    if not 0 < count < len(scores):
        return np.arange(len(scores))
    least = np.partition(scores, -count)[-count]
    return np.flatnonzero(scores >= least - most)
