"""A condition as a test of one row: a JSON object, or a line of a CSV file. Pure; MongoDB's filters: to_mongo."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crystalloop.db.query.conditions import Among, Between, Compared, Condition, Constant, Field, Not, comparisons
from crystalloop.db.query.language import parse

RowTest = Callable[[Mapping[str, Any]], bool]
Wanted = str | bool | int | float | None
"""What a field may be asked to have: a text, true or false, a number; None for rows that have nothing there."""
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_TRUE, _FALSE = {"true", "yes", "on"}, {"false", "no", "off"}
MOST_SEEN = 8


class FieldTest:
    """The test of rows that a condition is; it remembers what the rows had in its fields, for when none is kept.

    Attributes:
        fields: the fields that are looked at.
    """

    def __init__(self, fields: tuple[str, ...], test: RowTest) -> None:
        self.fields = fields
        self._test = test
        self._seen: dict[str, list[str]] = {name: [] for name in fields}
        self._has: set[str] = set()

    def __call__(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is kept."""
        if self._test(row):
            return True
        self._has |= {str(name) for name in row} if len(self._has) < MOST_SEEN * 4 else set()
        for name, seen in self._seen.items():
            if len(seen) < MOST_SEEN and name in row and (text := _written(row[name])) not in seen:
                seen.append(text)
        return False

    def refused(self) -> str:
        """What the rows that were left out had in the fields, in a sentence; empty where no row was."""
        if not self._has:
            return ""
        parts = []
        for name, seen in self._seen.items():
            if seen:
                parts.append(f"{name} is {', '.join(seen)}{', ...' if len(seen) == MOST_SEEN else ''} there")
            else:
                parts.append(f"no row has a field {name}; there are {', '.join(sorted(self._has))}")
        return "; ".join(parts)


def row_test(text: str) -> FieldTest:
    """The test that a condition on fields of any name is.

    Numbers are compared with numbers and with texts that say one (CSV), words with the text of the row's value, and the
    words true and false (yes and no, on and off) with values that are true or false. A field that the row lacks equals
    null and nothing else, and lies in no range.

    Raises:
        QueryError: see language.parse.
    """
    condition = parse(text, lambda name: Field(name, None))
    return FieldTest(
        tuple(dict.fromkeys(part.field.path for part in comparisons(condition))), lambda row: holds(condition, row)
    )


def values_test(wanted: Mapping[str, Wanted | Sequence[Wanted]]) -> FieldTest:
    """The test that every field has its value, or one of its several; values are compared as in `row_test`."""
    table = {name: tuple(one) if isinstance(one, list | tuple) else (one,) for name, one in wanted.items()}

    def test(row: Mapping[str, Any]) -> bool:
        return all(any(_equal(row.get(name), value) for value in values) for name, values in table.items())

    return FieldTest(tuple(table), test)


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


def _equal(given: Any, value: Wanted) -> bool:  # noqa: ANN401
    if value is None:
        return given is None or given == ""
    if given is None:
        return False
    if isinstance(given, bool) or isinstance(value, bool) or str(value).casefold() in {"true", "false"}:
        found, asked = _truth(given), _truth(value)
        return found is not None and found is asked
    if isinstance(value, int | float) or isinstance(given, int | float):
        found_number, asked_number = _number(given), _number(value)
        if found_number is not None and asked_number is not None:
            return found_number == asked_number
    return str(given) == str(value)


def _truth(given: Any) -> bool | None:  # noqa: ANN401
    if isinstance(given, bool):
        return given
    word = str(given).strip().casefold()
    return True if word in _TRUE else False if word in _FALSE else None


def _ordered(compare: Callable[[Any, Any], bool], given: Any, value: Constant) -> bool:  # noqa: ANN401
    found = _number(given) if isinstance(value, float) else given
    return type(found) is type(value) and compare(found, value)


def _number(given: Any) -> float | None:  # noqa: ANN401
    try:
        return None if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        return None


def _written(value: Any) -> str:  # noqa: ANN401
    text = json.dumps(value) if isinstance(value, bool) or value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
