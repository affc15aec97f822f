"""How wide a round casts for candidates: the nets in their order, when the next one is cast, and why there are too few. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

FEWEST_KNOWN = 4
"""Values from which it may be said that a target is far from all of them."""


@dataclass(frozen=True)
class Net:
    """How wide a round casts for candidates; what a narrower net drew stays in it.

    Attributes:
        name: in notes for the user.
        draws: latents drawn anew, as a multiple of what the campaign says.
        scale: their spread, as a multiple of what the campaign says.
        sigmas: standard deviations of a prediction within which the target must lie; inf asks for none.
    """

    name: str
    draws: int
    scale: float
    sigmas: float


NETS = (
    Net("as the campaign says", 1, 1.0, 1.0),
    Net("drawn again, wider, round other compounds", 2, 1.6, 3.0),
    Net("whatever is new, the target left out", 0, 1.0, inf),
)
"""In the order in which they are cast."""


def wider(place: int, found: int, wanted: int, far: bool) -> int | None:
    """The place in NETS of the next net, None where the round goes on with what it has.

    Args:
        place: of the net that was cast last.
        found: candidates that came through.
        wanted: the batch.
        far: see `is_far`; then nothing is computed for which the target would have to be left out.
    """
    following = place + 1
    if found >= wanted or following >= len(NETS) or (far and NETS[following].sigmas == inf):
        return None
    return following


def is_far(distances: Sequence[float]) -> bool:
    """Whether a wanted range lies further from every known value than these span: nothing learned so far leads there.

    Args:
        distances: of each known value to the range, in the property's unit. All equal, as of the gaps of metals, they say
            nothing of what leads there.
    """
    known = sorted(distances)
    return len(known) >= FEWEST_KNOWN and known[0] > known[-1] - known[0] > 0


def shortage(found: int, wanted: int, far: bool) -> str:
    """Why a round that was cast for with every net has fewer candidates than wanted; empty where it has not."""
    if found >= wanted:
        return ""
    if far:
        return (
            f"{found or 'no'} crystals that these elements and prototypes make are predicted within {NETS[1].sigmas:g} "
            "standard deviations of the target, which lies further from everything known than all that is known spans"
        )
    return (
        "what these elements make in these prototypes is computed, known, or gave up, and the networks drew nothing "
        "else that is new"
    )
