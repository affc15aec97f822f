"""The funnel: named, counted filters over generated crystals, in the order of the paper's Table 2. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core.composition import Composition

from crystalloop.models.crystals.contacts import is_valid_strict
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import Target

Keep = Callable[[Sequence[Proposal]], list[Proposal]]


@dataclass(frozen=True)
class Filter:
    """One stage: its name in the funnel, and what it keeps."""

    name: str
    keep: Keep


@dataclass(frozen=True)
class Funnel:
    """Who came through, and how many were left after every stage."""

    survivors: tuple[Proposal, ...]
    counts: tuple[tuple[str, int], ...]


def run_funnel(drafts: Sequence[Proposal], filters: Sequence[Filter], generated: int | None = None) -> Funnel:
    """Apply the filters in order and count.

    Args:
        drafts: the crystals that were reconstructed.
        filters: stages, cheapest first.
        generated: number of latent vectors decoded, where some gave no crystal.
    """
    left = list(drafts)
    counts = [("generated", generated if generated is not None else len(left)), ("atoms found", len(left))]
    for stage in filters:
        left = stage.keep(left)
        counts.append((stage.name, len(left)))
    return Funnel(tuple(left), tuple(counts))


def _each(test: Callable[[Proposal], bool]) -> Keep:
    return lambda drafts: [draft for draft in drafts if test(draft)]


def valid_distances() -> Filter:
    """Keep crystals whose atoms stand apart."""
    return Filter("valid distances", _each(lambda draft: is_valid_strict(draft.crystal)))


def wanted_formula(elements: Iterable[str], anonymous: Iterable[str], max_atoms: int) -> Filter:
    """Keep the campaign's elements and anonymous formulas; around a base compound, the base's own anonymous formula."""
    known, formulas = set(elements), set(anonymous)

    def fits(draft: Proposal) -> bool:
        composition = draft.structure.composition
        if len(draft.structure) > max_atoms or not {str(element) for element in composition} <= known:
            return False
        if draft.kind == "around" and draft.bases:
            base = Composition(draft.bases[0].partition(":")[0])
            return bool(composition.anonymized_formula == base.anonymized_formula)
        return composition.anonymized_formula in formulas

    return Filter("wanted formula", _each(fits))


def is_new(known: KnownCrystals) -> Filter:
    """Keep crystals without a known energy: neither labelled in the data nor a candidate of this campaign."""
    return Filter("new", _each(lambda draft: not known.knows(draft.structure)))


def near_target(target: Target, labelled: Sequence[float]) -> Filter:
    """Keep crystals that may meet the target, given their prediction and its uncertainty.

    With a range: predicted within it, or within one standard deviation of it. With a direction: predicted at least as
    good as the median of what is known, again within one standard deviation. Without a prediction a crystal is kept:
    there is no reason to drop it.
    """
    bar = float(np.median([target.merit(value) for value in labelled])) if len(labelled) else -np.inf

    def promising(draft: Proposal) -> bool:
        value = draft.value(target.property)
        if value is None:
            return True
        sigma = draft.sigma or 0.0
        if target.has_range():
            return target.distance(value) <= sigma
        return max(target.merit(value + sigma), target.merit(value - sigma)) >= bar

    return Filter("predicted near target", _each(promising))


def unique() -> Filter:
    """Keep the most confident of equal crystals."""

    def keep(drafts: Sequence[Proposal]) -> list[Proposal]:
        seen = KnownCrystals()
        return [draft for draft in sorted(drafts, key=lambda draft: -draft.confidence) if seen.takes(draft.structure)]

    return Filter("unique", keep)
