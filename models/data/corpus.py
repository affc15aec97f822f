"""Crystals of data files as arrays, split by reduced formula: what networks are trained and judged on. No training here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import CELL_TOLERANCE, Crystal
from crystalloop.models.crystals.properties import PROPERTIES, label_array
from crystalloop.models.data.files import BadRows, DataError, read_rows
from crystalloop.models.data.labels import Units
from crystalloop.models.data.rows import SPLITS, CorpusRow

__all__ = ["SHARES", "BadRows", "Cell", "Corpus", "read_corpus", "split_of"]
Cell = Literal["cubic", "orthorhombic"]
SHARES = (("train", 80), ("val", 90), ("test", 100))
"""Upper ends, in per cent, of the parts of a split by formula."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Crystals with labels and a split.

    Attributes:
        ids: as in the files, [c].
        formulas: reduced formulas, as pymatgen writes them.
        crystals: cells as in the files.
        labels: [c, 8] in the order and units of models.crystals.properties.PROPERTIES, NaN where missing.
        split: "train", "val" or "test" of each, [c]; one for all crystals of a reduced formula.
        groups: the files' `class` (or `prototype`), "" where there is none.
        left_out: a sentence for every kind of row that was left out.
    """

    ids: tuple[str, ...]
    formulas: tuple[str, ...]
    crystals: tuple[Crystal, ...]
    labels: NDArray[np.float64]
    split: NDArray[np.str_]
    groups: tuple[str, ...]
    left_out: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of crystals (to 1e-4 A), labels (to 1e-6) and split, in order."""
        found = hashlib.sha256()
        for crystal in self.crystals:
            for array, step in ((crystal.lattice, 1e-4), (crystal.frac_coords, 1e-5), (crystal.numbers, 1)):
                found.update(np.rint(array / step).astype(np.int64).tobytes())
        found.update(np.where(np.isnan(self.labels), -(2**62), np.rint(self.labels * 1e6)).astype(np.int64).tobytes())
        found.update(" ".join(self.split.tolist()).encode())
        return found.hexdigest()

    def values(self, name: str) -> list[float]:
        """Known values of a property, in order."""
        column = self.labels[:, PROPERTIES.index(name)]
        return [float(value) for value in column[~np.isnan(column)]]

    def take(self, where: NDArray[np.bool_] | NDArray[np.intp]) -> Corpus:
        """The crystals of a mask [c] or of indices, in that order."""
        rows = np.flatnonzero(where) if where.dtype == np.bool_ else where
        ids, formulas, crystals, groups = (
            tuple(column[i] for i in rows) for column in (self.ids, self.formulas, self.crystals, self.groups)
        )
        return replace(
            self,
            ids=ids,
            formulas=formulas,
            crystals=crystals,
            groups=groups,
            labels=self.labels[rows],
            split=self.split[rows],
        )

    def part(self, name: str) -> Corpus:
        """The crystals of one part: train, val or test."""
        if name not in SPLITS:
            raise ValueError(f"no part {name!r}; there are {', '.join(SPLITS)}")
        return self.take(self.split == name)

    def counts(self) -> dict[str, int]:
        """Crystals in each part."""
        return {name: int((self.split == name).sum()) for name in SPLITS}

    def cubic(self) -> tuple[Corpus, tuple[str, ...]]:
        """The crystals with conventional cubic cells, made exact, and a sentence on those that are refused."""
        return self.with_cell("cubic")

    def with_cell(self, cell: Cell) -> tuple[Corpus, tuple[str, ...]]:
        """The crystals whose cells are of this kind within CELL_TOLERANCE, made exact; a sentence on the others.

        Args:
            cell: "cubic": three equal edges and right angles; "orthorhombic": right angles.
        """
        snapped = [_snapped(crystal, cell) for crystal in self.crystals]
        kept = np.array([crystal is not None for crystal in snapped], dtype=np.bool_)
        fitting = replace(self.take(kept), crystals=tuple(crystal for crystal in snapped if crystal is not None))
        if kept.all():
            return fitting, ()
        first = int(np.flatnonzero(~kept)[0])
        sentence = (
            f"{int((~kept).sum()):,} of {len(self):,} crystals are not {cell} (first: {self.ids[first]}, "
            f"{_cell_text(self.crystals[first])}); the bound is {CELL_TOLERANCE:g} of an edge and of a right angle"
        )
        return fitting, (sentence,)

    def joined(self, other: Corpus) -> Corpus:
        """These crystals, then those of `other` that are not here; a crystal is known by its id and formula.

        Labels that only the other one has are filled in.

        Raises:
            DataError: a formula is in another part of the split there.
        """
        return _assemble([*_rows(self), *_rows(other)], (*self.left_out, *other.left_out))


