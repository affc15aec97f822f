"""What is wanted of crystals, from text to ranges of properties: `generate --target` and a campaign's `target`. Pure.

The grammar is db.query's, the names and units are those of models.crystals.quantities.
"""

from __future__ import annotations

from collections.abc import Iterator

from crystalloop.db.query.conditions import (
    Between,
    Compared,
    Condition,
    Field,
    Joined,
    QueryError,
    UnknownField,
    notes_of,
)
from crystalloop.db.query.language import parse
from crystalloop.db.query.nearest import nearest
from crystalloop.models.crystals.quantities import Quantity, is_older_name, names, note_on, quantity, to_predicted
from crystalloop.models.draw.target import ABOVE_HULL, Range

_BELOW_HULL = (
    "no crystal is more stable than the hull that it is part of, and those found below a known one count as on it: "
    "e_above_hull <= 0 asks for these, e_above_hull <= 0.05 for those near it, too"
)
_FORMS = "expected e.g. `e_f in -2.5..-1.5`, `e_f < -1` or `gap > 2`"


class TargetError(Exception):
    """A target that cannot be read; the message has the place, and what can be written there."""

    exit_kind = "usage"


def parse_target(text: str, where: str = "--target", *, predicted: bool = True) -> tuple[Range, ...]:
    """Read conditions `NAME in LOW..HIGH`, `NAME < X`, `NAME > X`, joined by `and` or a comma; one range a property.

    Args:
        text: the conditions; numbers are in the quantity's unit, or in one that is written.
        where: what the text was given as, for messages.
        predicted: only what the networks predict; else what a relaxed crystal has, too.

    Raises:
        TargetError: another form, an unknown property, an empty range, or one outside what the property can be.
    """
    tree = _tree(text, where, predicted)
    ranges: dict[str, Range] = {}
    for part in _conjunction(text, where, tree):
        one = _range(text, where, part)
        before = ranges.get(one.property, Range(one.property))
        low, high = max(before.low, one.low), min(before.high, one.high)
        if low > high:
            raise _error(text, where, len(text), f"nothing has {before} and {one}")
        ranges[one.property] = Range(one.property, low, high)
    return tuple(ranges.values())


def written_value(name: str, text: str, key: str) -> float:
    """A value with a unit, such as `-500 meV`, in the networks' unit.

    Raises:
        ValueError: no number, or another unit than the property has; the message has the key.
    """
    try:
        tree = parse(f"{name} = {text}", _property)
    except QueryError as error:
        raise ValueError(f"{key} {text[:40]!r}: {error.said}") from error
    if not isinstance(tree, Compared) or not isinstance(tree.value, float):
        raise ValueError(f"{key} {text[:40]!r}: expected one number, with a unit or without")
    return tree.value


def target_notes(text: str) -> tuple[str, ...]:
    """What to say of older names in a target that `parse_target` has read."""
    return notes_of(_tree(text, "--target", predicted=False)) if text else ()


def _tree(text: str, where: str, predicted: bool) -> Condition:
    try:
        return parse(text, _predicted if predicted else _property)
    except QueryError as error:
        raise _error(text, where, *((error.at, error.said) if error.form is None else (error.form, _FORMS))) from None


def _property(name: str) -> Field:
    """The quantity of a name; values become the networks', who hold some as logarithms."""
    one = quantity(name)
    if one is None:
        meant = (
            "energy_above_hull <= 0.05 asks for stable crystals;" if name.startswith(("stab", "hull", "decomp")) else ""
        )
        raise UnknownField(
            f"unknown property {name[:60]!r}; {meant or nearest(name, names())} known: {', '.join(names())}"
        )
    unit, units = ("", {}) if is_older_name(name) else (one.unit, one.units)
    return Field(one.network or one.name, float, unit, units, to_predicted(one, name), note=note_on(name))


def _predicted(name: str) -> Field:
    found = _property(name)
    if (one := quantity(name)) is not None and not one.network:
        raise UnknownField(f"{name} is not predicted by the networks: it is known once pw.x has computed a crystal")
    return found


def _conjunction(text: str, where: str, tree: Condition) -> Iterator[Compared | Between]:
    """The parts that must all hold: ranges have no `or`, no `not` and no sets."""
    match tree:
        case Joined("and", parts) if parts:
            for part in parts:
                yield from _conjunction(text, where, part)
        case Joined("or", _, at):
            raise _error(text, where, at, "expected `and`, or the end")
        case Between() | Compared(sign="<" | "<=" | ">" | ">="):
            yield tree
        case _:
            raise _error(text, where, tree.at, _FORMS)


def _range(text: str, where: str, part: Compared | Between) -> Range:
    prop = part.field.path
    if isinstance(part, Between):
        made = Range(prop, part.low, part.high)
    else:
        value = float(part.value or 0.0)
        made = Range(prop, high=value) if part.sign.startswith("<") else Range(prop, low=value)
    strictly = isinstance(part, Compared) and part.sign == "<" and prop == ABOVE_HULL and made.high <= 0
    if wrong := _BELOW_HULL if strictly else outside(made, part.name):
        raise _error(text, where, part.at, wrong)
    return made


def outside(wanted: Range, name: str) -> str:
    """What is wrong with a range that no crystal can lie in, in the unit in which it was written; empty for others."""
    one = quantity(wanted.property)
    if wanted.property == ABOVE_HULL and wanted.high < 0:
        return _BELOW_HULL
    if one is None or not (wanted.low > _bound(one, one.highest) or wanted.high < _bound(one, one.lowest)):
        return ""
    ends = [_bound(one, end) if is_older_name(name) else end for end in (one.lowest, one.highest)]
    unit = f" {one.unit}" if one.unit and not is_older_name(name) else ""
    return f"{name if is_older_name(name) else one.name} lies within {ends[0]:g}..{ends[1]:g}{unit}: wrong unit?"


def _bound(one: Quantity, value: float) -> float:
    """A bound in the networks' unit."""
    return one.to_network(value)


def _error(text: str, where: str, at: int, what: str) -> TargetError:
    shown = text if len(text) <= 200 else f"{text[:197]}..."
    return TargetError(f"{where} {shown!r}, character {at + 1}: {what}")
