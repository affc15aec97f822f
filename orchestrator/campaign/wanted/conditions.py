"""Any form of a target as conditions: tables of the keys that target_section knows, one a property. No value is checked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from crystalloop.db.query.nearest import nearest
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.quantities import QUANTITIES, names, quantity
from crystalloop.models.draw.target import Direction
from crystalloop.orchestrator.campaign.target_text import TargetError, parse_target
from crystalloop.orchestrator.campaign.wanted.clauses import clauses_of, with_plain_names

OWN = ("property", "minimum", "maximum", "direction", "also")
"""Keys of the property that steers, and of those beside it."""
PLACE = ("near", "within", "without")
"""Keys of where in the space of compositions crystals are wanted; with `objectives` they go with every form."""
_SIGNS = ("<", ">", "=", "\u2264", "\u2265", "in ")
_ALL = f"there are {', '.join(one.name for one in QUANTITIES)}"
ConditionTable = dict[str, Any]


def as_table(value: object) -> object:
    """Any form of a target as one table with the keys of target_section.

    Raises:
        ValueError: what is neither of these forms, or an unknown property.
    """
    if isinstance(value, Mapping) and (not value or set(value) & set(OWN) or set(value) <= {*PLACE, "objectives"}):
        return value
    parts = conditions_of(value)
    place = _place(one for one in parts if "property" not in one)
    conditions = _merged([one for one in parts if "property" in one])
    if not conditions:
        if place:
            return place
        raise ValueError("nothing is wanted; e.g. {property: formation_energy_per_atom, maximum: -1}")
    aims = [one for one in conditions if one.get("direction") is not None]
    if len(aims) > 1 or "objectives" in place:
        return place | _several(conditions, aims, place)
    predicted = [one for one in conditions if (known := quantity(str(one["property"]))) is None or known.network]
    main = (aims or predicted or conditions)[0]
    return place | main | {"also": [one for one in conditions if one is not main]}


def _several(conditions: list[ConditionTable], aims: list[ConditionTable], place: ConditionTable) -> ConditionTable:
    """Objectives, and the ranges of all properties beside them."""
    ends = [{key: one[key] for key in one if key != "direction"} for one in conditions]
    given = place.get("objectives", ())
    listed = list(given) if isinstance(given, list | tuple) else [given]
    return {
        "objectives": [{"property": one["property"], "direction": one["direction"]} for one in aims] + listed,
        "also": [one for one in ends if len(one) > 1],
    }


def _place(parts: Iterable[ConditionTable]) -> ConditionTable:
    """What is said of compositions in several places, put together."""
    found: ConditionTable = {}
    for part in parts:
        for key, value in part.items():
            if key == "within" and found.get(key, value) != value:
                raise ValueError(f"within {found[key]} and within {value}: one distance holds for all compounds")
            both = isinstance(value, list | tuple) and key in found
            found[key] = [*found[key], *value] if both else value
    return found


def _merged(conditions: list[ConditionTable]) -> list[ConditionTable]:
    """Ends and direction of one property put together; what is given twice is left for the section to refuse."""
    found: list[ConditionTable] = []
    for one in conditions:
        given = {key for key in ("minimum", "maximum", "direction") if one.get(key) is not None}
        for other in found:
            if set(one) <= {*OWN[:4]} and _go_together(one, other, given):
                other |= {key: one[key] for key in given} | ({"property": one["property"]} if _has_ends(one) else {})
                break
        else:
            found.append(dict(one))
    return found


def _go_together(one: ConditionTable, other: ConditionTable, given: set[str]) -> bool:
    """Whether both speak of one property, in one unit, and not of the same end."""
    known = quantity(str(one["property"]))
    same = known is not None and known == quantity(str(other["property"]))
    one_unit = other["property"] == one["property"] or not (_has_ends(one) and _has_ends(other))
    return same and one_unit and not any(other.get(key) is not None for key in given)


def _has_ends(one: ConditionTable) -> bool:
    return one.get("minimum") is not None or one.get("maximum") is not None


def conditions_of(value: object) -> list[ConditionTable]:
    """The single conditions of a text, a list, or a table of properties; what is said of compositions has no property.

    Raises:
        ValueError: see as_table.
    """
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, list | tuple):
        return [condition for one in value for condition in _of_entry(one)]
    if isinstance(value, Mapping):
        apart = {key: wanted for key, wanted in value.items() if key in (*PLACE, "objectives")}
        rest = [one for name, wanted in value.items() if name not in apart for one in _of_property(str(name), wanted)]
        return rest + ([apart] if apart else [])
    raise ValueError("write a table, a list of conditions, or a text such as 'band_gap in 1..2 and e_f < -1'")


def _of_entry(one: object) -> list[ConditionTable]:
    if isinstance(one, Mapping) and set(one) & set(OWN):
        own = {key: value for key, value in one.items() if key not in PLACE}
        apart = {key: value for key, value in one.items() if key in PLACE}
        return [{"property": E_F} | own, *([apart] if apart else [])]
    if isinstance(one, str | Mapping):
        return conditions_of(one)
    raise ValueError(f"{one!r} is no condition; write e.g. 'band_gap > 1' or {{property: band_gap, minimum: 1}}")


def _of_property(given: str, wanted: object) -> list[ConditionTable]:
    name = with_plain_names(given)
    if quantity(name) is None:
        hint = nearest(name, (*OWN, *PLACE, "objectives", *names()))
        raise ValueError(f"unknown property {name[:60]!r}; {hint or _ALL}")
    if isinstance(wanted, Mapping):
        return [{"property": name} | dict(wanted)]
    if isinstance(wanted, list | tuple) and len(wanted) == 2:
        return [{"property": name, "minimum": wanted[0], "maximum": wanted[1]}]
    if isinstance(wanted, str):
        if wanted.replace("ize", "ise") in tuple(Direction):
            return [{"property": name, "direction": wanted}]
        sign = "" if wanted.lstrip().startswith((*_SIGNS, "between ")) else "in "
        return _of_text(f"{name} {sign}{wanted}")
    raise ValueError(f"{name}: write a range such as 1..2, '< 2', [1, 2], {{minimum: 1}}, minimise or maximise")


def _of_text(text: str) -> list[ConditionTable]:
    clauses = clauses_of(text)
    found: list[ConditionTable] = [{"property": name, "direction": direction} for name, direction in clauses.aims]
    special = bool(found or clauses.place())
    if clauses.conditions.strip() or not special:
        try:
            ranges = parse_target(clauses.conditions, "target", predicted=False)
        except TargetError as error:
            raise ValueError(str(error).removeprefix("target ")) from error
        found += [{"property": one.property, "minimum": _open(one.low), "maximum": _open(one.high)} for one in ranges]
    return [*found, *([place] if (place := clauses.place()) else [])]


def _open(end: float) -> float | None:
    return None if abs(end) == inf else end
