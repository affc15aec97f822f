"""A hull of energies of formation for tens of thousands of formulas, asked by composition in a fraction of a millisecond.

All of one scheme; which files they come from, and how pw.x's own energies are put beside them, is not said here. When it
abstains is the one rule of `dft.energies.sparse`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import chain, combinations
from math import gcd, isfinite

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element

from crystalloop.dft.energies.mixture import Numbers, lowest_mixture
from crystalloop.dft.energies.sparse import sparse_reason

Key = tuple[tuple[str, float], ...]
"""Elements in alphabetical order with their reduced amounts: equal for equal compositions."""
_PLAIN = re.compile(r"(?:[A-Z][a-z]?\d*)+")
_PART = re.compile(r"([A-Z][a-z]?)(\d*)")
_MOST_ELEMENTS = 12
"""Beyond it subsets of a system are not counted out but looked for."""
_KNOWN = frozenset(member.value for member in Element if member.value not in ("D", "T"))


@dataclass(frozen=True)
class FormationEntry:
    """An energy of formation that is known.

    Attributes:
        name: of the crystal or row; unique among the entries of one hull.
        formula: any formula of it.
        energy_ev_per_atom: of formation, of the hull's scheme.
        imported: from elsewhere: it competes with crystals of its own composition, too.
        scheme: that the energy is of, where that has to be known to move it.
    """

    name: str
    formula: str
    energy_ev_per_atom: float
    imported: bool = False
    scheme: str = ""


ScaleMove = Callable[[FormationEntry], float | None]
"""What is added to an energy of a set to have it on the scale that is asked for, eV/atom; None leaves it out."""


@dataclass(frozen=True)
class HullPoint:
    """What a hull is at a composition.

    Attributes:
        energy_ev_per_atom: of formation, 0 or below; None: see `reason`.
        reason: why there is no value.
        decomposition: share of the atoms, formula and name of what is stable there.
        competing: compounds that were compared, elements not counted.
    """

    energy_ev_per_atom: float | None
    reason: str | None = None
    decomposition: tuple[tuple[float, str, str], ...] = ()
    competing: int = 0


class _Compounds:
    """Compounds by the elements that they hold, as arrays; elements themselves are at 0 and not among them."""

    def __init__(self, entries: Iterable[tuple[Key, FormationEntry]]) -> None:
        self._by_system: dict[tuple[str, ...], list[tuple[Key, FormationEntry]]] = {}
        self.elements = frozenset[str]()
        for key, entry in entries:
            system = tuple(symbol for symbol, _ in key)
            self._by_system.setdefault(system, []).append((key, entry))
        self.elements = frozenset(chain.from_iterable(self._by_system))
        self.pure = {system[0]: _lowest(found) for system, found in self._by_system.items() if len(system) == 1}

    def of(self, system: tuple[str, ...]) -> list[tuple[Key, FormationEntry]]:
        """Those of exactly these elements."""
        return self._by_system.get(system, [])

    def systems(self, elements: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Two or more of these elements of which there is a compound without any other."""
        if len(elements) > _MOST_ELEMENTS:
            wanted = set(elements)
            return [system for system in self._by_system if len(system) > 1 and wanted.issuperset(system)]
        sizes = range(2, len(elements) + 1)
        subsets = chain.from_iterable(combinations(elements, size) for size in sizes)
        return [subset for subset in subsets if subset in self._by_system]


@dataclass(frozen=True)
class _System:
    """The compounds of one chemical system as columns of numbers."""

    compounds: tuple[tuple[Key, FormationEntry], ...]
    fractions: Numbers  # [m, n]
    energies_ev: Numbers  # [m]

    @classmethod
    def of(cls, compounds: Sequence[tuple[Key, FormationEntry]], elements: tuple[str, ...]) -> _System:
        fractions = np.array([fractions_of(key, elements) for key, _ in compounds]).reshape(-1, len(elements))
        energies_ev = np.array([entry.energy_ev_per_atom for _, entry in compounds])
        return cls(tuple(compounds), fractions, energies_ev)


