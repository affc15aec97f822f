"""A folder of CIF files with its labels.csv -> rows, as tables gives them: whatever fits nothing is said by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from crystalloop.models.data.problems import DataError, sentence_of, shown
from crystalloop.models.data.tables import PlacedRow, table_rows

LABELS = "labels.csv"
_MOST_MB = 20


def cif_row(path: Path) -> PlacedRow:
    """The row of one CIF file without labels; its id is the file's name without .cif."""
    try:
        return path.name, {"id": path.stem, "cif": _text(path)}
    except (ValueError, OSError) as error:
        return path.name, error


def folder_rows(path: Path, notes: list[str]) -> Iterator[PlacedRow]:
    """A row for each CIF file of a folder, with the fields of its row in labels.csv, whose `id` is the file's name.

    Args:
        path: of the folder; folders in it are not looked into.
        notes: gets sentences on labels without a file, files without labels, and files that are no CIF.

    Raises:
        DataError: no CIF file, or a labels.csv that cannot be used.
    """
    names = _listed(path)
    files = sorted((path / name for name in names if _is_cif(name)), key=lambda file: file.name)
    others = [name for name in names if not _is_cif(name) and name != LABELS and name[0] != "."]
    if not files:
        inner = [name for name in others if (path / name).is_dir() and any(map(_is_cif, _listed(path / name)))]
        there = f"; its CIF files lie in{_named('', inner)}: give each of these" if inner else ""
        there = there or f"{_named(' but', others)}; give CIF files, .jsonl or .csv"
        raise DataError(f"{path}: no .cif file in this folder{there}")
    if others:
        notes.append(f"{path.name}: {len(others):,} that are no .cif files are not read:{_named('', others)}")
    stems = Counter(file.stem.lower() for file in files)
    labels = _labels(path, files, notes)
    for file in files:
        place, row = cif_row(file)
        if isinstance(row, Mapping):
            name = file.stem if stems[file.stem.lower()] == 1 else file.name
            row = {**labels.get(file.name, {}), "id": name, "cif": row["cif"]}
        yield place, row


def _is_cif(name: str) -> bool:
    """Whether a file is read; names with a dot before them are those of the system (`._a.cif` beside each file of a Mac)."""
    return name.lower().endswith(".cif") and name[0] != "."


def _listed(path: Path) -> list[str]:
    try:
        return sorted(one.name for one in path.iterdir())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); change its mode or owner") from error


def _named(before: str, names: Collection[str]) -> str:
    listed = [shown(name) for name in sorted(names)]
    more = f" and {len(listed) - 3:,} more" if len(listed) > 3 else ""
    return f"{before} {', '.join(listed[:3])}{more}" if listed else ""


def _labels(path: Path, files: Collection[Path], notes: list[str]) -> dict[str, Mapping[str, Any]]:
    """The rows of labels.csv by the names of the files that they are of."""
    table = path / LABELS
    if not table.is_file():
        return {}
    found: dict[str, Mapping[str, Any]] = {}
    places: dict[str, str] = {}
    unfit: list[str] = []
    names = _Names(files)
    for place, row in table_rows(table):
        if isinstance(row, Exception):
            raise DataError(f"{path.name}/{place}: {sentence_of(row)}; mend or remove it") from row
        if "id" not in row:
            raise DataError(f"{table} has no column named id; name so the column with the names of the files")
        try:
            name = names.file_of(id_ := str(row["id"]).strip())
        except ValueError as error:
            raise DataError(f"{path.name}/{place}: {error}") from error
        if name is None:
            unfit.append(id_)
            continue
        if name in found:
            raise DataError(f"{path.name}/{place}: {name} has labels in {places[name]} already; remove one")
        found[name], places[name] = {**row, "labels_at": place}, place
    bare = [file.name for file in files if file.name not in found]
    if unfit:
        notes.append(
            f"{path.name}/{LABELS}: {len(unfit):,} rows fit no file, their labels are not used:{_named('', unfit)}"
        )
    if bare:
        notes.append(f"{path.name}: {len(bare):,} of {len(files):,} files have no row in {LABELS}:{_named('', bare)}")
    return found


class _Names:
    """The files of a folder by what an id may be: a name with or without .cif, as written, else in other capitals."""

    def __init__(self, files: Collection[Path]) -> None:
        self._ways: tuple[dict[str, set[str]], ...] = (defaultdict(set), defaultdict(set))
        for file in files:
            for name in (file.name, file.stem):
                self._ways[0][name].add(file.name)
                self._ways[1][name.lower()].add(file.name)

    def file_of(self, id_: str) -> str | None:
        """The file that an id means; None for no file.

        Raises:
            ValueError: several.
        """
        found = self._ways[0].get(id_) or self._ways[1].get(id_.lower()) or set()
        if len(found) > 1:
            raise ValueError(f"id {shown(id_)!r} fits {' and '.join(sorted(found))}; write the whole name")
        return next(iter(found), None)


def _text(path: Path) -> str:
    """A CIF file's text; UTF-8, else Latin-1, in which old files have names of authors."""
    if not path.is_file():
        raise OSError("is no file that can be read")
    if path.stat().st_size > _MOST_MB * 2**20:
        raise ValueError(f"has {path.stat().st_size / 2**20:.0f} MB; at most {_MOST_MB} are read")
    content = path.read_bytes()
    if b"\0" in content:
        raise ValueError(f"is no text (byte {content.index(0)} is zero), or UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
