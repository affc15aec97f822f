"""The one funnel: named, counted filters over what was generated, and the filters of proposals. Used by loop, command, judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isinf
from typing import Generic, Protocol, TypeVar

import numpy as np
from pymatgen.core.composition import Composition

from crystalloop.models.crystals.chemistry import charges_balance
from crystalloop.models.crystals.contacts import is_valid_strict
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.structures import match_prototype
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import Range, Target
from crystalloop.models.draw.vicinity import Vicinity

T = TypeVar("T")


@dataclass(frozen=True)
class Filter(Generic[T]):
    """One stage.

    Attributes:
        name: in the funnel.
        keep: those that go on, which may know more of themselves than before.
        counted: what the funnel counts of those that go on.
    """

    name: str
    keep: Callable[[Sequence[T]], list[T]]
    counted: Callable[[Sequence[T]], int] = len


@dataclass(frozen=True)
class Funnel(Generic[T]):
    """Who came through, and how many were left after every stage."""

    survivors: tuple[T, ...]
    counts: tuple[tuple[str, int], ...]


def run_funnel(
    found: Sequence[T], filters: Sequence[Filter[T]], generated: int | None = None, found_as: str = "atoms found"
) -> Funnel[T]:
    """Apply the filters in order and count.

    Args:
        found: the crystals that were read.
        filters: stages, cheapest first.
        generated: number of latent vectors decoded, where some gave no crystal.
        found_as: the name under which those read are counted.
    """
    left = list(found)
    counts = [("generated", generated if generated is not None else len(left)), (found_as, len(left))]
    for stage in filters:
        left = stage.keep(left)
        counts.append((stage.name, stage.counted(left)))
    return Funnel(tuple(left), tuple(counts))


def keeping(name: str, test: Callable[[T], bool]) -> Filter[T]:
    """The stage that keeps each one that passes a test."""
    return Filter(name, lambda found: [one for one in found if test(one)])


def valid_distances(name: str = "valid distances") -> Filter[Proposal]:
    """Keep crystals whose atoms stand apart, with a volume per atom that crystals have."""
    return keeping(name, lambda proposal: is_valid_strict(proposal.crystal))


def wanted_formula(elements: Iterable[str], anonymous: Iterable[str], max_atoms: int) -> Filter[Proposal]:
    """Keep the campaign's elements and anonymous formulas; around a base compound, the base's own anonymous formula."""
    known, formulas = set(elements), set(anonymous)

    def fits(proposal: Proposal) -> bool:
        if len(proposal.crystal) > max_atoms or not set(proposal.crystal.composition) <= known:
            return False
        anonymized = Composition(proposal.crystal.composition).anonymized_formula
        if proposal.kind is Kind.AROUND and proposal.bases:
            base = Composition(proposal.bases[0].partition(":")[0])
            return bool(anonymized == base.anonymized_formula)
        return anonymized in formulas

    return keeping("wanted formula", fits)


def charge_balanced() -> Filter[Proposal]:
    """Keep crystals whose charges can balance, where their elements make them ionic."""
    return keeping("charge balanced", lambda proposal: charges_balance(proposal.crystal))


def wanted_composition(vicinity: Vicinity) -> Filter[Proposal]:
    """Keep crystals near the compounds that are asked for, and without the elements that are not wanted."""

    def fits(proposal: Proposal) -> bool:
        composition, name = proposal.crystal.composition, proposal.prototype
        if name is None and vicinity.names_prototypes:
            if not vicinity.near_some(composition):
                return False  # before symmetry is looked for, which takes longer
            found = match_prototype(proposal.structure)
            name = None if found is None else str(found)
        return vicinity.holds(composition, name)

    return keeping("wanted composition", fits)


def is_new(known: KnownCrystals) -> Filter[Proposal]:
    """Keep crystals without a known energy: neither labelled in the data nor a candidate of this campaign."""
    return keeping("new", lambda proposal: not known.knows(proposal.crystal))


def near_target(target: Target, labelled: Sequence[float], sigmas: float = 1.0) -> Filter[Proposal]:
    """Keep crystals that may meet the target, given their prediction and its uncertainty.

    With a range: predicted within it, or within so many standard deviations of it. With a direction: predicted at least
    as good as the median of what is known, again within so many. Without a prediction a crystal is kept: there is no
    reason to drop it. Of the target's other properties each must be predicted within its range, or within as many of its
    own standard deviations. Infinitely many keep all.
    """
    if isinf(sigmas):
        return keeping("predicted near target", lambda proposal: True)
    several = bool(target.objectives)  # what is poor in one of them may be good in another
    bar = (
        -np.inf
        if several
        else float(np.median([target.merit(value) for value in labelled]))
        if len(labelled)
        else -np.inf
    )

    def promising(proposal: Proposal) -> bool:
        value, sigma = proposal.value(target.property), sigmas * (proposal.sigma_of(target.property) or 0.0)
        if not all(_may_hold(one, proposal, sigmas) for one in target.also):
            return False
        if value is None:
            return True
        if target.has_range():
            return target.distance(value) <= sigma
        return target.best_merit(value - sigma, value + sigma) >= bar

    return keeping("predicted near target", promising)


def _may_hold(wanted: Range, proposal: Proposal, sigmas: float) -> bool:
    value = proposal.value(wanted.property)
    slack = sigmas * (proposal.sigma_of(wanted.property) or 0.0)
    return value is None or float(wanted.distance(np.asarray(value, dtype=np.float64))) <= slack


def unique() -> Filter[Proposal]:
    """Keep the most confident of equal crystals, the most confident of all first."""

    def keep(proposals: Sequence[Proposal]) -> list[Proposal]:
        seen = KnownCrystals()
        ordered = sorted(proposals, key=lambda proposal: -proposal.confidence)
        return [proposal for proposal in ordered if seen.takes(proposal.crystal)]

    return Filter("unique", keep)


def first_of_equals() -> Filter[Proposal]:
    """Keep the first of equal crystals, over all batches that go through this one filter."""
    seen = KnownCrystals()
    return keeping("unique", lambda proposal: seen.takes(proposal.crystal))


class Novelty(Protocol):
    """Says how new a crystal is: `known`, or anything else."""

    def novelty(self, crystal: Crystal) -> str:
        """`known`, `new structure`, ..."""


def with_novelty(known: Novelty, *, keep_known: bool) -> Filter[Proposal]:
    """Say of each crystal how new it is; known ones go on only where they are wanted, and are not counted as new."""

    def keep(proposals: Sequence[Proposal]) -> list[Proposal]:
        told = [replace(proposal, novelty=known.novelty(proposal.crystal)) for proposal in proposals]
        return [proposal for proposal in told if keep_known or proposal.novelty != "known"]

    return Filter("new", keep, lambda kept: sum(proposal.novelty != "known" for proposal in kept))


def meets(wanted: Sequence[Range], predict: Callable[[Sequence[Proposal]], list[Proposal]]) -> Filter[Proposal]:
    """Predict the properties of each crystal, and keep those with a prediction in every range."""

    def keep(proposals: Sequence[Proposal]) -> list[Proposal]:
        return [one for one in predict(proposals) if all(each.holds(one.value(each.property)) for each in wanted)]

    return Filter("meets target", keep)
