"""A collection in memory: documents, their indexes, finding and changing them. Nothing here touches the disk itself.

Documents are never changed in place: a change replaces the entry, so that cursors and undo can keep the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import bson
from bson.errors import InvalidDocument
from bson.objectid import ObjectId

from crystalloop.db.embedded.engine import storage
from crystalloop.db.embedded.engine.index import Index, equalities, predicate
from crystalloop.db.embedded.engine.storage import Journal
from crystalloop.db.embedded.engine.values import (
    MAX_DEPTH,
    MAX_DOCUMENT_BYTES,
    STORED,
    BsonDocument,
    Code,
    CommandError,
    canonical,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored document: its number (order of insertion), its key in the collection, itself, and its BSON."""

    number: int
    key: Hashable
    document: BsonDocument
    raw: bytes


class Collection:
    """Documents by `_id` and by number, with hash indexes.

    Args:
        id_: its number on disk.
        journal: where every change is noted.
        next_number: gives the number of the next document.
    """

    def __init__(self, id_: int, database: str, name: str, journal: Journal, next_number: Callable[[], int]) -> None:
        self.id = id_
        self.database = database
        self.name = name
        self.indexes: dict[str, Index] = {}
        self._journal = journal
        self._next_number = next_number
        self._by_key: dict[Hashable, Entry] = {}
        self._by_number: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def namespace(self) -> str:
        """`database.collection`."""
        return f"{self.database}.{self.name}"

    def load(self, number: int, raw: bytes) -> None:
        """Enter a document that is on disk already."""
        document = bson.decode(raw, STORED)
        self._swap(None, Entry(number, canonical(document["_id"]), document, raw))

    def matching(self, query: BsonDocument) -> Iterator[Entry]:
        """Entries that match, in order of insertion; safe against changes made while iterating."""
        entries, rest = self._narrow(query)
        matches = predicate(rest)
        if matches is None:
            yield from entries
            return
        if not entries:  # a malformed filter is an error also where there is nothing to find
            with suppress(KeyError, TypeError):  # an expression over fields that the empty document lacks
                matches({})
        yield from (entry for entry in entries if matches(entry.document))

    def insert(self, document: BsonDocument) -> Entry:
        """Add a document; an `_id` is made where it has none.

        Raises:
            CommandError: DuplicateKey, BSONObjectTooLarge or BadValue; nothing was changed.
        """
        _require_shallow(document)
        document = {"_id": document["_id"] if "_id" in document else ObjectId(), **document}
        if isinstance(document["_id"], list) or document["_id"] is None:
            raise CommandError(Code.BadValue, f"_id cannot be {document['_id']!r}")
        raw = encoded(document)
        entry = Entry(self._next_number(), canonical(document["_id"]), document, raw)
        if entry.key in self._by_key:
            raise self._named(
                CommandError(
                    Code.DuplicateKey,
                    f"E11000 duplicate key error index: _id_ dup key: {{'_id': {document['_id']!r}}}",
                    keyPattern={"_id": 1},
                )
            )
        self._put(None, entry)
        return entry

    def replace(self, old: Entry, document: BsonDocument) -> Entry:
        """Put another document in an entry's place; returns `old` itself where nothing differs.

        Raises:
            CommandError: DuplicateKey, BSONObjectTooLarge or BadValue; nothing was changed.
        """
        _require_shallow(document)
        raw = encoded(document)
        if raw == old.raw:
            return old
        # decoded again, so that memory holds what the disk holds: milliseconds, lists for tuples, nothing shared
        entry = Entry(old.number, old.key, bson.decode(raw, STORED), raw)
        self._put(old, entry)
        return entry

    def remove(self, entry: Entry) -> None:
        """Delete a document."""
        self._swap(entry, None)
        self._journal.note(lambda: self._swap(None, entry), storage.remove_document(entry.number))

    def add_index(self, index: Index) -> None:
        """Build an index over what is there.

        Raises:
            CommandError: DuplicateKey, where a unique key occurs twice; nothing was changed.
        """
        try:
            for entry in self._by_number.values():
                index.check(entry.number, entry.document)
                index.add(entry.number, entry.document)
        except CommandError as error:
            raise self._named(error) from None
        self.indexes[index.name] = index
        self._journal.note(lambda: self._forget_index(index.name), self.row())

    def drop_index(self, name: str) -> None:
        """Drop an index by its name.

        Raises:
            CommandError: IndexNotFound.
        """
        index = self.indexes.get(name)
        if index is None:
            raise CommandError(Code.IndexNotFound, f"index not found with name [{name}]")
        del self.indexes[name]
        # an undo undoes later changes first, so the index fits again when it comes back
        self._journal.note(lambda: self._return_index(index), self.row())

    def row(self) -> storage.Statement:
        """The collection as its row on disk."""
        return storage.put_collection(self.id, self.database, self.name, [i.spec for i in self.indexes.values()])

    def _forget_index(self, name: str) -> None:
        del self.indexes[name]

    def _return_index(self, index: Index) -> None:
        self.indexes[index.name] = index

    def _put(self, old: Entry | None, new: Entry) -> None:
        try:
            for index in self.indexes.values():
                index.check(new.number, new.document)
        except CommandError as error:
            raise self._named(error) from None
        self._swap(old, new)
        added = storage.add_document(new.number, self.id, new.raw)
        statement = added if old is None else storage.change_document(new.number, new.raw)
        self._journal.note(lambda: self._swap(new, old), statement)

    def _swap(self, old: Entry | None, new: Entry | None) -> None:
        for index in self.indexes.values():
            if old is not None:
                index.remove(old.number, old.document)
            if new is not None:
                index.add(new.number, new.document)
        if old is not None and new is None:
            del self._by_key[old.key], self._by_number[old.number]
        if new is not None:
            late = old is None and new.number < next(reversed(self._by_number), 0)
            self._by_key[new.key] = self._by_number[new.number] = new
            if late:  # an undone removal returns to its place in the order
                self._by_number = dict(sorted(self._by_number.items()))

    def _narrow(self, query: BsonDocument) -> tuple[list[Entry], BsonDocument]:
        """The fewest candidates that an index gives, and what is left of the filter to test on them."""
        best: list[Entry] | None = None
        served = None
        lookups = {index.leading_path: index for index in self.indexes.values()}
        for one in equalities(query):
            if one.path == "_id":
                found = [self._by_key[key] for key in dict.fromkeys(one.values) if key in self._by_key]
            elif one.path in lookups:
                found = [self._by_number[number] for number in lookups[one.path].holders(one.values)]
            else:
                continue
            if best is None or len(found) < len(best):
                best, served = found, one.path if one.whole else None
        if best is None:
            return list(self._by_number.values()), query
        best.sort(key=lambda entry: entry.number)
        return best, {path: condition for path, condition in query.items() if path != served}

    def _named(self, error: CommandError) -> CommandError:
        message = error.message.replace("key error index:", f"key error collection: {self.namespace} index:")
        return CommandError(error.code, message, **error.details)


def _require_shallow(document: BsonDocument) -> None:
    """Refuse what is nested so deep that it could not be read again.

    Raises:
        CommandError: BadValue, over MAX_DEPTH.
    """
    here: list[object] = [document]
    for _ in range(MAX_DEPTH):
        here = [inner for outer in here for inner in _parts(outer) if isinstance(inner, dict | list)]
        if not here:
            return
    raise CommandError(Code.BadValue, f"the document is nested more than {MAX_DEPTH} deep")


def _parts(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def encoded(document: BsonDocument) -> bytes:
    """The BSON of a document.

    Raises:
        CommandError: BSONObjectTooLarge over 16 MB; BadValue for what BSON cannot hold.
    """
    try:
        raw = bson.encode(document)
    except (InvalidDocument, OverflowError) as error:
        raise CommandError(Code.BadValue, str(error)) from error
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise CommandError(
            Code.BSONObjectTooLarge, f"the document has {len(raw)} bytes, the limit is {MAX_DOCUMENT_BYTES}"
        )
    return raw
