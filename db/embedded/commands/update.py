"""What an update makes of a document. Pure: the document given is not changed. Operators are mongomock's."""

from __future__ import annotations

from typing import Any

import mongomock
from bson.regex import Regex
from mongomock.collection import Collection as _MongomockCollection

from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError

UPDATE_OPERATORS = {
    "$set", "$unset", "$inc", "$max", "$min", "$pop", "$rename", "$setOnInsert", "$currentDate", "$addToSet",
    "$pull", "$pullAll", "$push",
}  # fmt: skip
_CREATING = UPDATE_OPERATORS - {"$unset", "$pull", "$pullAll", "$pop", "$rename", "$setOnInsert"}


class _Functions(_MongomockCollection):  # type: ignore[misc]
    """Mongomock's functions on a document, which it keeps as methods; this instance has no store and needs none."""

    def __init__(self) -> None:
        pass


FUNCTIONS: Any = _Functions()


def updated(
    document: BsonDocument, query: BsonDocument, update: BsonDocument, *, inserting: bool = False
) -> BsonDocument:
    """The document after an update.

    Args:
        document: a copy that may be used up.
        query: the filter that found it; the positional `$` refers to it.
        update: operators, or a replacement.
        inserting: whether it is about to be inserted by an upsert.

    Raises:
        CommandError: the update is malformed, not supported here, or does not fit the document.
    """
    if is_replacement(update):
        return _replacement(document, update, inserting=inserting)
    _check(document, update)
    key = document.get("_id")
    try:
        FUNCTIONS._apply_update_document(document, query, update, inserting)
    except mongomock.OperationFailure as error:
        raise CommandError(Code.BadValue, str(error)) from error
    if not inserting and document.get("_id") != key:
        raise CommandError(Code.ImmutableField, f"the update would change _id from {key!r} to {document.get('_id')!r}")
    return document


def is_replacement(update: BsonDocument) -> bool:
    """Whether an update is a whole document rather than operators."""
    return not any(name.startswith("$") for name in update)


def seed(query: BsonDocument) -> BsonDocument:
    """The document that an upsert starts from: the equalities of its filter.

    Raises:
        CommandError: the filter gives two values for one field.
    """
    try:
        seeded: BsonDocument = FUNCTIONS._expand_dots(_flat_equalities(query))
    except mongomock.OperationFailure as error:
        raise CommandError(Code.BadValue, str(error)) from error
    return seeded


def _flat_equalities(query: BsonDocument) -> BsonDocument:
    flat: BsonDocument = {}
    for path, condition in query.items():
        if path == "$and":
            for part in condition:
                flat.update(_flat_equalities(part))
        elif path.startswith("$"):
            continue
        elif isinstance(condition, dict) and any(name.startswith("$") for name in condition):
            if "$eq" in condition:
                flat[path] = condition["$eq"]
        elif not isinstance(condition, Regex):
            flat[path] = condition
    return flat


def _replacement(document: BsonDocument, update: BsonDocument, *, inserting: bool) -> BsonDocument:
    if "_id" not in document:
        return dict(update)
    if update.get("_id", document["_id"]) != document["_id"] and not inserting:
        raise CommandError(
            Code.ImmutableField, f"the replacement would change _id from {document['_id']!r} to {update['_id']!r}"
        )
    return {"_id": document["_id"], **update}


def _check(document: BsonDocument, update: BsonDocument) -> None:
    for operator, fields in update.items():
        if operator not in UPDATE_OPERATORS:
            code = Code.NotImplemented if operator.startswith("$") else Code.FailedToParse
            raise CommandError(code, f"this server has no update operator {operator}")
        if not isinstance(fields, dict):
            raise CommandError(Code.FailedToParse, f"{operator} takes an object, not {fields!r}")
        for path in fields:
            if "$[" in path:
                raise CommandError(Code.NotImplemented, f"this server has no array filters ({path})")
            if operator in _CREATING:
                _check_path(document, path)


def _check_path(document: BsonDocument, path: str) -> None:
    """Refuse to reach through a scalar, which mongomock would silently leave undone."""
    value: Any = document
    for part in path.split(".")[:-1]:
        if isinstance(value, list):
            if not part.isdigit() or int(part) >= len(value):
                return
            value = value[int(part)]
        elif part in value:
            value = value[part]
        else:
            return
        if not isinstance(value, dict | list):
            raise CommandError(Code.PathNotViable, f"{path} reaches through {part}, which holds {value!r}")
