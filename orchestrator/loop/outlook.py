"""What more calculations would bring, by the forecasts before and what came of them, in words. Pure; who decides is policy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Forecasted:
    """The last round of which hits were expected before DFT, and what came of it.

    Attributes:
        round: its number.
        sent: candidates that were sent to DFT.
        expected: hits among them: the sum of each one's chance to be a hit times that of a calculation that ends well.
        found: hits among them.
    """

    round: int
    sent: int
    expected: float
    found: int


def what_more(last: Forecasted | None) -> str:
    """What as many calls again would bring, as the end of a sentence; empty where nobody forecast anything."""
    if last is None:
        return ""
    return (
        f"; another {last.sent} relaxations would bring {_about(last.expected)} at best, were they as promising as those "
        f"of round {last.round}{_came_true(last)}"
    )


def no_gain(declined: int, expected: float | None, least: float | None, last: Forecasted | None, hits: int) -> str:
    """Why a batch was chosen and not sent, and what it would have brought."""
    came_true = "" if last is None else f", after round {last.round}{_came_true(last)}"
    return (
        f"no gain is expected: the next {declined} relaxations would bring {_about(expected or 0.0)}, and "
        f"`stop.expected_hits` is {least or 0.0:g}{came_true}; {hits_text(hits)} so far; a smaller `stop.expected_hits` goes on"
    )


def hits_text(count: int) -> str:
    """So many hits."""
    return "1 hit" if count == 1 else f"{count} hits"


def _came_true(last: Forecasted) -> str:
    """How far the last forecast can be believed."""
    return f" ({last.expected:.2g} expected of {last.sent}, {last.found} found)"


def _about(hits: float) -> str:
    return f"about {hits:.2g} hits" if hits >= 0.01 else "fewer than 0.01 hits"
