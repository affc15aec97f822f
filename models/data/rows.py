"""One row of a data file as arrays, fast: no pymatgen for the plain layouts. What many rows make is corpus's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import cos, radians, sin, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_numbers, symbols
from crystalloop.models.data.files import COLUMNS, KnownCrystal, crystal_of_row, labels_of, plain, scheme_of

CONTACT_ANG = 0.5
"""Atoms closer than this overlap: the paper's validity bound."""
VOLUME_ANG3 = (1.0, 1000.0)
"""Volume per atom that a cell in angstrom can have; real crystals span 4 to 400."""
_PAIRS = 200_000  # of atoms, in one array
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class CorpusRow:
    """A crystal with what its row says of it.

    Attributes:
        id: as in the file, or the place where there is none.
        where: file name and line.
        formula: reduced formula, as pymatgen writes it.
        labels: property -> value in the units of models.crystals.properties.
        split: train, val, test, or "" where the row has none.
        group: the row's `class`, else its `prototype`, else "".
        duplicate: the row says that it is not the `primary` one of its compound.
        not_numbers: fields whose label is NaN; they are not among the labels.
        scheme: of the formation energy, as the row's `formation_energy_scheme` says it; "" where it does not.
    """

    id: str
    where: str
    crystal: Crystal
    formula: str
    labels: Mapping[str, float]
    split: str = ""
    group: str = ""
    duplicate: bool = False
    not_numbers: tuple[str, ...] = ()
    scheme: str = ""


def row_of(row: Mapping[str, Any], place: str) -> CorpusRow:
    """Read a JSONL or CSV row.

    Raises:
        ValueError, KeyError, TypeError, ...: one of data_files.ROW_ERRORS, with the value and the bound.
    """
    if (split := str(row.get("split") or "")) not in ("", *SPLITS):
        raise ValueError(f"split = {split!r}; give {', '.join(SPLITS)}, or leave the field out")
    crystal = _plain_crystal(row)
    if crystal is None:  # CIF text, charges, shared sites: the general reader knows them, and names what is wrong
        crystal = Crystal.from_structure(crystal_of_row(row, place).structure)
    not_numbers = tuple([name for name in COLUMNS if _is_nan(row.get(name))])
    return CorpusRow(
        id=str(row.get("id") or row.get("material_id") or place),
        where=place,
        crystal=crystal,
        formula=formula_of(crystal.numbers),
        labels=labels_of({name: value for name, value in row.items() if name not in not_numbers}),
        split=split,
        group=str(row.get("class") or row.get("prototype") or ""),
        duplicate=str(row.get("primary", True)).lower() == "false",
        not_numbers=not_numbers,
        scheme=scheme_of(row),
    )


def _is_nan(value: object) -> bool:
    """Whether a label says NaN: a float from JSON, text from a CSV cell."""
    return value != value or (isinstance(value, str) and value.strip().lower() == "nan")


def row_of_known(known: KnownCrystal) -> CorpusRow:
    """The row of a crystal that came from a CIF file."""
    crystal = Crystal.from_structure(known.structure)
    return CorpusRow(known.id, known.where, crystal, formula_of(crystal.numbers), known.labels, scheme=known.scheme)


def lattice_of(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    """Lattice rows [3, 3] in pymatgen's orientation (c along z, a in the xz plane) from edges in angstrom and degrees."""
    al, be, ga = (radians(angle) for angle in (alpha, beta, gamma))
    cosine = (cos(al) * cos(be) - cos(ga)) / (sin(al) * sin(be))
    if not -1.0 < cosine < 1.0:
        raise ValueError(f"angles {alpha:g}, {beta:g}, {gamma:g} degrees make no cell: wrong unit?")
    sine = sqrt(1.0 - cosine * cosine)
    rows = [
        [a * sin(be), 0.0, a * cos(be)],
        [-b * sin(al) * cosine, b * sin(al) * sine, b * cos(al)],
        [0.0, 0.0, c],
    ]
    return np.array(rows)


def formula_of(numbers: NDArray[np.int64]) -> str:
    """Reduced formula of atomic numbers [a], as pymatgen writes it."""
    from crystalloop.models.crystals.chemistry import reduced_formula  # a corpus as one file needs no pymatgen

    return reduced_formula(Counter(symbols()[number] for number in numbers.tolist()))


def _plain_crystal(row: Mapping[str, Any]) -> Crystal | None:
    """The crystal of a row of element symbols with a well-shaped cell; None where the general reader has to look."""
    if row.get("cif"):
        return None
    species, coords = plain(row["species"]), np.array(plain(row["frac_coords"]), dtype=np.float64)
    try:
        numbers = [atomic_numbers()[symbol] for symbol in species]
    except (KeyError, TypeError):
        return None
    return Crystal(_lattice(row), np.array(numbers), coords)


def _lattice(row: Mapping[str, Any]) -> NDArray[np.float64]:
    if not row.get("lattice"):
        a = float(row["a"])
        if not a > 0:
            raise ValueError(f"a = {a:g}; a cell edge is positive, in angstrom")
        return np.eye(3) * a
    cell = plain(row["lattice"])
    return lattice_of(*(float(x) for x in cell)) if len(cell) == 6 else np.array(cell, dtype=np.float64)


def misfits(crystals: Sequence[Crystal]) -> dict[int, str]:
    """What is wrong with cells and distances, by index: atoms that overlap, a volume that no cell in angstrom has."""
    found: dict[int, str] = {}
    by_size: dict[int, list[int]] = defaultdict(list)
    for index, crystal in enumerate(crystals):
        by_size[len(crystal)].append(index)
    for atoms, indices in by_size.items():
        step = max(1, _PAIRS // atoms**2)
        for start in range(0, len(indices), step):
            some = indices[start : start + step]
            found |= {some[i]: text for i, text in _misfits([crystals[index] for index in some])}
    return found


def _misfits(crystals: Sequence[Crystal]) -> Iterator[tuple[int, str]]:
    """The same for crystals of one number of atoms. Rounding finds the nearest image where lattice planes are 1 A apart."""
    lattices = np.array([crystal.lattice for crystal in crystals])  # [b, 3, 3]
    coords = np.array([crystal.frac_coords for crystal in crystals])  # [b, a, 3]
    volumes = np.abs(np.linalg.det(lattices)) / coords.shape[1]
    spacings = 1.0 / np.linalg.norm(np.linalg.inv(lattices), axis=1).max(axis=1)
    offsets = coords[:, :, None] - coords[:, None]
    offsets -= np.rint(offsets)
    vectors = np.einsum("bijf,bfx->bijx", offsets, lattices, optimize=True)
    squares = np.square(vectors).sum(axis=-1) + np.diag(np.full(coords.shape[1], np.inf))  # [b, a, a]
    nearest = np.sqrt(squares.min(axis=(1, 2)))
    low, high = VOLUME_ANG3
    for i, crystal in enumerate(crystals):
        if not low <= volumes[i] <= high:
            yield i, f"volume per atom {volumes[i]:.3g} A^3 is outside {low:g}..{high:g}: cell in another unit?"
        elif nearest[i] < CONTACT_ANG or (
            spacings[i] < 2 * CONTACT_ANG and not crystal.to_structure().is_valid(tol=CONTACT_ANG)
        ):
            yield i, f"{formula_of(crystal.numbers)}: two atoms are closer than {CONTACT_ANG} A"
