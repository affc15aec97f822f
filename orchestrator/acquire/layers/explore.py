"""A share of every batch for what is least known, whatever is expected of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, Acquirer, History, Scored
from crystalloop.orchestrator.acquire.outlook import Outlook
from crystalloop.orchestrator.acquire.ranking import ranked


@dataclass(frozen=True)
class Uncertainty:
    """The standard deviation of the target's property alone; see base.Acquirer."""

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, the least certain first; those without a prediction last."""
        outlook = Outlook.of(proposals, target.property)
        return ranked(proposals, np.where(outlook.known, outlook.sigma, np.nan), count, rng)


@dataclass(frozen=True)
class Explore:
    """The batch of one acquirer with a share of another's in it; see base.Acquirer. The outermost layer.

    Attributes:
        inner: chooses the rest of the batch, and does so first.
        scout: chooses the share from what is left, and knows who is in the batch.
        share: of the batch; of a share that is no whole number the fraction is the chance of one more, so that it holds
            over many rounds.
    """

    inner: Acquirer
    scout: Acquirer = Uncertainty()
    share: float = 0.1

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals: those of `inner`, then those that are explored, each with its own kind of score."""
        batch = max(0, min(count, len(proposals)))
        wanted = self.share * batch
        explored = min(batch, floor(wanted + 1e-9) + int(rng.random() < wanted - floor(wanted + 1e-9)))
        first = self.inner.choose(proposals, target, batch - explored, rng, history)
        taken = {id(proposal) for proposal, _ in first}
        left = [one for one in proposals if id(one) not in taken]
        return first + self.scout.choose(left, target, explored, rng, history.after(first))
