"""Collections, limits and many clients at once, through pymongo; on the embedded server, or on a given real one."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo import ReturnDocument
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, OperationFailure

# --- collections


def test_a_collection_is_renamed_with_its_documents_and_indexes(things, database):
    things.create_index("name", unique=True)
    database.other.insert_one({"_id": 1})
    with pytest.raises(OperationFailure) as caught:
        things.rename("other")
    assert caught.value.code == 48
    things.rename("other", dropTarget=True)
    assert database.list_collection_names() == ["other"]
    assert database.other.count_documents({}) == 10
    with pytest.raises(DuplicateKeyError):
        database.other.insert_one({"name": "name1"})


def test_dropped_collections_and_databases_are_gone(things, database):
    database.other.insert_one({"_id": 1})
    things.drop()
    assert database.list_collection_names() == ["other"]
    database.client.drop_database(database.name)
    assert database.name not in database.client.list_database_names()
    assert things.find_one() is None


# --- limits


def test_a_document_over_16_mb_is_refused(database):
    with pytest.raises(DocumentTooLarge):
        database.large.insert_one({"_id": 1, "body": "x" * (17 * 2**20)})
    database.large.insert_one({"_id": 1, "body": "x" * (9 * 2**20)})
    with pytest.raises(OperationFailure) as caught:
        database.large.update_one({"_id": 1}, {"$set": {"more": "x" * (9 * 2**20)}})
    assert caught.value.code in {10334, 17419, 17420}  # 10334 here; mongod has three codes for it
    assert set(database.large.find_one()) == {"_id", "body"}


@pytest.mark.parametrize(
    "attempt",
    [
        lambda c: c.update_one({"_id": 1}, {"$set": {"list.$[e]": 1}}, array_filters=[{"e": 1}]),
        lambda c: c.update_one({"_id": 1}, {"$mul": {"v": 2}}),
        lambda c: c.create_index("at", expireAfterSeconds=1),
        lambda c: c.create_index([("name", "text")]),
        lambda c: list(c.aggregate([{"$out": "elsewhere"}])),
        lambda c: c.find_one({"$where": "true"}),
        lambda c: c.find_one({}, collation={"locale": "en"}),
        lambda c: c.database.create_collection("checked", validator={"x": 1}),
    ],
)
def test_what_the_embedded_server_cannot_do_is_refused_by_name(only_embedded, things, attempt):
    before = list(things.find())
    with pytest.raises(OperationFailure, match=r"this server|not implemented"):
        attempt(things)
    assert list(things.find()) == before


def test_the_embedded_server_says_what_it_is(only_embedded, database):
    assert "this is not MongoDB" in database.client.server_info()["description"]


# --- several at once


def test_threads_count_without_losing_one(database):
    database.counters.insert_one({"_id": "next", "n": 0})

    def increments(_):
        after = ReturnDocument.AFTER
        change = {"$inc": {"n": 1}}
        return [
            database.counters.find_one_and_update({"_id": "next"}, change, return_document=after)["n"]
            for _ in range(40)
        ]

    with ThreadPoolExecutor(8) as pool:
        seen = sorted(n for values in pool.map(increments, range(8)) for n in values)
    assert seen == list(range(1, 321))


CLAIMS = """
import sys
from crystalloop.db.ledger.access.connection import connect
uri, name, worker = sys.argv[1:]
with connect(uri) as client:
    jobs = client[name].jobs
    while jobs.find_one_and_update(
        {"state": "ready"}, {"$set": {"state": "done"}, "$push": {"workers": worker}}, sort=[("rank", -1)]
    ):
        pass
"""


def test_processes_claim_each_job_exactly_once(database, mongodb_uri):
    database.jobs.create_index("state")
    database.jobs.insert_many({"_id": i, "state": "ready", "rank": i % 7} for i in range(300))
    command = [sys.executable, "-c", CLAIMS, mongodb_uri, database.name]
    workers = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0, 0]
    claims = [document["workers"] for document in database.jobs.find()]
    assert [len(names) for names in claims] == [1] * 300
