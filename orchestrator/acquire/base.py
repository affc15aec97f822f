"""The contract of an acquirer: which of the crystals that came through the funnel deserve DFT. One policy a file beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Protocol

import numpy as np

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.formulas import Formula, reduced_counts
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target, ValueOf

Scored = list[tuple[Proposal, float]]
"""Proposals with what made each be chosen; larger is better, and only comparable within one choice."""


@dataclass(frozen=True)
class History:
    """What a choice may know of what came before it.

    Attributes:
        best: the highest merit of a computed crystal, less ten times its distances to the other wanted ranges; None
            before there is one.
        computed: reduced formula -> how many crystals of it were sent to DFT before.
        batch: those that the same round has chosen already.
    """

    best: float | None = None
    computed: Mapping[Formula, int] = field(default_factory=dict)
    batch: tuple[Proposal, ...] = ()

    @classmethod
    def of(cls, target: Target, computed: Iterable[tuple[Crystal, ValueOf]]) -> History:
        """Of crystals that were sent to DFT, with what is known of each; one that gave up knows nothing, and still counts."""
        rows = list(computed)
        known = [(value, row) for _, row in rows if (value := row(target.property)) is not None and isfinite(value)]
        merits = [target.merit(value) - 10.0 * target.others_distance(row) for value, row in known]
        return cls(max(merits, default=None), Counter(reduced_counts(crystal) for crystal, _ in rows))

    def after(self, chosen: Scored) -> History:
        """The same, when these have been chosen for the round, too."""
        return replace(self, batch=(*self.batch, *(proposal for proposal, _ in chosen)))


NOTHING_BEFORE = History()
"""Of a first choice, or where nobody keeps account."""


class Acquirer(Protocol):
    """Chooses what is computed next.

    Every acquirer promises (tests/contracts/acquirer.py holds each to it):

    * At most `count` proposals, fewer only where fewer were given.
    * Each is one of those given, unchanged, and none twice.
    * Each has a finite score.
    * The same proposals, target, history and state of `rng` give the same choice, whatever was chosen before.
    * A proposal without a prediction, or without its sigma, is no error.
    * Asked for as many as there are, it scores them all: that is how the layers (orchestrator/acquire/layers) hear it.
    """

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals with their scores, in the order in which they were chosen."""
