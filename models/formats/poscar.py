"""POSCAR (CONTCAR) of VASP, forms 4 and 5 -> the one crystal in it. What only looks like one (CHGCAR, ...) is not read here.

Source: the VASP wiki, page POSCAR. Read line by line with the counts checked: libraries pass over positions that are too many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.parts.assembled import assembled
from crystalloop.models.formats.parts.cells import cell_of_vectors, fractions_of
from crystalloop.models.formats.parts.words import element_of, elements_of, is_real, real, refuse_long, shown, whole

_POTENTIAL = re.compile(r"([A-Za-z]{1,3})((_\w*)*)(/[0-9A-Fa-f]+)?", re.ASCII)
_FRACTIONS = ("direct", "fractional", "frac", "reduced", "relative")


@dataclass(frozen=True)
class _Head:
    """What stands above the positions."""

    cell: NDArray[np.float64]
    scales: NDArray[np.float64]
    symbols: list[str]
    counts: list[int]
    selective: bool
    cartesian: bool
    next_line: int
    notes: tuple[str, ...]


def read_poscar(text: str) -> CrystalRead:
    """The crystal of a POSCAR; velocities and what follows them are not used.

    Raises:
        FormatError: counts that do not fit the positions, no symbols, an impossible cell, by line.
    """
    refuse_long(text, 4)
    lines = [line.split("!")[0].split("#")[0].strip() for line in text.split("\n")]
    head = _head(lines, text.split("\n")[0])
    rows, after = _rows(lines, head)
    numbers = [_position(rows[index], head.next_line + index) for index in range(len(rows))]
    symbols, notes = _symbols(head, rows, text.split("\n")[0])
    positions = np.array(numbers, dtype=np.float64)
    coords = fractions_of(positions * head.scales, head.cell) if head.cartesian else positions
    elements = [element for element, count in zip(symbols, head.counts, strict=True) for _ in range(count)]
    if head.selective:
        notes = (*notes, "Selective dynamics is not used: all atoms may move")
    if "MAGMOM" in text.split("\n")[0].upper():
        notes = (
            *notes,
            "MAGMOM in the comment line is not used; give moments with the crystal as extended XYZ, JSON or CIF",
        )
    return assembled(head.cell, elements, coords, None, (*head.notes, *notes, *after))


def _head(lines: Sequence[str], comment: str) -> _Head:
    _refuse_short(lines, 7, "comment, scale, three lattice vectors, symbols, counts")
    scale = _scale(lines[1])
    vectors = np.array([_vector(lines[index], f"line {index + 1}, a lattice vector,") for index in (2, 3, 4)])
    volume = abs(float(np.linalg.det(vectors)))
    if scale[0] < 0:  # the volume of the cell
        if not volume > 0:
            raise FormatError("the three lattice vectors (lines 3 to 5) lie in a plane: the cell has no volume")
        scale = [(-scale[0] / volume) ** (1 / 3)] * 3
    scales = np.array(scale)
    line, symbols = 5, list[str]()
    while line < len(lines) and lines[line] and not is_real(lines[line].split()[0]):
        symbols += lines[line].split()
        line += 1
    _refuse_short(lines, line + 2, "counts of the atoms and positions")
    counts, line = _counts(lines, line, len(symbols))
    selective = lines[line][:1] in ("s", "S") if line < len(lines) else False
    line += selective
    cartesian, notes = _mode(lines, line)
    return _Head(cell_of_vectors(vectors * scales), scales, symbols, counts, selective, cartesian, line + 1, notes)


def _refuse_short(lines: Sequence[str], wanted: int, what: str) -> None:
    if len(lines) < wanted:
        raise FormatError(f"ends at line {len(lines)}: {what} are expected; mend the file")


def _scale(line: str) -> list[float]:
    words = line.split()
    leading = [word for index, word in enumerate(words) if all(is_real(one) for one in words[: index + 1])]
    scales = [real(word, "the scale in line 2") for word in leading[:3]] or [real(line, "the scale in line 2")]
    if len(leading) == 2 or len(leading) > 3:
        raise FormatError(f"line 2 holds {len(leading)} numbers, expected one scale or three")
    if any(scale == 0 for scale in scales) or (len(scales) == 3 and min(scales) < 0):
        raise FormatError(f"the scale in line 2 is {line!r}, expected a number that is not zero, or three above zero")
    return scales if len(scales) == 3 else scales * 3


def _vector(line: str, what: str) -> list[float]:
    words = line.split()
    if len(words) < 3:
        raise FormatError(f"{what} is {shown(line)}, expected three numbers")
    if len(words) > 3 and is_real(words[3]):
        raise FormatError(f"{what} holds more than three numbers: {shown(line)}")
    return [real(word, what) for word in words[:3]]


def _counts(lines: Sequence[str], line: int, wanted: int) -> tuple[list[int], int]:
    """The counts, which may go on in further lines as long as there are more symbols."""
    counts: list[int] = []
    while line < len(lines) and (not counts or len(counts) < wanted):
        words = lines[line].split()
        if counts and not all(word.isdigit() for word in words):
            break
        counts += [whole(word, f"a count of atoms in line {line + 1}") for word in words]
        line += 1
    if not counts or min(counts) <= 0:
        told = " ".join(str(count) for count in counts) or "missing"
        raise FormatError(f"the counts of atoms (line {line}) are {told}, expected whole numbers above 0")
    if wanted and len(counts) != wanted:
        raise FormatError(f"there are {wanted} symbols and {len(counts)} counts of atoms (line {line}); mend the file")
    return counts, line


def _mode(lines: Sequence[str], line: int) -> tuple[bool, tuple[str, ...]]:
    given = lines[line] if line < len(lines) else ""
    word = given.split()[0].lower() if given else ""
    if word[:1] in ("c", "k"):
        return True, ()
    if word[:1] == "d":
        return False, ()
    if word in _FRACTIONS:
        return False, (f"line {line + 1}, {given!r}, is read as Direct (fractions), as VASP does",)
    raise FormatError(f"line {line + 1} is {shown(given)}, expected Direct or Cartesian; write it above the positions")


def _rows(lines: Sequence[str], head: _Head) -> tuple[list[str], tuple[str, ...]]:
    """The lines of the positions, and notes on what follows them."""
    expected, blocks = sum(head.counts), _blocks(lines, head.next_line)
    first = blocks[0] if blocks else []
    if len(first) < expected and sum(len(block) for block in blocks) == expected:
        return [row for block in blocks for row in block], ()  # blank lines between the species
    there = next((n for n, row in enumerate(first) if not is_real(row.split()[0])), len(first))
    if there < expected and there < len(first):
        raise FormatError(f"{shown(first[there])} stands among the positions, expected three numbers; mend the file")
    if there != expected:
        raise FormatError(_misfit(head, there, cut=len(blocks) > 1 and there < expected))
    extra = first[expected:]
    if extra and extra[0][0] not in "lL":
        raise FormatError(
            f"{shown(extra[0])} follows the positions: neither velocities nor a blank line; give one crystal"
        )
    return first[:expected], _notes_on(blocks[1:], expected) if extra or blocks[1:] else ()


def _misfit(head: _Head, there: int, *, cut: bool) -> str:
    """The sentence on counts that are not those of the positions."""
    pairs = list(zip(head.counts, head.symbols, strict=False))
    told = ", ".join(f"{_big(count)} {symbol}" for count, symbol in pairs[:8]) + (", ..." if len(pairs) > 8 else "")
    positions = f"there {'is 1 position' if there == 1 else f'are {there} positions'}"
    return (
        f"the counts say {_big(sum(head.counts))}{f' ({told})' if told else ''}, {positions}"
        f"{', then a blank line' if cut else ''} (from line {head.next_line + 1}); mend the counts or the positions"
    )


def _big(count: int) -> str:
    return str(count) if count < 10**9 else f"{float(count):.0e}"


def _blocks(lines: Sequence[str], start: int) -> list[list[str]]:
    """What stands from a line on, in blocks between blank lines."""
    blocks: list[list[str]] = [[]]
    for line in lines[start:]:
        if line:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _notes_on(blocks: Sequence[Sequence[str]], expected: int) -> tuple[str, ...]:
    """Velocities (as many lines as atoms, perhaps below a word), and numbers for VASP's next step."""
    if blocks and all(is_real(row.split()[0]) for row in blocks[0]) and len(blocks[0]) != expected:
        raise FormatError(
            f"the counts say {expected}, and after the positions and a blank line there are {len(blocks[0])} more lines of "
            "numbers: neither positions nor velocities; mend the file"
        )
    return ("velocities and what else follows the positions are not used",)


