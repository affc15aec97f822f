"""JSONL, JSON and CSV files -> rows with their place, and which of them a filter keeps. What a row says of a crystal: rows."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crystalloop.models.data.problems import DataError, number_of, sentence_of, shown
from crystalloop.models.data.text_lines import MOST_CHARACTERS, TextLines, text_lines

Fields = Mapping[str, Any]
PlacedRow = tuple[str, Fields | Exception]
"""A row's place in its file, and its fields, or what is wrong with it."""
Where = Mapping[str, Any] | Callable[[Fields], bool]
"""Values that fields must have, one or a list of them, or the test of a row."""
TABLE_FORMATS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz")
_COLUMNS = {
    "id",
    "a",
    "species",
    "frac_coords",
    "lattice",
    "cif",
    "formula",
    "energy_per_atom",
    "scheme",
    "material_id",
}
_CRYSTAL = {"species", "cif", "structure", "sites", "attributes", "positions", "atoms", "formula", "species_at_sites"}
_MOST_SEEN = 8  # values of a field in a sentence
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def is_table(path: Path) -> bool:
    """Whether the file's name ends as those of tables do."""
    return path.name.lower().endswith(TABLE_FORMATS)


def table_rows(path: Path) -> Iterator[PlacedRow]:
    """The rows of a JSONL, JSON or CSV file, empty ones left out.

    Raises:
        DataError: a file that is no such table: damaged, of another encoding, separator or form, without names of columns.
    """
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    rows = {".csv": _csv_rows, ".json": _json_rows}.get(ending, _jsonl_rows)
    with text_lines(path, newline="" if ending == ".csv" else None) as lines:
        yield from rows(path, lines)


def _jsonl_rows(path: Path, lines: TextLines) -> Iterator[PlacedRow]:
    decode = json.JSONDecoder(object_pairs_hook=_object).decode
    first = True
    while True:
        lines.row_characters = 0
        try:
            line = next(lines).strip()
        except StopIteration:
            return
        except ValueError as error:
            yield f"{path.name} line {lines.number}", error
            continue
        if not line:
            continue
        if first and line.startswith("["):
            raise DataError(
                f"{path} is one JSON array; write each object on a line of its own, without [ ] and commas, or name it .json"
            )
        first = False
        place = f"{path.name} line {lines.number}"
        try:
            row = decode(line)
        except (ValueError, RecursionError) as error:
            yield place, ValueError("a comma after the object; remove it") if line.endswith("},") else error
            continue
        yield place, row if isinstance(row, dict) else ValueError(f"holds {type(row).__name__}, not an object")


def _json_rows(path: Path, lines: TextLines) -> Iterator[PlacedRow]:
    """The rows of one JSON document: an array of objects, objects by their ids, one object, or either under `data`."""
    if not (text := lines.whole()).strip():
        raise DataError(f"{path} is empty; give an array of objects, one for each crystal")
    try:
        found = json.JSONDecoder(object_pairs_hook=_object).decode(text.strip())
    except json.JSONDecodeError as error:
        a_line_each = "; if each line is an object of its own, name it .jsonl" if error.msg == "Extra data" else ""
        raise DataError(
            f"{path} line {error.lineno}: no JSON ({error.msg}, column {error.colno}){a_line_each}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: {sentence_of(error)}") from error
    if isinstance(found, dict) and not _CRYSTAL.intersection(found):
        found = found.get("data", found)
    if isinstance(found, dict) and not _CRYSTAL.intersection(found) and _are_rows(found):
        found = [{"id": name} | row for name, row in found.items()]  # rows by their ids
    if isinstance(found, dict) and not _CRYSTAL.intersection(found):
        keys = ", ".join(map(shown, list(found)[:5]))
        raise DataError(f"{path} is one object without a crystal (its keys: {keys}); write an array of objects")
    if not isinstance(found, list | dict):
        raise DataError(f"{path} holds {type(found).__name__}; write an array of objects, one for each crystal")
    for number, row in enumerate(found if isinstance(found, list) else [found], start=1):
        place = f"{path.name} entry {number}"
        yield place, row if isinstance(row, dict) else ValueError(f"holds {type(row).__name__}, not an object")


def _are_rows(found: Mapping[str, Any]) -> bool:
    return bool(found) and all(isinstance(row, dict) and _CRYSTAL.intersection(row) for row in found.values())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {shown(twice)!r} stands twice in one object; remove one")
    return found


