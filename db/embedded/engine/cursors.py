"""Answers that are handed out in batches, and forgotten when nobody asks for the rest."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from crystalloop.db.embedded.engine.values import MAX_DOCUMENT_BYTES, BsonDocument, Code, CommandError

FIRST_BATCH = 101
"""Documents in a first batch whose size the client left open, as in MongoDB."""


@dataclass
class _Cursor:
    namespace: str
    rest: Iterator[bytes]
    ahead: bytes | None  # the next document, so that the end is known with the last batch
    used_at: float


class Cursors:
    """Open cursors.

    Args:
        timeout_s: how long a cursor may rest.
        clock: seconds that only grow.
    """

    def __init__(self, timeout_s: float, clock: Callable[[], float]) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._open: dict[int, _Cursor] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, namespace: str, documents: Iterable[bytes], batch_size: int | None = None) -> BsonDocument:
        """The reply with the first batch of some encoded documents."""
        self._expire()
        rest = iter(documents)
        cursor = _Cursor(namespace, rest, next(rest, None), self._clock())
        batch = _batch(cursor, FIRST_BATCH if batch_size is None else batch_size)
        id_ = 0
        if cursor.ahead is not None:
            id_ = secrets.randbits(62) | 1
            self._open[id_] = cursor
        return {"cursor": {"firstBatch": batch, "id": Int64(id_), "ns": namespace}, "ok": 1.0}

    def more(self, id_: int, batch_size: int | None) -> BsonDocument:
        """The reply with the next batch.

        Raises:
            CommandError: CursorNotFound: used up, killed, or timed out.
        """
        self._expire()
        cursor = self._open.get(id_)
        if cursor is None:
            raise CommandError(
                Code.CursorNotFound, f"cursor id {id_} not found; it rested for more than {self._timeout_s:g} s?"
            )
        cursor.used_at = self._clock()
        batch = _batch(cursor, batch_size or MAX_DOCUMENT_BYTES)
        if cursor.ahead is None:
            del self._open[id_]
        return {
            "cursor": {"nextBatch": batch, "id": Int64(0 if cursor.ahead is None else id_), "ns": cursor.namespace},
            "ok": 1.0,
        }

    def kill(self, ids: Iterable[int]) -> BsonDocument:
        """Forget cursors."""
        asked = list(ids)
        killed = [id_ for id_ in asked if self._open.pop(id_, None) is not None]
        return {
            "cursorsKilled": killed,
            "cursorsNotFound": [id_ for id_ in asked if id_ not in killed],
            "cursorsAlive": [],
            "cursorsUnknown": [],
            "ok": 1.0,
        }

    def _expire(self) -> None:
        oldest = self._clock() - self._timeout_s
        for id_ in [id_ for id_, cursor in self._open.items() if cursor.used_at < oldest]:
            del self._open[id_]


def _batch(cursor: _Cursor, count: int) -> list[RawBSONDocument]:
    """Up to `count` documents and 16 MB, but at least one."""
    batch: list[RawBSONDocument] = []
    size = 0
    while cursor.ahead is not None and len(batch) < count:
        size += len(cursor.ahead)
        if batch and size > MAX_DOCUMENT_BYTES:
            break
        batch.append(RawBSONDocument(cursor.ahead))
        cursor.ahead = next(cursor.rest, None)
    return batch
