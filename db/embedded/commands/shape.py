"""The shape of an answer: order, number and fields of the documents found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
        CommandError: a projection that this server does not have (computed fields, the positional `$`), or a mixed one.
    """
    if not fields:
        return document
    choices = dict(fields)
    with_id = choices.pop("_id", True)
    slices = {path: choices.pop(path)["$slice"] for path, choice in list(choices.items()) if _is_slice(path, choice)}
    for path, choice in choices.items():
        if "$" in path or not isinstance(choice, bool | int | float):
            raise CommandError(Code.NotImplemented, f"this server cannot project {path}: {choice!r}")
    kinds = {bool(choice) for choice in choices.values()}
    if len(kinds) > 1:
        raise CommandError(Code.BadValue, "a projection includes fields or excludes them, not both")
    including = kinds == {True} or (not choices and not slices and bool(with_id) and "_id" in fields)
    paths = [path.split(".") for path in choices]
    chosen: BsonDocument = (
        _included(document, [*paths, *([path] for path in slices)]) if including else _excluded(document, paths)
    )
    for path, most in slices.items():
        if isinstance(chosen.get(path), list):
            chosen[path] = chosen[path][:most] if most >= 0 else chosen[path][most:]
    chosen.pop("_id", None)
    return {"_id": document["_id"], **chosen} if with_id and "_id" in document else chosen


def _is_slice(path: str, choice: Any) -> bool:  # noqa: ANN401
    return "." not in path and isinstance(choice, dict) and set(choice) == {"$slice"} and type(choice["$slice"]) is int


def _below(paths: Iterable[Sequence[str]], name: str) -> list[Sequence[str]]:
    """What is left of the paths that begin with a name; an empty one means the whole field."""
    return [path[1:] for path in paths if path[0] == name]


def _included(value: Any, paths: Sequence[Sequence[str]]) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_included(item, paths) for item in value if isinstance(item, dict | list)]
    chosen = {}
    for name, inner in value.items():
        below = _below(paths, name)
        if [] in below:
            chosen[name] = inner
        elif below and isinstance(inner, dict | list):
            chosen[name] = _included(inner, below)
    return chosen


def _excluded(value: Any, paths: Sequence[Sequence[str]]) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_excluded(item, paths) for item in value]
    if not isinstance(value, dict):
        return value
    below = {name: _below(paths, name) for name in value}
    return {name: _excluded(inner, below[name]) for name, inner in value.items() if [] not in below[name]}


def _check_direction(path: str, direction: Any) -> None:  # noqa: ANN401
    if direction not in (1, -1):
        raise CommandError(Code.BadValue, f"the order of {path} is 1 or -1, not {direction!r}")
