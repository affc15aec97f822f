"""The shape of an answer: order, number and fields of the documents found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crystalloop.db.embedded.commands.update import FUNCTIONS
from crystalloop.db.embedded.engine.collection import Entry
from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError, sort_key


def ordered(documents: Iterable[BsonDocument], order: Mapping[str, int]) -> list[BsonDocument]:
    """Documents sorted by several paths, 1 up and -1 down; equal ones keep their order."""
    found = list(documents)
    for path, direction in reversed(list(order.items())):
        _check_direction(path, direction)
        if path == "$natural":
            found = found[::direction]
            continue
        found.sort(key=lambda document: sort_key(document, path, direction), reverse=direction < 0)
    return found


def ordered_entries(entries: Iterable[Entry], order: Mapping[str, int]) -> list[Entry]:
    """As `ordered`, for entries."""
    found = list(entries)
    if not order:
        return found
    by_document = {id(entry.document): entry for entry in found}
    return [by_document[id(document)] for document in ordered((entry.document for entry in found), order)]


def first(entries: Iterable[Entry], order: Mapping[str, int]) -> Entry | None:
    """What `ordered_entries` would put first; one pass for each path, over the ties of the paths before."""
    if not order:
        return next(iter(entries), None)
    ties: Sequence[Entry] = list(entries)
    for path, direction in order.items():
        _check_direction(path, direction)
        if path == "$natural":
            return ordered_entries(ties, order)[0] if ties else None
        if len(ties) < 2:
            break
        keys = [sort_key(entry.document, path, direction) for entry in ties]
        best = min(keys) if direction > 0 else max(keys)
        ties = [entry for entry, key in zip(ties, keys, strict=True) if key == best]
    return ties[0] if ties else None


def projected(document: BsonDocument, fields: BsonDocument | None) -> BsonDocument:
    """The chosen fields of a document, `_id` first.

    Raises:
        CommandError: a projection that this server does not have (computed fields, the positional `$`).
    """
    if not fields:
        return document
    for path, choice in fields.items():
        if "$" in path or isinstance(choice, str | list):
            raise CommandError(Code.NotImplemented, f"this server cannot project {path}: {choice!r}")
    try:
        chosen: BsonDocument = FUNCTIONS._copy_only_fields(document, dict(fields), dict)
    except ValueError as error:
        raise CommandError(Code.BadValue, str(error)) from error
    return {"_id": chosen.pop("_id"), **chosen} if "_id" in chosen else chosen


def _check_direction(path: str, direction: Any) -> None:  # noqa: ANN401
    if direction not in (1, -1):
        raise CommandError(Code.BadValue, f"the order of {path} is 1 or -1, not {direction!r}")
