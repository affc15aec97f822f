"""SQLite on the disk, and the journal of a command: disk and memory change together or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson

from crystalloop.db.embedded.engine.values import STORED, BsonDocument, Code, CommandError


class Journal:
    """Collects the changes of one command, so that disk and memory change together or not at all."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self._undo: list[Callable[[], None]] = []

    def note(self, undo: Callable[[], None], *statements: Statement) -> None:
        """Record a change that was just made in memory."""
        self.statements.extend(statements)
        self._undo.append(undo)

    def forget(self) -> None:
        """The changes are on disk."""
        self.statements.clear()
        self._undo.clear()

    def revert(self) -> None:
        """Take the changes back, last first."""
        for undo in reversed(self._undo):
            undo()
        self.forget()


LAYOUT = 1
"""Version of the tables, kept in the file's user_version."""
_TABLES = """
CREATE TABLE IF NOT EXISTS collections(
    id INTEGER PRIMARY KEY, database TEXT NOT NULL, name TEXT NOT NULL, indexes BLOB NOT NULL, UNIQUE(database, name));
CREATE TABLE IF NOT EXISTS documents(number INTEGER PRIMARY KEY, collection INTEGER NOT NULL, body BLOB NOT NULL);
"""

Statement = tuple[str, tuple[Any, ...]]


class StorageError(Exception):
    """The data file cannot be used."""


@dataclass(frozen=True)
class StoredCollection:
    """A collection as found on disk."""

    id: int
    database: str
    name: str
    indexes: tuple[BsonDocument, ...]


class Storage:
    """An open data file; used by one process and, at a time, by one thread.

    Raises:
        StorageError: the file is damaged, or was written by another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=FULL")
            (layout,) = self._file.execute("PRAGMA user_version").fetchone()
            if layout not in (0, LAYOUT):
                raise StorageError(f"{path} has layout {layout}, this version reads {LAYOUT}; use the version it needs")
            self._file.executescript(_TABLES)
            self._file.execute(f"PRAGMA user_version={LAYOUT}")
        except sqlite3.Error as error:
            raise StorageError(f"{path} cannot be opened as a data file: {error}") from error

    def collections(self) -> Iterator[StoredCollection]:
        """Every collection."""
        for id_, database, name, indexes in self._file.execute("SELECT id, database, name, indexes FROM collections"):
            yield StoredCollection(id_, database, name, tuple(bson.decode(indexes, STORED)["indexes"]))

    def documents(self) -> Iterator[tuple[int, int, bytes]]:
        """(number, collection id, BSON) of every document, oldest first."""
        yield from self._file.execute("SELECT number, collection, body FROM documents ORDER BY number")

    def commit(self, statements: Sequence[Statement]) -> None:
        """Write all statements in one transaction, or none.

        Raises:
            CommandError: OutOfDiskSpace, or UnknownError for another failure of the disk; the file is unchanged.
        """
        try:
            self._file.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                self._file.execute(sql, values)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            raise CommandError(
                Code.OutOfDiskSpace if full else Code.UnknownError,
                f"nothing was changed: {self._path} could not be written ({error})",
            ) from error

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        self._file.close()


def add_document(number: int, collection: int, body: bytes) -> Statement:
    """Insert a document."""
    return "INSERT INTO documents VALUES(?, ?, ?)", (number, collection, body)


def change_document(number: int, body: bytes) -> Statement:
    """Replace a document by another."""
    return "UPDATE documents SET body = ? WHERE number = ?", (body, number)


def remove_document(number: int) -> Statement:
    """Delete a document."""
    return "DELETE FROM documents WHERE number = ?", (number,)


def put_collection(id_: int, database: str, name: str, indexes: Sequence[BsonDocument]) -> Statement:
    """Create a collection, rename it, or set its indexes."""
    body = bson.encode({"indexes": list(indexes)})
    return "INSERT OR REPLACE INTO collections VALUES(?, ?, ?, ?)", (id_, database, name, body)


def remove_collection(id_: int) -> tuple[Statement, Statement]:
    """Delete a collection with its documents."""
    return (
        ("DELETE FROM documents WHERE collection = ?", (id_,)),
        ("DELETE FROM collections WHERE id = ?", (id_,)),
    )