def _position(row: str, line: int) -> list[float]:
    words = row.split()
    if len(words) < 3:
        raise FormatError(f"line {line + 1} is {shown(row)}, expected a position of three numbers")
    return [real(word, f"a coordinate in line {line + 1}") for word in words[:3]]


def _symbols(head: _Head, rows: Sequence[str], comment: str) -> tuple[list[str], tuple[str, ...]]:
    """The element of each count: of the symbol line, else of the ends of the lines, else of the comment."""
    at_lines = _at_lines(head, rows)
    if head.symbols:
        found = [_element(word) for word in head.symbols]
        if at_lines and at_lines != found:
            raise FormatError(
                f"the symbol line says {' '.join(found)}, the positions {' '.join(at_lines)}; mend one of them"
            )
        elements, notes = elements_of(found, "the symbol line:")
        return elements, notes
    if at_lines:
        elements, notes = elements_of(at_lines, "a position's symbol")
        return elements, (f"no symbol line (VASP 4): {' '.join(elements)} stand behind the positions", *notes)
    words = comment.split()
    if len(words) == len(head.counts) and all(_is_element(word) for word in words):
        elements, notes = elements_of(words, "the comment line:")
        return elements, (f"no symbol line (VASP 4): {' '.join(elements)} stand in the comment, line 1", *notes)
    raise FormatError("no element symbols (the form of VASP 4); write them in the line above the numbers of atoms")


def _at_lines(head: _Head, rows: Sequence[str]) -> list[str] | None:
    """The symbol behind the positions of each count, where all of them have one."""
    after = [row.split()[6 if head.selective else 3 :] for row in rows]
    if not all(len(words) == 1 and re.fullmatch(r"[A-Z][a-z]?\d*", words[0], re.ASCII) for words in after):
        return None
    named = [re.sub(r"\d+$", "", words[0]) for words in after]
    if not all(_is_element(name) for name in named):
        return None
    found, start = [], 0
    for count in head.counts:
        block = set(named[start : start + count])
        if len(block) > 1:
            raise FormatError(f"the counts put {' and '.join(sorted(block))} into one block of {count}; mend the file")
        found.append(block.pop())
        start += count
    return found


def _is_element(word: str) -> bool:
    try:
        return element_of(word, "") == word
    except FormatError:
        return False


def _element(word: str) -> str:
    """The element of a potential's name: Fe, Fe_pv, Fe_sv_GW, Fe/8a83b8b1."""
    parts = _POTENTIAL.fullmatch(word)
    if parts is None:
        raise FormatError(f"the symbol line: {shown(word)} names no element; write its symbol")
    return element_of(parts[1], "the symbol line:")
