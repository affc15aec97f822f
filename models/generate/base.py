"""The contract of a generator: what it is asked for, and what it promises. The networks behind it live in files beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from crystalloop.models.draw.proposal import Base, Kind, Proposals
from crystalloop.models.draw.target import Range

Rows = tuple[list[dict[str, float | None]], list[dict[str, float | None]]]
"""Property -> value of each crystal, and property -> sigma in the property's unit; None where unknown."""


@dataclass(frozen=True)
class DrawRequest:
    """Some draws.

    Attributes:
        kind: random, around or between.
        count: how many draws.
        seed: of these draws alone, as numpy takes it.
        bases: compounds to draw around or between; not used for random ones.
        wanted: ranges of properties that every draw shall meet.
        e_f_ev: lowest and highest formation energy to condition on, eV/atom: the deciles between them, in turn. None: all
            deciles in turn for random draws, else the bases' own.
        scale: of the spread round a base, in that of its component of the prior; half of it between two.
        allowed: atomic numbers that may occur; None for all.
    """

    kind: Kind
    count: int
    seed: int | tuple[int, ...]
    bases: tuple[Base, ...] = ()
    wanted: tuple[Range, ...] = ()
    e_f_ev: tuple[float, float] | None = None
    scale: float = 1.0
    allowed: tuple[int, ...] | None = None


class Generator(Protocol):
    """Draws crystals.

    Every generator promises (tests/contracts/generator.py holds each to it):

    * `count` answers, in the order of the draws: a Proposal, or the reason why this draw gave no crystal. A draw that
      fails is counted and never raised.
    * The same request gives the same answers, whatever was asked for before; another seed gives others.
    * A proposal is of the kind asked for; round a base it names that base, between two both, else none.
    * A proposal has no element that is not allowed.
    * Nothing is predicted, screened or known of a proposal yet: that is done by who asked.
    """

    def generate(self, request: DrawRequest) -> Proposals:
        """What came of each draw."""
