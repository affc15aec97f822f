"""What a condition is once it is read: a tree of comparisons, and the errors of reading one. The grammar: language. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

MOST_SHOWN_TEXT, SHOWN_BEFORE, MOST_SHOWN_WORD = 200, 60, 60
"""Characters of a long condition that a message shows, and of these before the place."""


class QueryError(ValueError):
    """The condition cannot be read; the message shows where and what would be understood.

    Attributes:
        said: what is wrong.
        at: place in the text, from 0.
        form: place from which on the text has none of the grammar's forms; None where another thing is wrong.
    """

    exit_kind = "usage"

    def __init__(self, said: str, text: str, what: str, at: int, form: int | None = None) -> None:
        start = max(0, at - SHOWN_BEFORE) if len(text) > MOST_SHOWN_TEXT else 0
        shown = "".join(c if c.isprintable() else " " for c in text[start : start + MOST_SHOWN_TEXT])
        what = what if len(what) <= MOST_SHOWN_WORD else f"{what[: MOST_SHOWN_WORD - 4]}...{what[-1]}"
        super().__init__(f"{said}\n  {shown}\n  {' ' * (at - start)}^ {what}, character {at + 1}")
        self.said, self.at, self.form = said, at, form


class UnknownField(ValueError):
    """A vocabulary has no field of a name; the message says which names it has."""


Constant = str | int | float | None


@dataclass(frozen=True)
class Field:
    """A field that can be asked for: where it is stored, its type and, for quantities, its unit.

    The type is None where any number or word may stand.

    Attributes:
        units: other units that are understood, with their value in `unit`.
        convert: what turns a value as written into the stored one; None for no change.
        values: the texts that the field can have; empty where there are too many to say.
        note: what to say to whoever uses this name.
    """

    path: str
    type: type[str] | type[int] | type[float] | None
    unit: str = ""
    units: Mapping[str, float] = field(default_factory=dict)
    convert: Callable[[float], float] | None = None
    values: tuple[str, ...] = ()
    note: str = ""


Vocabulary = Callable[[str], Field]
"""Name -> field; raises UnknownField."""


@dataclass(frozen=True)
class Compared:
    """A field, one of SIGNS, a value. `name` is the field as written, `at` the place of the value."""

    field: Field
    name: str
    sign: str
    value: Constant
    at: int


@dataclass(frozen=True)
class Among:
    """A field that has one of the values."""

    field: Field
    name: str
    values: tuple[Constant, ...]
    at: int


@dataclass(frozen=True)
class Between:
    """A field within a range, ends included."""

    field: Field
    name: str
    low: float
    high: float
    at: int


@dataclass(frozen=True)
class Not:
    """What does not hold. `at` is the place of the word."""

    inner: Condition
    at: int


@dataclass(frozen=True)
class Joined:
    """Conditions joined by `and` or `or`; without any, everything holds. `at` is the place of the first joint."""

    word: str
    parts: tuple[Condition, ...]
    at: int = 0


Condition = Compared | Among | Between | Not | Joined


def comparisons(condition: Condition) -> Iterator[Compared | Among | Between]:
    """The comparisons of a tree, in the order of the text."""
    match condition:
        case Compared() | Among() | Between():
            yield condition
        case Not(inner):
            yield from comparisons(inner)
        case _:
            for part in condition.parts:
                yield from comparisons(part)


def notes_of(condition: Condition) -> tuple[str, ...]:
    """What to say of the names that a condition uses, each once."""
    return tuple(dict.fromkeys(part.field.note for part in comparisons(condition) if part.field.note))
