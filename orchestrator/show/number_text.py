"""How numbers are written for readers, on pages, in tables and in lines. What is said around them lives elsewhere."""

from __future__ import annotations

import math

from crystalloop.orchestrator.account.rounds import MINUS

NONE = "–"
UNITS = {"A": "Å", "A^2": "Å²", "(e/A^3)^2": "(e/Å³)²"}


def number(value: float | None, how: str, unit: str = "", none: str = NONE) -> str:
    """A number as format() writes it, with its unit; a dash, or another word, where there is none."""
    return f"{value:{how}} {unit}".rstrip() if value is not None and math.isfinite(value) else none


def cell(value: object) -> str:
    """What stands in a cell of a terminal table: three digits of a float, a dash for nothing."""
    return number(value, ".3f") if value is None or isinstance(value, float) else str(value)


def decimals(value: float | None, digits: int) -> str:
    """A number of a page: thousands apart, a true minus sign, none before a zero."""
    text = number(value, f",.{digits}f")
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", MINUS)


def significant(value: float) -> str:
    """Three significant digits with a true minus sign."""
    return number(value, ".3g").replace("-", MINUS)


def value_text(value: float | None, unit: str) -> str:
    """A measured value: shares in per cent, three significant digits."""
    if value is None or not math.isfinite(value):
        return NONE
    if unit == "share":
        return f"{100 * value:.1f} %"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value)) if unit in ("dimensions", "sites") else f"{value:.3g}"
    return f"{value:.3f}" if 0.1 <= abs(value) < 10 else f"{value:.3g}"


def unit_text(unit: str) -> str:
    """The unit as shown; none for a share, whose values carry their sign."""
    return "" if unit == "share" else UNITS.get(unit, unit)


def duration(seconds: float) -> str:
    """Seconds in the units that a reader expects."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
