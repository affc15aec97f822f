"""The acquirer that takes who is expected to beat the best known by most. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, History, Scored
from crystalloop.orchestrator.acquire.hit_probability import chance_of_the_top, expected_best, nothing_to_gain
from crystalloop.orchestrator.acquire.outlook import Merit, Outlook, others_hold, others_off
from crystalloop.orchestrator.acquire.ranking import ranked


@dataclass(frozen=True)
class ExpectedImprovement:
    """E[max(merit - best known, 0)] (Jones, Schonlau, Welch, J. Glob. Optim. 13, 455 (1998)); see base.Acquirer.

    In closed form for ranges and floors, too, since a merit is made of straight lines. Other wanted ranges multiply it
    by the probability that they hold (Gardner et al., ICML 2014). Where a hit with all the merit there is is known, as
    with a range and no direction, nothing is left to improve, and the score is the probability of another one.
    """

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, the largest expected improvement first; among equals the better prediction."""
        outlook, merit = Outlook.of(proposals, target.property), Merit(target)
        best = expected_best(merit, outlook, history)
        gains = chance_of_the_top(merit, outlook) if nothing_to_gain(merit, best) else merit.gain(outlook, best)
        scores = gains * others_hold(proposals, target)
        return ranked(proposals, scores, count, rng, merit.of(outlook.mean) - 10.0 * others_off(proposals, target))
