"""What is wanted of crystals: ranges, objectives, a campaign's target. One distance, one merit; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.draw.pareto import compromise
from crystalloop.models.draw.vicinity import WITHIN, Vicinity

COMPUTED = (E_F, "energy_per_atom")
"""Properties that a relaxation itself measures; the other six are predictions of the CGCNN."""
ABOVE_HULL = "energy_above_hull"
"""Wanted of relaxed crystals, eV/atom; no network predicts it."""
COMPROMISE = "compromise"
"""The merit of several objectives as if it were a property, which one_merit makes of them; nobody asks for it by name."""
FLOORS: Mapping[str, float] = {ABOVE_HULL: 0.0}
"""What is no better than this: a crystal below the hull says that the hull is too sparse, not that it is more than stable."""
SCALES: Mapping[str, float] = {
    ABOVE_HULL: 0.05,
    E_F: 0.1,
    "energy_per_atom": 0.1,
    "band_gap": 1.0,
    "log10_bulk_modulus": 0.3,
    "log10_shear_modulus": 0.3,
    "poisson_ratio": 0.1,
    "refractive_index": 1.0,
    "log10_dielectric": 0.3,
}
"""How much of a property counts as much as so much of another, among several objectives: eV/atom, eV, decades, or its number."""
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
        if self.property not in (*PROPERTIES, ABOVE_HULL, COMPROMISE):
            raise ValueError(f"property {self.property!r} is unknown; the networks predict {', '.join(PROPERTIES)}")
        if not self.low <= self.high:
            raise ValueError(f"{self.property} from {self.low} to {self.high} holds no value; give the lower end first")

    def __str__(self) -> str:
        return f"{self.property} in {self.low:g}..{self.high:g}"

    def holds(self, value: float | None) -> bool:
        """Whether a value lies in the range; not for an unknown one."""
        return value is not None and self.low <= floored(self.property, value) <= self.high

    def distance(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """How far values of any shape lie outside the range: zero inside, inf for those that are no numbers."""
        known = np.maximum(values, FLOORS.get(self.property, -inf))
        outside: NDArray[np.floating] = np.maximum(np.maximum(self.low - known, known - self.high), 0.0)
        return np.where(np.isnan(outside), np.inf, outside)


@dataclass(frozen=True)
class Objective:
    """One of several properties that are to be as low, or as high, as possible.

    Attributes:
        property: name in models.crystals.properties, or ABOVE_HULL.
        direction: which way is better.
        weight: how much it counts.
        scale: how much of the property counts as one, in the networks' unit; None for that of SCALES.

    Raises:
        ValueError: an unknown direction, or a weight or scale that is not positive.
    """

    property: str
    direction: Direction
    weight: float = 1.0
    scale: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", Direction(self.direction))
        for name, value in (("weight", self.weight), ("scale", self.scale)):
            if value is not None and not 0 < value < inf:
                raise ValueError(f"the {name} of {self.property} is {value:g}; it must be above 0")

    def unit_gain(self) -> float:
        """What one of the property's unit is worth, without a sign."""
        return self.weight / (SCALES.get(self.property, 1.0) if self.scale is None else self.scale)

    def gain(self, value: float | None) -> float:
        """Larger is better: the value along the direction, in scales, times the weight; nan for an unknown one."""
        if value is None:
            return nan
        known = floored(self.property, value) * self.unit_gain()
        return -known if self.direction is Direction.MINIMISE else known


