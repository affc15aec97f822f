"""What is wanted of a crystal's properties: ranges, and a campaign's target. One distance, one merit; nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.properties import E_F, PROPERTIES

COMPUTED = (E_F, "energy_per_atom")
"""Properties that a relaxation itself measures; the other six are predictions of the CGCNN."""


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
        if self.property not in PROPERTIES:
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
    """What a campaign looks for: a property inside a range, or as low or high as possible.

    Attributes:
        property: name in models.crystals.properties.
        minimum, maximum: ends of the wanted range, in the property's unit; None where open.
        direction: which way is better, instead of or within a range; its word will do.

    Raises:
        ValueError: an unknown property or direction, nothing wanted of the property, or an empty range.
    """

    property: str = E_F
    minimum: float | None = None
    maximum: float | None = None
    direction: Direction | None = None

    def __post_init__(self) -> None:
        if self.minimum is None and self.maximum is None and self.direction is None:
            raise ValueError("give minimum, maximum or direction")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum} is not below maximum {self.maximum}")
        if self.direction is not None:
            object.__setattr__(self, "direction", Direction(self.direction))
        self.as_range()  # names an unknown property

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