class ReferenceHull:
    """The convex hull of a set of formation energies, with own results added as they come.

    Several entries of one composition are all kept; the lowest is what the hull is made of. A shift per element moves
    compounds of the set, not own ones, onto the own scale. Elements are at 0, where formation energies have them; a set that
    lists elements but not this one does not know it (the Materials Project's public table has no Yb).

    Args:
        entries: of the set; one name each.
        where: how a sentence names the set, such as `in mp.json.gz`.
        move: of the set's compounds, asked once each, and only in systems that are looked at; None leaves all as they are.

    Raises:
        ValueError: a formula that cannot be read, an element that is none, an energy that is no finite number.
    """

    def __init__(
        self, entries: Iterable[FormationEntry] = (), where: str = "in this set", move: ScaleMove | None = None
    ) -> None:
        self._set = _Compounds(_keyed(entries))
        self._own = _Compounds(())
        self._move = move and cache(move)
        self._shift: dict[str, float] = {}
        self._where = where
        self._gathered: Callable[[tuple[str, ...]], _System] = lru_cache(maxsize=2048)(self._gather)
        self._energies: dict[str, float | None] = {}

    def elements(self) -> frozenset[str]:
        """Those whose own energy is known."""
        pure = frozenset({**self._set.pure, **self._own.pure})
        return pure or (self._set.elements | self._own.elements)

    def with_own(self, entries: Iterable[FormationEntry], shift: Mapping[str, float] | None = None) -> ReferenceHull:
        """This set with other own entries, in place of those it had; what was read is shared, not copied.

        Args:
            entries: own results, elements among them or not.
            shift: element -> what is added per atom of it to the set's compounds, eV.
        """
        made = ReferenceHull((), self._where)
        made._set, made._move = self._set, self._move
        made._own, made._shift = _Compounds(_keyed(entries)), dict(shift or {})
        return made

    def listed(self, key: Key) -> float | None:
        """The lowest energy of formation that the set itself has at a composition, moved, not shifted; None for none."""
        system = tuple(symbol for symbol, _ in key)
        return min((one.energy_ev_per_atom for other, one in self._moved(system) if other == key), default=None)

    def energy(self, formula: str) -> float | None:
        """The hull's energy of formation at a composition, eV/atom; None where it abstains. Remembered by formula."""
        if formula not in self._energies:
            self._energies[formula] = self.at(formula).energy_ev_per_atom
        return self._energies[formula]

    def at(self, composition: str | Mapping[str, float], without: str = "", *, even_sparse: bool = False) -> HullPoint:
        """The hull at a composition.

        Args:
            composition: a formula, or element -> amount, above 0.
            without: name of the entry that is asked about, so that it is not judged against itself.
            even_sparse: answer where too few compounds compete, as tables of laboratories are made.

        Raises:
            ValueError: a formula that cannot be read, an element that is none.
        """
        key = composition_key(composition)
        elements = tuple(symbol for symbol, _ in key)
        if len(elements) == 1:
            return HullPoint(None, "no hull: an element")
        system, competing = self._gathered(elements), []
        usable = np.ones(len(system.compounds), dtype=bool)
        for index, (other, entry) in enumerate(system.compounds):
            usable[index] = entry.name != without
            if usable[index] and (entry.imported or other != key):
                competing.append(other)
        missing = frozenset(elements) - self.elements()
        found = [elements] if even_sparse else {tuple(symbol for symbol, _ in other) for other in competing}
        if reason := sparse_reason(elements, missing, found, self._where):
            return HullPoint(None, reason, competing=len(competing))
        return self._point(system, np.flatnonzero(usable), key, len(competing))

    def _point(self, system: _System, rows: NDArray[np.intp], key: Key, competing: int) -> HullPoint:
        elements = tuple(symbol for symbol, _ in key)
        wanted = np.array(fractions_of(key, elements))
        found = lowest_mixture(system.fractions[rows], system.energies_ev[rows], wanted)
        pure = {**self._set.pure, **self._own.pure}
        phases = [
            pure.get(elements[-1 - i]) or FormationEntry(elements[-1 - i], elements[-1 - i], 0.0)
            if i < 0
            else system.compounds[int(rows[i])][1]
            for i in found.phases
        ]
        parts = tuple((share, one.formula, one.name) for share, one in zip(found.shares, phases, strict=True))
        return HullPoint(min(0.0, found.energy_ev_per_atom), None, parts, competing)

    def _gather(self, elements: tuple[str, ...]) -> _System:
        known = [one for system in self._set.systems(elements) for one in self._moved(system)]
        own = [one for system in self._own.systems(elements) for one in self._own.of(system)]
        system = _System.of([*known, *own], elements)
        shift = np.array([self._shift.get(symbol, 0.0) for symbol in elements])
        system.energies_ev[: len(known)] += system.fractions[: len(known)] @ shift
        return system

    def _moved(self, system: tuple[str, ...]) -> list[tuple[Key, FormationEntry]]:
        """The set's compounds of exactly these elements, on the scale that is asked for."""
        found = self._set.of(system)
        if self._move is None:
            return found
        by_ev = [self._move(entry) for _, entry in found]
        return [
            (key, replace(entry, energy_ev_per_atom=entry.energy_ev_per_atom + by))
            for (key, entry), by in zip(found, by_ev, strict=True)
            if by is not None
        ]


