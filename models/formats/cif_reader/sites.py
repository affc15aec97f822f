"""The cell and the listed sites of a CIF: edges and angles, which element a site is, where, and how full. Symmetry elsewhere.

`.` and `?` are never 0, never 1 without a word, and never nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.formats.cif_reader.blocks import NULLS, POSITIONS, CifBlock, number, why_no_number
from crystalloop.models.formats.cif_reader.claims import has_amounts
from crystalloop.models.formats.cif_reader.refusal import CifError
from crystalloop.models.formats.crystal_read import MOST_ATOMS

_CELL = ("a", "b", "c", "alpha", "beta", "gamma")
_EDGES_ANG, _LEAST_HEIGHT_ANG = (0.5, 500.0), 0.2
_FARTHEST = 100.0  # in edges: beyond it no fractional coordinate is meant
_TYPE = re.compile(r"([A-Za-z]{1,2})(?:\(?\d*\.?\d*[+-]{0,2}\)?|\(?[+-]\d*\.?\d*\)?)")
_HYDROGENS = {"D": "deuterium", "T": "tritium"}
_DUMMIES = frozenset({"Va", "Vac", "Wat", "Lp", "Du", "Q", "X", "M", "Cn", "Cg", "Xx"})


@dataclass(frozen=True, eq=False)
class ListedSite:
    """A site as listed.

    Attributes:
        label: for messages: the label, or `number 3`.
        symbol: of the element; H for deuterium and tritium.
        position: fractional coordinates [3].
        occupancy: above 0, at most 1.
        isotope: the symbol as written, where it is D or T.
    """

    label: str
    symbol: str
    position: NDArray[np.float64]
    occupancy: float
    isotope: str = ""


def lattice_of_block(block: CifBlock) -> NDArray[np.float64]:
    """Lattice rows [3, 3] in angstrom, c along z and a in the xz plane, as pymatgen lays them.

    Raises:
        CifError: an edge or angle is missing, no number or out of bounds, or the angles make no cell.
    """
    values = [_cell_value(block, name) for name in _CELL]
    cosines, sines = np.cos(np.radians(values[3:])), np.sin(np.radians(values[3:]))
    angles = ", ".join(f"{value:g}" for value in values[3:])
    if 1 + 2 * np.prod(cosines) - np.square(cosines).sum() <= 1e-9:
        raise CifError(f"three edges cannot meet at angles of {angles} degrees; mend the cell")
    a, b, c = values[:3]
    cosine = (cosines[0] * cosines[1] - cosines[2]) / (sines[0] * sines[1])
    rows = [
        [a * sines[1], 0.0, a * cosines[1]],
        [-b * sines[0] * cosine, b * sines[0] * math.sqrt(1 - min(1.0, cosine**2)), b * cosines[0]],
        [0.0, 0.0, c],
    ]
    lattice = np.where(np.abs(rows) < 1e-12, 0.0, np.array(rows))
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    if heights.min() < _LEAST_HEIGHT_ANG:
        raise CifError(f"the cell is {heights.min():.2g} angstrom thin (edges {a:g}, {b:g}, {c:g}); mend the cell")
    return lattice


def _cell_value(block: CifBlock, name: str) -> float:
    kind = "length" if len(name) == 1 else "angle"
    tag = f"_cell_{kind}_{name}"
    given = block.column(tag)
    if not given:
        raise CifError(f"{tag} is missing; write all three edges and angles")
    value = number(given[0])
    low, high = _EDGES_ANG if kind == "length" else (0.0, 180.0)
    if not low < value < high:
        wanted = (
            f"a length above {low:g} and below {high:g} angstrom" if kind == "length" else "an angle between 0 and 180"
        )
        if kind == "length" and not value > 0:
            wanted = "a length above 0"
        raise CifError(f"{tag} is {given[0][:40]!r}, wanted is {wanted}{why_no_number(given[0])}; mend the file")
    return value


def sites_of(block: CifBlock, lattice: NDArray[np.float64]) -> list[ListedSite]:
    """The listed sites, those without a place in space (`dum`) left out with a note.

    Raises:
        CifError: no sites or too many; an element, position or occupancy that is not said.
    """
    if (listed := block.length(*POSITIONS)) > MOST_ATOMS:
        raise CifError(f"lists {listed} sites, {MOST_ATOMS} are read; give a smaller crystal")
    columns = [block.column(tag) for tag in POSITIONS]
    kind = "fract" if any(column is not None for column in columns[:3]) else "Cartn"
    given = columns[:3] if kind == "fract" else columns[3:]
    for axis, column in zip("xyz", given, strict=True):
        if column is None:
            raise CifError(f"_atom_site_{kind}_{axis} is missing; write all three coordinates of each site")
    places = [column for column in given if column is not None]
    count = len(places[0])
    if not count or any(len(column) != count for column in places):
        raise CifError("no atoms: its coordinates have no rows, or not as many each; mend the file")
    labels = _labels(block, count)
    kept = [i for i in range(count) if not _is_dummy(block, labels, i)]
    symbols = _symbols(block, labels, kept)
    turn = np.eye(3) if kind == "fract" else _from_cartesian(block, lattice)
    found = []
    for i, symbol in zip(kept, symbols, strict=True):
        position = np.array([_coordinate(places[k][i], f"_atom_site_{kind}_{'xyz'[k]}", labels[i]) for k in range(3)])
        if kind == "fract":
            _refuse_angstrom(block, position, labels[i])
        element = "H" if symbol in _HYDROGENS else symbol
        found.append(
            ListedSite(labels[i], element, position @ turn, _occupancy(block, labels, i), symbol * (element != symbol))
        )
    _refuse_attached(block, labels)
    _refuse_alternatives(block, labels, found)
    return found


def _refuse_angstrom(block: CifBlock, position: NDArray[np.float64], label: str) -> None:
    """Far out of the cell a number may be angstrom as well; formula and Z, or the density, will tell."""
    if (np.abs(position).max() > 2.0) and not has_amounts(block):
        raise CifError(
            f"site {label} lies at {' '.join(f'{x:g}' for x in position)}: fractions of the edges, or angstrom? write fractions "
            "between -2 and 2, or state the formula sum and Z"
        )


def _labels(block: CifBlock, count: int) -> list[str]:
    given = block.column("_atom_site_label", "_atom_site_id") or []
    return [given[i] if i < len(given) and given[i] not in NULLS else f"number {i + 1}" for i in range(count)]


def _is_dummy(block: CifBlock, labels: Sequence[str], i: int) -> bool:
    flags = block.column("_atom_site_calc_flag") or []
    if i >= len(flags) or flags[i].lower() != "dum":
        return False
    block.note(f"site {labels[i]} is a dummy (_atom_site_calc_flag dum), and is left out")
    return True


def _symbols(block: CifBlock, labels: Sequence[str], kept: Sequence[int]) -> list[str]:
    types = block.column("_atom_site_type_symbol") or []
    formula = set(re.findall("[A-Z][a-z]?", block.first("_chemical_formula_sum") or ""))
    found = []
    for i in kept:
        given = types[i] if i < len(types) else "."
        found.append(_of_label(block, labels[i], formula) if given in NULLS else _of_type(given))
        if given not in NULLS:
            _note_other_label(block, labels[i], found[-1])
        if found[-1] in _HYDROGENS:
            block.note(f"site {labels[i]} is {_HYDROGENS[found[-1]]}, and is read as hydrogen")
    return found


def _of_type(given: str) -> str:
    found = _TYPE.fullmatch(given)
    symbol = found[1].capitalize() if found else ""
    if not _is_element(symbol):
        raise CifError(f"_atom_site_type_symbol {given[:40]!r} names no element; write its symbol in it")
    return symbol


def _note_other_label(block: CifBlock, label: str, symbol: str) -> None:
    """A sentence where a label is another element's symbol with a number: Na1 of type K."""
    named = re.fullmatch(r"([A-Z][a-z]?)\d{0,3}", label)
    if named and _is_element(named[1]) and named[1] not in (symbol, "D", "T") and not label.startswith(symbol):
        block.note(f"site {label} is {symbol} by its _atom_site_type_symbol, whatever its label says")


