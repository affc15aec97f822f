"""Store: the contract of the database, stated as promises. No implementation lives here (see mongo.py and memory.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from crystalloop.db.ledger.records import (
    Attempt,
    CampaignRecord,
    CampaignState,
    Candidate,
    CandidateState,
    ModelVersion,
    ReferenceEnergy,
    Relaxation,
    Round,
    Span,
)
from crystalloop.db.ledger.standing import Standing
from crystalloop.db.ledger.unreadable import Unreadable


class StoreUnavailable(Exception):
    """The database cannot be reached after the retries; nothing was lost, the same command resumes."""

    exit_kind = "database"


class StoreRefused(StoreUnavailable):
    """The database answers, but not with what it is there for: its disk is full, it lets nobody in, it steps down.

    Never the fault of what was to be written: the same command may be given again, here or elsewhere.
    """


class CampaignMismatch(Exception):
    """A campaign of this name exists with another specification."""

    exit_kind = "usage"


class Store(Protocol):
    """What every store promises.

    * Threads and processes may share a store; every state change is one compare-and-set, so of several callers
      exactly one succeeds and the others are told so by the return value.
    * A write that returned is durable; what was read is the caller's own, and changes nothing here.
    * Moments are kept to the millisecond and come back in UTC.
    * A write under a lease carries its token; with an expired, replaced token it changes nothing and returns False.
    * Every method may raise StoreUnavailable, and may then be called again; StoreRefused, where the server answers.
    * A document that cannot be read (of another release, damaged) ends nothing: it is named and counted in `unreadable`,
      and left out of every answer.
    """

    @property
    def unreadable(self) -> Unreadable:
        """The documents that were left out so far, with the reasons."""

    def start_campaign(self, record: CampaignRecord) -> CampaignRecord:
        """Insert the campaign, or return the stored one; raises CampaignMismatch when its spec_digest differs."""

    def campaign(self, name: str) -> CampaignRecord | None:
        """The campaign of this name."""

    def campaigns(self) -> tuple[CampaignRecord, ...]:
        """Every campaign, oldest first."""

    def set_campaign_state(self, name: str, state: CampaignState, now: datetime, outcome: str = "") -> None:
        """Set the state, whatever it was; raises LookupError where the campaign was never started."""

    def add_span(self, name: str, span: Span) -> None:
        """Append to the campaign's account of time, once; raises LookupError where it was never started."""

    def add_candidates(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Insert those whose (campaign, key) is new; returns the ids inserted, in order. Duplicates are no error."""

    def candidate(self, candidate_id: str) -> Candidate | None:
        """The candidate with this id."""

    def candidates(
        self,
        campaign: str | None = None,
        *,
        round: int | None = None,
        states: Iterable[CandidateState] | None = None,
        formula: str | None = None,
    ) -> tuple[Candidate, ...]:
        """Candidates that match every given condition, ordered by (round, id)."""

    def standings(self, candidate_ids: Sequence[str]) -> tuple[Standing, ...]:
        """Where the candidates with these ids stand, in the order given, in one read; unknown ids are left out.

        Cheap enough to ask every second: no crystal, no settings and no history is read.
        """

    def matching(self, condition: Mapping[str, Any]) -> tuple[Candidate, ...]:
        """Candidates that a filter document of db.query.language matches, ordered by (round, id)."""

    def queue(self, candidate_ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        """PROPOSED -> QUEUED; returns the ids that moved."""

    def claim(self, candidate_id: str, worker: str, now: datetime, ttl_s: float) -> Candidate | None:
        """QUEUED -> RUNNING under a new lease, or None when another worker was first or the state is another."""

    def heartbeat(self, candidate_id: str, token: str, now: datetime, ttl_s: float) -> bool:
        """Extend the lease; False when it is no longer ours."""

    def add_attempt(self, candidate_id: str, token: str, attempt: Attempt, now: datetime) -> bool:
        """Append an attempt under the lease."""

    def record_relaxation(self, candidate_id: str, token: str, relaxation: Relaxation, now: datetime) -> bool:
        """RUNNING -> RELAXED under the lease, and drop the lease."""

    def record_failure(self, candidate_id: str, token: str, reason: str, now: datetime) -> bool:
        """RUNNING -> GAVE_UP under the lease, and drop the lease."""

    def release(self, candidate_id: str, token: str, now: datetime) -> bool:
        """RUNNING -> QUEUED under the lease: the work is handed back undone."""

    def expire_leases(self, now: datetime) -> tuple[str, ...]:
        """RUNNING -> QUEUED for every lease that ended before `now`, each noted as an "interrupted" attempt."""

    def take_back(self, candidate: Candidate, now: datetime, *, afresh: bool = False) -> bool:
        """GAVE_UP -> QUEUED, where its reason is still that of the candidate given; noted as an attempt.

        `afresh`: what was computed for it is not gone on from.
        """

    def relaxation_by_key(self, key: str) -> Candidate | None:
        """The RELAXED candidate with this key, of any campaign: of several the oldest, which was computed, not copied."""

    def with_key(self, key: str) -> tuple[Candidate, ...]:
        """Every candidate with this key, of any campaign and in any state."""

    def set_formation_energy(
        self,
        candidate_id: str,
        e_f: float | None,
        reason: str | None,
        now: datetime,
        e_f_without_d2: float | None = None,
    ) -> bool:
        """Set e_f (eV/atom) of a RELAXED candidate, or the reason why there is none."""

    def set_above_hull(
        self,
        candidate_id: str,
        e_above_hull: float | None,
        reason: str | None,
        source: str | None = None,
        error: float | None = None,
    ) -> bool:
        """Set e_above_hull (eV/atom) of a RELAXED candidate, or the reason why there is none; `updated_at` stays.

        `source`, `error`: which energies the hull is made of, and its standard error, eV/atom.
        """

    def add_model_version(self, version: ModelVersion) -> ModelVersion:
        """Register a model version, or return the one already stored under its id."""

    def model_version(self, version_id: str) -> ModelVersion | None:
        """The model version with this id."""

    def model_versions(self, campaign: str) -> tuple[ModelVersion, ...]:
        """The campaign's model versions by number."""

    def put_round(self, round_: Round) -> None:
        """Insert or replace a round."""

    def rounds(self, campaign: str) -> tuple[Round, ...]:
        """The campaign's rounds by number."""

    def import_energies(self, energies: Sequence[ReferenceEnergy]) -> tuple[int, int]:
        """Insert total energies from elsewhere, or replace those of the same id; how many are new and how many replaced."""

    def imported_energies(self) -> tuple[ReferenceEnergy, ...]:
        """Every one, of all schemes, ordered by id."""

    def close(self) -> None:
        """Let go of the connections; the store is not used afterwards."""
