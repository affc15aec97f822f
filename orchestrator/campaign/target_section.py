"""The `target` of a campaign file: one property or several, as tables, lists or text, handed on as a Target. Texts: target_text."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator, field_validator

from crystalloop.db.query.nearest import nearest
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.quantities import QUANTITIES, is_older_name, names, quantity
from crystalloop.models.draw.target import Direction, Range, Target
from crystalloop.orchestrator.campaign.part import Part
from crystalloop.orchestrator.campaign.target_text import TargetError, outside, parse_target, written_value

_SIGNS = ("<", ">", "=", "\u2264", "\u2265", "in ")
LARGEST = 1e6
"""No property of a crystal is beyond it, in any unit."""
_ALL = f"there are {', '.join(one.name for one in QUANTITIES)}"
End = float | str | None
ConditionTable = dict[str, Any]


class AlsoSection(Part):
    """A further property that a hit must have."""

    property: str = Field(
        description="a property, as in `target`; energy_above_hull, too, which is known once pw.x computed"
    )
    minimum: End = Field(None, description="lower end, in the property's unit or in one that is written: -500 meV")
    maximum: End = Field(None, description="upper end, likewise")

    @field_validator("minimum", "maximum", mode="before")
    @classmethod
    def _is_finite(cls, value: object) -> object:
        if isinstance(value, float) and not isfinite(value):
            raise ValueError("not a finite number; leave an open end out")
        return value

    @field_validator("property")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if quantity(value) is None:
            raise ValueError(f"unknown property; {nearest(value, names()) or _ALL}")
        return value

    def wanted(self) -> Range:
        """The wanted range, in the networks' unit.

        Raises:
            ValueError: an end that is no value of the property, or an empty range.
        """
        low, high = (_end(self.property, key, getattr(self, key)) for key in ("minimum", "maximum"))
        if low is not None and high is not None and low >= high:
            raise ValueError(f"minimum {self.minimum} is not below maximum {self.maximum}")
        one = quantity(self.property)
        made = Range(
            one.network or one.name if one else self.property,
            -inf if low is None else low,
            inf if high is None else high,
        )
        if wrong := outside(made, self.property):
            raise ValueError(wrong)
        return made


class TargetSection(AlsoSection):
    """What the campaign looks for; checked here key by key, and handed on as a `Target`."""

    property: str = Field(
        E_F,
        description=f"one of {', '.join(one.name for one in QUANTITIES if one.network)}, or a short name such as e_f",
    )
    direction: Direction | None = Field(None, description="minimise or maximise, instead of or within a range")
    also: tuple[AlsoSection, ...] = Field((), max_length=20, description="further properties that a hit must have")

    def target(self) -> Target:
        """The value that drawing, choice and accounts share.

        Raises:
            ValueError: nothing is wanted of the property, an empty range, or a property twice.
        """
        own = self.wanted()
        also = tuple(one.wanted() for one in self.also)
        if open_ := next((one.property for one in also if one.low == -inf and one.high == inf), None):
            raise ValueError(f"also {open_}: give minimum or maximum")
        return Target(own.property, _open(own.low), _open(own.high), self.direction, also)


def _end(name: str, key: str, given: End) -> float | None:
    """An end of a range in the networks' unit."""
    if given is None:
        return None
    if isinstance(given, str):
        return written_value(name, given, key)
    if abs(given) > LARGEST:
        raise ValueError(f"{key} = {given:g} is beyond any value of {name}: wrong unit?")
    one = quantity(name)
    try:
        return given if one is None or is_older_name(name) else one.to_network(given)
    except ValueError as error:
        raise ValueError(f"{key} = {error}") from error


def _read(value: object, handler: ValidatorFunctionWrapHandler) -> Target:
    if isinstance(value, Target):
        return value
    section: TargetSection = handler(_as_section(value))
    return section.target()


