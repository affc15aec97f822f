"""Several objectives as one: proposals with their compromise as a predicted property, for whoever chooses by one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import ABOVE_HULL, COMPROMISE, Direction, Target


def as_one(target: Target, proposals: Sequence[Proposal]) -> tuple[Target, list[Proposal]]:
    """A target with one direction, and the proposals, in order, with what it looks at; as they are where there is one.

    The compromise is one of those that are compared; its standard deviation is that of the objective in which a proposal
    is furthest behind, since that one decides. A proposal without a prediction of each objective has none of the compromise.
    Where nobody predicted a height above the hull that is wanted, a low formation energy stands in for it.
    """
    if proposals and all(one.value(ABOVE_HULL) is None for one in proposals):
        target = target.for_networks()
    if not target.objectives or not proposals:
        return target, list(proposals)
    gains = np.array([[aim.gain(one.value(aim.property)) for aim in target.objectives] for one in proposals])  # [p, k]
    best = np.where(np.isfinite(gains), gains, -np.inf).max(axis=0)
    merits = target.merits_of([one.value for one in proposals])
    single = Target(COMPROMISE, direction=Direction.MAXIMISE, vicinity=target.vicinity)
    made = []
    for one, row, merit in zip(proposals, gains, merits, strict=True):
        if not np.isfinite(merit):
            made.append(one)
            continue
        aim = target.objectives[int(np.argmax(best - row))]
        sigma = aim.unit_gain() * (one.sigma_of(aim.property) or 0.0)
        made.append(
            replace(
                one,
                predicted={**one.predicted, COMPROMISE: float(merit)},
                sigmas={**one.sigmas, COMPROMISE: sigma},
            )
        )
    return single, made
