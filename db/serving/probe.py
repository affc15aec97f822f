"""The start-up probe: does a database answer as MongoDB would, in the points on which this project relies?

Servers that only resemble MongoDB fail here by name, rather than later and silently.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import PyMongoError

from crystalloop.db.ledger.access.connection import Document, connect
from crystalloop.db.ledger.access.redaction import without_secrets

THREADS, INCREMENTS = 8, 50
UNAUTHORISED = 13  # MongoDB's code


class UnfitDatabase(Exception):
    """A database that does not do what the protocol promises."""

    exit_kind = "database"


def probe(uri: str) -> None:
    """Try what is relied on, in a database of its own that is dropped afterwards.

    Raises:
        UnfitDatabase: naming the check that failed.
    """
    with connect(uri) as client:
        database = client[f"probe_{uuid.uuid4().hex[:12]}"]
        try:
            for name, check in CHECKS.items():
                _run(name, check, database)
        finally:
            with suppress(PyMongoError):  # a database that fails here has failed above
                client.drop_database(database.name)


def _run(name: str, check: Callable[[Database[Document]], bool], database: Database[Document]) -> None:
    try:
        fit = check(database)
    except PyMongoError as error:
        said = without_secrets((str(error).splitlines() or [type(error).__name__])[0].partition(", full error:")[0])[
            :200
        ]
        move = "use MongoDB 4.4 or later"
        if getattr(error, "code", None) == UNAUTHORISED:
            move = "let its user read and write any database, since each new server is tried in one of its own"
        raise UnfitDatabase(f"the database fails at: {name} ({said}); {move}") from None
    if not fit:
        raise UnfitDatabase(f"the database answers wrongly: {name}; use MongoDB 4.4 or later")


def _nested_array(database: Database[Document]) -> bool:
    lattice = [[0.0, 2.5, 2.5], [2.5, 0.0, 2.5], [2.5, 2.5, 0.0]]
    database.arrays.insert_one({"_id": 1, "lattice": lattice})
    found = database.arrays.find_one({"_id": 1})
    return found is not None and found["lattice"] == lattice


def _element_match(database: Database[Document]) -> bool:
    split = [{"a": 1, "b": 2}, {"a": 3, "b": 1}]  # a == 1 and b == 1, but in different elements
    database.elements.insert_many([{"_id": 1, "all": split}, {"_id": 2, "all": [{"a": 1, "b": 1}]}])
    found = database.elements.find({"all": {"$elemMatch": {"a": 1, "b": 1}}})
    return [document["_id"] for document in found] == [2]


def _lookup(database: Database[Document]) -> bool:
    database.left.insert_many([{"_id": 1, "key": "x"}, {"_id": 2, "key": "y"}])
    database.right.insert_one({"_id": 7, "name": "y"})
    join = {"from": "right", "localField": "key", "foreignField": "name", "as": "joined"}
    found = database.left.aggregate([{"$sort": {"_id": 1}}, {"$lookup": join}])
    return [[row["_id"] for row in document["joined"]] for document in found] == [[], [7]]


def _increments(database: Database[Document]) -> bool:
    database.counters.insert_one({"_id": "next", "n": 0})

    def increment(_: int) -> list[int]:
        values = []
        for _ in range(INCREMENTS):
            found = database.counters.find_one_and_update(
                {"_id": "next"}, {"$inc": {"n": 1}}, return_document=ReturnDocument.AFTER
            )
            values.append(-1 if found is None else int(found["n"]))
        return values

    with ThreadPoolExecutor(THREADS) as pool:
        seen = [value for values in pool.map(increment, range(THREADS)) for value in values]
    return sorted(seen) == list(range(1, THREADS * INCREMENTS + 1))


CHECKS: dict[str, Callable[[Database[Document]], bool]] = {
    "an array in an array": _nested_array,
    "$elemMatch with two fields": _element_match,
    "$lookup by equality": _lookup,
    f"{THREADS} threads x {INCREMENTS} $inc without a duplicate": _increments,
}
