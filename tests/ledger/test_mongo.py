"""What MongoStore does beyond the contract of stores: its indexes, and a server that is out of reach."""

from __future__ import annotations

import pytest

from crystalloop.db.ledger.access.connection import connect
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.store import StoreUnavailable


def test_indexes_are_made_once(store):
    names = {name for name, _ in store.database["candidates"].index_information().items()}
    store.ensure_indexes()
    assert {name for name, _ in store.database["candidates"].index_information().items()} == names
    assert "campaign_1_key_1" in names


def test_a_database_out_of_reach_is_retried_then_reported_without_the_password():
    pauses = []
    client = connect("mongodb://user:secret@127.0.0.1:9", select_ms=10)
    store = MongoStore(client.get_database("crystals"), sleep=pauses.append)
    with pytest.raises(StoreUnavailable, match=r"mongodb://127\.0\.0\.1:9/crystals") as caught:
        store.candidate("first-0000")
    client.close()
    assert "secret" not in str(caught.value)
    assert sum(pauses) == pytest.approx(10.3)
