"""The funnel: named, counted filters over generated crystals, in the order of the paper's Table 2. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.composition import Composition

from crystalloop.models.crystals.elements import covalent_radii_ang
from crystalloop.orchestrator.campaign.spec import Target

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core.structure import Structure


STRICT_CONTACT = 0.7
"""Shortest distance allowed, as a share of the sum of covalent radii; no real contact in the shared data is under 0.79."""
VOLUME_WINDOW = (2.0, 100.0)
"""Volume per atom in cubic angstrom; real crystals of the shared data span 6 to 92."""


@dataclass(frozen=True)
class Draft:
    """A crystal on its way through the funnel.

    Attributes:
        structure: conventional cell, symmetrised.
        kind, model_version, bases, latent, condition, seed: where it comes from, as in db.ledger.records.Origin.
        confidence: of the reconstruction, 0..1.
        predicted: property -> value, None where the network has nothing to say.
        sigma: standard deviation of the predicted formation energy, eV/atom.
    """

    structure: Structure
    kind: str
    prototype: str | None = None
    model_version: str | None = None
    bases: tuple[str, ...] = ()
    latent: tuple[float, ...] | None = None
    condition: tuple[float, ...] | None = None
    seed: int | None = None
    confidence: float = 1.0
    predicted: Mapping[str, float | None] | None = None
    sigma: float = 0.0

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return str(self.structure.composition.reduced_formula)

    def value(self, name: str) -> float | None:
        """Predicted value of a property."""
        return (self.predicted or {}).get(name)


Keep = Callable[[Sequence[Draft]], list[Draft]]


@dataclass(frozen=True)
class Filter:
    """One stage: its name in the funnel, and what it keeps."""

    name: str
    keep: Keep


@dataclass(frozen=True)
class Funnel:
    """Who came through, and how many were left after every stage."""

    survivors: tuple[Draft, ...]
    counts: tuple[tuple[str, int], ...]


def run_funnel(drafts: Sequence[Draft], filters: Sequence[Filter], generated: int | None = None) -> Funnel:
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


def _each(test: Callable[[Draft], bool]) -> Keep:
    return lambda drafts: [draft for draft in drafts if test(draft)]


def contact_ratio(structure: Structure) -> float:
    """Shortest distance over the sum of the two covalent radii, periodic images included; inf for a lone far atom."""
    longest = 2.0 * STRICT_CONTACT * max(covalent_radii_ang()[site.specie.Z] for site in structure)
    centers, others, _, distances = structure.get_neighbor_list(longest)
    if len(distances) == 0:
        return float("inf")
    radii = np.array([covalent_radii_ang()[site.specie.Z] for site in structure])
    return float(np.min(distances / (radii[centers] + radii[others])))


def has_valid_distances(structure: Structure) -> bool:
    """No contact below STRICT_CONTACT of the covalent radii, and a volume per atom within VOLUME_WINDOW."""
    low, high = VOLUME_WINDOW
    return low <= structure.volume / len(structure) <= high and contact_ratio(structure) >= STRICT_CONTACT


def valid_distances() -> Filter:
    """Keep crystals whose atoms stand apart."""
    return Filter("valid distances", _each(lambda draft: has_valid_distances(draft.structure)))


def wanted_formula(elements: Iterable[str], anonymous: Iterable[str], max_atoms: int) -> Filter:
    """Keep the campaign's elements and anonymous formulas; around a base compound, the base's own anonymous formula."""
    known, formulas = set(elements), set(anonymous)

    def fits(draft: Draft) -> bool:
        composition = draft.structure.composition
        if len(draft.structure) > max_atoms or not {str(element) for element in composition} <= known:
            return False
        if draft.kind == "around" and draft.bases:
            base = Composition(draft.bases[0].partition(":")[0])
            return bool(composition.anonymized_formula == base.anonymized_formula)
        return composition.anonymized_formula in formulas

    return Filter("wanted formula", _each(fits))


class KnownStructures:
    """Crystals that need not be computed again, looked up by reduced formula and compared by StructureMatcher."""

    def __init__(self, structures: Iterable[Structure] = ()) -> None:
        self._by_formula: dict[str, list[Structure]] = defaultdict(list)
        for structure in structures:
            self.add(structure)

    @cached_property
    def _matcher(self) -> StructureMatcher:
        from pymatgen.analysis.structure_matcher import StructureMatcher  # 0.4 CPU s that a plan need not pay

        return StructureMatcher(primitive_cell=True, scale=True)

    def add(self, structure: Structure) -> None:
        """Make a crystal known."""
        self._by_formula[structure.composition.reduced_formula].append(structure)

    def knows(self, structure: Structure) -> bool:
        """Whether the same crystal, up to volume and small displacements, is known."""
        same = self._by_formula.get(structure.composition.reduced_formula, [])
        return any(self._matcher.fit(structure, other) for other in same)


def is_new(known: KnownStructures) -> Filter:
    """Keep crystals without a known energy: neither labelled in the data nor a candidate of this campaign."""
    return Filter("new", _each(lambda draft: not known.knows(draft.structure)))


def near_target(target: Target, labelled: Sequence[float]) -> Filter:
    """Keep crystals that may meet the target, given their prediction and its uncertainty.

    With a range: predicted within it, or within one standard deviation of it. With a direction: predicted at least as
    good as the median of what is known, again within one standard deviation. Without a prediction a crystal is kept:
    there is no reason to drop it.
    """
    bar = float(np.median([target.merit(value) for value in labelled])) if len(labelled) else -np.inf

    def promising(draft: Draft) -> bool:
        value = draft.value(target.property)
        if value is None:
            return True
        if target.has_range():
            return target.distance(value) <= draft.sigma
        return max(target.merit(value + draft.sigma), target.merit(value - draft.sigma)) >= bar

    return Filter("predicted near target", _each(promising))


def unique() -> Filter:
    """Keep the most confident of equal crystals."""

    def keep(drafts: Sequence[Draft]) -> list[Draft]:
        seen, kept = KnownStructures(), []
        for draft in sorted(drafts, key=lambda draft: -draft.confidence):
            if not seen.knows(draft.structure):
                seen.add(draft.structure)
                kept.append(draft)
        return kept

    return Filter("unique", keep)
