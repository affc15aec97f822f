"""The contract of an acquirer: which of the crystals that came through the funnel deserve DFT. One policy a file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target

Scored = list[tuple[Proposal, float]]
"""Proposals with what made each be chosen; larger is better, and only comparable within one choice."""


class Acquirer(Protocol):
    """Chooses what is computed next.

    Every acquirer promises (tests/contracts/acquirer.py holds each to it):

    * At most `count` proposals, fewer only where fewer were given.
    * Each is one of those given, unchanged, and none twice.
    * Each has a finite score.
    * The same proposals, target and state of `rng` give the same choice, whatever was chosen before.
    * A proposal without a prediction, or without its sigma, is no error.
    """

    def choose(self, proposals: Sequence[Proposal], target: Target, count: int, rng: np.random.Generator) -> Scored:
        """Up to `count` proposals with their scores, in the order in which they were chosen."""
