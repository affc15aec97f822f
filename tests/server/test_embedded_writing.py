"""What this project writes to a MongoDB server, through pymongo, and the unique keys it relies on; on either server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from embedded_things import T0
from pymongo import InsertOne, ReplaceOne, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError

# --- writing


def test_updates_count_what_they_matched_and_changed(things):
    result = things.update_many({"k": 1}, {"$set": {"k": 1, "new": True}})
    assert (result.matched_count, result.modified_count) == (3, 3)
    result = things.update_many({"k": 1}, {"$set": {"new": True}})
    assert (result.matched_count, result.modified_count) == (3, 0)
    assert things.replace_one({"_id": 1}, {"only": 1}).modified_count == 1
    assert things.find_one({"_id": 1}) == {"_id": 1, "only": 1}
    assert things.delete_many({"k": 0}).deleted_count == 4
    assert things.delete_one({}).deleted_count == 1


@pytest.mark.parametrize(
    ("update", "path", "expected"),
    [
        ({"$inc": {"v": 2, "fresh.n": 1}}, "fresh", {"n": 1}),
        ({"$unset": {"sub.parts": ""}}, "sub", {"x": 1}),
        ({"$push": {"list": 9}}, "list", [1, 2, 9]),
        ({"$push": {"list": {"$each": [9, 8], "$slice": -3}}}, "list", [2, 9, 8]),
        ({"$addToSet": {"list": 1}}, "list", [1, 2]),
        ({"$pull": {"list": {"$gte": 2}}}, "list", [1]),
        ({"$pullAll": {"list": [1, 5]}}, "list", [2]),
        ({"$pop": {"list": 1}}, "list", [1]),
        ({"$max": {"v": 100}}, "v", 100),
        ({"$min": {"v": 100}}, "v", 1.5),
        ({"$rename": {"name": "title"}}, "title", "name1"),
        ({"$set": {"sub.x": [[1]], "sub.deep.er": 2}}, "sub.deep", {"er": 2}),
        ({"$set": {"list.1": 7}}, "list", [1, 7]),
        ({"$set": {"list.3": 7}}, "list", [1, 2, None, 7]),
        ({"$set": {"sub.parts.0.b": "Z"}}, "sub.parts", [{"a": 1, "b": "Z"}, {"a": 2, "b": "r"}]),
        ({"$unset": {"list.0": ""}}, "list", [None, 2]),
        ({"$push": {"fresh.list": 1}}, "fresh", {"list": [1]}),
        ({"$push": {"list": {"$each": [9], "$position": 0, "$slice": 2}}}, "list", [9, 1]),
        ({"$addToSet": {"list": {"$each": [2, 3, 3]}}}, "list", [1, 2, 3]),
        ({"$addToSet": {"list": True}}, "list", [1, 2, True]),
        ({"$pull": {"list": 1}}, "list", [2]),
        ({"$pull": {"sub.parts": {"a": {"$lt": 2}}}}, "sub.parts", [{"a": 2, "b": "r"}]),
        ({"$pop": {"list": -1}}, "list", [2]),
        ({"$rename": {"sub.x": "moved.x"}}, "moved", {"x": 1}),
    ],
    ids=repr,
)
def test_an_update_operator_does_its_work(things, update, path, expected):
    assert things.update_one({"_id": 1}, update).modified_count == 1 or "$addToSet" in update or "$min" in update
    value = things.find_one({"_id": 1})
    for part in path.split("."):
        value = value[part]
    assert value == expected


def test_the_positional_operator_changes_the_element_that_matched(things):
    things.update_one({"_id": 1, "sub.parts.a": 2}, {"$set": {"sub.parts.$.b": "Z"}})
    assert [part["b"] for part in things.find_one({"_id": 1})["sub"]["parts"]] == ["q", "Z"]


def test_operators_that_take_away_make_nothing(things):
    before = things.find_one({"_id": 1})
    taking = {
        "$unset": {"no.a": "", "list.a": ""},
        "$pull": {"no.b": 1},
        "$pullAll": {"no.c": [1]},
        "$pop": {"no.d": 1},
    }
    assert things.update_one({"_id": 1}, taking | {"$rename": {"nothing": "something"}}).modified_count == 0
    assert things.find_one({"_id": 1}) == before


def test_the_date_of_the_server_can_be_set(things):
    things.update_one({"_id": 1}, {"$currentDate": {"at": True}})
    assert things.find_one({"_id": 1})["at"] > T0 + timedelta(days=1)


@pytest.mark.parametrize(
    ("update", "code"),
    [
        ({"$inc": {"name": 1}}, 14),
        ({"$inc": {"v": "1"}}, 14),
        ({"$push": {"name": 1}}, 2),
        ({"$set": {"list.x": 1}}, 28),
        ({"$set": {"sub.parts.$.b": 1}}, 2),
    ],
    ids=repr,
)
def test_an_update_that_does_not_fit_is_refused_and_changes_nothing(things, update, code):
    before = things.find_one({"_id": 1})
    with pytest.raises(WriteError) as caught:
        things.update_one({"_id": 1}, update)
    assert caught.value.code == code
    assert things.find_one({"_id": 1}) == before


def test_an_upsert_starts_from_the_equalities_of_its_filter(database):
    change = {"$setOnInsert": {"a": 1}, "$set": {"b": 2}}
    result = database.things.update_one({"_id": 77, "k": {"$eq": 3}, "v": {"$gt": 1}}, change, upsert=True)
    assert (result.upserted_id, result.matched_count) == (77, 0)
    assert database.things.find_one() == {"_id": 77, "k": 3, "a": 1, "b": 2}
    assert database.things.update_one({"_id": 77}, change, upsert=True).upserted_id is None
    database.things.replace_one({"_id": 78, "k": 3}, {"w": 1}, upsert=True)
    assert database.things.find_one({"_id": 78}) == {"_id": 78, "w": 1}


def test_find_and_modify_takes_the_first_in_order_and_returns_what_was_asked(things):
    found = things.find_one_and_update(
        {"k": 1}, {"$set": {"z": 1}}, sort=[("v", -1)], projection={"z": 1}, return_document=ReturnDocument.AFTER
    )
    assert found == {"_id": 7, "z": 1}
    assert things.find_one_and_update({"k": 1}, {"$set": {"k": 5}}, sort=[("k", 1), ("_id", -1)])["k"] == 1
    assert things.find_one({"_id": 7})["k"] == 5
    assert things.find_one_and_update({"k": 42}, {"$set": {"z": 1}}) is None
    assert things.find_one_and_delete({"k": 5})["_id"] == 7
    made = things.find_one_and_update(
        {"_id": 50}, {"$inc": {"n": 1}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    assert made == {"_id": 50, "n": 1}
    assert things.find_one_and_replace({"_id": 50}, {"m": 1})["n"] == 1


def test_the_id_cannot_be_changed(things):
    with pytest.raises(WriteError) as caught:
        things.update_one({"_id": 1}, {"$set": {"_id": 2}})
    assert caught.value.code == 66
    assert things.count_documents({}) == 10


def test_a_path_through_a_scalar_is_refused_and_changes_nothing(things):
    before = things.find_one({"_id": 1})
    with pytest.raises(WriteError) as caught:
        things.update_one({"_id": 1}, {"$set": {"z": 1, "v.inner": 1}})
    assert caught.value.code == 28
    assert things.find_one({"_id": 1}) == before


def test_a_bulk_write_mixes_operations(things):
    operations = [
        UpdateOne({"_id": 1}, {"$set": {"q": 1}}),
        InsertOne({"_id": 50}),
        ReplaceOne({"_id": 51}, {"w": 1}, upsert=True),
    ]
    result = things.bulk_write(operations, ordered=False)
    assert (result.modified_count, result.inserted_count, result.upserted_count) == (1, 1, 1)


# --- unique keys


def test_a_second_document_with_an_id_is_refused(things):
    with pytest.raises(DuplicateKeyError):
        things.insert_one({"_id": 1})
    with pytest.raises(BulkWriteError) as caught:
        things.insert_many([{"_id": 1}, {"_id": 60}, {"_id": 2}], ordered=False)
    assert [error["index"] for error in caught.value.details["writeErrors"]] == [0, 2]
    assert things.count_documents({"_id": 60}) == 1
    with pytest.raises(BulkWriteError):
        things.insert_many([{"_id": 61}, {"_id": 1}, {"_id": 62}])
    assert things.count_documents({"_id": {"$in": [61, 62]}}) == 1


def test_a_unique_index_holds_for_insert_update_and_upsert(things):
    things.create_index([("k", 1), ("name", 1)], unique=True)
    with pytest.raises(DuplicateKeyError):
        things.insert_one({"k": 1, "name": "name1"})
    with pytest.raises(DuplicateKeyError):
        things.update_one({"_id": 4}, {"$set": {"name": "name1"}})
    with pytest.raises(DuplicateKeyError):
        things.find_one_and_update({"_id": 4}, {"$set": {"name": "name1"}})
    with pytest.raises(DuplicateKeyError):
        things.update_one({"_id": 90}, {"$set": {"k": 1, "name": "name1"}}, upsert=True)
    assert things.find_one({"_id": 4})["name"] == "name4"
    things.delete_one({"_id": 1})
    things.insert_one({"_id": 1, "k": 1, "name": "name1"})


def test_a_missing_field_counts_as_null_in_a_unique_index_unless_it_is_sparse(database):
    database.dense.create_index("u", unique=True)
    database.dense.insert_one({"_id": 1})
    with pytest.raises(DuplicateKeyError):
        database.dense.insert_one({"_id": 2})
    database.sparse.create_index("u", unique=True, sparse=True)
    database.sparse.insert_many([{"_id": 1}, {"_id": 2}])


def test_a_unique_index_is_not_built_over_duplicates(things):
    with pytest.raises(DuplicateKeyError):
        things.create_index("k", unique=True)
    assert list(things.index_information()) == ["_id_"]


def test_indexes_are_listed_dropped_and_not_made_twice(things):
    assert things.create_index([("k", 1), ("v", -1)]) == "k_1_v_-1"
    assert things.create_index([("k", 1), ("v", -1)]) == "k_1_v_-1"
    with pytest.raises(OperationFailure):
        things.create_index([("k", 1), ("v", -1)], unique=True)
    assert things.index_information()["k_1_v_-1"]["key"] == [("k", 1), ("v", -1)]
    things.drop_index("k_1_v_-1")
    assert list(things.index_information()) == ["_id_"]
