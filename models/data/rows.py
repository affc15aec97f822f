"""One row of a data file: its crystal, its labels, and what else it says. Cells and positions: row_crystal; many rows: files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import symbols
from crystalloop.models.data.labels import Units, labels_of
from crystalloop.models.data.problems import shown
from crystalloop.models.data.row_crystal import crystal_of

CONTACT_ANG = 0.5
"""Atoms closer than this overlap: the paper's validity bound."""
VOLUME_ANG3 = (1.0, 1000.0)
"""Volume per atom that a cell in angstrom can have; real crystals span 4 to 400."""
_PAIRS = 200_000  # of atoms, in one array
_MOMENTS = ("magmom", "magmoms", "initial_magmoms", "magnetic_moments")
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
        bad_labels: a sentence for each label that cannot be used; those are not among the labels.
        scheme: of the formation energy, as the row's `formation_energy_scheme` says it; "" where it does not.
        notes: remarks on how the crystal was read.
    """

    id: str
    where: str
    crystal: Crystal
    formula: str
    labels: Mapping[str, float]
    split: str = ""
    group: str = ""
    duplicate: bool = False
    bad_labels: tuple[str, ...] = ()
    scheme: str = ""
    notes: tuple[str, ...] = ()


def row_of(row: Mapping[str, Any], place: str, units: Units | None = None) -> CorpusRow:
    """Read a row.

    Args:
        row: fields of a JSONL or CSV row, or `cif` and the labels of a CIF file.
        place: file name and line.
        units: of labels that are in another unit than their own.

    Raises:
        ValueError, KeyError, TypeError, ...: one of problems.ROW_ERRORS, with the value and the bound.
    """
    if (split := str(row.get("split") or "").strip()) not in ("", *SPLITS):
        raise ValueError(f"split = {shown(split)!r}; give {', '.join(SPLITS)}, or leave the field out")
    crystal, notes = crystal_of(row)
    if moments := next((name for name in _MOMENTS if row.get(name) not in (None, "", [])), None):
        notes = (*notes, f"{moments} are not used: a campaign starts moments by element")
    labels, bad_labels = labels_of(row, units)
    if bad_labels and (at := row.get("labels_at")):  # the line of labels.csv
        bad_labels = tuple(f"{at}: {sentence}" for sentence in bad_labels)
    return CorpusRow(
        id=_name(row) or place,
        where=place,
        crystal=crystal,
        formula=formula_of(crystal.numbers),
        labels=labels,
        split=split,
        group=str(row.get("class") or row.get("prototype") or ""),
        duplicate=str(row.get("primary", True)).strip().lower() == "false",
        bad_labels=bad_labels,
        scheme=str(row.get("formation_energy_scheme") or "").strip(),
        notes=notes,
    )


def _name(row: Mapping[str, Any]) -> str:
    """The row's id, "" where it has none; 0 is one."""
    for field in ("id", "material_id"):
        given = row.get(field)
        if given is not None and given != "":
            return given if isinstance(given, str) and given.isprintable() else shown(given)
    return ""


def formula_of(numbers: NDArray[np.int64]) -> str:
    """Reduced formula of atomic numbers [a], as pymatgen writes it."""
    from crystalloop.models.crystals.chemistry import reduced_formula  # a corpus as one file needs no pymatgen

    return reduced_formula({symbols()[number]: count for number, count in Counter(numbers.tolist()).items()})


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
    volumes = np.abs(np.linalg.det(lattices)) / len(crystals[0])
    spacings = 1.0 / np.linalg.norm(np.linalg.inv(lattices), axis=1).max(axis=1)
    nearest = _nearest_ang(lattices, np.array([crystal.frac_coords for crystal in crystals]))
    low, high = VOLUME_ANG3
    for i, crystal in enumerate(crystals):
        if not low <= volumes[i] <= high:
            yield i, f"volume per atom {volumes[i]:.3g} A^3 is outside {low:g}..{high:g}: cell in another unit?"
        elif nearest[i] < CONTACT_ANG or (spacings[i] < 2 * CONTACT_ANG and _overlaps(crystal)):
            yield i, f"{formula_of(crystal.numbers)}: two atoms are closer than {CONTACT_ANG} A"


def _nearest_ang(lattices: NDArray[np.float64], coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shortest distances [b] in cells [b, 3, 3] of a atoms each, [b, a, 3]; a few atoms at a time where there are many."""
    atoms = coords.shape[1]
    nearest = np.full(len(lattices), np.inf)
    step = max(1, _PAIRS // atoms)
    for start in range(0, atoms, step):
        offsets = coords[:, start : start + step, None] - coords[:, None]
        offsets -= np.rint(offsets)
        vectors = np.einsum("bijf,bfx->bijx", offsets, lattices, optimize=True)
        squares = np.square(vectors).sum(axis=-1)  # [b, i, a]
        rows = np.arange(squares.shape[1])
        squares[:, rows, start + rows] = np.inf
        nearest = np.minimum(nearest, np.sqrt(squares.min(axis=(1, 2))))
    return nearest


def _overlaps(crystal: Crystal) -> bool:
    """The same test in a cell whose lattice planes lie close: in the reduced one, where an atom's own images count, too."""
    reduced = crystal.to_structure().get_reduced_structure("LLL")
    return bool(min(reduced.lattice.abc) < CONTACT_ANG) or not reduced.is_valid(tol=CONTACT_ANG)
