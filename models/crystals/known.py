"""The one answer to "is it new?": by formula and by structure, for the loop, `generate` and the judge. No files, no records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.formulas import Formula, reduced_counts, reduced_counts_of

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core.structure import Structure


class KnownCrystals:
    """Crystals that can be asked for one of the same formula, or for one that is the same crystal.

    The same crystal is what StructureMatcher finds with its defaults: up to volume and small displacements, between
    primitive cells. It finds no match between primitive cells of different size, so a cell is reduced once, when its
    formula is first asked for, and compared with those of its formula and its number of primitive sites alone: the
    answers of comparing every pair, many times faster where a network draws one formula again and again.
    """

    def __init__(self, crystals: Iterable[Crystal | Structure] = ()) -> None:
        self._waiting: dict[Formula, list[Crystal | Structure]] = defaultdict(list)
        self._reduced: dict[Formula, dict[int, list[Structure]]] = {}
        for crystal in crystals:
            self.add(crystal)

    @cached_property
    def _matcher(self) -> StructureMatcher:
        from pymatgen.analysis.structure_matcher import StructureMatcher  # 0.4 CPU s that a plan need not pay

        return StructureMatcher(primitive_cell=True, scale=True)

    def add(self, crystal: Crystal | Structure) -> None:
        """Make a crystal known."""
        self._waiting[_formula(crystal)].append(crystal)

    def has_formula(self, crystal: Crystal | Structure) -> bool:
        """Whether any crystal here has the reduced formula."""
        return _formula(crystal) in self._waiting

    def knows(self, crystal: Crystal | Structure) -> bool:
        """Whether the same crystal is here."""
        return self._has(_formula(crystal), crystal)

    def takes(self, crystal: Crystal | Structure) -> bool:
        """Make a crystal known if it is new; whether it was."""
        is_new = not self.knows(crystal)
        if is_new:
            self.add(crystal)
        return is_new

    def novelty(self, crystal: Crystal | Structure) -> str:
        """`new formula`, `new structure` or `known`."""
        if not self.has_formula(crystal):
            return "new formula"
        return "known" if self.knows(crystal) else "new structure"

    def _has(self, formula: Formula, crystal: Crystal | Structure) -> bool:
        if formula not in self._waiting:
            return False
        of_formula = self._reduced.setdefault(formula, defaultdict(list))
        for other in self._waiting[formula]:
            made = _reduced(other)
            of_formula[len(made)].append(made)
        self._waiting[formula].clear()
        asked = _reduced(crystal)
        return any(self._matcher.fit(asked, one, skip_structure_reduction=True) for one in of_formula[len(asked)])


def _formula(crystal: Crystal | Structure) -> Formula:
    return reduced_counts(crystal) if isinstance(crystal, Crystal) else reduced_counts_of(crystal.atomic_numbers)


def _reduced(crystal: Crystal | Structure) -> Structure:
    """The primitive cell of the Niggli cell, as StructureMatcher reduces it."""
    structure = crystal.to_structure() if isinstance(crystal, Crystal) else crystal
    return structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()
