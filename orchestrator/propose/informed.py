"""The acquirer that is told of the campaign's past, and of several objectives as one. Who chooses is decided within."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crystalloop.models.draw.one_merit import as_one
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, Acquirer, History, Scored
from crystalloop.orchestrator.propose.history import PastResults


@dataclass(frozen=True)
class Informed:
    """See acquire.base.Acquirer.

    Attributes:
        inner: who chooses.
        past: what came of the candidates before.
    """

    inner: Acquirer
    past: PastResults

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` of the proposals, as they were given."""
        wanted, asked = as_one(target, proposals)
        before = History.of(target, [(one.crystal, one.values.get) for one in self.past])
        if wanted is not target:  # a compromise is worth something beside those of its own round alone
            before = replace(before, best=None)
        whole = dict(zip(map(id, asked), proposals, strict=True))
        chosen = self.inner.choose(asked, wanted, count, rng, replace(before, batch=history.batch))
        return [(whole.get(id(one), one), score) for one, score in chosen]
