"""From scores to a choice and back: the best of them in order, and the scores of all that another acquirer gives. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import Acquirer, History, Scored
from crystalloop.orchestrator.acquire.outlook import PerProposal

HAIR = 1e-9
"""Share of the largest score by which a second opinion decides among equals, and nothing else."""


def ranked(
    proposals: Sequence[Proposal],
    scores: PerProposal,
    count: int,
    rng: np.random.Generator,
    second: PerProposal | None = None,
) -> Scored:
    """The `count` best, best first; scores that are no numbers come last; `second` decides among equals, then chance.

    Args:
        proposals: [p].
        scores: [p].
        count: how many.
        rng: of the campaign.
        second: [p], another score.
    """
    scores = made_finite(scores)
    if second is not None and len(scores):
        scores = scores + HAIR * max(1.0, float(np.abs(scores).max())) * _place(made_finite(second))
    order = np.lexsort((rng.random(len(scores)), -scores))[: max(count, 0)]
    return [(proposals[i], float(scores[i])) for i in order]


def made_finite(scores: PerProposal) -> PerProposal:
    """Scores with one below all others in place of what is no number."""
    known = np.isfinite(scores)
    if known.all():
        return scores
    lowest = float(scores[known].min()) if known.any() else 0.0
    return np.where(known, scores, lowest - max(1.0, abs(lowest)))


def last(scores: PerProposal, whom: NDArray[np.bool_]) -> PerProposal:
    """Scores in which some come after all others, in the order that they had."""
    if not whom.any() or whom.all():
        return scores
    gap = float(scores[whom].max() - scores[~whom].min())
    return np.where(whom, scores - max(gap, 0.0) - max(1.0, abs(gap)), scores)


def scores_of(
    acquirer: Acquirer, proposals: Sequence[Proposal], target: Target, rng: np.random.Generator, history: History
) -> PerProposal:
    """What an acquirer scores each of the proposals with, [p], in their order."""
    place = {id(one): i for i, one in enumerate(proposals)}
    scores = np.full(len(proposals), np.nan)
    for one, score in acquirer.choose(proposals, target, len(proposals), rng, history):
        scores[place[id(one)]] = score
    return made_finite(scores)


def _place(scores: PerProposal) -> PerProposal:
    """Of each its place among the different scores, 0 for the lowest up to 1, [p]."""
    different, place = np.unique(scores, return_inverse=True)
    return place / len(different)
