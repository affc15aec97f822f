"""What the loop is made of: the contracts of its effectful parts. Implementations are made in compose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from crystalloop.db.ledger.campaigns import ModelVersion, NetworkRecord
from crystalloop.db.ledger.records import Candidate, Relaxation
from crystalloop.db.ledger.store import Store
from crystalloop.orchestrator.loop.events import EventListener


def now() -> datetime:
    """The clock of this program."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Proposed:
    """What a proposer gives.

    Attributes:
        counts: of the funnel.
        chosen: who is to be computed, with keys and scores.
        note: why there are fewer than asked for, though everything was tried; empty where there are not.
        expected_hits: sum over the chosen of the chance to be a hit times that of success; None without a ranking.
        declined: how many were chosen and are not to be sent.
    """

    counts: tuple[tuple[str, int], ...]
    chosen: tuple[Candidate, ...]
    note: str = ""
    expected_hits: float | None = None
    declined: int = 0

    def not_sent(self) -> Proposed:
        """The same with nobody to be computed."""
        count, expected = len(self.chosen), self.expected_hits or 0.0
        note = f"{count} were chosen and not sent: {expected:.2g} hits were expected of them"
        return replace(self, chosen=(), note=note, declined=count)


@dataclass(frozen=True)
class Trained:
    """What a trainer gives.

    Attributes:
        networks: records of the networks, by name.
        busy_s: seconds inside optimiser steps.
        trained_on: ids of the candidates whose energies were labels.
        labelled, unlabelled: crystals with and without a formation energy, those of data files included.
        data_digest: of the training set.
    """

    networks: dict[str, NetworkRecord]
    busy_s: float
    trained_on: tuple[str, ...]
    labelled: int
    unlabelled: int
    data_digest: str

    def version(
        self, version_id: str, campaign: str, number: int, round_: int, parent: ModelVersion | None, now: datetime
    ) -> ModelVersion:
        """The record of the networks, trained after a round."""
        return ModelVersion(
            id=version_id,
            campaign=campaign,
            number=number,
            round=round_,
            parent=parent.id if parent else None,
            networks=self.networks,
            trained_on=self.trained_on,
            labelled=self.labelled,
            unlabelled=self.unlabelled,
            data_digest=self.data_digest,
            created_at=now,
        )


class TimeIsUp(Exception):
    """Raised where work is cut off because `wall_minutes` are over; the loop turns it into its end."""


def unlimited(seconds: float | None) -> AbstractContextManager[None]:
    """No alarm."""
    return nullcontext()


class Proposer(Protocol):
    """Generates, screens and chooses."""

    def propose(self, round_: int, version: ModelVersion | None, earlier: Sequence[Candidate], count: int) -> Proposed:
        """At most `count` candidates for DFT that are not among the earlier ones; without a version, from prototypes."""


class Trainer(Protocol):
    """Fits the networks."""

    def train(self, version_id: str, round_: int, relaxed: Sequence[Candidate], parent: ModelVersion | None) -> Trained:
        """Fit all networks on what is known, starting from the parent's weights where there is one; tells `Training`."""


Find = Callable[[str], Candidate | None]
"""Looks up a RELAXED candidate by calculation key."""


class Energetics(Protocol):
    """Everything energetic that the loop asks, under the campaign's settings; energies in eV/atom."""

    def references(self, elements: Iterable[str], now: datetime) -> tuple[Candidate, ...]:
        """The elemental reference calculations that formation energies over these elements need."""

    def limited(self, candidate: Candidate, find: Find) -> Candidate:
        """The candidate with the total energy above which it is not worth computing, where that is known."""

    def formation_energy(self, relaxation: Relaxation, find: Find) -> tuple[float | None, str | None]:
        """The formation energy, or None with the reason."""

    def shares_settings(self, candidate: Candidate) -> bool:
        """Whether a candidate, of any campaign, was computed as this campaign computes."""

    def formation_energy_without_d2(self, relaxation: Relaxation, find: Find) -> float | None:
        """The same without D2; None where it is not known."""


class Repaired(Protocol):
    """What a repair of the queue found."""

    @property
    def expired(self) -> tuple[str, ...]:
        """Candidates whose leases had ended, now queued again."""


class Queue(Protocol):
    """Brings queued candidates to the workers."""

    def submit(self, candidates: Sequence[Candidate]) -> object:
        """Make a workflow for each; repeating it adds nothing."""

    def reconcile(self, now: datetime) -> Repaired:
        """Take back what is under an ended lease, and repair what a crash left between the ledger and the queue."""


class Workers(Protocol):
    """The worker processes of this machine."""

    def ensure(self) -> object:
        """Start those that are missing."""

    def stop(self) -> None:
        """End them; work under way is handed back."""


@dataclass(frozen=True)
class Parts:
    """Everything with an effect, made in compose."""

    store: Store
    queue: Queue
    workers: Workers
    proposer: Proposer
    trainer: Trainer
    energies: Energetics
    settle_hulls: Callable[[], object]  # judges e_above_hull of the campaign's crystals and notes it
    meanwhile: Callable[[], None]  # called once pw.x is at work: what would cost time later
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    tell: EventListener
    within: Callable[[float | None], AbstractContextManager[None]] = unlimited
    """Work in it is cut off with TimeIsUp after so many seconds; None for no limit."""
