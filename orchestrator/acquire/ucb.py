"""The acquirer that takes what would be best if it turned out a little better than predicted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, History, Scored
from crystalloop.orchestrator.acquire.outlook import Merit, Outlook, others_off
from crystalloop.orchestrator.acquire.ranking import ranked


@dataclass(frozen=True)
class Ucb:
    """The upper confidence bound mu + kappa sigma (Auer, J. Mach. Learn. Res. 3, 397 (2002)); see base.Acquirer.

    The value is moved by kappa standard deviations towards what is wanted, no further, and its expected merit is the
    score: where the target is a range or has a floor, that tells apart who lies deep inside from who lies at the edge,
    which the merit of the moved value does not.

    Attributes:
        kappa: standard deviations of optimism; with 0 it is the expected merit.
    """

    kappa: float = 1.0

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, the largest bound first."""
        outlook, merit = Outlook.of(proposals, target.property), Merit(target)
        reach = self.kappa * outlook.sigma
        hoped = Outlook(np.clip(merit.best_value, outlook.mean - reach, outlook.mean + reach), outlook.sigma)
        scores = merit.expected(hoped) - 10.0 * others_off(proposals, target)
        return ranked(proposals, scores, count, rng)
