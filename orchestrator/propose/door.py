"""The proposer's door to the loop: records of the ledger in, records for it out. Who is proposed is decided in proposer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from crystalloop.db.ledger.campaigns import ModelVersion
from crystalloop.db.ledger.forecast import Forecast
from crystalloop.db.ledger.records import Candidate
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.loop.contracts import Proposed
from crystalloop.orchestrator.propose.ask import Ask
from crystalloop.orchestrator.propose.cold_start import Choice
from crystalloop.orchestrator.propose.history import Historian, crystal_of


class Chooser(Protocol):
    """Generates, screens and chooses, on crystals."""

    def propose(self, ask: Ask) -> Choice:
        """At most as many crystals as asked for, none of them known; without a version, decorated prototypes."""


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
        target: what it looks for.
        chooser: proposer.CandidateProposer.
        registry: settle.formation.Energies.
        sources: the data files' crystals and the decorations.
        now: the clock.
    """

    def __init__(
        self,
        campaign: str,
        target: Target,
        chooser: Chooser,
        registry: Registry,
        sources: Sources,
        now: Callable[[], datetime],
    ) -> None:
        self._campaign, self._target, self._chooser, self._registry = campaign, target, chooser, registry
        self._historian = Historian()
        self._sources, self._now = sources, now

    def propose(self, round_: int, version: ModelVersion | None, earlier: Sequence[Candidate], count: int) -> Proposed:
        """At most `count` candidates, none of which is a crystal of `earlier` or one with a known formation energy."""
        training, _ = self._sources.training_set(earlier)
        history = self._historian.history(earlier)
        ask = Ask(round_, version, training, self._known(earlier), history, count)
        choice = self._chooser.propose(ask)
        passed, now = tuple(stage for stage, _ in choice.counts), self._now()
        made = [
            self._registry.candidate(proposal, self._campaign, round_, passed, now).model_copy(
                update={"score": score, "forecast": forecast_of(proposal, self._target), "arm": proposal.arm}
            )
            for proposal, score in choice.chosen
        ]
        return Proposed(choice.counts, tuple(made), choice.note, expected_hits(one for one, _ in choice.chosen))

    def _known(self, earlier: Sequence[Candidate]) -> KnownCrystals:
        """Crystals that are not to be proposed: those of earlier candidates, and those that files know the energy of."""
        known = KnownCrystals(crystal_of(candidate) for candidate in earlier)
        for crystal in self._sources.files:
            if E_F in crystal.labels:
                known.add(crystal.structure)
        return known


def forecast_of(proposal: Proposal, target: Target) -> Forecast | None:
    """What is expected of a proposal, for the ledger; None where nobody predicted the target's property."""
    mean = proposal.value(target.property)
    if mean is None:
        return None
    low, high = proposal.interval or (None, None)
    return Forecast(
        property=target.property,
        mean=mean,
        sigma=proposal.sigma_of(target.property),
        low=low,
        high=high,
        hit=proposal.chance,
        success=proposal.success,
        cost_s=proposal.cost_s,
        surrogate=proposal.surrogate,
        parts=dict(proposal.parts),
    )


def expected_hits(chosen: Iterable[Proposal]) -> float | None:
    """Sum of each one's chance to be a hit times that of a calculation that ends well; None where nobody said a chance."""
    chances = [one.chance * (1.0 if one.success is None else one.success) for one in chosen if one.chance is not None]
    return sum(chances) if chances else None
