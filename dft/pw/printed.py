"""Numbers as pw.x prints them: Fortran exponents, times of day. What they mean is in `dft.pw.output`. Pure."""

from __future__ import annotations

import re

NUMBER = r"[-+]?\d+\.\d*(?:[eEdD][-+]?\d+)?"
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float:
    """pw.x writes 23.40s, 2m 3.10s, 1h 2m and 1d 2h 3m."""
    return sum(float(count) * _UNITS_S[unit] for count, unit in re.findall(r"([\d.]+)\s*([smhd])", text))


def search(pattern: str, text: str) -> str | None:
    """The group of the first match; lines begin and end at ^ and $."""
    found = re.search(pattern, text, flags=re.MULTILINE)
    return found.group(1) if found else None


def number(text: str | None) -> float | None:
    """1.5E-05 and 1.5D-05."""
    return None if text is None else float(re.sub("[dD]", "e", text))


def integer(text: str | None) -> int | None:
    """None for None."""
    return None if text is None else int(text)


def last_number(pattern: str, text: str) -> float | None:
    """The group of the last match."""
    found = re.findall(pattern, text)
    return number(found[-1]) if found else None
