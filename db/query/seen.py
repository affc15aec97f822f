"""What documents have in the fields of a condition that none of them meets: the next move of whoever asked. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crystalloop.db.query.conditions import Condition, Field, comparisons

MOST_VALUES_SAID = 8


def what_there_is(condition: Condition, documents: Sequence[Mapping[str, Any]]) -> str:
    """What the fields that a condition looks at have in some documents, in a sentence."""
    fields = {part.field.path: (part.name, part.field) for part in comparisons(condition)}
    return "; ".join(_said(name, field, list(_values(documents, path))) for path, (name, field) in fields.items())


def _values(documents: Iterable[Mapping[str, Any]], path: str) -> Iterable[Any]:
    for document in documents:
        value: Any = document
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, list | tuple):
            yield from dict.fromkeys(value)
        elif value is not None:
            yield value


def _said(name: str, field: Field, values: list[Any]) -> str:
    if not values:
        return f"none has {name}"
    if field.type is not str:
        unit = f" {field.unit}" if field.unit and field.convert is None else ""
        stored = " as stored" if field.convert is not None else ""
        return f"{name} is {min(values):g}..{max(values):g}{unit}{stored} in {len(values)}"
    common = Counter(str(value) for value in values).most_common(MOST_VALUES_SAID + 1)
    told = ", ".join(f"{value} ({count})" for value, count in common[:MOST_VALUES_SAID])
    return f"{name} is {told}{', ...' if len(common) > MOST_VALUES_SAID else ''}"
