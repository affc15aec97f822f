"""A user's files of crystals -> rows, each checked: the one reader for campaigns, `train`, `evaluate` and `generate`.

JSONL, JSON and CSV (each also .gz), CIF, and folders of CIF files. Every problem is named by file and line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from crystalloop.models.data.folder import cif_row, folder_rows
from crystalloop.models.data.labels import Units, check_units, unread
from crystalloop.models.data.problems import ROW_ERRORS, SKIP, DataError, sentence_of
from crystalloop.models.data.rows import CorpusRow, misfits, row_of
from crystalloop.models.data.tables import TABLE_FORMATS, Fields, PlacedRow, Refused, Where, is_table, keeps, table_rows

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

__all__ = [
    "BadRows",
    "DataError",
    "KnownCrystal",
    "Read",
    "RowsRead",
    "read_crystals",
    "read_each",
    "read_rows",
]

log = logging.getLogger(__name__)
BadRows = Literal["stop", "skip"]
T = TypeVar("T")
_MOST_BAD = 100_000
"""Rows left out of one file; beyond it the file is another one than its user thinks."""


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
    """What a file gave: the crystals, and a sentence for every row left out.

    Attributes:
        notes: sentences on labels left out and on what else of the file is not used.
    """

    crystals: tuple[KnownCrystal, ...]
    left_out: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class RowsRead:
    """What a file gave: its rows, a sentence for every row left out, and sentences on what else is not used."""

    rows: tuple[CorpusRow, ...]
    left_out: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())


def read_crystals(
    path: Path, *, skip_bad: bool = False, where: Where | None = None, units: Units | None = None
) -> Read:
    """Read every crystal of a file, or of a folder of CIF files.

    Args:
        path: .jsonl, .json, .csv (each also .gz), .cif, or a folder of .cif files (labels in its labels.csv, column `id`).
        skip_bad: leave out what cannot be used, and say so, instead of stopping at the first: a label where the label alone
            is bad, else the row.
        where: keep only rows whose field has this value, one of these values, or that the test keeps; the fields of a CIF
            file are those of its row in labels.csv.
        units: label -> its unit in this file, where that is not the label's own, e.g. formation_energy_per_atom: meV.

    Raises:
        DataError: missing file, unknown format, an unusable row or label (unless skip_bad), or no crystal at all.
    """
    read = read_rows(path, bad_rows="skip" if skip_bad else "stop", where=where, units=units)
    crystals = (
        KnownCrystal(row.id, row.where, row.crystal.to_structure(), row.labels, row.scheme) for row in read.rows
    )
    return Read(tuple(crystals), read.left_out, read.notes)


def read_rows(
    path: Path, *, bad_rows: BadRows = "stop", where: Where | None = None, units: Units | None = None
) -> RowsRead:
    """Read every row of a file, or of a folder of CIF files; see read_crystals for arguments and errors."""
    check_units(units or {})
    notes: list[str] = []
    where, refused = where or {}, Refused(where or {})
    kept = _kept(_placed_rows(path, notes), where, refused, notes, path)
    rows, left_out = read_each(kept, partial(row_of, units=units), bad_rows)
    wrong = misfits([row.crystal for row in rows])
    left_out += _stop_or_say([f"{rows[index].where}: {text}" for index, text in wrong.items()], bad_rows)
    rows = [row for index, row in enumerate(rows) if index not in wrong]
    notes += _on_labels(path, [row for row in rows if row.bad_labels and not row.duplicate], bad_rows)
    notes += _on_reading(path, [row for row in rows if row.notes])
    if not rows:
        raise DataError(f"{path}: no usable crystal; {_why_none(left_out, refused)}")
    for sentence in left_out:
        log.info("left out: %s", sentence)
    return RowsRead(tuple(rows), tuple(left_out), tuple(notes))


def read_each(
    rows: Iterable[PlacedRow], make: Callable[[Fields, str], T], bad_rows: BadRows
) -> tuple[list[T], list[str]]:
    """What `make` makes of each row, given its place, and a sentence for each row that was left out.

    Raises:
        DataError: a row that cannot be used, unless such rows are skipped; or too many of them.
    """
    made: list[T] = []
    left_out: list[str] = []
    for place, row in rows:
        try:
            if isinstance(row, Exception):
                raise row
            made.append(make(row, place))
        except ROW_ERRORS as error:
            left_out += _stop_or_say([f"{place}: {sentence_of(error)}"], bad_rows, error)
            if len(left_out) > _MOST_BAD:
                raise DataError(f"{left_out[0]}; and {_MOST_BAD:,} more such rows: check the file's format") from error
    return made, left_out


def _stop_or_say(sentences: list[str], bad_rows: BadRows, error: Exception | None = None) -> list[str]:
    if sentences and bad_rows == "stop":
        raise DataError(f"{sentences[0]}; {SKIP}") from error
    return sentences


def _placed_rows(path: Path, notes: list[str]) -> Iterator[PlacedRow]:
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):  # a name too long, a zero byte in it
        is_folder = is_file = False
    if is_folder:
        return folder_rows(path, notes)
    if not is_file:
        raise DataError(
            f"{path}: no such file or folder; check the path (a campaign's is taken from the folder of its file)"
        )
    if is_table(path):
        return table_rows(path)
    if path.name.lower().endswith(".cif"):
        return iter([cif_row(path)])
    raise DataError(
        f"{path}: unknown format {path.suffix!r}; give {', '.join(TABLE_FORMATS)}, .cif or a folder of .cif files"
    )


def _kept(
    rows: Iterable[PlacedRow], where: Where, refused: Refused, notes: list[str], path: Path
) -> Iterator[PlacedRow]:
    """The rows that the filter keeps; of the first row's fields, those that look like labels and are none are noted."""
    first = True
    for place, row in rows:
        if first and isinstance(row, Mapping):
            notes += [f"{path.name}: {sentence}" for sentence in unread(row)]
            first = False
        if isinstance(row, Exception) or not where or keeps(where, row):
            yield place, row
        else:
            refused.note(row)


def _why_none(left_out: Sequence[str], refused: Refused) -> str:
    """Why a file gave no crystal."""
    why = []
    if refused.count:
        why.append(refused.sentence())
    if left_out:
        why.append(f"{len(left_out):,} rows left out, the first: {left_out[0]}")
    return "; ".join(why) or "it holds no rows; check path and format"


def _on_labels(path: Path, rows: Sequence[CorpusRow], bad_rows: BadRows) -> tuple[str, ...]:
    """A sentence on labels that cannot be used; the crystals stay."""
    if not rows:
        return ()
    count = sum(len(row.bad_labels) for row in rows)
    first = f"{rows[0].where}: {rows[0].bad_labels[0]}"
    if bad_rows == "stop":
        more = f" ({count:,} such labels in {path.name})" if count > 1 else ""
        raise DataError(
            f"{first}{more}; mend it, leave it empty (null), or leave such labels out (`bad_rows: skip`, --bad-rows skip)"
        )
    return (f"{path.name}: {count:,} labels of {len(rows):,} rows left out, the first: {first}",)


def _on_reading(path: Path, rows: Sequence[CorpusRow]) -> tuple[str, ...]:
    """A sentence for each kind of remark on how crystals were read."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            found.setdefault(note, []).append(row.where)
    told = [
        f"{places[0]}: {note}{f' (and in {len(places) - 1:,} more)' if len(places) > 1 else ''}"
        for note, places in found.items()
    ]
    return (*told[:20], *([f"{path.name}: {len(told) - 20:,} more remarks of such kinds"] if len(told) > 20 else []))