def _csv_rows(path: Path, lines: TextLines) -> Iterator[PlacedRow]:
    csv.field_size_limit(MOST_CHARACTERS)  # of the process; rows are bounded by the lines they come from
    reader = csv.reader(lines, skipinitialspace=True)
    header: list[str] | None = None
    while True:
        lines.row_characters = 0
        try:
            cells = next(reader)
        except StopIteration:
            break
        except (csv.Error, ValueError) as error:
            yield f"{path.name} line {lines.number}", ValueError(str(error))
            continue
        if not any(cell.strip() for cell in cells) or (header is None and _is_separator_line(path, cells)):
            continue
        if header is None:
            header = _header(path, cells)
        else:
            yield f"{path.name} line {reader.line_num}", _fields(header, cells)
    if header is None:
        raise DataError(f"{path} is empty; give a line of column names and a line for each row")


def _is_separator_line(path: Path, cells: Sequence[str]) -> bool:
    """Whether this is Excel's `sep=,` above the header."""
    text = ",".join(cells).lstrip().lower()
    if not re.fullmatch("sep=.?", text):
        return False
    if text not in ("sep=,", "sep="):
        raise DataError(f"{path}: columns are separated by {text[4:]!r}; write commas, and decimal points")
    return True


def _header(path: Path, cells: Sequence[str]) -> list[str]:
    names = [name.strip() for name in cells]
    for name in names:
        for sign, word in _SEPARATORS.items():
            pieces = {piece.strip(' "').lower() for piece in name.split(sign)}
            if len(pieces) > 1 and (len(names) == 1 or pieces & _COLUMNS):
                raise DataError(
                    f"{path}: one column named {shown(name)!r}: {word}; write commas between columns, and decimal points"
                )
    if len(names) == 1 and "," in names[0]:
        raise DataError(
            f"{path}: one column named {shown(names[0])!r}: quotes round whole lines; write them round cells"
        )
    if names[0].startswith("#"):
        raise DataError(f"{path} begins with {shown(names[0])!r}; the first line is for the names of columns")
    known = [name.lower() if name.lower() in _COLUMNS else name for name in names]
    twice = [
        shown(name) for name in names if name and known.count(name.lower() if name.lower() in _COLUMNS else name) > 1
    ]
    if twice:
        raise DataError(f"{path}: column {' and '.join(twice[:2])} stands twice; rename or remove one")
    return known


def _fields(header: Sequence[str], cells: Sequence[str]) -> Fields | Exception:
    if len(cells) != len(header):
        comment = "; a line beginning with # is no comment here" if cells[0].startswith("#") else ""
        return ValueError(f"has {len(cells)} cells, and the header {len(header)}{comment}")
    for number, (name, cell) in enumerate(zip(header, cells, strict=True), start=1):
        if not name and number > 1 and cell.strip():  # the first one without a name is pandas' index
            return ValueError(f"cell {number} holds {shown(cell)!r}, and its column has no name")
    return {name: cell for name, cell in zip(header, cells, strict=True) if name}


def keeps(where: Where, row: Fields) -> bool:
    """Whether a filter keeps a row: true is true, numbers are numbers, a list means any of its values."""
    if callable(where):
        return where(row)
    return all(_is_value(row.get(name), wanted) for name, wanted in where.items())


def _is_value(given: object, wanted: object) -> bool:
    if isinstance(wanted, list | tuple | set | frozenset):
        return any(_is_value(given, one) for one in wanted)
    if wanted is None or given is None:
        return wanted is None and (given is None or given == "")
    truths = _truth(given), _truth(wanted)
    if None not in truths or isinstance(given, bool) or isinstance(wanted, bool):
        return truths[0] == truths[1]
    try:
        return number_of(given) == number_of(wanted)
    except ValueError:
        return str(given).strip() == str(wanted).strip()


def _truth(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


class Refused:
    """What the rows that a filter turned away have in the filter's fields, for the sentence when it keeps nothing."""

    def __init__(self, where: Where) -> None:
        self.count = 0
        self._say: Callable[[], str] | None = getattr(where, "refused", None) if callable(where) else self._said
        self._values: dict[str, dict[str, None]] = {} if callable(where) else {name: {} for name in where}
        self._fields: tuple[str, ...] = ()

    def note(self, row: Fields) -> None:
        """Take a row into account."""
        self.count += 1
        self._fields = self._fields or tuple(row)
        for name, values in self._values.items():
            if row.get(name) not in (None, "") and len(values) < _MOST_SEEN:
                values[shown(row[name])] = None

    def sentence(self) -> str:
        """Which values the fields have."""
        rows = f"{self.count:,} rows" if self.count > 1 else "the one row"
        return f"`where` keeps none of {rows}: {self._say() if self._say else 'its condition holds for none'}"

    def _said(self) -> str:
        told = []
        for name, values in self._values.items():
            more = ", ..." if len(values) == _MOST_SEEN else ""
            told.append(f"{name} is {', '.join(values)}{more} there" if values else f"no row has a value of {name}")
        fields = "" if all(self._values.values()) else f"; there are {', '.join(map(shown, self._fields[:20]))}"
        return "; ".join(told) + fields
