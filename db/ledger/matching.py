"""Whether a document matches a filter, for stores without a database: the operators that queries and stores use, no others."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

_Test = Callable[[Any, Any], bool]


def matches(document: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Whether a document matches, as MongoDB would say.

    Fields are named with dots; a missing one is null; of a list, any item may match.

    Raises:
        ValueError: an operator that is not known here.
    """
    return all(_holds(document, name, wanted) for name, wanted in condition.items())


def _holds(document: Mapping[str, Any], name: str, wanted: Any) -> bool:  # noqa: ANN401  (of a filter)
    if name in _JOINTS:
        return _JOINTS[name](matches(document, part) for part in wanted)
    values = tuple(_values(document, name.split(".")))
    tests = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
    return all(_passes(values, test, operand) for test, operand in tests.items())


def _passes(values: Sequence[Any], name: str, operand: Any) -> bool:  # noqa: ANN401
    if name in _NEGATED:
        return not _passes(values, _NEGATED[name], operand)
    if name not in _TESTS:
        raise ValueError(f"operator {name!r} of a filter is unknown here; known are {', '.join([*_TESTS, *_NEGATED])}")
    return any(_TESTS[name](value, operand) for value in values)


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:  # noqa: ANN401
    """What stands at a path: null where nothing does, a list itself and each of its items."""
    if not path:
        yield value
        yield from value if isinstance(value, list) else ()
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, path) if isinstance(item, Mapping) else ()
    else:
        yield from _values(value.get(path[0]) if isinstance(value, Mapping) else None, path[1:])


def _kind(value: Any) -> type:  # noqa: ANN401
    """Values of two kinds are neither equal nor in order: a number is no text, and true is not 1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float
    return datetime if isinstance(value, datetime) else type(value)


def _equal(value: Any, operand: Any) -> bool:  # noqa: ANN401
    return bool(_kind(value) == _kind(operand) and value == operand)


def _ordered(test: _Test) -> _Test:
    return lambda value, operand: value is not None and _kind(value) == _kind(operand) and test(value, operand)


_TESTS: Mapping[str, _Test] = {
    "$eq": _equal,
    "$in": lambda value, operands: any(_equal(value, operand) for operand in operands),
    "$lt": _ordered(operator.lt),
    "$lte": _ordered(operator.le),
    "$gt": _ordered(operator.gt),
    "$gte": _ordered(operator.ge),
}
_NEGATED = {"$ne": "$eq", "$nin": "$in"}
_JOINTS: Mapping[str, Callable[[Iterator[bool]], bool]] = {
    "$and": all,
    "$or": any,
    "$nor": lambda parts: not any(parts),
}
