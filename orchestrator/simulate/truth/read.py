"""A laboratory's file -> Laboratory; every doubt about its rows is said with its line, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import gcd
from pathlib import Path

import numpy as np

from crystalloop.models.crystals.compounds import parse_compound
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import E_F, TABLE
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.data.files import read_each
from crystalloop.models.data.labels import COLUMNS
from crystalloop.models.data.problems import DataError, number_of, sentence_of, shown
from crystalloop.models.data.rows import misfits, row_of
from crystalloop.models.data.tables import TABLE_FORMATS, Fields, PlacedRow, Refused, Where, is_table, keeps, table_rows
from crystalloop.models.draw.target import ABOVE_HULL, Target
from crystalloop.orchestrator.campaign.choice.laboratory import LaboratorySection
from crystalloop.orchestrator.simulate.truth.laboratory import Laboratory, LaboratoryError, LabRow, judged, row_names
from crystalloop.orchestrator.simulate.truth.tidy import (
    HullAt,
    above_hull_rows,
    averaged,
    each_once,
    of_elements,
    valued,
)

_LARGEST = 1e6
"""Of a feature or a value without a unit; more is a typing error, or a code for a missing value."""
_SKIP = "mend or remove the row, or leave such rows out (--bad-rows skip)"
_DEFAULT = " (the target's property; --value names another column)"
_FROM_HULL = ", and --above-hull takes it from the formation energies and the campaign's hull"
_ABOVE_HULL_COLUMNS = ("energy_above_hull", "e_above_hull")


@dataclass(frozen=True)
class _Reader:
    """Turns rows into LabRows; what it needs of section and target, looked up once."""

    section: LaboratorySection
    target: Target
    column: str

    @property
    def property(self) -> str:
        """Of the values in the column."""
        return E_F if self.section.above_hull else self.target.property

    def row(self, row: Fields, where: str) -> LabRow:
        """One row; raises what models.data.problems.ROW_ERRORS names."""
        value = self._value(row)
        cost_s = 0.0 if self.section.cost is None else _number(row, self.section.cost) or 0.0
        if cost_s < 0:
            raise ValueError(f"{self.section.cost} = {cost_s:g}: a call cannot cost less than nothing")
        if self.section.features or (value is None and self.section.missing == "drop"):
            return self._plain(row, where, value, cost_s)
        read = row_of(_with_atoms(row), where)
        values = {name: number for name, number in read.labels.items() if name != self.target.property}
        values |= {ABOVE_HULL: above} if (above := _above_hull(row)) is not None else {}
        values.pop(self.target.property, None)
        values |= {} if value is None else {self.property: value}
        name = "" if read.id == where else read.id
        prototype = _prototype(row, read.crystal)
        return LabRow(name, where, read.crystal, read.formula, values, prototype, cost_s)

    def _plain(self, row: Fields, where: str, value: float | None, cost_s: float) -> LabRow:
        """A row whose crystal is not looked at: one hydrogen atom stands for it."""
        features = tuple(self._feature(row, name) for name in self.section.features)
        name = str(row.get("id") or row.get("formula") or "")
        crystal = Crystal(np.eye(3) * 3.0, np.array([1]), np.zeros((1, 3)))
        values = {} if value is None else {self.property: value}
        return LabRow(name, where, crystal, name or where, values, None, cost_s, features)

    def _feature(self, row: Fields, name: str) -> float:
        found = _number(row, name)
        if found is None:
            raise ValueError(f"{name} is empty: every feature needs a number")
        return _bounded(name, found, -_LARGEST, _LARGEST, "")

    def _value(self, row: Fields) -> float | None:
        value = _number(row, self.column)
        if value is None:
            return None
        if self.section.features:
            return _bounded(self.column, value, -_LARGEST, _LARGEST, "")
        low, high, unit = bounds_of(self.property)
        return _bounded(self.column, value, low, high, unit)


def read_laboratory(
    section: LaboratorySection, target: Target, elements: Sequence[str], hull_at: HullAt | None = None
) -> Laboratory:
    """Read a laboratory.

    Args:
        section: file, columns and what to do with rows that cannot be used.
        target: the campaign's.
        elements: the campaign's; rows with another one are left out, and counted.
        hull_at: the reference hull, where the section wants distances to it.

    Raises:
        DataError, LaboratoryError: what is wrong, with line and value, and what would fit.
    """
    path = _file(section.file)
    column, reader = _columns(path, section, target)
    notes: list[str] = []
    rows, left_out = read_each(_kept(path, section), reader.row, section.bad_rows)
    rows = valued(rows, reader.property, column, section, notes)
    rows, left_out = _without_misfits(rows, left_out, section)
    notes += _counted(left_out, "cannot be used")
    rows = [replace(row, id=name) for row, name in zip(rows, row_names([(r.id, r.where) for r in rows]), strict=True)]
    if section.features:
        rows = averaged(rows, reader.property, notes)
    else:
        rows = of_elements(rows, elements, notes)
        rows = each_once(rows, reader.property, notes) if section.duplicates == "drop" else rows
    if section.above_hull:
        rows = above_hull_rows(rows, hull_at, section, notes)
    unit = "" if section.features else bounds_of(reader.property)[2]
    return judged(_stem(path), rows, target, section.top, notes, unit=unit, features=section.features)


def bounds_of(name: str) -> tuple[float, float, str]:
    """Bounds outside which a value of a property is one of another unit, and its unit."""
    if name == ABOVE_HULL:
        return -8.0, 8.0, "eV/atom"
    found = next(row for row in TABLE if row.name == name)
    return found.lowest, found.highest, found.unit


def _file(path: Path | None) -> Path:
    if path is None:
        raise LaboratoryError(
            "no laboratory: name its file with --laboratory FILE, or as laboratory.file in the campaign"
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file; --laboratory takes a table ({', '.join(TABLE_FORMATS)}) or a YAML file")
    if not is_table(path):
        raise DataError(f"{path}: unknown format {path.suffix!r}; a laboratory is {', '.join(TABLE_FORMATS)}")
    return path


def _columns(path: Path, section: LaboratorySection, target: Target) -> tuple[str, _Reader]:
    """The column of values, and the reader of rows; looks at the first row, and for a missing column at more.

    Raises:
        DataError: a column that is not there, with the nearest that is.
    """
    own = E_F if section.above_hull else target.property
    known = {column.property: name for name, column in COLUMNS.items()}
    wanted = section.value or known.get(own, own)
    named = [("value", wanted), *(("features", one) for one in section.features)]
    named += [("cost", section.cost)] if section.cost else []
    there = _names(path, {name for _, name in named})
    if not there:
        raise DataError(_no_row(path))
    if section.value is None and own == ABOVE_HULL and wanted not in there:
        wanted = next((name for name in _ABOVE_HULL_COLUMNS if name in there), wanted)
        named[0] = ("value", wanted)
    for key, name in named:
        if name not in there:
            close = get_close_matches(name, there, 1, cutoff=0.5)
            near = f"did you mean {close[0]}?" if close else f"there are {', '.join(map(shown, list(there)[:20]))}"
            default = _DEFAULT if section.value is None else ""
            default += _FROM_HULL if own == ABOVE_HULL and known[E_F] in there else ""
            raise DataError(
                f"{path.name}: laboratory.{key}: no column {shown(name)!r}{default if key == 'value' else ''}; {near}"
            )
    if wanted in section.features:
        rest = ",".join(name for name in section.features if name != wanted)
        raise LaboratoryError(
            f"laboratory.features: {shown(wanted)!r} is the column of the values themselves, which no policy may see; "
            + (f"--features {rest} would do" if rest else "name the columns that describe a row")
        )
    return wanted, _Reader(section, target, wanted)


def _names(path: Path, wanted: set[str]) -> list[str]:
    """Names of columns: of the rows, as far as the wanted ones are not all among them."""
    found: dict[str, None] = {}
    for _, row in table_rows(path):
        if isinstance(row, Mapping):
            found |= dict.fromkeys(str(name) for name in row)
            if wanted.issubset(found):
                break
    return list(found)


def _no_row(path: Path) -> str:
    """Why a file has no column: its first line is no row, or there is none."""
    where, row = next(iter(table_rows(path)), (str(path), None))
    if row is None:
        return f"{path}: there is no row in it; a laboratory has a crystal and a value a row"
    wrong = sentence_of(row) if isinstance(row, Exception) else "a row without a name"
    return f"{where}: {wrong}, and no other line is a row; is it a table of another kind than its ending says?"


def _kept(path: Path, section: LaboratorySection) -> Iterator[PlacedRow]:
    """The rows that `where` keeps.

    Raises:
        DataError: it keeps none.
    """
    where: Where = section.keep or {}
    refused, count = Refused(where), 0
    for place, row in table_rows(path):
        if isinstance(row, Exception) or keeps(where, row):
            count += 1
            yield place, row
        else:
            refused.note(row)
    if not count:
        raise DataError(f"{path}: no row; {refused.sentence() if refused.count else 'the file holds none'}")


def _number(row: Fields, column: str) -> float | None:
    given = row.get(column)
    if given is None or (isinstance(given, str) and given.strip().lower() in {"", "nan", "null", "none"}):
        return None
    try:
        return number_of(given)
    except ValueError as error:
        raise ValueError(f"{column} = {error}") from error


def _bounded(column: str, value: float, low: float, high: float, unit: str) -> float:
    if not low <= value <= high:
        raise ValueError(f"{column} = {value:g} is outside {low:g}..{high:g} {unit}".rstrip() + ": another unit?")
    return value


def _above_hull(row: Fields) -> float | None:
    name = next((name for name in _ABOVE_HULL_COLUMNS if name in row), None)
    return None if name is None else _number(row, name)


def _with_atoms(row: Fields) -> Fields:
    """The row; one without atoms with those of its prototype."""
    if any(name in row for name in ("species", "cif", "structure", "atoms", "positions")) or "prototype" not in row:
        return row
    compound = parse_compound(f"{_smallest(str(row.get('formula')))}:{row['prototype']}")
    structure = decorate(compound.prototype, compound.elements, _number(row, "a"))
    crystal = Crystal.from_structure(structure)
    species = [str(site.specie.symbol) for site in structure]
    return {
        **row,
        "a": None,
        "lattice": crystal.lattice.tolist(),
        "species": species,
        "frac_coords": crystal.frac_coords.tolist(),
    }


def _smallest(formula: str) -> str:
    """A formula with the smallest whole numbers: LiO of Li2O2, as peroxides are written."""
    tokens = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    amounts = [int(number or 1) for _, number in tokens]
    if not amounts or "".join(symbol + number for symbol, number in tokens) != formula:
        return formula
    each = gcd(*amounts)
    return "".join(f"{symbol}{n // each if n > each else ''}" for (symbol, _), n in zip(tokens, amounts, strict=True))


def _prototype(row: Fields, crystal: Crystal) -> str | None:
    name = row.get("prototype")
    return str(name) if name in set(Prototype) else None


def _without_misfits(
    rows: list[LabRow], left_out: list[str], section: LaboratorySection
) -> tuple[list[LabRow], list[str]]:
    if section.features:
        return rows, left_out
    wrong = misfits([row.crystal for row in rows])
    told = [f"{rows[index].where}: {text}" for index, text in wrong.items()]
    if told and section.bad_rows == "stop":
        raise DataError(f"{told[0]}; {_SKIP}")
    return [row for index, row in enumerate(rows) if index not in wrong], [*left_out, *told]


def _counted(left_out: Sequence[str], what: str) -> list[str]:
    return [f"{len(left_out):,} rows {what} and are left out, the first: {left_out[0]}"] if left_out else []


def _stem(path: Path) -> str:
    name = path.name.lower()
    ending = next(ending for ending in sorted(TABLE_FORMATS, key=len, reverse=True) if name.endswith(ending))
    return path.name[: -len(ending)]
