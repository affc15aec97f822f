"""Whether a crystal is among many: StructureMatcher, with every cell reduced once and compared with few others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core.structure import Structure


class DistinctCrystals:
    """Crystals that can be asked for one that is the same up to volume and small displacements.

    StructureMatcher finds no match between primitive cells of different size, so only crystals of one formula and one
    number of primitive sites are compared: the same answers as `screen.KnownStructures`, many times faster where a
    network draws one formula again and again.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], Structure]]] = defaultdict(list)
        self._reduced: dict[str, dict[int, list[Structure]]] = defaultdict(lambda: defaultdict(list))

    @cached_property
    def _matcher(self) -> StructureMatcher:
        from pymatgen.analysis.structure_matcher import StructureMatcher  # 0.4 CPU s that a plan need not pay

        return StructureMatcher(primitive_cell=True, scale=True)

    def add(self, formula: str, make: Callable[[], Structure]) -> None:
        """Add a crystal of a reduced formula; it is made when its formula is first asked for."""
        self._waiting[formula].append(make)

    def knows(self, structure: Structure) -> bool:
        """Whether the same crystal is here."""
        formula = str(structure.composition.reduced_formula)
        if not self._waiting[formula] and formula not in self._reduced:
            return False
        for make in self._waiting.pop(formula, []):
            made = reduced(make())
            self._reduced[formula][len(made)].append(made)
        wanted = reduced(structure)
        alike = self._reduced[formula][len(wanted)]
        return any(self._matcher.fit(wanted, other, skip_structure_reduction=True) for other in alike)


def reduced(structure: Structure) -> Structure:
    """The primitive cell of the Niggli cell, as StructureMatcher reduces it."""
    return structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()
