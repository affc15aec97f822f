"""One word of a file -> a number or an element, strictly: what is nearly one is refused. No lines, no files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from crystalloop.models.crystals.elements import atomic_numbers, symbols
from crystalloop.models.formats.crystal_read import FormatError

_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d{1,4})?", re.ASCII)
_LABEL = re.compile(r"([A-Za-z]{1,3})([0-9_+\-].*)?", re.ASCII | re.DOTALL)
_LONGEST = 60
ISOTOPES = {"D": "deuterium", "T": "tritium"}


def refuse_long(text: str, most_mb: int) -> None:
    """A text that is longer than that of any crystal which is read.

    Raises:
        FormatError: how long it is.
    """
    if len(text) > most_mb * 2**20:
        raise FormatError(
            f"has {len(text) / 2**20:.0f} MB, one crystal has less than {most_mb}; give that crystal alone"
        )


def is_real(word: str) -> bool:
    """Whether a word is a decimal number as Fortran and C write it; `nan`, `1_000` and `٣` are none."""
    return len(word) <= _LONGEST and _REAL.fullmatch(word) is not None


def real(word: str, what: str) -> float:
    """The number that a word is; `1.0D+00` is Fortran's 1.

    Raises:
        FormatError: no number, or beyond what a float holds.
    """
    value = float(word.lower().replace("d", "e")) if is_real(word) else math.nan
    if not math.isfinite(value):
        raise FormatError(f"{what} is {shown(word)}, expected a number; mend the file")
    return value


def reals(words: Iterable[str], what: str) -> list[float]:
    """The numbers that words are, each as `real` reads it."""
    return [real(word, what) for word in words]


def whole(word: str, what: str) -> int:
    """The whole number that a word is, with at most 30 digits.

    Raises:
        FormatError: anything else.
    """
    if not re.fullmatch(r"[+-]?\d{1,30}", word, re.ASCII):
        raise FormatError(f"{what} is {shown(word)}, expected a whole number; mend the file")
    return int(word)


def shown(word: object) -> str:
    """A value as a message shows it: quoted, short; of a long list its length alone."""
    if isinstance(word, (list, tuple, dict)) and len(word) != 3:
        return f"{'an object' if isinstance(word, dict) else 'a list'} of {len(word)}"
    text = repr(word)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]}...{text[-1]}"


def element_of(label: str, what: str) -> str:
    """The element that a label names: `Fe`, `Fe1`, `Fe_up`, `fe`; D and T stand for themselves.

    Raises:
        FormatError: no element, or one of two (`CO`: C or Co).
    """
    known, parts = atomic_numbers(), _LABEL.fullmatch(label)
    letters = parts[1] if parts else ""
    if letters in known or letters in ISOTOPES:
        return letters
    meant = letters.capitalize()
    if meant not in known:
        raise FormatError(f"{what} {shown(label)} names no element; write its symbol, as in the periodic table")
    if letters.isupper() and letters[0] in known:
        raise FormatError(f"{what} {shown(label)} may be {letters[0]} or {meant}; write {letters[0]} or {meant}")
    return meant


def element_of_number(number: int, what: str) -> str:
    """The symbol of an atomic number.

    Raises:
        FormatError: none, or that of a vacancy (0).
    """
    if not 0 < number < len(symbols()):
        raise FormatError(f"{what} is {shown(number)}, expected an atomic number from 1 to {len(symbols()) - 1}")
    return symbols()[number]


def isotope_note(label: str) -> str:
    """The sentence on D or T."""
    return f"{ISOTOPES[label]} ({label}) is computed as hydrogen"


def elements_of(labels: Sequence[str], what: str) -> tuple[list[str], tuple[str, ...]]:
    """The elements that labels name, hydrogen for D and T, and sentences on labels that are more than a symbol.

    Raises:
        FormatError: as `element_of`.
    """
    named = {label: element_of(label, what) for label in dict.fromkeys(labels)}
    heavy = sorted(set(named.values()) & set(ISOTOPES))
    longer = [f"{label} as {element}" for label, element in named.items() if label.rstrip("0123456789") != element]
    notes = [isotope_note(one) for one in heavy]
    if longer:
        more = f" and {len(longer) - 4} more" if len(longer) > 4 else ""
        notes.append(f"labels are read as their elements: {', '.join(longer[:4])}{more}")
    return ["H" if named[label] in ISOTOPES else named[label] for label in labels], tuple(notes)
