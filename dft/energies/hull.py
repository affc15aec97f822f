"""Total energies of one scheme, and how far above their hull a crystal lies. No database, no files, no pw.x.

Energies of another scheme (see `dft.energies.references.energy_scheme`) are never looked at. Where too little is known
there is no value but a reason: `sparse`. The hull itself, and formation energies from elsewhere in it: `reference_hull`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pymatgen.core.composition import Composition

from crystalloop.dft.energies.reference_hull import FormationEntry, ReferenceHull
from crystalloop.dft.energies.sparse import sparse_reason

ROUNDING_EV = 1e-9
"""eV/atom: nearer to the hull than this is on it."""


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
    source: str | None = None  # which energies the hull is made of
    error: float | None = None  # eV/atom, standard error of that hull on the scale of this scheme


@dataclass(frozen=True)
class SchemeHull:
    """The hull of one scheme: of its own energies, or these beside a reference that is tied to them.

    Attributes:
        hull: answers on the scale of the scheme.
        source: which energies it is made of.
        error: the tie's standard error at a formula, eV/atom; None for the scheme's own alone.
    """

    hull: ReferenceHull
    source: str
    error: Callable[[str], float] | None = None


@dataclass
class _Elements:
    """The lowest energies of elements in one scheme, with their names."""

    lowest: dict[str, HullEntry] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[HullEntry]) -> _Elements:
        found = cls()
        for entry in sorted(entries, key=lambda entry: entry.energy_per_atom_ev, reverse=True):
            if len(entry.elements) == 1:
                found.lowest |= {next(iter(entry.elements)): entry}
        return found

    def formation_ev_per_atom(self, entry: HullEntry) -> float | None:
        if entry.elements - set(self.lowest):
            return None
        shares = entry.composition.fractional_composition.get_el_amt_dict()
        return entry.energy_per_atom_ev - sum(
            share * self.lowest[symbol].energy_per_atom_ev for symbol, share in shares.items()
        )


Own = Sequence[FormationEntry]
MakeHull = Callable[[str, Own], SchemeHull]
"""From a scheme and its own energies of formation to its hull."""


def formation_entries(entries: Sequence[HullEntry]) -> list[FormationEntry]:
    """Total energies of one scheme as energies of formation from its lowest elements; without those of unknown elements."""
    elements = _Elements.of(entries)
    return [
        FormationEntry(entry.name, entry.composition.reduced_formula, energy_ev, entry.imported)
        for entry in entries
        if (energy_ev := elements.formation_ev_per_atom(entry)) is not None
    ]


def own_hull(_: str, own: Own) -> SchemeHull:
    """The hull of a scheme's energies alone."""
    return SchemeHull(ReferenceHull((), "in this scheme").with_own(own), "pw.x alone")


def energies_above_hull(
    wanted: Sequence[HullEntry], known: Iterable[HullEntry], make: MakeHull = own_hull
) -> dict[str, AboveHull]:
    """Energy above the hull for every wanted entry, by name.

    The wanted entries are part of the hull themselves, so the lowest value is 0.

    Args:
        wanted: crystals of two or more elements.
        known: all else, elemental references included; other schemes may be among them and are left out.
        make: the hull of a scheme.
    """
    by_scheme: dict[str, dict[str, HullEntry]] = defaultdict(dict)
    for entry in (*known, *wanted):
        by_scheme[entry.scheme][entry.name] = entry
    found: dict[str, AboveHull] = {}
    for scheme, entries in by_scheme.items():
        asked = [entry for entry in wanted if entry.scheme == scheme]
        found |= _in_scheme(asked, list(entries.values()), scheme, make) if asked else {}
    return found


def _in_scheme(
    asked: Sequence[HullEntry], entries: Sequence[HullEntry], scheme: str, make: MakeHull
) -> dict[str, AboveHull]:
    own = {entry.name: entry for entry in formation_entries(entries)}
    known = set(_Elements.of(entries).lowest)
    judged = make(scheme, list(own.values()))
    return {
        entry.name: _above(own[entry.name], judged)
        if entry.name in own
        else AboveHull(None, sparse_reason(entry.elements, entry.elements - known, (), "in this scheme"))
        for entry in asked
    }


def _above(entry: FormationEntry, judged: SchemeHull) -> AboveHull:
    """Against all others; what lies lower than they do together is on the hull itself."""
    point = judged.hull.at(entry.formula, without=entry.name)
    if point.energy_ev_per_atom is None:
        return AboveHull(None, point.reason, competing=point.competing)
    above_ev = entry.energy_ev_per_atom - point.energy_ev_per_atom
    error = None if judged.error is None else judged.error(entry.formula)
    found = AboveHull(above_ev, None, point.decomposition, point.competing, judged.source, error)
    if above_ev > ROUNDING_EV:
        return found
    return replace(found, e_above_hull=0.0, decomposition=((1.0, entry.formula, entry.name),))
