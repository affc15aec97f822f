"""Text in Fortran's namelists and pw.x's cards -> names and words. What they mean: pw_input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crystalloop.models.formats.crystal_read import FormatError
from crystalloop.models.formats.parts.words import real, shown, whole

_PIECE = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|![^\n]*|/|[^'\"!/]+|['\"]")
_BEGIN = re.compile(r"[ \t]*&(\w{1,30})", re.ASCII)
_MOST_VALUES, _MOST_ASSIGNMENTS = 200, 10_000
CARDS = (
    "ATOMIC_SPECIES",
    "ATOMIC_POSITIONS",
    "K_POINTS",
    "ADDITIONAL_K_POINTS",
    "CELL_PARAMETERS",
    "OCCUPATIONS",
    "CONSTRAINTS",
    "ATOMIC_FORCES",
    "ATOMIC_VELOCITIES",
    "SOLVENTS",
    "HUBBARD",
)
_PATHS = ("BEGIN", "BEGIN_PATH_INPUT", "BEGIN_POSITIONS", "FIRST_IMAGE")


@dataclass(frozen=True)
class InputCard:
    """A card: what stands behind its name, and the words of its lines."""

    option: str
    rows: tuple[tuple[str, ...], ...]


class Namelist:
    """The assignments of one namelist: name, index -> words. A name that is asked for and stands there twice is refused."""

    def __init__(self, assignments: Sequence[tuple[str, str, tuple[str, ...]]]) -> None:
        self._all = assignments

    def has(self, name: str) -> bool:
        """Whether a name is assigned."""
        return any(given == name for given, _, _ in self._all)

    def is_off(self, name: str) -> bool:
        """Whether a name's value is false, zero, or a word that means nothing."""
        words = [words[0].strip("'\" ").lower() if words else "" for given, _, words in self._all if given == name]
        return all(word in ("", ".false.", "f", "false", ".f.", "none", "no", "0", "0.0", "0.d0") for word in words)

    def number(self, name: str) -> float | None:
        """The number of a name; None where it is not assigned."""
        word = self._word(name)
        return None if word is None else real(word, name)

    def whole(self, name: str) -> int | None:
        """The whole number of a name; None where it is not assigned."""
        word = self._word(name)
        return None if word is None else whole(word, name)

    def numbers(self, name: str, most: int) -> list[float | None]:
        """The numbers of an array, index 1 first; None where one is not assigned.

        Raises:
            FormatError: an index out of range or twice, no number.
        """
        found: list[float | None] = [None] * most
        for given, index, words in self._all:
            if given != name:
                continue
            first = whole(index.partition(":")[0].strip() or "1", f"the index of {name}")
            for place, word in enumerate(words, first):
                if not 1 <= place <= most:
                    raise FormatError(f"{name}({place}) is given, expected an index from 1 to {most}")
                if found[place - 1] is not None:
                    raise FormatError(f"{name}({place}) is given twice; leave one of them out")
                found[place - 1] = real(word, f"{name}({place})")
        return found

    def _word(self, name: str) -> str | None:
        given = [words for one, index, words in self._all if one == name and not index]
        if len(given) > 1:
            raise FormatError(f"{name} is given {len(given)} times; leave one")
        if given and len(given[0]) != 1:
            raise FormatError(f"{name} is {shown(' '.join(given[0]))}, expected one value")
        return given[0][0] if given else None


def namelists_of(text: str) -> tuple[dict[str, Namelist], list[str]]:
    """The namelists by name, in small letters, and the lines outside them.

    Raises:
        FormatError: one is not ended by `/`, or stands there twice.
    """
    found: dict[str, Namelist] = {}
    rest: list[str] = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        begins = _BEGIN.match(lines[number])
        if begins is None:
            rest.append(lines[number])
            number += 1
            continue
        name = begins[1].lower()
        body, used = _body(lines, number, begins.end())
        if name in found:
            raise FormatError(f"the namelist &{name.upper()} stands there twice; give the input of one calculation")
        found[name] = Namelist(_assignments(body))
        number += used
    return found, rest


def _body(lines: Sequence[str], start: int, column: int) -> tuple[str, int]:
    """What stands between a namelist's name and its `/`, without comments, and over how many lines."""
    pieces: list[str] = []
    for number in range(start, len(lines)):
        line = lines[number][column:] if number == start else lines[number]
        if line.strip().lower() == "&end":
            return "".join(pieces), number - start + 1
        for piece in _PIECE.findall(line):
            if piece == "/":
                return "".join(pieces), number - start + 1
            pieces.append("" if piece[0] == "!" else _quiet(piece))
        pieces.append("\n")
    raise FormatError(f"the namelist that begins in line {start + 1} is not ended by a line with /")


def _quiet(piece: str) -> str:
    """A quoted text without what would be read as a separator."""
    return re.sub(r"[=,()\s]", "_", piece) if piece[0] in "'\"" else piece


def _assignments(body: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """(name, index, words) of each `name(index) = words`."""
    pieces = body.split("=")
    if len(pieces) > _MOST_ASSIGNMENTS:
        raise FormatError(f"a namelist has {len(pieces)} assignments; mend the input")
    found: list[tuple[str, str, tuple[str, ...]]] = []
    name, index = "", ""
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        before, next_name, next_index = (piece, "", "") if last else _name(piece)
        if number:
            found.append((name, index, _values(before, name)))
        name, index = next_name, next_index
    return found


def _name(piece: str) -> tuple[str, str, str]:
    """What stands before the name that an assignment's left side ends with, the name, its index."""
    left, index = piece.rstrip(), ""
    if left.endswith(")"):
        cut = left.rfind("(")
        left, index = (left[:cut].rstrip(), left[cut + 1 : -1].strip()) if cut >= 0 else (left, "")
    word = re.split(r"[\s,;]", left[-80:])[-1]
    return left[: len(left) - len(word)], word.lower(), index


def _values(text: str, name: str) -> tuple[str, ...]:
    """The words of a value; `3*1.0` is three of them."""
    found: list[str] = []
    for word in re.split(r"[\s,;]+", text.strip(" \t\n,;")):
        repeated = re.fullmatch(r"(\d{1,4})\*(\S+)", word, re.ASCII)
        found += [repeated[2]] * int(repeated[1]) if repeated else [word]
        if len(found) > _MOST_VALUES:
            raise FormatError(f"{shown(name)} has more than {_MOST_VALUES} values; mend the input")
    return tuple(word for word in found if word)


def cards_of(lines: Sequence[str]) -> Mapping[str, InputCard]:
    """The cards by name; comments and empty lines left out.

    Raises:
        FormatError: a card twice, or the input of a path of several images.
    """
    found: dict[str, InputCard] = {}
    name, option = "", ""
    rows: list[tuple[str, ...]] = []
    for line in [*lines, "END"]:
        words = re.split(r"[!#]", line, maxsplit=1)[0].replace("\t", " ").split()
        if not words:
            continue
        head = re.split(r"[({]", words[0], maxsplit=1)[0].upper()
        if head in _PATHS:
            raise FormatError("is an input of several images (a path); give the input of one crystal")
        if head not in CARDS and line != "END":
            rows.append(tuple(words))
            continue
        if name in found:
            raise FormatError(f"the card {name} stands there twice; give the input of one calculation")
        if name:
            found[name] = InputCard(option, tuple(rows))
        name, rows = head, []
        option = " ".join(words)[len(head) :].strip(" (){}").lower()
    return found
