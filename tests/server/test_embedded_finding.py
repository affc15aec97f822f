"""What this project reads from a MongoDB server, through pymongo; from the embedded one, or from a given real one."""

from __future__ import annotations

import random
from datetime import timedelta

import bson
import pytest
from embedded_things import T0, ids
from pymongo.errors import CursorNotFound

# --- documents


@pytest.mark.parametrize(
    "value",
    [
        [[0.0, 2.5, 2.5], [2.5, 0.0, 2.5], [2.5, 2.5, 0.0]],
        float("inf"),
        -0.0,
        2**40,
        None,
        True,
        "Å",
        b"\x00\xff",
        [],
        {"a.b": 1, "empty": {}},
        T0,
        bson.Decimal128("1.5"),
        bson.ObjectId("0" * 24),
        bson.Regex("^a", "i"),
    ],
    ids=repr,
)
def test_a_value_comes_back_as_it_was_stored(database, value):
    database.values.insert_one({"_id": 1, "value": value})
    assert database.values.find_one({"_id": 1}) == {"_id": 1, "value": value}


def test_a_document_without_id_gets_one(database):
    inserted = database.things.insert_one({"a": 1}).inserted_id
    assert isinstance(inserted, bson.ObjectId)
    assert database.things.find_one() == {"_id": inserted, "a": 1}


# --- finding


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"k": 1}, [1, 4, 7]),
        ({"k": {"$in": [0, 2]}, "v": {"$lt": 5}}, [0, 2, 3]),
        ({"k": {"$ne": 0}, "v": {"$gte": 9}}, [7, 8]),
        ({"list": 4}, [3, 4]),
        ({"sub.parts.a": 4}, [3, 4]),
        ({"sub.parts": {"$elemMatch": {"a": 4, "b": "r"}}}, [3]),
        ({"at": {"$gt": T0 + timedelta(days=7)}}, [8, 9]),
        ({"name": {"$regex": "^NAME[12]$", "$options": "i"}}, [1, 2]),
        ({"$or": [{"_id": 3}, {"name": "name5"}]}, [3, 5]),
        ({"$and": [{"k": 0}, {"v": {"$gt": 1}}]}, [3, 6, 9]),
        ({"missing": None, "_id": {"$lte": 1}}, [0, 1]),
        ({"missing": {"$exists": True}}, []),
        ({"list": {"$size": 2}, "k": {"$not": {"$lt": 2}}}, [2, 5, 8]),
        ({"_id": {"$in": [9, 1, 1, 77]}}, [1, 9]),
        ({"$expr": {"$gt": ["$_id", 8]}}, [9]),
    ],
    ids=repr,
)
def test_a_filter_finds_the_same_with_and_without_an_index(things, query, expected):
    assert ids(things.find(query).sort("_id", 1)) == expected
    for path in ("k", "list", "sub.parts.a", "name", "missing"):
        things.create_index(path)
    assert ids(things.find(query).sort("_id", 1)) == expected
    assert things.count_documents(query) == len(expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"r.a": None}, [0, 1, 2]),
        ({"r.a": {"$eq": None}}, [0, 1, 2]),
        ({"r.a": {"$in": [None, 4]}}, [0, 1, 2, 4]),
        ({"r.a": {"$ne": None}}, [3, 4]),
        ({"r.a": {"$nin": [None, 4]}}, [3]),
        ({"r.a": {"$ne": 4}}, [0, 1, 2, 3]),
        ({"$nor": [{"r.a": None}]}, [3, 4]),
        ({"$and": [{"r.a": None}, {"_id": {"$gt": 0}}]}, [1, 2]),
        ({"r.a.b": None, "_id": 0}, [0]),
    ],
    ids=repr,
)
def test_below_a_field_that_is_null_every_field_is_missing(database, query, expected):
    database.nulls.insert_many(
        [{"_id": 0, "r": None}, {"_id": 1}, {"_id": 2, "r": {}}, {"_id": 3, "r": {"a": 3}}, {"_id": 4, "r": {"a": 4}}]
    )
    assert ids(database.nulls.find(query).sort("_id", 1)) == expected


def test_random_filters_find_the_same_with_and_without_indexes(database):
    rng = random.Random(7)
    values = [None, 0, 1, 1.0, 2, True, "1", "", [1, "1"], [], [[1]], {"x": 1}, {"x": [1, 2]}, T0]
    documents = [{"_id": i, "a": rng.choice(values), "b": rng.choice(values)} for i in range(120)]
    documents += [{"_id": 200, "b": 1}, {"_id": 201}]
    database.plain.insert_many(documents)
    database.indexed.create_index([("a", 1), ("b", -1)])
    database.indexed.create_index("a.x")
    database.indexed.insert_many(documents)
    scalars = [value for value in values if not isinstance(value, list | dict)]
    for _ in range(60):
        chosen = rng.sample(scalars, 2)
        query = rng.choice(
            [{"a": chosen[0]}, {"a": {"$in": chosen}}, {"a": chosen[0], "b": chosen[1]}, {"a.x": chosen[0]}]
        )
        assert ids(database.indexed.find(query)) == ids(database.plain.find(query)), query


