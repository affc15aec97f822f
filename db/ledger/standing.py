"""Standing: where a candidate stands, in the few fields that a waiting loop looks at every second. No database here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crystalloop.db.ledger.records import Candidate, CandidateState

STANDING_FIELDS = (
    "formula",
    "state",
    "lease.expires_at",
    "attempts.cpu_s",
    "relaxation.a_ang",
    "relaxation.steps",
    "e_f",
    "reason",
    "updated_at",
)
"""What a store reads of each candidate's document, besides its `_id`."""
ENDED = frozenset({CandidateState.RELAXED, CandidateState.GAVE_UP})


@dataclass(frozen=True)
class Standing:
    """A candidate without its crystal, settings and history.

    Attributes:
        id, formula, state, e_f, reason, updated_at: as in records.Candidate.
        lease_ends: when its worker's lease ends; None without a lease.
        cpu_s: processor seconds of all its attempts.
        a_ang, steps: of its relaxation; None without one.
    """

    id: str
    formula: str
    state: CandidateState
    updated_at: datetime
    lease_ends: datetime | None = None
    cpu_s: float = 0.0
    a_ang: float | None = None
    steps: int | None = None
    e_f: float | None = None
    reason: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is computed for it."""
        return self.state in ENDED

    @property
    def is_unsettled(self) -> bool:
        """Relaxed, but with neither a formation energy nor a reason for its absence."""
        return self.state is CandidateState.RELAXED and self.e_f is None and self.reason is None

    @property
    def is_labelled(self) -> bool:
        """Relaxed, with a formation energy."""
        return self.state is CandidateState.RELAXED and self.e_f is not None

    @classmethod
    def of(cls, candidate: Candidate) -> Standing:
        """The standing of a whole record."""
        return cls.from_document(candidate.to_document())

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Standing:
        """From a candidate's document, whole or cut to STANDING_FIELDS."""
        lease, relaxation = document.get("lease") or {}, document.get("relaxation") or {}
        return cls(
            id=document["_id"],
            formula=document["formula"],
            state=CandidateState(document["state"]),
            updated_at=document["updated_at"],
            lease_ends=lease.get("expires_at"),
            cpu_s=sum(attempt.get("cpu_s", 0.0) for attempt in document.get("attempts", ())),
            a_ang=relaxation.get("a_ang"),
            steps=relaxation.get("steps"),
            e_f=document.get("e_f"),
            reason=document.get("reason"),
        )
