"""The `target` of a campaign file, checked key by key, and handed on as a Target. Forms: wanted/conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator, field_validator

from crystalloop.db.query.nearest import nearest
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.quantities import QUANTITIES, is_older_name, names, quantity
from crystalloop.models.draw.target import ABOVE_HULL, Direction, Objective, Range, Target
from crystalloop.models.draw.vicinity import WITHIN, Vicinity
from crystalloop.orchestrator.campaign.part import Part
from crystalloop.orchestrator.campaign.target_text import outside, written_value
from crystalloop.orchestrator.campaign.wanted.clauses import clauses_of, with_plain_names
from crystalloop.orchestrator.campaign.wanted.conditions import as_table, conditions_of

LARGEST = 1e6
"""No property of a crystal is beyond it, in any unit."""
DEFAULT_TARGET = Target(ABOVE_HULL, None, 0.05, Direction.MINIMISE)
"""What is looked for where nobody says it: crystals on the hull, or so near to it that they may be made all the same."""
_ALL = f"there are {', '.join(one.name for one in QUANTITIES)}"
End = float | str | None


def _plain(value: object) -> object:
    return with_plain_names(value) if isinstance(value, str) else value


def _spelt(value: object) -> object:
    """Either spelling of a direction."""
    return value.replace("ize", "ise") if isinstance(value, str) else value


class AlsoSection(Part):
    """A further property that a hit must have."""

    property: str = Field(
        description=f"one of {', '.join(one.name for one in QUANTITIES)}, or a short name such as e_f"
    )
    minimum: End = Field(None, description="lower end, in the property's unit or in one that is written: -500 meV")
    maximum: End = Field(None, description="upper end, likewise")

    @field_validator("minimum", "maximum", mode="before")
    @classmethod
    def _is_finite(cls, value: object) -> object:
        if isinstance(value, float) and not isfinite(value):
            raise ValueError("not a finite number; leave an open end out")
        return value

    _as_named = field_validator("property", mode="before")(_plain)

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
        low, high = (in_networks_unit(self.property, key, getattr(self, key)) for key in ("minimum", "maximum"))
        if low is not None and high is not None and low >= high:
            raise ValueError(f"minimum {self.minimum} is not below maximum {self.maximum}")
        ends = (-inf if low is None else low, inf if high is None else high)
        made = Range(_network_name(self.property), *ends)
        if wrong := outside(made, self.property):
            raise ValueError(wrong)
        return made


class ObjectiveSection(Part):
    """One of several objectives."""

    property: str = Field(description="a property, as in `target`")
    direction: Direction = Field(description="minimise or maximise")
    weight: float = Field(1.0, gt=0, le=1e6, description="how much it counts beside the others")
    scale: End = Field(
        None,
        description="how much of it counts as one, in its unit; for moduli and the dielectric constant, which are compared "
        "as logarithms, a factor; default 0.05 eV/atom above the hull, 0.1 eV/atom, 1 eV of gap, a factor of 2",
    )

    _as_named = field_validator("property", mode="before")(_plain)
    _as_spelt = field_validator("direction", mode="before")(_spelt)

    @field_validator("property")
    @classmethod
    def _is_a_property(cls, value: str) -> str:
        if quantity(value) is None:
            raise ValueError(f"unknown property; {nearest(value, names()) or _ALL}")
        return value

    def objective(self) -> Objective:
        """As the target has it.

        Raises:
            ValueError: a scale that is none.
        """
        scale = in_networks_unit(self.property, "scale", self.scale)
        return Objective(_network_name(self.property), self.direction, self.weight, scale)


class TargetSection(AlsoSection):
    """What the campaign looks for; checked here key by key, and handed on as a `Target`."""

    property: str = Field(
        E_F,
        description=f"one of {', '.join(one.name for one in QUANTITIES)}, or a short name such as e_f",
    )
    direction: Direction | None = Field(None, description="minimise or maximise, instead of or within a range")
    also: tuple[AlsoSection, ...] = Field((), max_length=20, description="further properties that a hit must have")
    objectives: tuple[ObjectiveSection, ...] = Field(
        (), max_length=6, description="several properties at once, in place of `property` and `direction`"
    )
    near: tuple[str, ...] = Field(
        (), max_length=20, description="compounds, FORMULA or FORMULA:prototype, near one of which a hit lies"
    )
    within: float = Field(
        WITHIN,
        le=103,
        description="how far is near: the earth mover's distance of the compositions, in places of Pettifor's scale per atom "
        "(LiF to NaF 0.5, to CaO 2.5, to MgO 31)",
    )
    without: tuple[str, ...] = Field((), max_length=120, description="elements that a hit does not contain")

    _as_spelt = field_validator("direction", mode="before")(_spelt)

    @field_validator("near", "without", mode="before")
    @classmethod
    def _is_listed(cls, value: object, info: Any) -> object:  # noqa: ANN401  (pydantic's)
        if not isinstance(value, str):
            return value
        return getattr(clauses_of(f"{info.field_name} {value}"), info.field_name) or value

    @field_validator("objectives", mode="before")
    @classmethod
    def _are_tables(cls, value: object) -> object:
        if isinstance(value, str | Mapping):
            value = [value]
        if not isinstance(value, list | tuple):
            return value
        keys = set(ObjectiveSection.model_fields)
        parts = [[one] if isinstance(one, Mapping) and set(one) & keys else conditions_of(one) for one in value]
        return [one for part in parts for one in part]

    def target(self) -> Target:
        """The value that drawing, choice and accounts share.

        Raises:
            ValueError: nothing is wanted of the property, an empty range, or a property twice.
        """
        own = self.wanted()
        also = tuple(one.wanted() for one in self.also)
        if open_ := next((one.property for one in also if one.low == -inf and one.high == inf), None):
            raise ValueError(f"also {open_}: give minimum or maximum")
        place = Vicinity(self.near, self.within, self.without) if self.near or self.without else None
        if not self.near and "within" in self.model_fields_set:
            raise ValueError(f"within {self.within:g}: of what? name compounds, near: [LiFePO4]")
        if self.objectives:
            return self._several((*((own,) if self._says_itself() else ()), *also), place)
        if place is not None and not self._says_itself():
            return replace(DEFAULT_TARGET, vicinity=place, also=also)
        return Target(own.property, _open(own.low), _open(own.high), self.direction, also, place)

    def _says_itself(self) -> bool:
        """Whether something is asked of the property itself."""
        return bool({"property", "minimum", "maximum", "direction"} & self.model_fields_set)

    def _several(self, ranges: tuple[Range, ...], place: Vicinity | None) -> Target:
        """With the first objective as the property that has a range and direction of its own."""
        if self.direction is not None and "direction" in self.model_fields_set and len(self.objectives) > 1:
            same = self.objectives[0].direction == self.direction and self.wanted().property == _network_name(
                self.objectives[0].property
            )
            if not same:
                raise ValueError("direction: each of `objectives` has its own; leave this one out")
        aims = tuple(one.objective() for one in self.objectives)
        first = aims[0].property
        own = next((one for one in ranges if one.property == first), Range(first))
        also = tuple(one for one in ranges if one is not own and (one.low > -inf or one.high < inf))
        several = aims if len(aims) > 1 else ()
        return Target(first, _open(own.low), _open(own.high), aims[0].direction, also, place, several)


def _network_name(name: str) -> str:
    one = quantity(name)
    return one.network or one.name if one else name


def in_networks_unit(name: str, key: str, given: End) -> float | None:
    """A value of a property, in its unit or in one that is written, in the networks' unit.

    Raises:
        ValueError: none of its values; the message has the key.
    """
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
    section: TargetSection = handler(as_table(value))
    return section.target()


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
