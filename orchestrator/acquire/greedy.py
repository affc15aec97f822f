"""The acquirer that takes the best predicted, and the spread of a first choice, when nothing is predicted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, History, Scored
from crystalloop.orchestrator.acquire.layers.diverse import in_turn
from crystalloop.orchestrator.acquire.layers.likeness import Likeness
from crystalloop.orchestrator.acquire.ucb import Ucb

CROWDING = 0.3
"""Worth of a full unit of distance from those chosen before, against the preference of `spread`."""


@dataclass(frozen=True)
class Greedy:
    """The expected merit, error bars aside but for where the target bends; see base.Acquirer."""

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, the best predicted first."""
        return Ucb(0.0).choose(proposals, target, count, rng, history)


def spread(proposals: Sequence[Proposal], preference: Sequence[float], count: int) -> Scored:
    """Up to `count` proposals that differ most from each other; `preference` (larger is better) decides among equals."""
    likeness = Likeness.of(proposals)
    taken, scores = in_turn(
        np.asarray(preference, dtype=float) + CROWDING,
        lambda one: 1.0 - likeness.distances(one),
        CROWDING,
        count,
        np.arange(len(proposals)),
    )
    return [(proposals[i], float(scores[i])) for i in taken]