def test_sorting_cutting_and_projecting(things):
    assert ids(things.find().sort([("k", -1), ("_id", 1)]).skip(1).limit(2)) == [5, 8]
    assert things.find_one({"_id": 1}, {"name": 1}) == {"_id": 1, "name": "name1"}
    assert things.find_one({"_id": 1}, {"sub.x": 1, "_id": 0}) == {"sub": {"x": 1}}
    assert set(things.find_one({"_id": 1}, {"sub": 0, "list": 0, "at": 0})) == {"_id", "k", "v", "name"}
    assert things.find_one({"_id": 1}, {"list": {"$slice": 1}})["list"] == [1]
    assert things.find_one({"_id": 1}, {"_id": 1}) == {"_id": 1}
    assert "_id" not in things.find_one({"_id": 1}, {"_id": 0})
    assert things.find_one({"_id": 1}, {"sub.parts.a": 1}) == {"_id": 1, "sub": {"parts": [{"a": 1}, {"a": 2}]}}
    assert things.find_one({"_id": 1}, {"sub.parts.a": 0})["sub"] == {"x": 1, "parts": [{"b": "q"}, {"b": "r"}]}
    assert things.find_one({"_id": 1}, {"k.x": 1}) == {"_id": 1}


def test_values_of_different_types_are_sorted_as_mongodb_does(database):
    values = [T0, True, bson.ObjectId("0" * 24), {"a": 1}, "b", "a", 2, 1.5, None]
    database.mixed.insert_many({"_id": i, "x": value} for i, value in enumerate(values))
    database.mixed.insert_one({"_id": 99, "x": [7, 1]})
    expected = [None, [7, 1], 1.5, 2, "a", "b", {"a": 1}, bson.ObjectId("0" * 24), True, T0]
    assert [document["x"] for document in database.mixed.find().sort("x", 1)] == expected


def test_distinct_values_of_an_array_field(things):
    assert sorted(things.distinct("list", {"_id": {"$lt": 3}})) == [0, 1, 2, 3]


def test_a_cursor_hands_out_everything_in_batches(database):
    database.many.insert_many({"_id": i} for i in range(1000))
    assert ids(database.many.find({}, batch_size=70)) == list(range(1000))
    assert ids(database.many.find().limit(333)) == list(range(333))


def test_a_batch_of_large_documents_fits_a_message(database):
    database.large.insert_many({"_id": i, "body": "x" * 5_000_000} for i in range(9))
    assert ids(database.large.find({}, batch_size=100)) == list(range(9))


def test_a_killed_cursor_is_gone(database):
    database.many.insert_many({"_id": i} for i in range(300))
    reply = database.command("find", "many", batchSize=10)
    cursor = reply["cursor"]["id"]
    database.command("killCursors", "many", cursors=[cursor])
    with pytest.raises(CursorNotFound):
        database.command("getMore", cursor, collection="many")


# --- aggregation


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([{"$match": {"k": 1}}, {"$count": "n"}], [{"n": 3}]),
        ([{"$match": {"k": 9}}, {"$count": "n"}], []),
        (
            [
                {"$sort": {"_id": 1}},
                {
                    "$group": {
                        "_id": "$k",
                        "n": {"$sum": 1},
                        "mean": {"$avg": "$v"},
                        "low": {"$min": "$v"},
                        "high": {"$max": "$v"},
                        "first": {"$first": "$name"},
                        "all": {"$push": "$_id"},
                        "set": {"$addToSet": "$k"},
                    }
                },
                {"$match": {"_id": 0}},
            ],
            [
                {
                    "_id": 0,
                    "n": 4,
                    "mean": 6.75,
                    "low": 0.0,
                    "high": 13.5,
                    "first": "name0",
                    "all": [0, 3, 6, 9],
                    "set": [0],
                }
            ],
        ),
        ([{"$group": {"_id": None, "sum": {"$sum": "$v"}}}], [{"_id": None, "sum": 67.5}]),
        ([{"$match": {"_id": 2}}, {"$project": {"_id": 0, "twice": {"$multiply": ["$v", 2]}}}], [{"twice": 6.0}]),
        (
            [{"$match": {"_id": 2}}, {"$addFields": {"sub.y": {"$add": ["$v", 1]}}}, {"$project": {"sub.y": 1}}],
            [{"_id": 2, "sub": {"y": 4.0}}],
        ),
        ([{"$sort": {"v": -1}}, {"$skip": 1}, {"$limit": 1}, {"$project": {"_id": 1}}], [{"_id": 8}]),
        (
            [{"$match": {"_id": 1}}, {"$unwind": "$list"}, {"$project": {"list": 1}}],
            [{"_id": 1, "list": 1}, {"_id": 1, "list": 2}],
        ),
        (
            [
                {"$match": {"_id": 1}},
                {"$lookup": {"from": "things", "localField": "k", "foreignField": "k", "as": "same"}},
                {"$project": {"same._id": 1}},
            ],
            [{"_id": 1, "same": [{"_id": 1}, {"_id": 4}, {"_id": 7}]}],
        ),
        ([{"$match": {"_id": 1}}, {"$replaceRoot": {"newRoot": "$sub"}}, {"$project": {"x": 1}}], [{"x": 1}]),
        (
            [{"$match": {"_id": {"$lt": 2}}}, {"$group": {"_id": {"$substr": ["$name", 0, 4]}, "n": {"$sum": 1}}}],
            [{"_id": "name", "n": 2}],
        ),
    ],
    ids=lambda value: (
        "-".join(next(iter(stage)).strip("$") for stage in value) if value and "_id" not in value[0] else ""
    ),
)
def test_an_aggregation_stage_does_its_work(things, stages, expected):
    before = list(things.find())
    assert list(things.aggregate(stages)) == expected
    assert list(things.find()) == before