def _lowest(found: Iterable[tuple[Key, FormationEntry]]) -> FormationEntry:
    return min((entry for _, entry in found), key=lambda entry: entry.energy_ev_per_atom)


def _keyed(entries: Iterable[FormationEntry]) -> Iterable[tuple[Key, FormationEntry]]:
    for entry in entries:
        if not isfinite(entry.energy_ev_per_atom):
            raise ValueError(f"{entry.name}: {entry.energy_ev_per_atom} is no finite energy")
        yield composition_key(entry.formula), entry


def composition_key(composition: str | Mapping[str, float]) -> Key:
    """Elements with their amounts, reduced: equal for equal compositions, however they are written.

    Raises:
        ValueError: a formula that cannot be read, an element that is none, an amount that is not above 0.
    """
    amounts = _amounts_of(composition) if isinstance(composition, str) else dict(composition)
    if unknown := sorted(set(amounts) - _KNOWN):
        raise ValueError(f"{composition!r}: {', '.join(unknown)} is no element")
    if not amounts or not all(isfinite(amount) and amount > 0 for amount in amounts.values()):
        raise ValueError(f"{composition!r} is no composition")
    if all(amount == int(amount) for amount in amounts.values()):
        common: float = gcd(*(int(amount) for amount in amounts.values()))
        return tuple((symbol, int(amounts[symbol]) // common) for symbol in sorted(amounts))
    common = sum(amounts.values())
    return tuple((symbol, round(amounts[symbol] / common, 9)) for symbol in sorted(amounts))


def _amounts_of(formula: str) -> dict[str, float]:
    """Element -> number; plain formulas, which nearly all are, fifty times faster than pymatgen reads them."""
    if not _PLAIN.fullmatch(formula):
        try:
            return dict(Composition(formula).get_el_amt_dict())
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(f"formula {formula!r} cannot be read ({error})") from error
    amounts: dict[str, float] = {}
    for symbol, count in _PART.findall(formula):
        amounts[symbol] = amounts.get(symbol, 0) + (int(count) if count else 1)
    return amounts


def fractions_of(key: Key, elements: Sequence[str]) -> list[float]:
    """Atomic fractions in the order of the elements; 0 for those that are not in it."""
    amounts = dict(key)
    atoms = sum(amounts.values())
    return [amounts.get(symbol, 0.0) / atoms for symbol in elements]