def read_corpus(paths: Sequence[Path], *, bad_rows: BadRows = "stop", units: Units | None = None) -> Corpus:
    """Read data files: JSONL, CSV (both also .gz), CIF, or folders of CIF files.

    Rows that say that they are not `primary`, and rows whose id and formula came before, are left out as duplicates
    (a repeated row still fills in labels). Where no row of a formula has a `split`, SHA-256 of the reduced formula
    decides: 80 % train, 10 % val, 10 % test (docs/science/networks.md, row 11: grouped, so that polymorphs stay together).

    Args:
        paths: files or folders.
        bad_rows: "stop" at the first unusable row or label, or "skip" it and say so in `left_out`: a crystal whose label
            alone is bad is kept without it.
        units: label -> its unit in these files, where that is not the label's own.

    Raises:
        DataError: a missing or damaged file, an unusable row, a formula in two parts of the split, or no crystal.
    """
    rows: list[CorpusRow] = []
    left_out: list[str] = []
    for path in paths:
        read = read_rows(path, bad_rows=bad_rows, units=units)
        rows += _named_apart(path, read.rows, {row.id for row in rows})
        left_out += [*read.left_out, *read.notes]
    duplicates = sum(row.duplicate for row in rows)
    if duplicates:
        left_out.append(f"{duplicates:,} rows of the same compound in the same prototype (not `primary`)")
    rows = [row for row in rows if not row.duplicate]
    if not rows:
        raise DataError(f"{', '.join(map(str, paths))}: no usable crystal (none is `primary`); check the files")
    return _assemble(rows, tuple(left_out))


def _named_apart(path: Path, rows: Sequence[CorpusRow], names: set[str]) -> list[CorpusRow]:
    """Rows of CIF files whose names other files have, too, by the names of their folders: they are crystals of their own."""
    if path.is_file() and path.suffix.lower() != ".cif":
        return list(rows)
    folder = path.name if path.is_dir() else path.resolve().parent.name
    return [replace(row, id=f"{folder}/{row.id}") if row.id in names else row for row in rows]


def split_of(formula: str) -> str:
    """The part that a reduced formula falls into when no file says: 80/10/10 by its SHA-256."""
    percent = int(hashlib.sha256(formula.encode()).hexdigest()[:8], 16) % 100
    return next(name for name, end in SHARES if percent < end)


def _assemble(rows: Sequence[CorpusRow], left_out: tuple[str, ...]) -> Corpus:
    """Rows as a corpus: repeated ones merged, the split completed."""
    merged: dict[tuple[str, str], CorpusRow] = {}
    for row in rows:
        key = (row.id, row.formula)
        first = merged.setdefault(key, row)
        if first is not row and row.labels.keys() - first.labels.keys():
            merged[key] = replace(first, labels={**row.labels, **first.labels})
    if len(merged) < len(rows):
        left_out = (*left_out, f"{len(rows) - len(merged):,} rows with the id and formula of an earlier one")
    parts = _split_by_formula(rows)
    kept = list(merged.values())
    return Corpus(
        ids=tuple(row.id for row in kept),
        formulas=tuple(row.formula for row in kept),
        crystals=tuple(row.crystal for row in kept),
        labels=label_array([row.labels for row in kept]),
        split=np.array([parts[row.formula] for row in kept], dtype="<U5"),
        groups=tuple(row.group for row in kept),
        left_out=left_out,
    )


def _split_by_formula(rows: Sequence[CorpusRow]) -> dict[str, str]:
    """Part of every formula: what the files say, else by digest."""
    said: dict[str, CorpusRow] = {}
    for row in rows:
        if row.split and said.setdefault(row.formula, row).split != row.split:
            first = said[row.formula]
            raise DataError(
                f"{row.formula} is in {first.split} ({first.where}) and in {row.split} ({row.where}): networks would be "
                "judged on what they were trained on; give all crystals of a formula one `split`, or remove the field"
            )
    formulas = {row.formula for row in rows}
    return {formula: said[formula].split if formula in said else split_of(formula) for formula in formulas}


def _rows(corpus: Corpus) -> list[CorpusRow]:
    named = [
        {name: float(value) for name, value in zip(PROPERTIES, row, strict=True) if not np.isnan(value)}
        for row in corpus.labels
    ]
    columns = zip(corpus.ids, corpus.crystals, corpus.formulas, named, corpus.split, corpus.groups, strict=True)
    return [
        CorpusRow(id_, id_, crystal, formula, labels, str(split), group)
        for id_, crystal, formula, labels, split, group in columns
    ]


def _snapped(crystal: Crystal, cell: Cell) -> Crystal | None:
    """The crystal with an exact cell of this kind along the axes; None where it has another."""
    lengths = crystal.lengths_ang
    if cell == "cubic":
        return replace(crystal, lattice=np.eye(3) * lengths.mean()) if crystal.is_cubic() else None
    return replace(crystal, lattice=np.diag(lengths)) if crystal.has_right_angles() else None


def _cell_text(crystal: Crystal) -> str:
    unit = crystal.lattice / crystal.lengths_ang[:, None]
    angles = np.degrees(np.arccos(np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1, 1)))
    edges = " ".join(f"{length:.3f}" for length in crystal.lengths_ang)
    return f"edges {edges} A, angles {' '.join(f'{angle:.1f}' for angle in angles)}"
