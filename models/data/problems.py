"""What can be wrong with a data file: DataError, what reading one row can raise, and words for values. No reading here."""

from __future__ import annotations

import json
import math
import re

ROW_ERRORS = (ValueError, LookupError, TypeError, AssertionError, RuntimeError, OSError, ArithmeticError)
"""What reading one row can raise: wrong JSON, a missing field, a value of another type or out of bounds."""
SKIP = "mend or remove it, or leave such rows out (`bad_rows: skip`, --bad-rows skip)"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_LONGEST = 60  # characters of a value in a sentence, and of a number in a cell


class DataError(Exception):
    """A data file that cannot be used as given; the message names file, line, value and next move."""

    exit_kind = "usage"


def shown(value: object) -> str:
    """A value as JSON writes it where it can, short, and printable whatever it holds."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    text = " ".join(printable(text).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def printable(text: str) -> str:
    """The text without halves of characters, which JSON can name and no terminal can print."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sentence_of(error: BaseException) -> str:
    """What is wrong with a row, in words."""
    if isinstance(error, json.JSONDecodeError):
        return f"not a whole JSON object on one line ({error.msg}, character {error.pos + 1})"
    if isinstance(error, RecursionError):
        return "nested too deep to be read"
    if isinstance(error, KeyError):
        return f"field {error.args[0]!r} is missing"
    text = printable(str(error)).strip()
    if "integer string conversion" in text:
        return "holds a whole number of thousands of digits"
    return text[:1000] or type(error).__name__


def number_of(given: object) -> float:
    """A finite number, from a number or from text that says one and nothing else.

    Raises:
        ValueError: anything else: true, NaN, 1,234.5, -2.2 eV, a list.
    """
    if isinstance(given, str):
        text = given.strip()
        if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
            raise ValueError(f"{shown(given)} is no number{_hint(text)}")
        given = float(text)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"{shown(given)} is no number")
    try:
        value = float(given)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{shown(given)} is no finite number")
    return value


def _hint(text: str) -> str:
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", text[:_LONGEST]):
        return ": write it without separators of thousands, and with a decimal point"
    if re.fullmatch(r"[+-]?\d+,\d+", text[:_LONGEST]):
        return ": write a decimal point, not a comma"
    return ": write the number alone, without its unit" if re.match(r"[+-]?[\d.]+ *[A-Za-z]", text) else ""
