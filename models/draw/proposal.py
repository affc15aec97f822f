"""A crystal on its way: how it is drawn (Kind, Base, Draws) and what was read of it (Proposal). Nothing is computed here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.maps.channels import Floats


@dataclass(frozen=True)
class Base:
    """A known compound to generate from.

    Attributes:
        name: shown as the origin of candidates, for example its formula.
        crystal: conventional cell.
        e_f_ev: formation energy in eV/atom, which gives its condition; None when unknown.
    """

    name: str
    crystal: Crystal
    e_f_ev: float | None = None


@dataclass(frozen=True)
class Draws:
    """Latent vectors and where they come from."""

    latent: Floats  # [b, latent]
    condition: Floats  # [b, 10]
    bases: tuple[tuple[str, ...], ...]
    kind: Kind

    def __len__(self) -> int:
        return len(self.latent)


class Kind(StrEnum):
    """How a latent vector was drawn."""

    RANDOM = "random"
    AROUND = "around"
    BETWEEN = "between"


@dataclass(frozen=True)
class Proposal:
    """A generated crystal, before any screening.

    Attributes:
        crystal: symmetrised conventional cell.
        raw: as read from the maps.
        latent: [latent].
        condition: [10], all zero without one.
        bases: names of the base compounds.
        kind: how the latent was drawn.
        confidence: 0 to 1; how much of the decoded density the atoms explain, or that of the least certain site.
    """

    crystal: Crystal
    raw: Crystal
    latent: Floats
    condition: Floats
    bases: tuple[str, ...]
    kind: Kind
    confidence: float


@dataclass(frozen=True)
class Proposals:
    """What came out of some draws, in their order; failures counted by reason."""

    made: tuple[Proposal, ...]
    failures: Counter[str]
