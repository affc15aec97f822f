"""What is wanted of a crystal's properties: ranges, and a campaign's target. One distance, one merit; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.properties import E_F, PROPERTIES

COMPUTED = (E_F, "energy_per_atom")
"""Properties that a relaxation itself measures; the other six are predictions of the CGCNN."""
ABOVE_HULL = "energy_above_hull"
"""Wanted of relaxed crystals, eV/atom; no network predicts it."""
ValueOf = Callable[[str], float | None]
"""Property -> a crystal's value of it, None where it is not known."""


class Direction(StrEnum):
    """Which way is better, for a target without a range."""

    MINIMISE = "minimise"
    MAXIMISE = "maximise"


@dataclass(frozen=True)
class Range:
    """A wanted range of a property, ends included, in the units of models.crystals.properties.

    Attributes:
        property: name in models.crystals.properties.
        low, high: ends; -inf and inf where open.

    Raises:
        ValueError: an unknown property, or no value lies in the range.
    """

    property: str
    low: float = -inf
    high: float = inf

    def __post_init__(self) -> None:
        if self.property not in (*PROPERTIES, ABOVE_HULL):
            raise ValueError(f"property {self.property!r} is unknown; the networks predict {', '.join(PROPERTIES)}")
        if not self.low <= self.high:
            raise ValueError(f"{self.property} from {self.low} to {self.high} holds no value; give the lower end first")

    def __str__(self) -> str:
        return f"{self.property} in {self.low:g}..{self.high:g}"

    def holds(self, value: float | None) -> bool:
        """Whether a value lies in the range; not for an unknown one."""
        return value is not None and self.low <= value <= self.high

    def distance(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """How far values of any shape lie outside the range: zero inside, inf for those that are no numbers."""
        outside: NDArray[np.floating] = np.maximum(np.maximum(self.low - values, values - self.high), 0.0)
        return np.where(np.isnan(outside), np.inf, outside)


@dataclass(frozen=True)
class Target:
    """What a campaign looks for: a property inside a range, or as low or high as possible, and what else must hold.

    Attributes:
        property: name in models.crystals.properties.
        minimum, maximum: ends of the wanted range, in the property's unit; None where open.
        direction: which way is better, instead of or within a range; its word will do.
        also: ranges of other properties that a hit lies in, too.

    Raises:
        ValueError: an unknown property or direction, nothing wanted of the property, an empty range, a property twice.
    """

    property: str = E_F
    minimum: float | None = None
    maximum: float | None = None
    direction: Direction | None = None
    also: tuple[Range, ...] = ()

    def __post_init__(self) -> None:
        if self.minimum is None and self.maximum is None and self.direction is None:
            raise ValueError("give minimum, maximum or direction")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum} is not below maximum {self.maximum}")
        if self.direction is not None:
            object.__setattr__(self, "direction", Direction(self.direction))
        self.as_range()  # names an unknown property
        if self.property == ABOVE_HULL:
            raise ValueError(f"{ABOVE_HULL} is not predicted: it can only be wanted beside a property that is")
        named = [self.property, *(one.property for one in self.also)]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise ValueError(f"{twice} is wanted twice; give one range")

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Target:
        """Inverse of `stored`; what earlier versions wrote has no `also`."""
        also = tuple(_range_of(one) for one in stored.get("also") or ())
        return cls(**{name: value for name, value in stored.items() if name != "also"}, also=also)

    def stored(self) -> dict[str, Any]:
        """As plain JSON data, without `also` where there is none: as earlier versions wrote it."""
        made = {name: getattr(self, name) for name in ("property", "minimum", "maximum", "direction")}
        return made | ({"also": [_stored(one) for one in self.also]} if self.also else {})

    def ranges(self) -> tuple[Range, ...]:
        """Every wanted range: the property's own, where it has one, and the others."""
        return (*((self.as_range(),) if self.has_range() else ()), *self.also)

    def properties(self) -> tuple[str, ...]:
        """What is looked at, the property itself first."""
        return (self.property, *(one.property for one in self.also))

    def others_hold(self, value_of: ValueOf) -> bool:
        """Whether a crystal lies in the ranges of the other properties; not where a value is unknown."""
        return all(one.holds(value_of(one.property)) for one in self.also)

    def others_distance(self, value_of: ValueOf) -> float:
        """How far a crystal lies outside the ranges of the other properties, summed; what is unknown counts nothing."""
        known = [(one, value) for one in self.also if (value := value_of(one.property)) is not None]
        return sum(float(one.distance(np.asarray(value, dtype=np.float64))) for one, value in known)

    def as_range(self) -> Range:
        """The wanted range, its ends infinite where none is given."""
        low = -inf if self.minimum is None else self.minimum
        return Range(self.property, low, inf if self.maximum is None else self.maximum)

    def has_range(self) -> bool:
        """Whether at least one end of a range is given."""
        return self.minimum is not None or self.maximum is not None

    def distance(self, value: float) -> float:
        """How far a value lies outside the range; zero inside, and zero everywhere without a range."""
        return float(self.as_range().distance(np.asarray(value, dtype=np.float64)))

    def merit(self, value: float) -> float:
        """Larger is better: minus ten times the distance to the range, plus the value along the direction."""
        along = {Direction.MINIMISE: -value, Direction.MAXIMISE: value, None: 0.0}[self.direction]
        return along - 10.0 * self.distance(value)

    def best_merit(self, low: float, high: float) -> float:
        """The best that a value between these can have: at one of them, or where the wanted range begins or ends."""
        wanted = self.as_range()
        return max(self.merit(min(max(one, low), high)) for one in (low, high, wanted.low, wanted.high))


def _stored(wanted: Range) -> dict[str, Any]:
    low, high = (None if abs(end) == inf else end for end in (wanted.low, wanted.high))
    return {"property": wanted.property, "minimum": low, "maximum": high}


def _range_of(stored: Mapping[str, Any]) -> Range:
    low, high = stored.get("minimum"), stored.get("maximum")
    return Range(stored["property"], -inf if low is None else low, inf if high is None else high)
