"""Known crystals from a user's files: JSONL (also .gz), CSV, CIF. Every problem is named by file and line."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.crystals.properties import E_F, TABLE, Property
from crystalloop.models.formats.cif import read_cif

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


log = logging.getLogger(__name__)

# Field of the file, property of the CGCNN, and the function between them.
COLUMNS: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "formation_energy_per_atom": (E_F, float),
    "energy_per_atom": ("energy_per_atom", float),
    "band_gap": ("band_gap", float),
    "bulk_modulus": ("log10_bulk_modulus", math.log10),
    "shear_modulus": ("log10_shear_modulus", math.log10),
    "poisson_ratio": ("poisson_ratio", float),
    "refractive_index": ("refractive_index", float),
    "dielectric_total": ("log10_dielectric", math.log10),
}
BOUNDS: Mapping[str, Property] = {row.name: row for row in TABLE}


class DataError(Exception):
    """A data file that cannot be used as given; the message names file, line, value and next move."""

    exit_kind = "usage"


@dataclass(frozen=True)
class KnownCrystal:
    """A crystal from a file, with the labels that the file has.

    Attributes:
        where: file name and line (or CIF name), for messages.
        labels: property name -> value, in the units of models.crystals.properties.
        scheme: of the formation energy, as the row's `formation_energy_scheme` says it; "" where it does not.
    """

    id: str
    where: str
    structure: Structure
    labels: Mapping[str, float]
    scheme: str = ""


@dataclass(frozen=True)
class Read:
    """What a file gave: the crystals, and a sentence for every row left out."""

    crystals: tuple[KnownCrystal, ...]
    left_out: tuple[str, ...] = field(default=())


def read_crystals(path: Path, *, skip_bad: bool = False, where: Where | None = None) -> Read:
    """Read every crystal of a file, or of a folder of CIF files.

    Args:
        path: .jsonl, .jsonl.gz, .csv, .cif, or a folder of .cif files (labels in its labels.csv, column `id`).
        skip_bad: leave unreadable rows out and say so, instead of stopping at the first.
        where: keep only rows whose field has this value, or that the test keeps; CIF files have no fields and stay.

    Raises:
        DataError: missing file, unknown format, an unreadable row (unless skip_bad), or no crystal at all.
    """
    crystals: list[KnownCrystal] = []
    left_out: list[str] = []
    for place, make in rows_of(path, where or {}, crystal_of_row):
        try:
            crystal = make()
        except ROW_ERRORS as error:
            message = f"{place}: {sentence_of(error)}"
            if not skip_bad:
                raise DataError(f"{message}; mend or remove it, or set `bad_rows: skip` for this file") from error
            left_out.append(message)
            log.warning("left out: %s", message)
            continue
        crystals.append(crystal)
    if not crystals:
        raise DataError(
            f"{path}: no usable crystal ({len(left_out)} rows left out); check its path, format and `where`{_refused(where)}"
        )
    return Read(tuple(crystals), tuple(left_out))


def _refused(where: Where | None) -> str:
    """What the rows had in the fields that a test looks at, where the test can say it, as the end of a sentence."""
    said = getattr(where, "refused", str)()
    return f": {said}" if said else ""


ROW_ERRORS = (ValueError, KeyError, TypeError, IndexError, AssertionError, RuntimeError, OSError)
"""What reading one row can raise: wrong JSON, a missing field, a value of another type or out of bounds."""


def sentence_of(error: BaseException) -> str:
    """What is wrong with a row, in words."""
    if isinstance(error, json.JSONDecodeError):
        return f"not a whole JSON object ({error.msg}, character {error.pos + 1})"
    if isinstance(error, KeyError):
        return f"field {error.args[0]!r} is missing"
    return str(error) or type(error).__name__


Where = Mapping[str, str] | Callable[[Mapping[str, Any]], bool]
"""Values that fields must have, as text, or the test of a row."""
T = TypeVar("T")
Placed = tuple[str, Callable[[], T]]
"""A row's place in its file, and what reads it."""


def rows_of(
    path: Path, where: Where, make: Callable[[Mapping[str, Any], str], T]
) -> Iterator[Placed[T | KnownCrystal]]:
    """Rows of a file: place, and a function that reads it or raises one of ROW_ERRORS.

    Args:
        path: see `read_crystals`.
        where: see `read_crystals`.
        make: reads a JSONL or CSV row, given its place; CIF files are read as known crystals.
    """
    if path.is_dir():
        return _cif_rows(sorted(path.glob("*.cif")), _labels_table(path / "labels.csv"))
    if not path.is_file():
        raise DataError(
            f"{path}: no such file or folder; check `data.path` (it is taken from the campaign file's folder)"
        )
    name = path.name.lower()
    if name.endswith(".cif"):
        return _cif_rows([path], {})
    if name.endswith((".jsonl", ".jsonl.gz")):
        return _jsonl_rows(path, where, make)
    if name.endswith(".csv"):
        return _csv_rows(path, where, make)
    raise DataError(
        f"{path}: unknown format {path.suffix!r}; give .jsonl, .jsonl.gz, .csv, .cif or a folder of .cif files"
    )


