"""MongoStore: the Store contract on MongoDB, and its indexes. Connecting and retrying live in db.ledger.connection.

Only commands that the embedded server knows are used. A state change is one findAndModify that carries the expected
old state, so it needs no transaction. Each change also writes a fresh `move` mark beside the record: when the answer
of a command is lost and the command is repeated, the mark tells "done by us" from "somebody else was first".
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import ASCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from crystalloop.db.ledger.connection import Document, Retry, connect, insert_new, server_name
from crystalloop.db.ledger.imported import ImportedEnergies
from crystalloop.db.ledger.records import (
    Attempt,
    CampaignRecord,
    CampaignState,
    Candidate,
    CandidateState,
    Lease,
    ModelVersion,
    Relaxation,
    Round,
    Span,
)
from crystalloop.db.ledger.store import CampaignMismatch

INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "candidates": (("campaign", "round", "state"), ("state",), ("key",), ("lease.expires_at",)),
    "model_versions": (("campaign", "number"),),
    "rounds": (("campaign", "number"),),
}


class MongoStore:
    """See db.ledger.store.Store for the promises. Threads may share one; after a fork, open another.

    Datetimes are stored with MongoDB's precision, milliseconds, and come back aware, in UTC.

    Args:
        database: where the collections are; another application's collections beside ours do not matter.
        sleep: waits between retries; replaced in tests.
    """

    def __init__(self, database: Database[Document], sleep: Callable[[float], None] = time.sleep) -> None:
        database = database.with_options(
            codec_options=CodecOptions(tz_aware=True, tzinfo=UTC), write_concern=WriteConcern(w="majority", j=True)
        )
        self._database = database
        self._campaigns = database["campaigns"]
        self._candidates = database["candidates"]
        self._model_versions = database["model_versions"]
        self._rounds = database["rounds"]
        self._retry = Retry(server_name(database.client, database.name), sleep=sleep)
        self.imported = ImportedEnergies(database["reference_energies"], self._retry)

    @classmethod
    def open(cls, uri: str, database: str) -> MongoStore:
        """Connect and make the indexes.

        Raises:
            StoreUnavailable: nothing answers at the URI.
        """
        store = cls(connect(uri)[database])
        store.ensure_indexes()
        return store

    @property
    def database(self) -> Database[Document]:
        """The database, for queries beyond the contract."""
        return self._database

    def close(self) -> None:
        """Close the connections."""
        self._database.client.close()

    def ensure_indexes(self) -> None:
        """Make the indexes that are missing."""
        unique = [("campaign", ASCENDING), ("key", ASCENDING)]
        self._retry(self._candidates.create_index, unique, unique=True)
        for name, indexes in INDEXES.items():
            for fields in indexes:
                keys = [(field, ASCENDING) for field in fields]
                self._retry(self._database[name].create_index, keys)

    # Campaigns

    def start_campaign(self, record: CampaignRecord) -> CampaignRecord:
        """See Store."""
        if self._insert(self._campaigns, record.to_document()):
            return record
        stored = self.campaign(record.id)
        if stored is None or stored.spec_digest != record.spec_digest:
            raise CampaignMismatch(
                f"the campaign {record.id!r} was started with another specification "
                f"(digest {stored.spec_digest[:12] if stored else 'unknown'}, now {record.spec_digest[:12]}); "
                "run it with the file it was started with, or give the changed one another name"
            )
        return stored

    def campaign(self, name: str) -> CampaignRecord | None:
        """See Store."""
        document = self._retry(lambda: self._campaigns.find_one({"_id": name}))
        return None if document is None else CampaignRecord.from_document(document)

    def campaigns(self) -> tuple[CampaignRecord, ...]:
        """See Store."""
        found = self._find(self._campaigns, {}, ("created_at", "_id"))
        return tuple(CampaignRecord.from_document(document) for document in found)

    def set_campaign_state(self, name: str, state: CampaignState, now: datetime, outcome: str = "") -> None:
        """See Store."""
        self._update_campaign(name, {"$set": {"state": str(state), "outcome": outcome, "updated_at": now}})

    def add_span(self, name: str, span: Span) -> None:
        """See Store; a span that is already there, as after a lost answer, is not added again."""
        self._update_campaign(name, {"$addToSet": {"spans": span.to_document()}})

    # Candidates: proposal and choice

    def add_candidates(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """See Store."""
        if not candidates:
            return ()
        mark = _new_mark()
        documents = [{**candidate.to_document(), "move": mark} for candidate in candidates]
        self._retry(lambda: insert_new(self._candidates, documents))
        return self._marked([candidate.id for candidate in candidates], mark)

    def candidate(self, candidate_id: str) -> Candidate | None:
        """See Store."""
        return _candidate(self._retry(lambda: self._candidates.find_one({"_id": candidate_id})))

    def candidates(
        self,
        campaign: str | None = None,
        *,
        round: int | None = None,
        states: Iterable[CandidateState] | None = None,
        formula: str | None = None,
    ) -> tuple[Candidate, ...]:
        """See Store."""
        wanted = {"campaign": campaign, "round": round, "formula": formula}
        condition: Document = {field: value for field, value in wanted.items() if value is not None}
        if states is not None:
            condition["state"] = {"$in": [str(state) for state in states]}
        return self.matching(condition)

    def matching(self, condition: Mapping[str, Any]) -> tuple[Candidate, ...]:
        """Candidates that a filter document of db.query.to_mongo matches, ordered by (round, id)."""
        return tuple(Candidate.from_document(_unmarked(found)) for found in self._find(self._candidates, condition))

    def queue(self, candidate_ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        """See Store."""
        mark = _new_mark()
        old = {"_id": {"$in": list(candidate_ids)}, "state": str(CandidateState.PROPOSED)}
        new = {"$set": {"state": str(CandidateState.QUEUED), "updated_at": now, "move": mark}}
        self._retry(lambda: self._candidates.update_many(old, new))
        return self._marked(candidate_ids, mark)

    # Candidates: work under a lease

    def claim(self, candidate_id: str, worker: str, now: datetime, ttl_s: float) -> Candidate | None:
        """See Store."""
        lease = Lease(token=_new_mark(), worker=worker, started_at=now, expires_at=now + timedelta(seconds=ttl_s))
        fields = {"state": str(CandidateState.RUNNING), "lease": lease.to_document()}
        return _candidate(self._move(candidate_id, {"state": str(CandidateState.QUEUED)}, fields, now))

    def heartbeat(self, candidate_id: str, token: str, now: datetime, ttl_s: float) -> bool:
        """See Store."""
        condition = {"_id": candidate_id, **_under(token)}
        extended = {"$set": {"lease.expires_at": now + timedelta(seconds=ttl_s)}}
        return self._retry(lambda: self._candidates.update_one(condition, extended)).matched_count == 1

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

    def expire_leases(self, now: datetime) -> tuple[str, ...]:
        """See Store."""
        ended = {"state": str(CandidateState.RUNNING), "lease.expires_at": {"$lt": now}}
        return tuple(
            document["_id"]
            for document in self._find(self._candidates, ended)
            if self._expire(Candidate.from_document(_unmarked(document)), now)
        )

    def _expire(self, candidate: Candidate, now: datetime) -> bool:
        lease = candidate.lease
        if lease is None:
            return False
        attempt = Attempt(
            number=len(candidate.attempts) + 1,
            started_at=lease.started_at,
            outcome="interrupted",
            detail=f"no sign of life from {lease.worker} since its lease ended at {lease.expires_at.isoformat()}",
            worker=lease.worker,
        )
        still_ended = {**_under(lease.token), "lease.expires_at": {"$lt": now}}  # a late heartbeat wins
        fields = {"state": str(CandidateState.QUEUED), "lease": None}
        return self._move(candidate.id, still_ended, fields, now, {"attempts": attempt.to_document()}) is not None

    # Candidates: results

    def relaxation_by_key(self, key: str) -> Candidate | None:
        """See Store."""
        condition = {"key": key, "state": str(CandidateState.RELAXED)}
        oldest = [("updated_at", ASCENDING)]  # the one that was computed; copies came later
        return _candidate(self._retry(lambda: self._candidates.find_one(condition, sort=oldest)))

    def with_key(self, key: str) -> tuple[Candidate, ...]:
        """See Store."""
        return self.matching({"key": key})

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

    def set_above_hull(self, candidate_id: str, e_above_hull: float | None, reason: str | None) -> bool:
        """See Store."""
        condition = {"_id": candidate_id, "state": str(CandidateState.RELAXED)}
        update = {"$set": {"e_above_hull": e_above_hull, "hull_reason": reason}}
        return self._retry(lambda: self._candidates.update_one(condition, update)).matched_count == 1

    # Model versions and rounds

    def add_model_version(self, version: ModelVersion) -> ModelVersion:
        """See Store."""
        if self._insert(self._model_versions, version.to_document()):
            return version
        return self.model_version(version.id) or version

    def model_version(self, version_id: str) -> ModelVersion | None:
        """See Store."""
        document = self._retry(lambda: self._model_versions.find_one({"_id": version_id}))
        return None if document is None else ModelVersion.from_document(document)

    def model_versions(self, campaign: str) -> tuple[ModelVersion, ...]:
        """See Store."""
        found = self._find(self._model_versions, {"campaign": campaign}, ("number", "_id"))
        return tuple(ModelVersion.from_document(document) for document in found)

    def put_round(self, round_: Round) -> None:
        """See Store."""
        self._retry(lambda: self._rounds.replace_one({"_id": round_.id}, round_.to_document(), upsert=True))

    def rounds(self, campaign: str) -> tuple[Round, ...]:
        """See Store."""
        found = self._find(self._rounds, {"campaign": campaign}, ("number", "_id"))
        return tuple(Round.from_document(document) for document in found)

    # The few commands

    def _move(
        self, candidate_id: str, old: Document, fields: Document, now: datetime, push: Document | None = None
    ) -> Document | None:
        """Change one candidate if it is as expected; the new document, or None where somebody else was first."""
        mark = _new_mark()
        update: Document = {"$set": {**fields, "updated_at": now, "move": mark}}
        if push:
            update["$push"] = push
        condition = {"_id": candidate_id, **old, "move": {"$ne": mark}}

        def command() -> Document | None:
            changed = self._candidates.find_one_and_update(condition, update, return_document=ReturnDocument.AFTER)
            return changed or self._candidates.find_one({"_id": candidate_id, "move": mark})

        return self._retry(command)

    def _marked(self, candidate_ids: Sequence[str], mark: str) -> tuple[str, ...]:
        condition = {"_id": {"$in": list(candidate_ids)}, "move": mark}
        found = self._retry(lambda: {document["_id"] for document in self._candidates.find(condition, {"_id": 1})})
        return tuple(dict.fromkeys(candidate_id for candidate_id in candidate_ids if candidate_id in found))

    def _update_campaign(self, name: str, update: Document) -> None:
        if self._retry(lambda: self._campaigns.update_one({"_id": name}, update)).matched_count == 0:
            raise LookupError(f"no campaign {name!r} in this database; start_campaign comes first")

    def _insert(self, collection: Collection[Document], document: Document) -> bool:
        def command() -> bool:
            try:
                collection.insert_one(document)
            except DuplicateKeyError:
                return False
            return True

        return self._retry(command)

    def _find(
        self, collection: Collection[Document], condition: Mapping[str, Any], order: Sequence[str] = ("round", "_id")
    ) -> list[Document]:
        keys = [(field, ASCENDING) for field in order]
        return self._retry(lambda: list(collection.find(condition).sort(keys)))


def _under(token: str) -> Document:
    """The condition that the lease is still the caller's."""
    return {"state": str(CandidateState.RUNNING), "lease.token": token}


def _new_mark() -> str:
    return uuid.uuid4().hex


def _unmarked(document: Document) -> Document:
    return {field: value for field, value in document.items() if field != "move"}


def _candidate(document: Document | None) -> Candidate | None:
    return None if document is None else Candidate.from_document(_unmarked(document))
