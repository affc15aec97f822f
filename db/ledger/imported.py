"""ImportedEnergies: total energies from elsewhere, for convex hulls. Which of them are compared is decided by who asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crystalloop.db.ledger.connection import Retry
from crystalloop.db.ledger.records import ReferenceEnergy


class ImportedEnergies:
    """The imported energies of one database, of all schemes.

    Every method may raise StoreUnavailable, and may then be called again.

    Args:
        collection: of pymongo.
        retry: runs a command again while the server is away.
    """

    def __init__(self, collection: Any, retry: Retry) -> None:  # noqa: ANN401  (only db.ledger.mongo knows pymongo's types)
        self._collection, self._retry = collection, retry

    def put(self, energies: Sequence[ReferenceEnergy]) -> tuple[int, int]:
        """Insert, or replace those of the same id; returns how many are new and how many replaced."""
        replaced = 0
        for energy in energies:
            document = energy.to_document()
            done = self._retry(self._collection.replace_one, {"_id": document["_id"]}, document, upsert=True)
            replaced += int(done.matched_count)
        return len(energies) - replaced, replaced

    def all(self) -> tuple[ReferenceEnergy, ...]:
        """Every one, ordered by id."""
        found = self._retry(lambda: list(self._collection.find({}).sort([("_id", 1)])))
        return tuple(ReferenceEnergy.from_document(document) for document in found)
