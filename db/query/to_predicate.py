"""A condition as a test of one row: a JSON object, or a line of a CSV file. Pure; MongoDB's filters: to_mongo."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from crystalloop.db.query.language import Among, Between, Compared, Condition, Constant, Field, Not, parse

RowTest = Callable[[Mapping[str, Any]], bool]
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def row_test(text: str) -> RowTest:
    """The test that a condition on fields of any name is.

    Numbers are compared with numbers and with texts that say one (CSV), words with the text of the row's value. A field
    that the row lacks equals null and nothing else, and lies in no range.

    Raises:
        QueryError: see language.parse.
    """
    condition = parse(text, lambda name: Field(name, None))
    return lambda row: holds(condition, row)


def holds(condition: Condition, row: Mapping[str, Any]) -> bool:
    """Whether a tree holds for a row."""
    match condition:
        case Compared(field, _, sign, value):
            given = row.get(field.path)
            if sign in _ORDER:
                return _ordered(_ORDER[sign], given, value)
            return _equal(given, value) == (sign == "=")
        case Among(field, _, values):
            return any(_equal(row.get(field.path), value) for value in values)
        case Between(field, _, low, high):
            number = _number(row.get(field.path))
            return number is not None and low <= number <= high
        case Not(inner):
            return not holds(inner, row)
        case _:
            found = (holds(part, row) for part in condition.parts)
            return any(found) if condition.word == "or" else all(found)


def _equal(given: Any, value: Constant) -> bool:  # noqa: ANN401
    if value is None:
        return given is None or given == ""
    return _number(given) == value if isinstance(value, float) else given is not None and str(given) == value


def _ordered(compare: Callable[[Any, Any], bool], given: Any, value: Constant) -> bool:  # noqa: ANN401
    found = _number(given) if isinstance(value, float) else given
    return type(found) is type(value) and compare(found, value)


def _number(given: Any) -> float | None:  # noqa: ANN401
    try:
        return None if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        return None
