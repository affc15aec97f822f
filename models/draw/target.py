"""What is wanted of a crystal's properties: a range in the property's unit. Nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass

from crystalloop.models.crystals.properties import PROPERTIES


@dataclass(frozen=True)
class Range:
    """A wanted range of a property, in its unit; ends may be infinite.

    Raises:
        ValueError: an unknown property, or no value lies in the range.
    """

    property: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.property not in PROPERTIES:
            raise ValueError(f"property {self.property!r} is unknown; the networks predict {', '.join(PROPERTIES)}")
        if not self.low <= self.high:
            raise ValueError(f"{self.property} from {self.low} to {self.high} holds no value; give the lower end first")
