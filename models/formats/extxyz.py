"""Extended XYZ (of ASE, OVITO, QUIP) -> the one crystal in it; plain XYZ has no cell and is refused. No other molecules' formats.

Source: the extended XYZ specification (github.com/libAtoms/extxyz): a count, a line of key=value, a line for each atom.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.parts.assembled import assembled
from crystalloop.models.formats.parts.cells import cell_of_vectors, fractions_of
from crystalloop.models.formats.parts.words import (
    element_of_number,
    elements_of,
    is_real,
    real,
    reals,
    refuse_long,
    shown,
    whole,
)

_NO_CELL = "has no cell (three lattice vectors): pw.x computes crystals; add one, or put it into a box"
_PAIR = re.compile(r"""([^\s="']+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|\{([^}]*)\}|\[([^\]]*)\]|(\S+)))?""")
_MOMENTS = ("initial_magmoms", "initial_magmom", "magmoms", "magmom", "magnetic_moments", "magnetic_moment", "spin")
_CHARGES = ("initial_charges", "charges", "charge")
_LONGEST_LINE = 100_000
_TRUE, _FALSE = {"t", "true", "1"}, {"f", "false", "0"}


@dataclass(frozen=True)
class _Column:
    """A property of the atoms: its kind (S, R, I, L), and where in a line it stands."""

    kind: str
    start: int
    width: int


def read_extxyz(text: str) -> CrystalRead:
    """The crystal of an extended XYZ file with a Lattice; positions in angstrom.

    Raises:
        FormatError: no Lattice, several frames, counts and columns that do not fit, by line.
    """
    refuse_long(text, 4)
    lines = [line.strip() for line in text.rstrip().split("\n")]
    count = _count(lines)
    pairs = _pairs(lines[1] if len(lines) > 1 else "")
    rows = [line.split() for line in lines[2 : 2 + count]]
    _refuse_counts(lines, count)
    if "lattice" not in pairs:
        raise FormatError(_NO_CELL)
    cell = _cell(pairs["lattice"])
    columns = _columns(pairs.get("properties", "species:S:1:pos:R:3"))
    _refuse_widths(rows, columns, "properties" in pairs)
    elements, notes = _elements(rows, columns)
    positions = np.array([_numbers(row, columns["pos"], f"line {3 + n}") for n, row in enumerate(rows)])
    moments, more = _moments(rows, columns)
    notes = (*notes, *more, *_notes(pairs, rows, columns))
    return assembled(cell, elements, fractions_of(positions, cell), moments, notes)


def _count(lines: Sequence[str]) -> int:
    words = lines[0].split()
    if len(words) != 1:
        raise FormatError(f"line 1 is {shown(lines[0])}, expected the count of atoms alone")
    count = whole(words[0], "the count of atoms, line 1,")
    if count <= 0:
        raise FormatError(f"the count of atoms, line 1, is {count}, expected one above 0")
    return count


def _refuse_counts(lines: Sequence[str], count: int) -> None:
    """As many lines as line 1 says, and no further frame."""
    there = len(lines) - 2
    if there > count and re.fullmatch(r"\d{1,30}", lines[2 + count]):
        raise FormatError(
            f"holds {_frames(lines)} frames, expected one crystal; write the one you mean into a file of its own"
        )
    if there != count:
        told = str(count) if count < 10**9 else f"{float(count):.0e}"
        raise FormatError(
            f"line 1 says {told} atoms, there are {max(there, 0)} lines of atoms; mend the count or the lines"
        )


def _frames(lines: Sequence[str]) -> int:
    frames, line = 0, 0
    while line < len(lines):
        word = lines[line]
        frames += 1
        line += 2 + (int(word) if re.fullmatch(r"\d{1,9}", word) else len(lines))
    return frames


def _pairs(line: str) -> dict[str, str]:
    """The key=value of line 2, keys in small letters; a key alone is true.

    Raises:
        FormatError: a key twice.
    """
    found: dict[str, str] = {}
    if len(line) > _LONGEST_LINE:
        raise FormatError(
            f"line 2 has {len(line)} characters, up to {_LONGEST_LINE} are read; give Lattice and Properties"
        )
    for match in _PAIR.finditer(line):
        key = match[1].lower()
        value = next((group for group in match.groups()[1:] if group is not None), "T")
        if key in found and key in ("lattice", "properties", "pbc"):
            raise FormatError(f"line 2 says {match[1]} twice; leave one of them out")
        found.setdefault(key, value)
    return found


def _cell(given: str) -> NDArray[np.float64]:
    words = given.replace(",", " ").replace("[", " ").replace("]", " ").split()
    if len(words) != 9:
        raise FormatError(f"Lattice holds {len(words)} numbers, expected the 9 of three vectors (line 2)")
    return cell_of_vectors(np.array(reals(words, "a number of Lattice (line 2)")).reshape(3, 3))


def _columns(given: str) -> dict[str, _Column]:
    """The columns that Properties names: `species:S:1:pos:R:3`."""
    words = given.split(":")
    if len(words) % 3 or not words:
        raise FormatError(f"Properties is {shown(given)}, expected name:kind:columns, again and again (line 2)")
    found: dict[str, _Column] = {}
    start = 0
    for name, kind, width in zip(words[::3], words[1::3], words[2::3], strict=True):
        if kind.upper() not in ("S", "R", "I", "L") or not re.fullmatch(r"[1-9]\d?", width):
            raise FormatError(
                f"Properties says {name}:{kind}:{width}, expected a kind S, R, I or L and 1 to 99 columns"
            )
        found[name.lower()] = _Column(kind.upper(), start, int(width))
        start += int(width)
    if "pos" not in found or found["pos"].width != 3 or found["pos"].kind != "R":
        raise FormatError("Properties names no pos:R:3: no positions (line 2)")
    if not {"species", "z", "numbers"} & set(found):
        raise FormatError("Properties names neither species:S:1 nor Z:I:1: no elements (line 2)")
    return found


def _refuse_widths(rows: Sequence[Sequence[str]], columns: Mapping[str, _Column], said: bool) -> None:
    wanted = sum(column.width for column in columns.values())
    for number, row in enumerate(rows, 3):
        if len(row) < wanted or (said and len(row) > wanted):
            where = "Properties says" if said else "without Properties there are at least"
            raise FormatError(f"line {number} has {len(row)} columns, {where} {wanted}; mend the line or Properties")


def _elements(rows: Sequence[Sequence[str]], columns: Mapping[str, _Column]) -> tuple[list[str], tuple[str, ...]]:
    by_symbol = columns.get("species")
    by_number = columns.get("z") or columns.get("numbers")
    symbols: list[str] | None = None
    notes: tuple[str, ...] = ()
    if by_symbol is not None:
        words = [row[by_symbol.start] for row in rows]
        if all(word.isdigit() for word in words):
            symbols = [element_of_number(whole(word, "species"), "species") for word in words]
            notes = ("species are atomic numbers",)
        else:
            symbols, notes = elements_of(words, "species")
    if by_number is None:
        return symbols or [], notes
    numbered = [element_of_number(whole(row[by_number.start], "Z"), f"Z in line {n}") for n, row in enumerate(rows, 3)]
    if symbols is not None and symbols != numbered:
        first = next(n for n, (one, other) in enumerate(zip(symbols, numbered, strict=True)) if one != other)
        raise FormatError(
            f"line {first + 3} says {symbols[first]} by symbol and {numbered[first]} by Z; mend one of them"
        )
    return numbered, notes


def _numbers(row: Sequence[str], column: _Column, where: str) -> list[float]:
    return reals(row[column.start : column.start + column.width], f"a number in {where}")


def _moments(
    rows: Sequence[Sequence[str]], columns: Mapping[str, _Column]
) -> tuple[list[float] | list[list[float]] | None, tuple[str, ...]]:
    named = [
        name for name in _MOMENTS if name in columns and columns[name].kind in "RI" and columns[name].width in (1, 3)
    ]
    if not named:
        return None, ()
    column = columns[named[0]]
    found = [_numbers(row, column, f"line {n} ({named[0]})") for n, row in enumerate(rows, 3)]
    notes = (f"the moments are those of {named[0]}; {', '.join(named[1:])} is not used",) if len(named) > 1 else ()
    return (found if column.width == 3 else [row[0] for row in found]), notes


def _notes(pairs: Mapping[str, str], rows: Sequence[Sequence[str]], columns: Mapping[str, _Column]) -> list[str]:
    notes = []
    words = re.split(r"[\s,]+", pairs.get("pbc", "T T T").strip().lower())
    words = words * 3 if len(words) == 1 else words
    if len(words) != 3 or not set(words) <= _TRUE | _FALSE:
        raise FormatError(f"pbc is {shown(pairs['pbc'])}, expected three of T and F (line 2)")
    if set(words) & _FALSE:
        told = " ".join("T" if word in _TRUE else "F" for word in words)
        notes.append(f"pbc is {told}: the cell is repeated in all three directions, as pw.x computes it")
    if "move_mask" in columns:
        notes.append("move_mask is not used: all atoms may move")
    for name in _CHARGES:
        column = columns.get(name)
        if column is not None and any(is_real(row[column.start]) and real(row[column.start], name) for row in rows):
            notes.append(f"the charges of the file ({name}) are not used: the crystal is computed neutral")
            break
    return notes
