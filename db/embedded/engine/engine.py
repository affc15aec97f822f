"""The databases of one data file in memory, and the rule that a command changes disk and memory together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from crystalloop.db.embedded.engine import storage
from crystalloop.db.embedded.engine.collection import Collection
from crystalloop.db.embedded.engine.cursors import Cursors
from crystalloop.db.embedded.engine.index import Index
from crystalloop.db.embedded.engine.storage import Journal, Storage
from crystalloop.db.embedded.engine.values import Code, CommandError

CURSOR_TIMEOUT_S = 600.0


class DocumentEngine:
    """All collections. Threads share it; commands run one after the other, inside `command`.

    Args:
        stored: the open data file.
        cursor_timeout_s: how long a cursor may rest.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        stored: Storage,
        cursor_timeout_s: float = CURSOR_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cursors = Cursors(cursor_timeout_s, clock)
        self._storage = stored
        self._lock = threading.Lock()
        self._journal = Journal()
        self._closed = False
        self._collections: dict[tuple[str, str], Collection] = {}
        self._load()

    @contextmanager
    def command(self) -> Iterator[None]:
        """One command: alone, and on disk when it ends; an exception leaves everything as it was.

        Raises:
            CommandError: what the command raised; OutOfDiskSpace or UnknownError when the disk refused;
                ShutdownInProgress after `close`.
        """
        with self._lock:
            if self._closed:
                raise CommandError(Code.ShutdownInProgress, "the server is stopping")
            try:
                yield
                if self._journal.statements:
                    self._storage.commit(self._journal.statements)
            except BaseException:  # whatever happened, memory goes back to what the disk holds
                self._journal.revert()
                raise
            self._journal.forget()

    def close(self) -> None:
        """Wait for the running command, refuse further ones, close the file."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._storage.close()

    def find(self, database: str, name: str) -> Collection | None:
        """The collection, if it exists."""
        return self._collections.get((database, name))

    def ensure(self, database: str, name: str) -> Collection:
        """The collection, made where it does not exist.

        Raises:
            CommandError: InvalidNamespace.
        """
        found = self.find(database, name)
        if found is not None:
            return found
        check_name(database, name)
        made = self._made(next(self._ids), database, name)
        self._enter(made)
        self._journal.note(lambda: self._leave(made), made.row())
        return made

    def drop(self, collection: Collection) -> None:
        """Drop a collection with everything in it."""
        self._leave(collection)
        self._journal.note(lambda: self._enter(collection), *storage.remove_collection(collection.id))

    def rename(self, collection: Collection, database: str, name: str) -> None:
        """Give a collection another name; one row on disk.

        Raises:
            CommandError: NamespaceExists or InvalidNamespace.
        """
        check_name(database, name)
        if self.find(database, name) is not None:
            raise CommandError(Code.NamespaceExists, f"target namespace exists: {database}.{name}")
        before = collection.database, collection.name
        self._move(collection, database, name)
        self._journal.note(lambda: self._move(collection, *before), collection.row())

    def databases(self) -> list[str]:
        """Names of the databases that have a collection."""
        return sorted({database for database, _ in self._collections})

    def collections(self, database: str) -> list[Collection]:
        """The collections of a database, by name."""
        return [self._collections[key] for key in sorted(self._collections) if key[0] == database]

    def _load(self) -> None:
        by_id: dict[int, Collection] = {}
        last = 0
        for row in self._storage.collections():
            by_id[row.id] = self._made(row.id, row.database, row.name)
            by_id[row.id].indexes = {index.name: index for index in map(Index, row.indexes)}
            self._enter(by_id[row.id])
        for last, collection, raw in self._storage.documents():
            by_id[collection].load(last, raw)
        self._ids = count(max(by_id, default=0) + 1)
        self._numbers = count(last + 1)

    def _made(self, id_: int, database: str, name: str) -> Collection:
        return Collection(id_, database, name, self._journal, lambda: next(self._numbers))

    def _enter(self, collection: Collection) -> None:
        self._collections[collection.database, collection.name] = collection

    def _leave(self, collection: Collection) -> None:
        del self._collections[collection.database, collection.name]

    def _move(self, collection: Collection, database: str, name: str) -> None:
        self._leave(collection)
        collection.database, collection.name = database, name
        self._enter(collection)


def check_name(database: str, name: str) -> None:
    """Refuse a name that MongoDB would refuse.

    Raises:
        CommandError: InvalidNamespace.
    """
    bad_database = not database or any(character in database for character in '/\\. "$\0') or len(database) > 63
    bad_name = not name or "$" in name or "\0" in name or name[0] == "." or name[-1] == "."
    if bad_database or bad_name:
        raise CommandError(Code.InvalidNamespace, f"invalid namespace: {database}.{name}")
