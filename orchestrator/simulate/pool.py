"""The proposer of a laboratory whose rows are the pool: the first calls at random, then ranked and chosen. See loop.contracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

import numpy as np

from crystalloop.db.ledger.campaigns import ModelVersion
from crystalloop.db.ledger.records import Candidate
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.data.problems import shown
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import ABOVE_HULL, Target, ValueOf
from crystalloop.orchestrator.acquire.base import Acquirer, History, Scored
from crystalloop.orchestrator.loop.contracts import Proposed
from crystalloop.orchestrator.propose.door import Registry
from crystalloop.orchestrator.simulate.stopwatch import Stopwatch
from crystalloop.orchestrator.simulate.truth.laboratory import LaboratoryError

FIRST_STREAM, LATER_STREAM = 11, 3
"""Streams of the campaign's seed: the calls at random are the same for every policy."""


class RowRanker(Protocol):
    """Says what is expected of rows that nobody has called yet."""

    def rank(self, rows: Sequence[Proposal], earlier: Sequence[Candidate], round_: int) -> Sequence[Proposal]:
        """The rows, in order, with prediction, sigma, interval and chances, as far as the ledger allows to say them."""


class PoolProposer:
    """Proposes rows of the table; see loop.contracts.Proposer.

    Args:
        campaign: its name.
        seed: of every draw.
        pool: the rows, each with its name as its base; see table.listed_proposals.
        target: what is looked for.
        start: calls of the first round.
        ranker: predicts; not asked where there is no acquirer.
        acquirer: chooses among the ranked rows; None draws at random.
        registry: makes the records.
        now: the clock.
        watch: notes processor seconds.
    """

    def __init__(
        self,
        campaign: str,
        seed: int,
        pool: Sequence[Proposal],
        target: Target,
        start: int,
        ranker: RowRanker | None,
        acquirer: Acquirer | None,
        registry: Registry,
        now: Callable[[], datetime],
        watch: Stopwatch,
    ) -> None:
        self._campaign, self._seed, self._pool, self._target, self._start = campaign, seed, pool, target, start
        self._crystals = {row.bases[0]: row.crystal for row in pool}
        self._ranker, self._acquirer, self._registry, self._now, self._watch = ranker, acquirer, registry, now, watch

    def propose(self, round_: int, version: ModelVersion | None, earlier: Sequence[Candidate], count: int) -> Proposed:
        """At most `count` rows that are not among the earlier ones; in the first round `start` of them, at random."""
        taken = {candidate.origin.bases[0] for candidate in earlier}
        rows = [row for row in self._pool if row.bases[0] not in taken]
        chosen = self._chosen(round_, rows, earlier, count)
        with self._watch.on("ledger"):
            made = [
                self._registry.candidate(row, self._campaign, round_, (), self._now()).model_copy(
                    update={"score": score}
                )
                for row, score in chosen
            ]
        note = "" if chosen else _ended(len(rows), len(self._pool))
        return Proposed((("rows left", len(rows)),), tuple(made), note)

    def _chosen(self, round_: int, rows: list[Proposal], earlier: Sequence[Candidate], count: int) -> Scored:
        if round_ == 1:
            rng = np.random.default_rng([self._seed, FIRST_STREAM])
            return _at_random(rows, self._start, rng)
        rng = np.random.default_rng([self._seed, round_, LATER_STREAM])
        if self._acquirer is None or self._ranker is None or not any(one.is_labelled for one in earlier):
            return _at_random(rows, count, rng)
        with self._watch.on("rank"):
            ranked = self._ranker.rank(rows, earlier, round_)
        with self._watch.on("choose"):
            history = History.of(self._target, map(self._found, earlier))
            return _checked(self._acquirer.choose(ranked, self._target, count, rng, history), ranked, count)

    def _found(self, candidate: Candidate) -> tuple[Crystal, ValueOf]:
        """The row of an earlier call, and what came of it."""
        return self._crystals[candidate.origin.bases[0]], partial(_value_of, candidate)


def _ended(left: int, of: int) -> str:
    if left:
        return f"the policy chose none of the {left} rows that are left"
    return f"each of the {of} rows of the table was called"


def _value_of(candidate: Candidate, name: str) -> float | None:
    """What a call found; what was only predicted is none."""
    if not candidate.is_labelled:
        return None
    return candidate.e_above_hull if name == ABOVE_HULL else candidate.value(name)


def _at_random(rows: Sequence[Proposal], count: int, rng: np.random.Generator) -> Scored:
    picked = rng.choice(len(rows), min(count, len(rows)), replace=False)
    return [(rows[index], 0.0) for index in picked]


def _checked(chosen: Scored, given: Sequence[Proposal], count: int) -> Scored:
    """What an acquirer chose, once it kept what every acquirer promises (acquire.base); a stranger's may not."""
    names = {id(row) for row in given}
    if len(chosen) > count:
        raise LaboratoryError(
            f"the policy chose {len(chosen)} rows where {count} were asked for; return [:count] of them"
        )
    if (alien := next((row for row, _ in chosen if id(row) not in names), None)) is not None:
        raise LaboratoryError(
            f"the policy chose {shown(str(alien))}, which it was not given; choose among the proposals"
        )
    if (different := len({id(row) for row, _ in chosen})) < len(chosen):
        raise LaboratoryError(f"the policy chose {len(chosen)} rows, {different} different ones; choose each once")
    for row, score in chosen:
        if not np.isfinite(score):
            raise LaboratoryError(f"the policy gave {row.bases[0]} the score {score}; a score is a finite number")
    return chosen
