"""What an update makes of a document: operators, a replacement, or the start of an upsert. Each operator is in operators."""

from __future__ import annotations

from bson.regex import Regex

from crystalloop.db.embedded.commands.operators import CHANGES, apply, put
from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError

UPDATE_OPERATORS = {*CHANGES, "$rename"}


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
    _check(update)
    key = document.get("_id")
    for operator, fields in update.items():
        if inserting or operator != "$setOnInsert":
            apply(document, query, operator, fields)
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
    flat = _flat_equalities(query)
    seeded: BsonDocument = {}
    for path, value in flat.items():
        if other := next((longer for longer in flat if longer.startswith(f"{path}.")), None):
            raise CommandError(Code.BadValue, f"the filter gives values to both {path} and {other}")
        put(seeded, path, value)
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


def _check(update: BsonDocument) -> None:
    for operator, fields in update.items():
        if operator not in UPDATE_OPERATORS:
            code = Code.NotImplemented if operator.startswith("$") else Code.FailedToParse
            raise CommandError(code, f"this server has no update operator {operator}")
        if not isinstance(fields, dict):
            raise CommandError(Code.FailedToParse, f"{operator} takes an object, not {fields!r}")
        for path in fields:
            if "$[" in path:
                raise CommandError(Code.NotImplemented, f"this server has no array filters ({path})")
