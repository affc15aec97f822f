"""The convex hull of energies of one scheme, and how far above it a crystal lies. No database, no files, no pw.x.

A hull is only as good as what is known of its chemical system. Where too little is, there is no value but a sentence:

* an element of the system has no reference energy, or
* an element of the system occurs in no competing compound: an entry of two or more of the system's elements, of another
  composition than the crystal's, or imported. Other structures that this database relaxed at the crystal's own
  composition say which of them is best, not whether it decomposes.

So LiF needs another compound of Li and F or an imported set; SrTiO3 is judged with SrO and TiO2, although Sr and Ti
form none. Energies of another scheme (see `dft.energies.references.energy_scheme`) are never looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING

from pymatgen.core.composition import Composition

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram  # half a second of CPU: see below


@dataclass(frozen=True)
class HullEntry:
    """An energy that is known.

    Args:
        name: of the crystal, told where it is part of a decomposition; unique.
        formula: any formula of it.
        energy_per_atom_ev: E0, total, not of formation.
        scheme: as `energy_scheme` names it.
        imported: from a file, not computed in this database.
    """

    name: str
    formula: str
    energy_per_atom_ev: float
    scheme: str
    imported: bool = False

    @cached_property
    def composition(self) -> Composition:
        """The reduced composition."""
        return Composition(self.formula).reduced_composition

    @cached_property
    def elements(self) -> frozenset[str]:
        """Its element symbols."""
        return frozenset(self.composition.get_el_amt_dict())


@dataclass(frozen=True)
class AboveHull:
    """Where a crystal lies."""

    e_above_hull: float | None  # eV/atom, never negative; 0 is on the hull. None: see `reason`
    reason: str | None = None  # why there is no value
    decomposition: tuple[tuple[float, str, str], ...] = ()  # share of the atoms, formula, name of what lies on the hull
    competing: int = 0  # entries that the crystal was compared with, elements not counted


def energies_above_hull(wanted: Sequence[HullEntry], known: Iterable[HullEntry]) -> dict[str, AboveHull]:
    """Energy above the hull for every wanted entry, by name.

    The wanted entries are part of the hull themselves, so the lowest value is 0.

    Args:
        wanted: crystals of two or more elements.
        known: all else, elemental references included; other schemes may be among them and are left out.
    """
    everything = list({entry.name: entry for entry in (*known, *wanted)}.values())
    by_system: dict[tuple[str, frozenset[str]], list[HullEntry]] = defaultdict(list)
    for entry in wanted:
        by_system[entry.scheme, entry.elements].append(entry)
    found: dict[str, AboveHull] = {}
    for (scheme, elements), entries in by_system.items():
        system = [entry for entry in everything if entry.scheme == scheme and entry.elements <= elements]
        found |= _in_system(entries, system, elements)
    return found


def _in_system(
    wanted: Sequence[HullEntry], system: Sequence[HullEntry], elements: frozenset[str]
) -> dict[str, AboveHull]:
    reasons = {entry.name: why_sparse(entry, system, elements) for entry in wanted}
    found = {name: AboveHull(None, reason) for name, reason in reasons.items() if reason}
    if len(found) == len(wanted):
        return found  # without the diagram's import, which takes a second
    diagram = _diagram(system)
    for entry in wanted:
        if entry.name not in found:
            found[entry.name] = _above(entry, diagram, len(_competing(entry, system)))
    return found


def why_sparse(entry: HullEntry, system: Sequence[HullEntry], elements: frozenset[str]) -> str | None:
    """Why the system is known too little to judge the entry, as a sentence; None where it is not."""
    name = "-".join(sorted(elements))
    missing = sorted(elements - {symbol for other in system if len(other.elements) == 1 for symbol in other.elements})
    if missing:
        return f"no hull for {name}: no reference energy of {', '.join(missing)} in this scheme"
    covered = {symbol for other in _competing(entry, system) for symbol in other.elements}
    if alone := sorted(elements - covered):
        return (
            f"sparse hull for {name}: no competing compound with {', '.join(alone)} is known in this scheme; "
            "relax other compositions or import a reference set"
        )
    return None


def _competing(entry: HullEntry, system: Sequence[HullEntry]) -> list[HullEntry]:
    return [
        other
        for other in system
        if len(other.elements) > 1
        and other.name != entry.name
        and (other.imported or other.composition != entry.composition)
    ]


def _diagram(system: Sequence[HullEntry]) -> PhaseDiagram:
    phases = _phase_diagram()
    diagram: PhaseDiagram = phases.PhaseDiagram(
        [phases.PDEntry(entry.composition, _energy_ev(entry), name=entry.name) for entry in system]
    )
    return diagram


def _phase_diagram() -> ModuleType:
    from pymatgen.analysis import phase_diagram  # half a second, only where a hull is drawn

    return phase_diagram


def _energy_ev(entry: HullEntry) -> float:
    return entry.energy_per_atom_ev * float(entry.composition.num_atoms)


def _above(entry: HullEntry, diagram: PhaseDiagram, competing: int) -> AboveHull:
    phases, above = diagram.get_decomp_and_e_above_hull(
        _phase_diagram().PDEntry(entry.composition, _energy_ev(entry)), allow_negative=True
    )
    parts = [
        (float(share), phase.composition.reduced_formula, str(getattr(phase, "name", "")))
        for phase, share in (phases or {}).items()
    ]
    return AboveHull(max(0.0, float(above or 0.0)), None, tuple(sorted(parts, reverse=True)), competing)
