"""Update operators: what each makes of the field at a path. Which updates are refused is said in update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mongomock.filtering import filter_applies

from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError, canonical, sort_key

ABSENT = object()
Change = Callable[[Any, Any], Any]
"""(what stands there or ABSENT, the operand) -> what shall stand there, or ABSENT."""


def apply(document: BsonDocument, query: BsonDocument, operator: str, fields: BsonDocument) -> None:
    """Change a document in place by one operator.

    Args:
        document: to be changed.
        query: the filter that found it; the positional `$` refers to it.
        operator: one of CHANGES, or $rename.
        fields: path -> operand.

    Raises:
        CommandError: the operand does not fit what stands at the path, or nothing can stand there.
    """
    for path, operand in fields.items():
        parts = _positioned(document, query, path.split("."))
        if operator == "$rename":
            value = _change(document, parts, lambda old, _: ABSENT, None, create=False)
            if value is not ABSENT:
                put(document, str(operand), value)
        else:
            _change(document, parts, CHANGES[operator], operand, create=operator not in KEEPING)


def put(document: BsonDocument, path: str, value: Any) -> None:  # noqa: ANN401
    """Set the field at a path, and make the objects on the way.

    Raises:
        CommandError: the path reaches through something else.
    """
    _change(document, path.split("."), _set, value, create=True)


def _change(document: BsonDocument, parts: Sequence[str], change: Change, operand: Any, *, create: bool) -> Any:  # noqa: ANN401
    """Change what stands at a path; what stood there, or ABSENT."""
    here: Any = document
    for part, deeper in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(here, list) and not part.isdigit():
            if create:
                raise CommandError(Code.PathNotViable, f"{'.'.join(parts)} reaches into an array, which has no {part}")
            return ABSENT
        key: Any = int(part) if isinstance(here, list) else part
        old = here[key] if (key in here if isinstance(here, dict) else key < len(here)) else ABSENT
        if deeper is None:
            new = change(old, operand)
            if new is not ABSENT:
                _put(here, key, new)
            elif old is not ABSENT:
                _take(here, key)
            return old
        if old is ABSENT and create:
            old = _put(here, key, {})
        if not isinstance(old, dict | list):
            if create:
                raise CommandError(Code.PathNotViable, f"{'.'.join(parts)} reaches through {part}, which holds {old!r}")
            return ABSENT
        here = old
    raise AssertionError("a path has at least one part")


def _put(here: Any, key: Any, value: Any) -> Any:  # noqa: ANN401
    if isinstance(here, list):
        here.extend([None] * (key + 1 - len(here)))
    here[key] = value
    return value


def _take(here: Any, key: Any) -> None:  # noqa: ANN401
    if isinstance(here, list):
        here[key] = None  # as MongoDB does: the others keep their places
    else:
        del here[key]


def _positioned(document: BsonDocument, query: BsonDocument, parts: list[str]) -> list[str]:
    """The path with `$` replaced by the number of the array's first element that the filter means."""
    if "$" not in parts:
        return parts
    at = parts.index("$")
    array: Any = document
    for part in parts[:at]:
        array = array.get(part) if isinstance(array, dict) else None
    conditions = list(_conditions(query, ".".join(parts[:at])))
    for number, item in enumerate(array if isinstance(array, list) and conditions else ()):
        if all(filter_applies(condition, {"x": [item]}) for condition in conditions):
            return [*parts[:at], str(number), *parts[at + 1 :]]
    raise CommandError(Code.BadValue, f"the filter names no element of an array for the $ of {'.'.join(parts)}")


def _conditions(query: BsonDocument, array: str) -> Iterator[BsonDocument]:
    """What a filter says about the elements of an array, as filters of {"x": [element]}."""
    for path, condition in query.items():
        if path == "$and":
            for part in condition:
                yield from _conditions(part, array)
        elif path == array or path.startswith(f"{array}."):
            yield {f"x{path[len(array) :]}": condition}


def _set(_: Any, new: Any) -> Any:  # noqa: ANN401
    return new


def _increased(old: Any, by: Any) -> Any:  # noqa: ANN401
    for number in (by, 0 if old is ABSENT else old):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise CommandError(Code.TypeMismatch, f"$inc adds numbers, not {number!r}")
    return by if old is ABSENT else old + by


def _rank(value: Any) -> tuple[int, Any]:  # noqa: ANN401
    return sort_key({"": value}, "", 1)


def _array(old: Any, operator: str) -> list[Any]:  # noqa: ANN401
    if old is ABSENT:
        return []
    if not isinstance(old, list):
        raise CommandError(Code.BadValue, f"{operator} needs an array, not {old!r}")
    return old


def _each(operand: Any) -> list[Any]:  # noqa: ANN401
    return list(operand["$each"]) if isinstance(operand, dict) and "$each" in operand else [operand]


def _pushed(old: Any, operand: Any) -> list[Any]:  # noqa: ANN401
    array, modifiers = list(_array(old, "$push")), operand if isinstance(operand, dict) and "$each" in operand else {}
    if unknown := set(modifiers) - {"$each", "$slice", "$position"}:
        raise CommandError(Code.NotImplemented, f"this server has no {', '.join(sorted(unknown))} in $push")
    at = modifiers.get("$position", len(array))
    array[at:at] = _each(operand)
    most = modifiers.get("$slice")
    if most is None:
        return array
    return array[most:] if most < 0 else array[:most]


def _with_new(old: Any, operand: Any) -> list[Any]:  # noqa: ANN401
    array = list(_array(old, "$addToSet"))
    known = {canonical(item) for item in array}
    for item in _each(operand):
        if canonical(item) not in known:
            known.add(canonical(item))
            array.append(item)
    return array


def _without_matches(old: Any, condition: Any) -> Any:  # noqa: ANN401
    if old is ABSENT:
        return ABSENT
    if not isinstance(condition, dict):
        return _without(old, [condition])
    about_items = any(name.startswith("$") for name in condition)

    def matches(item: Any) -> bool:  # noqa: ANN401
        if about_items:
            return bool(filter_applies({"x": condition}, {"x": item}))
        return isinstance(item, dict) and bool(filter_applies(condition, item))

    return [item for item in _array(old, "$pull") if not matches(item)]


def _without(old: Any, values: Any) -> Any:  # noqa: ANN401
    if old is ABSENT:
        return ABSENT
    gone = set(map(canonical, values))
    return [item for item in _array(old, "$pullAll") if canonical(item) not in gone]


def _popped(old: Any, end: Any) -> Any:  # noqa: ANN401
    if old is ABSENT:
        return ABSENT
    return _array(old, "$pop")[1:] if end == -1 else _array(old, "$pop")[:-1]


def _now(_: Any, kind: Any) -> datetime:  # noqa: ANN401
    if kind is not True and kind != {"$type": "date"}:
        raise CommandError(Code.NotImplemented, f"this server has no $currentDate of {kind!r}")
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


CHANGES: Mapping[str, Change] = {
    "$set": _set,
    "$setOnInsert": _set,
    "$unset": lambda old, _: ABSENT,
    "$inc": _increased,
    "$max": lambda old, new: new if old is ABSENT or _rank(new) > _rank(old) else old,
    "$min": lambda old, new: new if old is ABSENT or _rank(new) < _rank(old) else old,
    "$push": _pushed,
    "$addToSet": _with_new,
    "$pull": _without_matches,
    "$pullAll": _without,
    "$pop": _popped,
    "$currentDate": _now,
}
KEEPING = frozenset({"$unset", "$pull", "$pullAll", "$pop"})
"""Operators that make no field where there is none."""
