"""What `generate --target` wants, from text to ranges of properties. The grammar is db.query's; pure."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from math import log10

from crystalloop.db.query.language import Between, Compared, Condition, Field, Joined, QueryError, UnknownField, parse
from crystalloop.models.crystals.properties import E_F, TABLE
from crystalloop.models.draw.target import Range

ALIASES = {
    "e_f": E_F,
    "energy": "energy_per_atom",
    "gap": "band_gap",
    "K": "log10_bulk_modulus",
    "bulk_modulus": "log10_bulk_modulus",
    "G": "log10_shear_modulus",
    "shear_modulus": "log10_shear_modulus",
    "poisson": "poisson_ratio",
    "n": "refractive_index",
    "eps": "log10_dielectric",
    "dielectric": "log10_dielectric",
}
"""Short names; those of a logarithm take its argument (GPa, or the dielectric constant itself)."""
_BOUNDS = {row.name: row for row in TABLE}
_FORMS = "expected e.g. `e_f in -2.5..-1.5`, `e_f < -1` or `gap > 2`"


class TargetError(Exception):
    """A --target that cannot be read; the message has the place, and what can be written there."""

    exit_kind = "usage"


def parse_target(text: str) -> tuple[Range, ...]:
    """Read conditions `NAME in LOW..HIGH`, `NAME < X`, `NAME > X`, joined by `and` or a comma; one range a property.

    Raises:
        TargetError: another form, an unknown property, an empty range, or one outside what the property can be.
    """
    try:
        tree = parse(text, _property)
    except QueryError as error:
        raise _error(text, *((error.at, error.said) if error.form is None else (error.form, _FORMS))) from None
    ranges: dict[str, Range] = {}
    for part in _conjunction(text, tree):
        one = _range(text, part)
        before = ranges.get(one.property, Range(one.property))
        low, high = max(before.low, one.low), min(before.high, one.high)
        if low > high:
            raise _error(text, len(text), f"nothing has {before} and {one}")
        ranges[one.property] = Range(one.property, low, high)
    return tuple(ranges.values())


def _property(name: str) -> Field:
    """The property of a name or a short name; the unit is that of what is written, so none for a bare logarithm."""
    for row in TABLE:
        if row.name == ALIASES.get(name, name):
            return Field(row.name, float, "" if name.startswith("log10_") else row.unit)
    known = [*ALIASES, *_BOUNDS]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UnknownField(f"unknown property {name!r}; {hint}known: {', '.join(known)}")


def _conjunction(text: str, tree: Condition) -> Iterator[Compared | Between]:
    """The parts that must all hold: ranges have no `or`, no `not` and no sets."""
    match tree:
        case Joined("and", parts) if parts:
            for part in parts:
                yield from _conjunction(text, part)
        case Joined("or", _, at):
            raise _error(text, at, "expected `and`, or the end")
        case Between() | Compared(sign="<" | "<=" | ">" | ">="):
            yield tree
        case _:
            raise _error(text, tree.at, _FORMS)


def _range(text: str, part: Compared | Between) -> Range:
    name, prop, at = part.name, part.field.path, part.at
    logarithm = prop.startswith("log10_") and name in ALIASES

    def end(value: float) -> float:
        if logarithm and value <= 0:
            raise _error(text, at, f"{name} = {value:g} is not positive")
        return log10(value) if logarithm else value

    if isinstance(part, Between):
        made = Range(prop, end(part.low), end(part.high))
    else:
        value = end(float(part.value or 0.0))
        made = Range(prop, high=value) if part.sign.startswith("<") else Range(prop, low=value)
    bound = _BOUNDS[prop]
    if made.low > bound.highest or made.high < bound.lowest:
        unit = f" {bound.unit}" if bound.unit else ""
        raise _error(text, at, f"{prop} lies within {bound.lowest:g}..{bound.highest:g}{unit}: wrong unit?")
    return made


def _error(text: str, at: int, what: str) -> TargetError:
    return TargetError(f"--target {text!r}, character {at + 1}: {what}")
