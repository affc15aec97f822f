"""The acquirer that takes who is most likely to be a hit. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, History, Scored
from crystalloop.orchestrator.acquire.outlook import (
    ABSURD,
    Ends,
    Merit,
    Outlook,
    PerProposal,
    ends_of,
    others_hold,
    others_off,
)
from crystalloop.orchestrator.acquire.ranking import made_finite, ranked


@dataclass(frozen=True)
class HitProbability:
    """The probability of meeting the target; see base.Acquirer.

    Without a range it is that of beating the best known (Kushner, J. Basic Eng. 86, 97 (1964)).

    Attributes:
        calibrated: take `Proposal.chance` where it is given, instead of mean and sigma.
    """

    calibrated: bool = True

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, the likeliest first; among equals the one with the better prediction."""
        outlook, merit = Outlook.of(proposals, target.property), Merit(target)
        chances = outlook.chance(_wanted(target, merit, outlook, history)) * others_hold(proposals, target)
        if self.calibrated:
            given = np.array([one.chance for one in proposals], dtype=np.float64)
            chances = np.where((given >= 0) & (given <= 1), given, chances)
        return ranked(proposals, chances, count, rng, merit.of(outlook.mean) - 10.0 * others_off(proposals, target))


def expected_best(merit: Merit, outlook: Outlook, history: History) -> float:
    """The highest merit known; before there is one, the highest that is predicted; 0 where nothing is."""
    if history.best is not None and isfinite(history.best):
        return float(np.clip(history.best, -20 * ABSURD, 20 * ABSURD))
    return float(np.max(made_finite(merit.of(outlook.mean)), initial=-np.inf)) if outlook.known.any() else 0.0


def nothing_to_gain(merit: Merit, best: float) -> bool:
    """Whether the best known has all the merit there is."""
    return best >= merit.top - 1e-9 * max(1.0, abs(merit.top))


def _wanted(target: Target, merit: Merit, outlook: Outlook, history: History) -> Ends:
    """Values of a hit: those of the range; without one those that beat the best, or equal it where none can."""
    if target.has_range():
        return ends_of(target.as_range())
    return merit.at_least(min(expected_best(merit, outlook, history), merit.top))


def chance_of_the_top(merit: Merit, outlook: Outlook) -> PerProposal:
    """Probability that each has all the merit there is, [p]."""
    return outlook.chance(merit.at_least(merit.top))