def _of_label(block: CifBlock, given: str, formula: set[str]) -> str:
    """The element that a label begins with, where it can be only one, or the formula has only one of them."""
    letters = (re.match("[A-Za-z]*", given) or [""])[0]
    if letters == "T" and not formula & {"T", "H", "D"}:
        raise CifError(
            f"_atom_site_label {given[:40]!r} may be tritium or a tetrahedral site; write its element in "
            "_atom_site_type_symbol"
        )
    both, first = letters[:2].capitalize(), letters[:1].upper()
    choices = [one for one in dict.fromkeys((both, first)) if _is_element(one)]
    if letters.capitalize() not in _DUMMIES and not re.search("[a-z]", letters[2:]) and choices:
        clear = choices[0] == both and (len(letters) == 1 or letters[1].islower())
        if clear and (both in formula or first not in formula):
            return both
        if len(said := [one for one in choices if one in formula]) == 1:
            if said[0] != both or len(letters) > 2:
                block.note(f"the label {given} is read as {said[0]}, as the formula has it")
            return said[0]
        if len(choices) == 2:
            raise CifError(
                f"_atom_site_label {given[:40]!r} may be {first} or {both}; write its symbol in _atom_site_type_symbol"
            )
        if choices == [both] and len(letters) == 2:
            return both
    raise CifError(f"_atom_site_label {given[:40]!r} names no element; write its symbol in _atom_site_type_symbol")


