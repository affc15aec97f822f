"""The commands that write documents: insert, update, delete, findAndModify."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bson

from crystalloop.db.embedded.commands.pipeline import run_pipeline
from crystalloop.db.embedded.commands.request import CommandRequest, Reply, refuse_others
from crystalloop.db.embedded.commands.shape import first, projected
from crystalloop.db.embedded.commands.update import is_replacement, seed, updated
from crystalloop.db.embedded.engine.collection import Collection, Entry
from crystalloop.db.embedded.engine.values import STORED, BsonDocument, Code, CommandError


def insert(request: CommandRequest) -> Reply:
    """Insert documents; stops at the first error unless `ordered` is false."""
    request.only("documents")
    collection = request.engine.ensure(request.database, request.target)
    done, errors = _each(request, "documents", collection.insert)
    return _reply({"n": len(done)}, errors)


def update(request: CommandRequest) -> Reply:
    """Update or replace documents."""
    request.only("updates")
    collection = request.engine.ensure(request.database, request.target)
    done, errors = _each(request, "updates", lambda operation: _update(request, collection, operation))
    upserted = [{"index": index, "_id": id_} for index, (_, _, id_, made) in done.items() if made]
    counts: Reply = {"n": sum(one[0] for one in done.values()), "nModified": sum(one[1] for one in done.values())}
    return _reply(counts | ({"upserted": upserted} if upserted else {}), errors)


def delete(request: CommandRequest) -> Reply:
    """Delete documents."""
    request.only("deletes")
    collection = request.found()
    if collection is None:
        return _reply({"n": 0}, [])
    done, errors = _each(request, "deletes", lambda operation: _delete(collection, operation))
    return _reply({"n": sum(done.values())}, errors)


def find_and_modify(request: CommandRequest) -> Reply:
    """Find one document and update, replace or remove it, as one step."""
    request.only("query", "sort", "remove", "update", "new", "fields", "upsert")
    collection = request.engine.ensure(request.database, request.target)
    query = request.document("query")
    entry = first(collection.matching(query), request.document("sort"))
    if request.body.get("remove"):
        if entry is not None:
            collection.remove(entry)
        return _modified(request, entry, {"n": int(entry is not None)})
    change = request.body.get("update")
    if change is None:
        raise CommandError(Code.FailedToParse, "findAndModify needs update or remove")
    if entry is not None:
        after = collection.replace(entry, _changed(request, entry, query, change))
        return _modified(request, after if request.body.get("new") else entry, {"n": 1, "updatedExisting": True})
    if not request.body.get("upsert"):
        return _modified(request, None, {"n": 0, "updatedExisting": False})
    made = _upsert(request, collection, query, change)
    status = {"n": 1, "updatedExisting": False, "upserted": made.document["_id"]}
    return _modified(request, made if request.body.get("new") else None, status)


def _modified(request: CommandRequest, entry: Entry | None, status: BsonDocument) -> Reply:
    value = None if entry is None else projected(entry.document, request.document("fields"))
    return {"lastErrorObject": status, "value": value, "ok": 1.0}


def _each(
    request: CommandRequest, field: str, act: Callable[[BsonDocument], Any]
) -> tuple[dict[int, Any], list[BsonDocument]]:
    """Act on each operation; the results by operation number, and the write errors."""
    done: dict[int, Any] = {}
    errors: list[BsonDocument] = []
    for index, operation in enumerate(request.documents(field)):
        try:
            done[index] = act(operation)
        except CommandError as error:
            errors.append(error.as_write_error(index))
            if request.body.get("ordered", True):
                break
    return done, errors


def _reply(counts: Reply, errors: list[BsonDocument]) -> Reply:
    return {**counts, **({"writeErrors": errors} if errors else {}), "ok": 1.0}


def _update(request: CommandRequest, collection: Collection, operation: BsonDocument) -> tuple[int, int, Any, bool]:
    """(matched, modified, _id made by an upsert, whether there was one)."""
    refuse_others("update", operation, {"q", "u", "multi", "upsert", "hint"})
    query, change, multi = operation["q"], operation["u"], operation.get("multi", False)
    if multi and isinstance(change, dict) and is_replacement(change):
        raise CommandError(Code.FailedToParse, "a replacement cannot apply to several documents")
    matched = modified = 0
    for entry in collection.matching(query):
        matched += 1
        modified += collection.replace(entry, _changed(request, entry, query, change)) is not entry
        if not multi:
            break
    if matched or not operation.get("upsert"):
        return matched, modified, None, False
    return 1, 0, _upsert(request, collection, query, change).document["_id"], True


def _changed(
    request: CommandRequest, entry: Entry, query: BsonDocument, change: BsonDocument | list[BsonDocument]
) -> BsonDocument:
    copy = bson.decode(entry.raw, STORED)
    if isinstance(change, dict):
        return updated(copy, query, change)
    (document,) = run_pipeline([copy], change, lambda name: request.engine.find(request.database, name))
    if document.get("_id") != entry.document["_id"]:
        raise CommandError(Code.ImmutableField, "the update would change _id")
    return document


def _upsert(
    request: CommandRequest, collection: Collection, query: BsonDocument, change: BsonDocument | list[BsonDocument]
) -> Entry:
    if not isinstance(change, dict):
        raise CommandError(Code.NotImplemented, "this server has no upsert with a pipeline")
    start = seed(query)
    if is_replacement(change):
        start = {"_id": start["_id"]} if "_id" in start else {}
    document = updated(start, query, change, inserting=True)
    # through BSON, so that memory holds what the disk holds
    return collection.insert(bson.decode(bson.encode(document), STORED))


def _delete(collection: Collection, operation: BsonDocument) -> int:
    refuse_others("delete", operation, {"q", "limit", "hint"})
    deleted = 0
    for entry in collection.matching(operation["q"]):
        collection.remove(entry)
        deleted += 1
        if operation.get("limit"):
            break
    return deleted
