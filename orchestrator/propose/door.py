"""The proposer's door to the loop: records of the ledger in, records for it out. Who is proposed is decided in proposer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from crystalloop.db.ledger.records import Candidate, ModelVersion
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.draw.proposal import Proposal
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.loop.contracts import Proposed
from crystalloop.orchestrator.propose.cold_start import Choice


class Chooser(Protocol):
    """Generates, screens and chooses, on crystals."""

    def propose(
        self, round_: int, version: ModelVersion | None, training: Corpus, known: KnownCrystals, count: int
    ) -> Choice:
        """At most `count` crystals that are not in `known`; without a version, decorated prototypes."""


class Registry(Protocol):
    """Knows under which settings crystals are computed."""

    def candidate(
        self, proposal: Proposal, campaign: str, round_: int, passed: tuple[str, ...], now: datetime
    ) -> Candidate:
        """The record of a crystal; the same crystal and settings get the same id."""


class LedgerProposer:
    """The loop's proposer; see loop.contracts.Proposer.

    Args:
        campaign: its name.
        chooser: proposer.CandidateProposer.
        registry: settle.formation.Energies.
        sources: the data files' crystals and the decorations.
        now: the clock.
    """

    def __init__(
        self, campaign: str, chooser: Chooser, registry: Registry, sources: Sources, now: Callable[[], datetime]
    ) -> None:
        self._campaign, self._chooser, self._registry = campaign, chooser, registry
        self._sources, self._now = sources, now

    def propose(self, round_: int, version: ModelVersion | None, earlier: Sequence[Candidate], count: int) -> Proposed:
        """At most `count` candidates, none of which is a crystal of `earlier` or one with a known formation energy."""
        known = KnownCrystals(candidate.crystal.to_structure() for candidate in earlier)
        for crystal in self._sources.files:
            if E_F in crystal.labels:
                known.add(crystal.structure)
        training, _ = self._sources.training_set(earlier)
        choice = self._chooser.propose(round_, version, training, known, count)
        passed, now = tuple(stage for stage, _ in choice.counts), self._now()
        made = [
            self._registry.candidate(proposal, self._campaign, round_, passed, now).model_copy(
                update={"score": score, "arm": proposal.arm}
            )
            for proposal, score in choice.chosen
        ]
        return Proposed(choice.counts, tuple(made), choice.note)