def _is_element(symbol: str) -> bool:
    return symbol in _HYDROGENS or symbol in atomic_numbers()


def _coordinate(given: str, tag: str, label: str) -> float:
    if given in NULLS:
        raise CifError(f"site {label} has no position ({tag} of site {label} is {given!r}); add it, or remove the site")
    value = number(given)
    if not math.isfinite(value):
        raise CifError(
            f"{tag} of site {label} is {given[:40]!r}, wanted is a number{why_no_number(given)}; mend the file"
        )
    if (abs(value) > _FARTHEST and "fract" in tag) or abs(value) > 1e4:
        raise CifError(f"{tag} of site {label} is {given[:40]!r}, far out of the cell; mend the file")
    return value


def _from_cartesian(block: CifBlock, lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """What takes coordinates in angstrom to fractional ones, where the axes are those of CIF: x along a, y in the ab plane."""
    if block.first("_atom_sites_cartn_transform_axes") is not None and not block.named("_atom_sites_cartn_tran_matrix"):
        raise CifError(
            "gives coordinates in angstrom with axes in words (_atom_sites_Cartn_transform_axes); give fractional ones"
        )
    edges = np.linalg.norm(lattice, axis=1)
    cosines = (lattice @ lattice.T) / np.outer(edges, edges)
    standard = np.linalg.cholesky(cosines * np.outer(edges, edges))
    for i in range(3):
        for j in range(3):
            given = block.first(f"_atom_sites_cartn_tran_matrix_{i + 1}{j + 1}")
            if given is not None and not abs(number(given) - standard[j, i]) < 0.01:
                raise CifError(
                    f"gives coordinates in angstrom along axes of its own (_atom_sites_Cartn_tran_matrix_{i + 1}{j + 1} is "
                    f"{given}, of x along a and y in the plane of a and b it is {standard[j, i]:.4g}); give fractional ones"
                )
    block.note("has coordinates in angstrom alone: read with x along a and y in the plane of a and b")
    inverse: NDArray[np.float64] = np.linalg.inv(standard)
    return inverse


def _occupancy(block: CifBlock, labels: Sequence[str], i: int) -> float:
    column = block.column("_atom_site_occupancy")
    given = column[i] if column is not None and i < len(column) else "."
    if given == ".":
        return 1.0  # the default of the item in the core dictionary
    if given == "?":
        block.note(f"the occupancy of site {labels[i]} is '?': taken as 1")
        return 1.0
    value = number(given)
    if not 0 < value <= 1.001:
        wanted = "at most 1" if value > 1 else "above 0"
        raise CifError(
            f"_atom_site_occupancy of site {labels[i]} is {given[:40]!r}, wanted is a number "
            f"{wanted}{why_no_number(given)}; mend the file"
        )
    if value > 0.9985 and value != 1:
        block.note(f"the occupancy of site {labels[i]} is {given}: taken as 1")
    return 1.0 if value > 0.9985 else value


def _refuse_attached(block: CifBlock, labels: Sequence[str]) -> None:
    """Hydrogens that a site has and that are not listed."""
    for label, given in zip(labels, block.column("_atom_site_attached_hydrogens") or [], strict=False):
        if given not in NULLS and number(given) != 0:
            raise CifError(
                f"site {label} has {given} hydrogens without positions (_atom_site_attached_hydrogens); add their sites"
            )


def _refuse_alternatives(block: CifBlock, labels: Sequence[str], sites: Sequence[ListedSite]) -> None:
    """Full sites in different groups of one disordered assembly exclude each other."""
    groups = block.column("_atom_site_disorder_group") or []
    assemblies = block.column("_atom_site_disorder_assembly") or []
    full = {site.label for site in sites if site.occupancy == 1}
    seen: dict[str, tuple[str, str]] = {}
    for i, (label, group) in enumerate(zip(labels, groups, strict=False)):
        if group in NULLS or label not in full:
            continue
        assembly = assemblies[i] if i < len(assemblies) else "."
        before = seen.setdefault(assembly, (group, label))
        if before[0] != group:
            raise CifError(
                f"sites {before[1]} and {label} are alternatives (disorder groups {before[0]} and {group}) and both full; "
                "keep one of them"
            )
