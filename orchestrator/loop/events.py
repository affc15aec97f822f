"""What happened, as frozen types: terminal, log and report hear the same. Who hears it, and what is done, is elsewhere."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

from crystalloop.db.ledger.campaigns import ModelVersion
from crystalloop.db.ledger.records import Candidate
from crystalloop.db.ledger.standing import Standing

log = logging.getLogger(__name__)
FEW = 8
"""More records of an event are counted in the log, not named."""


@dataclass(frozen=True)
class Note:
    """Something that the user should know."""

    text: str


@dataclass(frozen=True)
class Preparing:
    """Work before the first step or after the last."""

    what: str


@dataclass(frozen=True)
class Proposing:
    """A round begins; `model` is the id of the version that proposes, None for decorated prototypes."""

    round: int
    model: str | None


@dataclass(frozen=True)
class Redrawing:
    """A round found too few candidates and casts a wider net for the rest."""

    round: int
    found: int
    wanted: int
    net: str


@dataclass(frozen=True)
class RoundProposed:
    """A round is in the ledger: how many each stage of the funnel left, who is sent to DFT, and why no more than these."""

    round: int
    counts: tuple[tuple[str, int], ...]
    chosen: tuple[Candidate, ...]
    note: str = ""


@dataclass(frozen=True)
class Waiting:
    """A look at what the workers do; heard about once a second."""

    round: int
    candidates: tuple[Standing, ...]
    references: tuple[Standing, ...]


@dataclass(frozen=True)
class LeasesExpired:
    """Candidates whose workers gave no sign of life, by id; they are queued again."""

    candidates: tuple[str, ...]


@dataclass(frozen=True)
class EnergySettled:
    """A relaxed candidate got its formation energy (eV/atom), or the reason why it has none."""

    candidate: Candidate
    e_f: float | None
    reason: str | None


@dataclass(frozen=True)
class RoundClosed:
    """Everything of a round has ended."""

    round: int
    candidates: tuple[Standing, ...]


@dataclass(frozen=True)
class Training:
    """A training begins; `progress` is the JSON-lines file that says how far it is, None where none is written."""

    version: str
    labelled: int
    unlabelled: int
    progress: Path | None = None


@dataclass(frozen=True)
class ModelTrained:
    """A model version is in the ledger."""

    version: ModelVersion


@dataclass(frozen=True)
class Finished:
    """The campaign ends; `completed` is False where it was asked to, or to pause, and may go on."""

    reason: str
    completed: bool
    failed: bool = False


@dataclass(frozen=True)
class Stalled:
    """Nothing has moved for a while; told from the thread that watches, not from that of the loop."""

    waits_for: str
    seconds: float


Event = (
    Note
    | Preparing
    | Proposing
    | Redrawing
    | RoundProposed
    | Waiting
    | LeasesExpired
    | EnergySettled
    | RoundClosed
    | Training
    | ModelTrained
    | Finished
    | Stalled
)


class EventListener(Protocol):
    """Hears what happens, in order, from the thread of the loop; Stalled comes from another. Quick, and raises nothing."""

    def __call__(self, event: Event, /) -> None:
        """Take note."""


def to_all(*listeners: EventListener) -> EventListener:
    """One listener that passes everything on to several."""

    def hear(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return hear


def to_log(event: Event) -> None:
    """Write an event to this program's log, in a line; every second's look for debugging only."""
    level = logging.DEBUG if isinstance(event, Waiting) else logging.INFO
    if log.isEnabledFor(level):
        facts = ", ".join(f"{one.name}={_short(getattr(event, one.name))}" for one in fields(event))
        log.log(level, "%s: %s", type(event).__name__, facts)


def _short(value: object) -> object:
    """Records by their ids, many of them by their number."""
    if isinstance(value, tuple) and len(value) > FEW:
        return f"{len(value)} of them"
    if isinstance(value, tuple):
        return " ".join(str(_short(one)) for one in value)
    return getattr(value, "id", value)