def _jsonl_rows(path: Path, where: Where, make: Callable[[Mapping[str, Any], str], T]) -> Iterator[Placed[T]]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        place = f"{path.name} line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            yield place, _raiser(error)
            continue
        if not isinstance(row, dict):
            yield place, _raiser(ValueError(f"holds {type(row).__name__}, not an object"))
        elif _kept(row, where):
            yield place, partial(make, row, place)


def _lines(path: Path) -> Iterator[str]:
    """Text lines; a file cut off in the middle ends in a row that says so."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            yield from file
    except EOFError:
        yield "{the compressed file ends too early"
    except (gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}); fetch it again") from error


def _csv_rows(path: Path, where: Where, make: Callable[[Mapping[str, Any], str], T]) -> Iterator[Placed[T]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in (reader := csv.DictReader(file)):
            if _kept(row, where):
                place = f"{path.name} line {reader.line_num}"
                yield place, partial(make, row, place)


def _cif_rows(paths: list[Path], labels: Mapping[str, Mapping[str, str]]) -> Iterator[Placed[KnownCrystal]]:
    for path in paths:
        yield path.name, partial(_from_cif, path, labels.get(path.stem, {}))


def _labels_table(path: Path) -> dict[str, Mapping[str, str]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def _kept(row: Mapping[str, Any], where: Where) -> bool:
    return where(row) if callable(where) else all(str(row.get(key)) == value for key, value in where.items())


def _raiser(error: Exception) -> Callable[[], NoReturn]:
    def make() -> NoReturn:
        raise error

    return make


def _from_cif(path: Path, labels: Mapping[str, str]) -> KnownCrystal:
    return KnownCrystal(
        path.stem,
        path.name,
        _checked(read_cif(path.read_text(encoding="utf-8")).structure),
        labels_of(labels),
        scheme_of(labels),
    )


def crystal_of_row(row: Mapping[str, Any], place: str) -> KnownCrystal:
    """The crystal of a JSONL or CSV row; raises one of ROW_ERRORS."""
    from pymatgen.core.lattice import Lattice  # late: plain rows and every `--help` go without its second
    from pymatgen.core.structure import Structure  # late: as above

    name = str(row.get("id") or row.get("material_id") or place)
    if row.get("cif"):
        return KnownCrystal(name, place, _checked(read_cif(str(row["cif"])).structure), labels_of(row), scheme_of(row))
    species, coords = plain(row["species"]), plain(row["frac_coords"])
    if row.get("lattice"):
        cell = plain(row["lattice"])
        lattice = Lattice.from_parameters(*cell) if len(cell) == 6 else Lattice(cell)
    else:
        lattice = Lattice.cubic(float(row["a"]))
    return KnownCrystal(name, place, _checked(Structure(lattice, species, coords)), labels_of(row), scheme_of(row))


def scheme_of(row: Mapping[str, Any]) -> str:
    """The scheme of the row's formation energy (MP2020, OQMD, ...), "" where the row has none."""
    return str(row.get("formation_energy_scheme") or "").strip()


def plain(value: Any) -> Any:  # noqa: ANN401
    """A list; from a CSV cell, the JSON text of one."""
    return json.loads(value) if isinstance(value, str) else value


def _checked(structure: Structure) -> Structure:
    """The structure without oxidation states, if its atoms are elements and stand apart.

    Raises:
        ValueError: no atoms, partial occupancy, or two atoms closer than 0.5 A (the paper's validity bound).
    """
    structure.remove_oxidation_states()
    unknown = {symbol for symbol in structure.symbol_set if symbol not in atomic_numbers()}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} is not an element symbol")
    if len(structure) == 0:
        raise ValueError("has no atoms")
    if not structure.is_ordered:
        raise ValueError("has partially occupied sites; order it first")
    if not structure.is_valid(tol=0.5):
        raise ValueError(f"{structure.composition.reduced_formula}: two atoms are closer than 0.5 A")
    return structure


def labels_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The row's labels, each checked against the range that its unit allows."""
    labels: dict[str, float] = {}
    for column, (name, convert) in COLUMNS.items():
        given = row.get(column)
        if given is None or given == "":
            continue
        value = float(given)
        if column in ("bulk_modulus", "shear_modulus", "dielectric_total") and value <= 0:
            raise ValueError(f"{column} = {value:g} is not positive")
        value, bound = convert(value), BOUNDS[name]
        if not bound.lowest <= value <= bound.highest:
            raise ValueError(f"{column} = {given} is outside {bound.lowest:g}..{bound.highest:g} ({name}): wrong unit?")
        labels[name] = value
    return labels
