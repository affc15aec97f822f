"""The acquirer that believes one sample of every prediction (Thompson, Biometrika 25, 285 (1933)). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, History, Scored
from crystalloop.orchestrator.acquire.outlook import Merit, Outlook, PerProposal
from crystalloop.orchestrator.acquire.ranking import ranked


@dataclass(frozen=True)
class Thompson:
    """Each is chosen as often as it is likely to be the best; see base.Acquirer.

    Attributes:
        boldness: standard deviations of a sample, in those of the prediction.
    """

    boldness: float = 1.0

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, the best sample first; among equal samples the better prediction."""
        outlook, merit = Outlook.of(proposals, target.property), Merit(target)
        scores = merit.of(self._sample(outlook, rng))
        for wanted in target.also:
            values = self._sample(Outlook.of(proposals, wanted.property), rng)
            scores = scores - 10.0 * np.where(np.isfinite(values), wanted.distance(np.nan_to_num(values)), 0.0)
        return ranked(proposals, scores, count, rng, merit.expected(outlook))

    def _sample(self, outlook: Outlook, rng: np.random.Generator) -> PerProposal:
        return outlook.mean + self.boldness * outlook.sigma * rng.standard_normal(len(outlook.mean))
