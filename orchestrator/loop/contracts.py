"""What the loop is made of: the contracts of its effectful parts. Implementations are made in compose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from crystalloop.db.ledger.records import Candidate, ModelVersion, NetworkRecord
from crystalloop.db.ledger.store import Store
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.draw.proposal import Proposal
from crystalloop.orchestrator.learn.training_set import TrainingSet
from crystalloop.orchestrator.loop.events import EventListener

if TYPE_CHECKING:
    from crystalloop.orchestrator.settle.formation import Energies


def now() -> datetime:
    """The clock of this program."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Proposed:
    """What a proposer gives: the funnel's counts, and who is to be computed with what score."""

    counts: tuple[tuple[str, int], ...]
    chosen: tuple[tuple[Proposal, float], ...]


@dataclass(frozen=True)
class Trained:
    """What a trainer gives: the three networks' records and the seconds spent inside optimiser steps."""

    networks: dict[str, NetworkRecord]
    busy_s: float


class Proposer(Protocol):
    """Generates, screens and chooses."""

    def propose(
        self, round_: int, version: ModelVersion | None, training: TrainingSet, known: KnownCrystals, count: int
    ) -> Proposed:
        """At most `count` candidates for DFT; without a version, from decorated prototypes."""


class Trainer(Protocol):
    """Fits the networks."""

    def train(self, version_id: str, round_: int, training: TrainingSet, parent: ModelVersion | None) -> Trained:
        """Fit all three networks, starting from the parent's weights where there is one."""

    def progress_file(self, version_id: str) -> Path:
        """JSON lines of how far the training is."""


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
    energies: Energies
    settle_hulls: Callable[[], object]  # judges e_above_hull of the campaign's crystals and notes it
    meanwhile: Callable[[], None]  # called once pw.x is at work: what would cost time later
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    tell: EventListener
