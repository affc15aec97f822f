"""Leases: the moves of a candidate, each one compare-and-set. How a database makes a move is no concern of this module.

proposed -> queued -> running -> relaxed | gave_up | queued
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from crystalloop.db.ledger.records import Attempt, Candidate, CandidateState, Lease, Relaxation

INTERRUPTED = "interrupted"
TAKEN_BACK = "taken_back"
AFRESH = "taken_back_afresh"
"""Outcomes of attempts that launched nothing: a lease ended; what was given up is tried again, from what there is or anew."""

INTERNAL = "internal error"
"""How the reason of a candidate begins that was given up for an error of this program, of every release."""


def since_taken_back(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """The attempts that count: those since the candidate was last taken back."""
    marks = [place for place, attempt in enumerate(attempts) if attempt.outcome in {TAKEN_BACK, AFRESH}]
    return tuple(attempts[marks[-1] + 1 :] if marks else attempts)


class Leases(ABC):
    """Work on candidates under leases, and its results; see db.ledger.store.Store for the promises."""

    @abstractmethod
    def matching(self, condition: Mapping[str, Any]) -> tuple[Candidate, ...]:
        """See Store."""

    @abstractmethod
    def _move(
        self,
        candidate_id: str,
        old: Mapping[str, Any],
        fields: Mapping[str, Any],
        now: datetime,
        push: Mapping[str, Any] | None = None,
    ) -> Candidate | None:
        """Change one candidate if it is as expected; as it is now, or None where somebody else was first.

        Args:
            candidate_id: which.
            old: filter that it has to match.
            fields: their new values.
            now: becomes `updated_at`.
            push: field -> what is appended to its list.
        """

    @abstractmethod
    def _set(self, collection: str, condition: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
        """Set fields of the document that matches a filter with its `_id`; whether there is one."""

    def claim(self, candidate_id: str, worker: str, now: datetime, ttl_s: float) -> Candidate | None:
        """See Store."""
        if not self.matching({"_id": candidate_id}):  # there is none, or it cannot be read
            return None
        lease = Lease(token=uuid.uuid4().hex, worker=worker, started_at=now, expires_at=now + timedelta(seconds=ttl_s))
        fields = {"state": str(CandidateState.RUNNING), "lease": lease.to_document()}
        return self._move(candidate_id, {"state": str(CandidateState.QUEUED)}, fields, now)

    def heartbeat(self, candidate_id: str, token: str, now: datetime, ttl_s: float) -> bool:
        """See Store."""
        extended = {"lease.expires_at": now + timedelta(seconds=ttl_s)}
        return self._set("candidates", {"_id": candidate_id, **_under(token)}, extended)

    def add_attempt(self, candidate_id: str, token: str, attempt: Attempt, now: datetime) -> bool:
        """See Store."""
        push = {"attempts": attempt.to_document()}
        return self._move(candidate_id, _under(token), {}, now, push) is not None

    def record_relaxation(self, candidate_id: str, token: str, relaxation: Relaxation, now: datetime) -> bool:
        """See Store."""
        fields = {"state": str(CandidateState.RELAXED), "lease": None, "relaxation": relaxation.to_document()}
        return self._move(candidate_id, _under(token), fields, now) is not None

    def record_failure(self, candidate_id: str, token: str, reason: str, now: datetime) -> bool:
        """See Store."""
        fields = {"state": str(CandidateState.GAVE_UP), "lease": None, "reason": reason}
        return self._move(candidate_id, _under(token), fields, now) is not None

    def release(self, candidate_id: str, token: str, now: datetime) -> bool:
        """See Store."""
        fields = {"state": str(CandidateState.QUEUED), "lease": None}
        return self._move(candidate_id, _under(token), fields, now) is not None

    def take_back(self, candidate: Candidate, now: datetime, *, afresh: bool = False) -> bool:
        """See Store."""
        attempt = Attempt(
            number=len(candidate.attempts) + 1,
            started_at=now,
            outcome=AFRESH if afresh else TAKEN_BACK,
            detail=f"given up before: {candidate.reason}",
        )
        old = {"state": str(CandidateState.GAVE_UP), "reason": candidate.reason}
        fields = {"state": str(CandidateState.QUEUED), "reason": None}
        return self._move(candidate.id, old, fields, now, {"attempts": attempt.to_document()}) is not None

    def expire_leases(self, now: datetime) -> tuple[str, ...]:
        """See Store."""
        ended = self.matching({"state": str(CandidateState.RUNNING), "lease.expires_at": {"$lt": now}})
        return tuple(candidate.id for candidate in ended if self._expire(candidate, now))

    def _expire(self, candidate: Candidate, now: datetime) -> bool:
        lease = candidate.lease
        if lease is None:
            return False
        attempt = Attempt(
            number=len(candidate.attempts) + 1,
            started_at=lease.started_at,
            outcome=INTERRUPTED,
            detail=f"no sign of life from {lease.worker} since its lease ended at {lease.expires_at.isoformat()}",
            worker=lease.worker,
        )
        still_ended = {**_under(lease.token), "lease.expires_at": {"$lt": now}}  # a late heartbeat wins
        fields = {"state": str(CandidateState.QUEUED), "lease": None}
        return self._move(candidate.id, still_ended, fields, now, {"attempts": attempt.to_document()}) is not None

    def set_formation_energy(
        self,
        candidate_id: str,
        e_f: float | None,
        reason: str | None,
        now: datetime,
        e_f_without_d2: float | None = None,
    ) -> bool:
        """See Store."""
        fields = {"e_f": e_f, "reason": reason, "e_f_without_d2": e_f_without_d2}
        return self._move(candidate_id, {"state": str(CandidateState.RELAXED)}, fields, now) is not None

    def set_above_hull(
        self,
        candidate_id: str,
        e_above_hull: float | None,
        reason: str | None,
        source: str | None = None,
        error: float | None = None,
    ) -> bool:
        """See Store."""
        condition = {"_id": candidate_id, "state": str(CandidateState.RELAXED)}
        fields = {"e_above_hull": e_above_hull, "hull_reason": reason, "hull_source": source, "hull_error": error}
        return self._set("candidates", condition, fields)


def _under(token: str) -> dict[str, Any]:
    """The condition that the lease is still the caller's."""
    return {"state": str(CandidateState.RUNNING), "lease.token": token}
