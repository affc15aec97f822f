"""What is written down of a campaign as a whole: its record, rounds, spans of time, and the networks it trained. Pure types."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from crystalloop.db.ledger.names import Id, PathId
from crystalloop.db.ledger.record import Record


class NetworkRecord(Record):
    """One trained network of a model version."""

    folder: str
    sha256: str  # of the weights' values
    metrics: dict[str, float]
    samples: int  # crystals seen, not counting repeats
    train_s: float


class ModelVersion(Record):
    """The three networks as trained after one round, and what they were trained on."""

    id: PathId
    campaign: Id
    number: int
    round: int  # the last round whose results are in the training set
    parent: str | None
    networks: dict[str, NetworkRecord]
    trained_on: tuple[str, ...]  # ids of the candidates whose DFT energies were labels
    labelled: int  # labelled crystals, data files included
    unlabelled: int
    data_digest: str
    created_at: datetime


class Round(Record):
    """One turn of the loop."""

    id: PathId  # "<campaign>/<number>"
    campaign: Id
    number: int
    model_version: str | None
    funnel: tuple[tuple[str, int], ...]  # stage name and how many were left after it
    chosen: tuple[str, ...]  # candidate ids sent to DFT
    note: str = ""  # why there are fewer than the batch, though everything was tried
    expected_hits: float | None = None  # of the batch, as the ranking saw it before DFT
    declined: int = 0  # candidates that were chosen and not sent on, since too few hits were expected of them
    started_at: datetime
    finished_at: datetime | None = None


class Span(Record):
    """A stretch of a campaign's wall time, for the account of where it went."""

    what: Literal["prepare", "generate", "dft", "train", "ray", "settle", "report"]
    round: int
    started_at: datetime
    finished_at: datetime
    busy_s: float | None = None  # seconds inside the named work itself, where that is less than the stretch


class CampaignState(StrEnum):
    """Whether a campaign may go on."""

    ACTIVE = "active"
    STOPPING = "stopping"  # `crystalloop stop` was called; the loop ends at the next step
    FINISHED = "finished"
    FAILED = "failed"  # ended without what it was asked for; `outcome` says what to change


class CampaignRecord(Record):
    """A campaign as first run; a later run with another specification is refused."""

    id: Id  # the campaign's name
    spec: dict[str, Any]
    spec_digest: str
    folder: str
    state: CampaignState
    outcome: str = ""  # why its last run ended
    data_notes: tuple[str, ...] = ()  # what was read of its data files, and what was done to their energies
    spans: tuple[Span, ...] = ()
    created_at: datetime
    updated_at: datetime