@dataclass(frozen=True)
class Target:
    """What a campaign looks for: a property inside a range, or as low or high as possible, and what else must hold.

    Attributes:
        property: name in models.crystals.properties, or ABOVE_HULL.
        minimum, maximum: ends of the wanted range, in the property's unit; None where open.
        direction: which way is better, instead of or within a range; its word will do.
        also: ranges of other properties that a hit lies in, too.
        vicinity: where in the space of compositions it lies; None for anywhere.
        objectives: of several properties at once, the first of them the target's own; empty for one alone.

    Raises:
        ValueError: an unknown property or direction, nothing wanted of the property, an empty range, a property twice.
    """

    property: str = E_F
    minimum: float | None = None
    maximum: float | None = None
    direction: Direction | None = None
    also: tuple[Range, ...] = ()
    vicinity: Vicinity | None = None
    objectives: tuple[Objective, ...] = ()

    def __post_init__(self) -> None:
        if self.minimum is None and self.maximum is None and self.direction is None:
            raise ValueError("give minimum, maximum or direction")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum} is not below maximum {self.maximum}")
        if self.direction is not None:
            object.__setattr__(self, "direction", Direction(self.direction))
        self.as_range()  # names an unknown property
        named = [self.property, *(one.property for one in self.also)]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise ValueError(f"{twice} is wanted twice; give one range")
        aims = [one.property for one in self.objectives]
        if twice := next((name for name in aims if aims.count(name) > 1), None):
            raise ValueError(f"{twice} is an objective twice; it can be minimised or maximised once")
        if aims and (len(aims) < 2 or (aims[0], self.objectives[0].direction) != (self.property, self.direction)):
            raise ValueError("several objectives are two or more, and the first of them is the target's own")

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Target:
        """Inverse of `stored`; what earlier versions wrote has one property alone, or no more than `also` beside it."""
        own = {name: stored.get(name) for name in ("minimum", "maximum", "direction")}
        also = tuple(_range_of(one) for one in stored.get("also") or ())
        objectives = tuple(Objective(**one) for one in stored.get("objectives") or ())
        return cls(stored["property"], **own, also=also, vicinity=_vicinity_of(stored), objectives=objectives)

    def stored(self) -> dict[str, Any]:
        """As plain JSON data, without keys of which there is nothing to say: one property is as earlier versions wrote it."""
        made = {name: getattr(self, name) for name in ("property", "minimum", "maximum", "direction")}
        made |= {"also": [_stored(one) for one in self.also]} if self.also else {}
        made |= {"objectives": [asdict(one) for one in self.objectives]} if self.objectives else {}
        if (place := self.vicinity) is not None:
            made |= {"near": list(place.near), "within": place.within} if place.near else {}
            made |= {"without": list(place.without)} if place.without else {}
        return made

    def ranges(self) -> tuple[Range, ...]:
        """Every wanted range: the property's own, where it has one, and the others."""
        return (*((self.as_range(),) if self.has_range() else ()), *self.also)

    def properties(self) -> tuple[str, ...]:
        """What is looked at, the property itself first, each once."""
        others = [one.property for one in self.objectives] + [one.property for one in self.also]
        return tuple(dict.fromkeys((self.property, *others)))

    def admits(self, composition: Mapping[str, float], prototype: str | None = None) -> bool:
        """Whether a crystal of these amounts of elements lies where it is wanted, whatever its properties."""
        return self.vicinity is None or self.vicinity.holds(composition, prototype)

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

    def is_pareto(self) -> bool:
        """Whether a hit is what nothing known dominates: several objectives, of which not each has a range."""
        ranged = {one.property for one in self.ranges()}
        return any(one.property not in ranged for one in self.objectives)

    def cannot_be_better(self, value: float) -> bool:
        """Whether nothing is better than a value of the property, as on the hull; never where a maximum is sought."""
        floor = FLOORS.get(self.property)
        return floor is not None and self.direction is Direction.MINIMISE and value <= floor

    def for_networks(self) -> Target:
        """The same in what networks predict: a low formation energy in place of a low height above the hull.

        The hull is known and has no weights to learn; at one composition both have one order.
        """
        names = [one.property for one in self.objectives] or [self.property]
        if ABOVE_HULL not in names:
            return self
        aims = [one for one in self.objectives if one.property not in (ABOVE_HULL, E_F)]
        lower = [Objective(E_F, self.direction or Direction.MINIMISE)]
        aims = [*lower, *aims] if names[0] in (ABOVE_HULL, E_F) else [*aims, *lower]
        others = {one.property: one for one in self.ranges() if one.property != ABOVE_HULL}
        own = others.pop(aims[0].property, Range(aims[0].property))
        low, high = (None if abs(end) == inf else end for end in (own.low, own.high))
        several = tuple(aims) if len(aims) > 1 else ()
        return Target(own.property, low, high, aims[0].direction, tuple(others.values()), self.vicinity, several)

    def distance(self, value: float) -> float:
        """How far a value lies outside the range; zero inside, and zero everywhere without a range."""
        return float(self.as_range().distance(np.asarray(value, dtype=np.float64)))

    def merit(self, value: float) -> float:
        """Larger is better: minus ten times the distance to the range, plus the value along the direction."""
        known = floored(self.property, value)
        along = {Direction.MINIMISE: -known, Direction.MAXIMISE: known, None: 0.0}[self.direction]
        return along - 10.0 * self.distance(value)

    def merits_of(self, rows: Sequence[ValueOf]) -> NDArray[np.float64]:
        """The merit of each of several crystals, less ten times the distances to all other ranges; -inf where unknown; [n].

        Of several objectives it is a compromise, which depends on who is compared: see pareto.compromise.
        """
        off = np.array([10.0 * self.others_distance(row) for row in rows])
        if self.objectives:
            gains = np.array([[one.gain(row(one.property)) for one in self.objectives] for row in rows])
            own = [0.0 if (value := row(self.property)) is None else self.distance(value) for row in rows]
            merits = compromise(gains.reshape(len(rows), len(self.objectives))) - 10.0 * np.array(own)
        else:
            merits = np.array([-inf if (value := row(self.property)) is None else self.merit(value) for row in rows])
        made: NDArray[np.float64] = merits - off
        return made

    def best_merit(self, low: float, high: float) -> float:
        """The best that a value between these can have: at one of them, or where the wanted range begins or ends."""
        wanted = self.as_range()
        return max(self.merit(min(max(one, low), high)) for one in (low, high, wanted.low, wanted.high))


def floored(name: str, value: float) -> float:
    """A value of a property as it is compared: no better than its floor."""
    return max(value, FLOORS.get(name, -inf))


def _vicinity_of(stored: Mapping[str, Any]) -> Vicinity | None:
    near, without = tuple(stored.get("near") or ()), tuple(stored.get("without") or ())
    return Vicinity(near, float(stored.get("within") or WITHIN), without) if near or without else None


def _stored(wanted: Range) -> dict[str, Any]:
    low, high = (None if abs(end) == inf else end for end in (wanted.low, wanted.high))
    return {"property": wanted.property, "minimum": low, "maximum": high}


def _range_of(stored: Mapping[str, Any]) -> Range:
    low, high = stored.get("minimum"), stored.get("maximum")
    return Range(stored["property"], -inf if low is None else low, inf if high is None else high)
