"""A crystal on its way: how it is drawn (Kind, Base, Draws) and what it is (Proposal). Nothing is drawn or read here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.maps.channels import Floats

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


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
    """How a crystal came about: of a latent vector that was drawn so, or without one."""

    RANDOM = "random"
    AROUND = "around"
    BETWEEN = "between"
    DECORATED = "decorated"  # a prototype with elements put on its sites; no network
    SUBSTITUTED = "substituted"  # a known crystal with an element exchanged for a similar one; no network
    LISTED = "listed"  # a row of a laboratory's table

    @classmethod
    def of_draws(cls) -> tuple[Kind, ...]:
        """The kinds that a generator draws."""
        return cls.RANDOM, cls.AROUND, cls.BETWEEN


@dataclass(frozen=True, eq=False)
class Proposal:
    """A crystal on its way from a draw, or a decoration, to the ledger.

    Attributes:
        crystal: conventional cell, symmetrised.
        kind: how it came about.
        prototype: its name, where it is known.
        as_read: as read from the maps; None where it was not read.
        latent: [latent]; None without a network.
        condition: [10], all zero for a draw without one; None without a network.
        bases: names of the base compounds.
        confidence: 0 to 1; how much of the decoded density the atoms explain, or that of the least certain site.
        model_version, seed: of the networks and the campaign that it comes from.
        predicted: property -> value, None where the network has nothing to say; empty before it was asked.
        sigma: standard deviation of the predicted formation energy, eV/atom; None where unknown.
        sigmas: the same of every property, each in its own unit.
        novelty: against the training crystals, where it was looked up.
        chance: probability that it meets the target, given that it can be computed; None where nobody said.
        success: probability that its calculation ends with a value; None where nobody said.
        cost_s: processor seconds that its calculation is expected to take; None where nobody said.
        interval: 90 % interval of the target's property, in the unit of `predicted`; None where nobody said.
        surrogate: which model `predicted` is of, where it is not the networks' alone.
        parts: what each of several models said of the target's property, by name.
        arm: who asks for it: the loop, or a baseline that it is compared with.
    """

    crystal: Crystal
    kind: Kind
    prototype: str | None = None
    as_read: Crystal | None = None
    latent: Floats | None = None
    condition: Floats | None = None
    bases: tuple[str, ...] = ()
    confidence: float = 1.0
    model_version: str | None = None
    seed: int | None = None
    predicted: Mapping[str, float | None] = field(default_factory=dict)
    sigma: float | None = None
    sigmas: Mapping[str, float | None] = field(default_factory=dict)
    novelty: str | None = None
    chance: float | None = None
    success: float | None = None
    cost_s: float | None = None
    interval: tuple[float, float] | None = None
    surrogate: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    arm: str = "loop"

    @property
    def raw(self) -> Crystal:
        """As read from the maps, else as it is."""
        return self.crystal if self.as_read is None else self.as_read

    @cached_property
    def structure(self) -> Structure:
        """The crystal for pymatgen."""
        return self.crystal.to_structure()

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return self.crystal.formula

    @property
    def stored_latent(self) -> tuple[float, ...] | None:
        """The latent as the ledger keeps it, to six decimals."""
        return None if self.latent is None else tuple(round(float(x), 6) for x in self.latent)

    @property
    def stored_condition(self) -> tuple[float, ...] | None:
        """The condition as the ledger keeps it."""
        return None if self.condition is None else tuple(float(x) for x in self.condition)

    def value(self, name: str) -> float | None:
        """Predicted value of a property."""
        return self.predicted.get(name)

    def sigma_of(self, name: str) -> float | None:
        """Standard deviation of that value, in the property's unit; None where unknown."""
        return self.sigmas.get(name, self.sigma if name == E_F else None)


@dataclass(frozen=True)
class Proposals:
    """What came of some draws.

    Attributes:
        each: of every draw, in order, its proposal or the reason why there is none.
    """

    each: tuple[Proposal | str, ...] = ()

    @cached_property
    def made(self) -> tuple[Proposal, ...]:
        """Those that gave a crystal, in order."""
        return tuple(one for one in self.each if isinstance(one, Proposal))

    @property
    def failures(self) -> Counter[str]:
        """How often each reason kept a draw from being a crystal."""
        return Counter(one for one in self.each if isinstance(one, str))