def _as_section(value: object) -> object:
    """Any form of a target as the keys of TargetSection."""
    if isinstance(value, Mapping) and (not value or set(value) & set(TargetSection.model_fields)):
        return value
    conditions = _merged(_conditions(value))
    if not conditions:
        raise ValueError("nothing is wanted; e.g. {property: formation_energy_per_atom, maximum: -1}")
    first = [one for one in conditions if one.get("direction") is not None]
    if len(first) > 1:
        raise ValueError("one property alone can be minimised or maximised; give the others a minimum or maximum")
    predicted = [one for one in conditions if (known := quantity(str(one["property"]))) is None or known.network]
    if not predicted:
        raise ValueError(
            "energy_above_hull is not predicted: want a property that is beside it, e.g. a formation energy"
        )
    main = (first or predicted)[0]
    return main | {"also": [one for one in conditions if one is not main]}


def _merged(conditions: list[ConditionTable]) -> list[ConditionTable]:
    """Ends of one property put together; an end that is given twice is left for the section to refuse."""
    found: list[ConditionTable] = []
    for one in conditions:
        ends = {key for key in ("minimum", "maximum") if one.get(key) is not None}
        known = quantity(str(one["property"]))
        for other in found:
            same = known is not None and other["property"] == one["property"]
            if (
                same
                and set(one) <= {"property", "minimum", "maximum"}
                and not any(other.get(key) is not None for key in ends)
            ):
                other |= {key: one[key] for key in ends}
                break
        else:
            found.append(dict(one))
    return found


def _conditions(value: object) -> list[ConditionTable]:
    """The single conditions of a text, a list, or a table of properties."""
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, list | tuple):
        found: list[ConditionTable] = []
        for one in value:
            if isinstance(one, Mapping) and set(one) & set(TargetSection.model_fields):
                found.append({"property": E_F} | dict(one))
            elif isinstance(one, str | Mapping):
                found += _conditions(one)
            else:
                raise ValueError(
                    f"{one!r} is no condition; write e.g. 'band_gap > 1' or {{property: band_gap, minimum: 1}}"
                )
        return found
    if isinstance(value, Mapping):
        return [one for name, wanted in value.items() for one in _of_property(str(name), wanted)]
    raise ValueError("write a table, a list of conditions, or a text such as 'band_gap in 1..2 and e_f < -1'")


def _of_property(name: str, wanted: object) -> list[ConditionTable]:
    if quantity(name) is None:
        hint = nearest(name, (*TargetSection.model_fields, *names()))
        raise ValueError(f"unknown property {name[:60]!r}; {hint or _ALL}")
    if isinstance(wanted, Mapping):
        return [{"property": name} | dict(wanted)]
    if isinstance(wanted, list | tuple) and len(wanted) == 2:
        return [{"property": name, "minimum": wanted[0], "maximum": wanted[1]}]
    if isinstance(wanted, str):
        if wanted in tuple(Direction):
            return [{"property": name, "direction": wanted}]
        sign = "" if wanted.lstrip().startswith(_SIGNS) else "in "
        return _of_text(f"{name} {sign}{wanted}")
    raise ValueError(f"{name}: write a range such as 1..2, '< 2', [1, 2], {{minimum: 1}}, minimise or maximise")


def _of_text(text: str) -> list[ConditionTable]:
    try:
        ranges = parse_target(text, "target", predicted=False)
    except TargetError as error:
        raise ValueError(str(error).removeprefix("target ")) from error
    return [{"property": one.property, "minimum": _open(one.low), "maximum": _open(one.high)} for one in ranges]


def _open(end: float) -> float | None:
    return None if abs(end) == inf else end


if TYPE_CHECKING:
    TargetValue = Target
else:
    TargetValue = Annotated[
        TargetSection,
        WrapValidator(_read, json_schema_input_type=TargetSection | str | list[TargetSection | str] | dict[str, Any]),
        PlainSerializer(Target.stored),
    ]
