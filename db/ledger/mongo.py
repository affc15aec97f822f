"""MongoStore: the documents of the Store contract in MongoDB, and their indexes. Connecting and retrying live in connection.

Only commands that the embedded server knows are used. A state change is one findAndModify that carries the expected
old state, so it needs no transaction. Each change also writes a fresh `move` mark beside the record: when the answer
of a command is lost and the command is repeated, the mark tells "done by us" from "somebody else was first".
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, InvalidName
from pymongo.write_concern import WriteConcern

from crystalloop.db.ledger.access.connection import Document, Retry, connect, insert_new, server_name
from crystalloop.db.ledger.documents import DocumentStore
from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.db.ledger.store import StoreRefused
from crystalloop.db.ledger.unreadable import reason_of

INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "candidates": (("campaign", "round", "state"), ("state",), ("key",), ("lease.expires_at",)),
    "model_versions": (("campaign", "number"),),
    "rounds": (("campaign", "number"),),
}

_STORED: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
_LENIENT: CodecOptions[Document] = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_AS_SENT: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
LIGHT_BATCH = 100_000
"""Documents of a few fields that come in one answer, where the default is 101: a step of the loop asks in one command."""


class MongoStore(DocumentStore):
    """See db.ledger.store.Store for the promises. Threads may share one; after a fork, open another.

    Datetimes are stored with MongoDB's precision, milliseconds, and come back aware, in UTC.

    Args:
        database: where the collections are; another application's collections beside ours do not matter.
        sleep: waits between retries; replaced in tests.
    """

    def __init__(self, database: Database[Document], sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__()
        self._database: Database[Document] = database.with_options(
            codec_options=_STORED, write_concern=WriteConcern(w="majority", j=True)
        )
        self._candidates = self._database["candidates"]
        self._retry = Retry(server_name(database.client, database.name), sleep=sleep)

    @classmethod
    def open(cls, uri: str, database: str) -> MongoStore:
        """Connect and make the indexes.

        Raises:
            StoreUnavailable: nothing answers at the URI.
            StoreRefused: what answers there has no use for the name, or for us.
        """
        client = connect(uri)
        try:
            store = cls(client[database])
        except InvalidName as error:
            client.close()
            raise StoreRefused(f"{database!r} is no name of a database: {error}") from None
        store.ensure_indexes()
        return store

    @property
    def database(self) -> Database[Document]:
        """The database, for queries beyond the contract."""
        return self._database

    def close(self) -> None:
        """See Store."""
        self._database.client.close()

    def ensure_indexes(self) -> None:
        """Make the indexes that are missing."""
        unique = [("campaign", ASCENDING), ("key", ASCENDING)]
        self._retry(self._candidates.create_index, unique, unique=True)
        for name, indexes in INDEXES.items():
            for fields in indexes:
                self._retry(self._database[name].create_index, [(field, ASCENDING) for field in fields])

    def add_candidates(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """See Store."""
        if not candidates:
            return ()
        mark = _new_mark()
        documents = [{**candidate.to_document(), "move": mark} for candidate in candidates]
        self._retry(lambda: insert_new(self._candidates, documents))
        return self._marked([candidate.id for candidate in candidates], mark)

    def queue(self, candidate_ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        """See Store."""
        mark = _new_mark()
        old = {"_id": {"$in": list(candidate_ids)}, "state": str(CandidateState.PROPOSED)}
        new = {"$set": {"state": str(CandidateState.QUEUED), "updated_at": now, "move": mark}}
        self._retry(lambda: self._candidates.update_many(old, new))
        return self._marked(candidate_ids, mark)

    def _move(
        self,
        candidate_id: str,
        old: Mapping[str, Any],
        fields: Mapping[str, Any],
        now: datetime,
        push: Mapping[str, Any] | None = None,
    ) -> Candidate | None:
        mark = _new_mark()
        update: Document = {"$set": {**fields, "updated_at": now, "move": mark}}
        if push:
            update["$push"] = push
        condition = {"_id": candidate_id, **old, "move": {"$ne": mark}}

        def command() -> Document | None:
            changed = self._candidates.find_one_and_update(condition, update, return_document=ReturnDocument.AFTER)
            return changed or self._candidates.find_one({"_id": candidate_id, "move": mark})

        document = self._retry(command)
        found = [] if document is None else [_unmarked(document)]
        return next(iter(self.unreadable.read("candidates", found, Candidate.from_document)), None)

    def _marked(self, candidate_ids: Sequence[str], mark: str) -> tuple[str, ...]:
        condition = {"_id": {"$in": list(candidate_ids)}, "move": mark}
        found = self._retry(lambda: {document["_id"] for document in self._candidates.find(condition, {"_id": 1})})
        return tuple(dict.fromkeys(candidate_id for candidate_id in candidate_ids if candidate_id in found))

    def _find(
        self, collection: str, condition: Mapping[str, Any], order: Sequence[str], fields: Sequence[str] = ()
    ) -> list[Document]:
        keys, wanted = [(field, ASCENDING) for field in order], dict.fromkeys(fields, 1) or None
        batch = LIGHT_BATCH if fields else 0  # 0: the server's choice
        find = partial(self._database[collection].with_options(_AS_SENT).find, condition, wanted, batch_size=batch)
        found = self._retry(lambda: list(find().sort(keys)))
        return [_unmarked(document) for document in self._decoded(collection, found)]

    def _decoded(self, collection: str, found: Sequence[RawBSONDocument]) -> Iterator[Document]:
        """Each document by itself, so that one whose BSON is broken does not take the others with it."""
        broken: dict[str, str] = {}
        for raw in found:
            try:
                yield bson.decode(raw.raw, _STORED)
            except (BSONError, ValueError) as error:
                broken[_id_of(raw)] = reason_of(error)
        self.unreadable.note(collection, broken)

    def _insert(self, collection: str, document: Document) -> bool:
        def command() -> bool:
            try:
                self._database[collection].insert_one(document)
            except DuplicateKeyError:
                return False
            return True

        return self._retry(command)

    def _replace(self, collection: str, document: Document) -> bool:
        same = {"_id": document["_id"]}
        done = self._retry(lambda: self._database[collection].replace_one(same, document, upsert=True))
        return done.matched_count == 1

    def _set(self, collection: str, condition: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
        done = self._retry(lambda: self._database[collection].update_one(condition, {"$set": fields}))
        return done.matched_count == 1

    def _add_to_set(self, collection: str, key: str, field: str, value: Document) -> bool:
        added = {"$addToSet": {field: value}}  # not again after a lost answer
        return self._retry(lambda: self._database[collection].update_one({"_id": key}, added)).matched_count == 1


def _id_of(raw: RawBSONDocument) -> str:
    try:
        return str(bson.decode(raw.raw, _LENIENT).get("_id"))
    except (BSONError, ValueError):
        return f"an unreadable id, {len(raw.raw)} bytes"


def _new_mark() -> str:
    return uuid.uuid4().hex


def _unmarked(document: Document) -> Document:
    return {field: value for field, value in document.items() if field != "move"}
