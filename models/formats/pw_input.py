"""An input of pw.x -> the crystal in it: &SYSTEM, CELL_PARAMETERS, ATOMIC_SPECIES, ATOMIC_POSITIONS. No other settings.

Source: INPUT_PW of Quantum ESPRESSO. Where pw.x itself would go on with a guess (rows after the nat-th), this refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element

from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.parts.assembled import assembled
from crystalloop.models.formats.parts.bravais_cells import COSINE_AB, bravais_cell
from crystalloop.models.formats.parts.cells import cell_of_vectors, fractions_of
from crystalloop.models.formats.parts.expressions import value_of
from crystalloop.models.formats.parts.namelists import InputCard, Namelist, cards_of, namelists_of
from crystalloop.models.formats.parts.words import elements_of, real, refuse_long, shown

_BOHR_ANG = 0.529177210903  # CODATA 2018, as pw.x has it
_EDGES = ("a", "b", "c", "cosab", "cosac", "cosbc")
_OTHER = ("tot_charge", "tot_magnetization", "lda_plus_u", "vdw_corr", "input_dft", "assume_isolated", "noncolin")


@dataclass(frozen=True)
class _Cell:
    vectors: NDArray[np.float64]
    alat: float
    notes: tuple[str, ...]


def read_pw_input(text: str) -> CrystalRead:
    """The crystal of a pw.x input, of any ibrav; starting_magnetization as moments.

    Raises:
        FormatError: what is missing, impossible or does not fit, by name.
    """
    refuse_long(text, 4)
    lists, rest = namelists_of(text)
    if "system" not in lists:
        raise FormatError("has no namelist &SYSTEM: no input of pw.x")
    system, cards = lists["system"], cards_of(rest)
    if system.has("space_group"):
        raise FormatError("names a space_group; write out all atoms instead (pw.x prints them)")
    cell = _cell(system, cards)
    rows = _rows(cards, "ATOMIC_POSITIONS")
    _refuse_counts(system, cards, rows)
    labels = [row[0] for row in rows]
    positions = np.array([_position(row, f"ATOMIC_POSITIONS, atom {n},") for n, row in enumerate(rows, 1)])
    elements, notes = elements_of(labels, "ATOMIC_POSITIONS:")
    moments, more = _moments(system, cards, labels, elements)
    coords, unit_notes = _fractions(positions, cards["ATOMIC_POSITIONS"].option, cell)
    aside = (*_aside(system, cards), *_fixed(rows))
    return assembled(cell.vectors, elements, coords, moments, (*cell.notes, *unit_notes, *notes, *more, *aside))


def _cell(system: Namelist, cards: Mapping[str, InputCard]) -> _Cell:
    ibrav = system.whole("ibrav")
    if ibrav is None:
        raise FormatError("&SYSTEM has no ibrav; write it (0 and CELL_PARAMETERS for any cell)")
    celldm = _celldm(system, ibrav)
    if ibrav == 0:
        return _free_cell(celldm[0], cards)
    if "CELL_PARAMETERS" in cards:
        raise FormatError(f"ibrav is {ibrav} and there are CELL_PARAMETERS, too; pw.x wants one of them: take ibrav 0")
    if celldm[0] is None or not celldm[0] > 0:
        raise FormatError(f"ibrav is {ibrav}, and neither celldm(1) nor A is above 0: no size of the cell")
    vectors, notes = bravais_cell(ibrav, celldm)
    return _Cell(cell_of_vectors(vectors * celldm[0]), celldm[0], notes)


def _celldm(system: Namelist, ibrav: int) -> list[float | None]:
    """celldm(1..6), the first in angstrom; of A, B, C and cosines where those are given."""
    given = system.numbers("celldm", 6)
    edges = [system.number(name) for name in _EDGES]
    if all(edge is None for edge in edges):
        alat = given[0]
        return [None if alat is None else alat * _BOHR_ANG, *given[1:]]
    if any(one is not None for one in given):
        raise FormatError("&SYSTEM has celldm and A, B, C, too; pw.x wants one of them")
    a, b, c, ab, ac, bc = edges
    if a is None or not a > 0:
        raise FormatError(f"A is {'missing' if a is None else f'{a:g}'}, expected a length above 0 (angstrom)")
    found: list[float | None] = [a, None if b is None else b / a, None if c is None else c / a, None, None, None]
    if ibrav == 14:
        found[3:] = [bc, ac, ab]
    elif ibrav in COSINE_AB:
        found[COSINE_AB[ibrav] - 1] = ac if COSINE_AB[ibrav] == 5 else ab
    else:
        found[3] = ab
    return found


def _free_cell(alat: float | None, cards: Mapping[str, InputCard]) -> _Cell:
    rows = _rows(cards, "CELL_PARAMETERS")
    if len(rows) != 3:
        raise FormatError(f"CELL_PARAMETERS has {len(rows)} vectors, expected 3")
    vectors = np.array([_vector(row) for row in rows])
    option = cards["CELL_PARAMETERS"].option
    notes: tuple[str, ...] = ()
    if option == "":
        option = "bohr" if alat is None else "alat"
        notes = (f"CELL_PARAMETERS has no unit: read as {option}, as pw.x does",)
    if option not in ("alat", "bohr", "angstrom"):
        raise FormatError(f"CELL_PARAMETERS is in {shown(option)}, expected alat, bohr or angstrom")
    if option == "alat":
        if alat is None or not alat > 0:
            raise FormatError("CELL_PARAMETERS is in alat, and neither celldm(1) nor A is above 0; write one of them")
        return _Cell(cell_of_vectors(vectors * alat), alat, notes)
    if alat is not None:
        raise FormatError(
            f"CELL_PARAMETERS is in {option}, and celldm(1) or A says the size, too; pw.x wants one of them"
        )
    vectors = cell_of_vectors(vectors * (_BOHR_ANG if option == "bohr" else 1.0))
    return _Cell(vectors, float(np.linalg.norm(vectors[0])), notes)


def _vector(row: Sequence[str]) -> list[float]:
    if len(row) != 3:
        raise FormatError(f"a vector of CELL_PARAMETERS holds {len(row)} numbers, expected 3")
    return [real(word, "a number of CELL_PARAMETERS") for word in row]


def _rows(cards: Mapping[str, InputCard], name: str) -> tuple[tuple[str, ...], ...]:
    if name not in cards:
        raise FormatError(f"has no card {name}")
    return cards[name].rows


def _refuse_counts(system: Namelist, cards: Mapping[str, InputCard], rows: Sequence[Sequence[str]]) -> None:
    """Nat and ntyp fit the cards, and every atom is of a species."""
    species = _rows(cards, "ATOMIC_SPECIES")
    for name, there, what in (("nat", rows, "ATOMIC_POSITIONS"), ("ntyp", species, "ATOMIC_SPECIES")):
        said = system.whole(name)
        if said is None:
            raise FormatError(f"&SYSTEM has no {name}; write it ({len(there)} lines stand in {what})")
        if said != len(there):
            raise FormatError(f"{name} is {said}, there are {len(there)} lines in {what}; mend one of them")
    known = [row[0] for row in species]
    if len(set(known)) != len(known):
        raise FormatError(f"ATOMIC_SPECIES names {shown(max(known, key=known.count))} twice")
    unknown = [row[0] for row in rows if row[0] not in known]
    if unknown:
        raise FormatError(f"ATOMIC_POSITIONS holds {shown(unknown[0])}, which ATOMIC_SPECIES does not name")


def _position(row: Sequence[str], what: str) -> list[float]:
    if len(row) not in (4, 7):
        raise FormatError(
            f"{what} has {len(row)} words, expected a label, three coordinates, and perhaps three of 0 and 1"
        )
    return [value_of(word, what) for word in row[1:4]]


def _fractions(positions: NDArray[np.float64], option: str, cell: _Cell) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    units = {"alat": cell.alat, "": cell.alat, "bohr": _BOHR_ANG, "angstrom": 1.0}
    if option == "crystal":
        return positions, ()
    if option == "crystal_sg":
        raise FormatError(
            "ATOMIC_POSITIONS is in crystal_sg: the atoms that symmetry adds are missing; write out all atoms"
        )
    if option not in units:
        raise FormatError(f"ATOMIC_POSITIONS is in {shown(option)}, expected alat, bohr, angstrom or crystal")
    notes = () if option else ("ATOMIC_POSITIONS has no unit: read as alat, as pw.x does",)
    return fractions_of(positions * units[option], cell.vectors), notes


def _moments(
    system: Namelist, cards: Mapping[str, InputCard], labels: Sequence[str], elements: Sequence[str]
) -> tuple[list[float] | None, tuple[str, ...]]:
    """starting_magnetization, a share of the valence electrons of pw.x's pseudopotential, of those of the group here."""
    species = [row[0] for row in cards["ATOMIC_SPECIES"].rows]
    shares = system.numbers("starting_magnetization", len(species))
    given = {label: share for label, share in zip(species, shares, strict=True) if share}
    if not given:
        return None, ()
    if (system.whole("nspin") or 1) != 2:
        return None, ("starting_magnetization is not used: nspin is not 2",)
    element = dict(zip(labels, elements, strict=True))
    moments = {
        label: max(-1.0, min(1.0, share)) * _valence(element[label])
        for label, share in given.items()
        if label in element
    }
    told = ", ".join(f"{label} {given[label]:g} as {moment:+.3g}" for label, moment in moments.items())
    note = f"starting_magnetization is read as a share of the valence electrons: {told} Bohr magnetons"
    return [moments.get(label, 0.0) for label in labels], (note,)


def _valence(symbol: str) -> int:
    """Electrons outside the noble-gas core and full d shells: the group, or all beyond it for f elements."""
    element = Element(symbol)
    if element.is_lanthanoid or element.is_actinoid:
        return int(element.Z) - (54 if element.is_lanthanoid else 86)
    group = int(element.group)
    return group - 10 if group > 12 else group


def _aside(system: Namelist, cards: Mapping[str, InputCard]) -> tuple[str, ...]:
    """A sentence on settings that change the energy and are not taken over."""
    found = [name for name in _OTHER if system.has(name) and not system.is_off(name)]
    found += ["HUBBARD"] if "HUBBARD" in cards else []
    return (f"not used of this input: {', '.join(found)}",) if found else ()


def _fixed(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    fixed = any(len(row) == 7 and "0" in row[4:] for row in rows)
    return ("if_pos is not used: all atoms may move",) if fixed else ()
