"""What was expected of a candidate before it was computed: value, error bar, interval, chances, price. A pure type."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Forecast(BaseModel):
    """The surrogate's word on the target's property of one candidate, in the networks' unit of it, given before DFT.

    Attributes:
        property: the target's property.
        mean, sigma: predicted value and its standard deviation.
        low, high: ends of the 90 % conformal interval; None before there was anything to calibrate with.
        hit: calibrated probability that its value meets the target, given that there is one.
        success: probability that its calculation ends with a value.
        cost_s: processor seconds that it is expected to take; None where nothing is known of costs.
        surrogate: which model spoke, such as `trees` or a stack with its shares.
        parts: what each of several that were asked said, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    property: str
    mean: float
    sigma: float | None = None
    low: float | None = None
    high: float | None = None
    hit: float | None = None
    success: float | None = None
    cost_s: float | None = None
    surrogate: str = ""
    parts: dict[str, float] = Field(default_factory=dict)
