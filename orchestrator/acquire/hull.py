"""The acquirer that takes what is expected to lower the convex hull of its chemical system by most. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import ABOVE_HULL, Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, History, Scored
from crystalloop.orchestrator.acquire.layers.likeness import fractions
from crystalloop.orchestrator.acquire.outlook import Merit, Outlook, PerProposal, ends_of, others_hold, others_off
from crystalloop.orchestrator.acquire.ranking import ranked

IN_TURN, CONTENDERS = 64, 1_000
"""So many take account of those chosen before them, and so many that might be chosen do; more are no batch but a ranking."""


@dataclass(frozen=True)
class Hull:
    """The expected amount below the known hull at a candidate's composition, eV/atom; see base.Acquirer.

    Each that is chosen changes what the next are worth, before anything is computed:

    * It may become a vertex. At a composition that holds a share t of it and the rest of elements, the hull then lies at
      least t times as much lower, so the others there stand so much higher above it.
    * It tells of its neighbours: in one chemical system the errors of predictions go together, and what is learnt of one
      narrows the error bars of those near it in composition (the conditional variance of two correlated normal values).

    Who has no prediction of the height above the hull is judged by the target's merit, after all who have.

    Attributes:
        shared: correlation of the errors of two predictions at one composition; 0 lets each stand for itself.
        reach: distance of compositions, in shares of atoms, at which it has fallen to exp(-1/2) of that.
    """

    shared: float = 0.7
    reach: float = 0.25

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` proposals, the largest expected lowering first, given those chosen before it."""
        heights = Outlook.of(proposals, ABOVE_HULL)
        holds = others_hold(proposals, target)
        if target.property != ABOVE_HULL and target.has_range():
            chance = Outlook.of(proposals, target.property).chance(ends_of(target.as_range()))
            holds = holds * np.nan_to_num(chance, nan=1.0)
        merit = Merit(target).of(Outlook.of(proposals, target.property).mean) - 10.0 * others_off(proposals, target)
        return ranked(proposals, self._in_turn(proposals, heights, holds, count), count, rng, merit)

    def _in_turn(self, proposals: Sequence[Proposal], heights: Outlook, holds: PerProposal, count: int) -> PerProposal:
        """The score of each when it was chosen; of those that were not, what is left of it, [p]."""
        scores = below(heights) * holds
        near = np.argsort(-scores, kind="stable")[: min(CONTENDERS, int(heights.known.sum()))]
        heights, holds, worth = Outlook(heights.mean[near], heights.sigma[near]), holds[near], scores[near]
        shares = fractions([proposals[i] for i in near.tolist()])
        open_ = np.ones(len(near), dtype=bool)
        for _ in range(min(count, IN_TURN, len(near))):
            one = int(np.argmax(np.where(open_, worth, -np.inf)))
            open_[one] = False
            heights = self._given(heights, shares, one)
            worth = np.where(open_, below(heights) * holds, worth)
        scores[near] = worth
        return scores

    def _given(self, heights: Outlook, shares: NDArray[np.float64], one: int) -> Outlook:
        """The outlook when one of them is about to be computed."""
        has = shares[one] > 0
        part_of = (shares[:, has] / shares[one, has]).min(axis=1)  # t, 0 where an element is missing
        lowering = float(below(Outlook(heights.mean[[one]], heights.sigma[[one]]))[0])
        related = ((shares > 0) == has).all(axis=1)
        away = np.abs(shares - shares[one]).sum(axis=1) / 2
        together = np.where(related, self.shared * np.exp(-0.5 * (away / self.reach) ** 2), 0.0)
        return Outlook(heights.mean + lowering * part_of, heights.sigma * np.sqrt(1.0 - together**2))


def below(heights: Outlook) -> PerProposal:
    """E[max(-height, 0)], how far each is expected to lie below the hull, eV/atom, [p]; NaN where nothing is predicted.

    sigma (phi(u) + u Phi(u)) with u = -mean / sigma.
    """
    safe = np.where(heights.sigma > 0, heights.sigma, 1.0)
    u = -heights.mean / safe
    spread = safe * (np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi) + u * ndtr(u))
    made: PerProposal = np.where(heights.sigma > 0, np.maximum(spread, 0.0), np.maximum(-heights.mean, 0.0))
    return made
