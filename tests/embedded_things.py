"""A database of a test's own on the embedded server or on a given one, with ten documents in it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from crystalloop.db.ledger.access.connection import connect

T0 = datetime(2026, 11, 21, 12)


@pytest.fixture
def database(mongodb_uri, database_name):
    with connect(mongodb_uri) as client:
        yield client[database_name]


@pytest.fixture
def things(database):
    """Ten documents: k 0..2, v rising, arrays and embedded documents."""
    collection = database.things
    collection.insert_many(
        {
            "_id": i,
            "k": i % 3,
            "v": i * 1.5,
            "name": f"name{i}",
            "list": [i, i + 1],
            "sub": {"x": i, "parts": [{"a": i, "b": "q"}, {"a": i + 1, "b": "r"}]},
            "at": T0 + timedelta(days=i),
        }
        for i in range(10)
    )
    return collection


@pytest.fixture
def only_embedded(database):
    if not database.client.server_info().get("embedded"):
        pytest.skip("a promise of the embedded server alone")


def ids(cursor):
    return [document["_id"] for document in cursor]
