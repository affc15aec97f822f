"""The acquirer that draws lots: what every other one must beat. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, History, Scored
from crystalloop.orchestrator.acquire.ranking import ranked


@dataclass(frozen=True)
class AtRandom:
    """Every proposal is as likely to be chosen as any other; see base.Acquirer."""

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, drawn without replacement; the score is the lot."""
        return ranked(proposals, rng.random(len(proposals)), count, rng)
