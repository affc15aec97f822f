"""What the header of a UPF file says of itself, in both versions of the format. Checks against a table are in pseudos."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEARCHED_BYTES = 2_000_000
"""The header begins within this much of the file; PSlibrary's files carry their generator's input before it."""
HEADER_CHARACTERS = 20_000
"""A header is no longer; a file whose header does not end by then has none."""
_KINDS = {"NC": "NC", "US": "US", "USPP": "US", "PAW": "PAW", "SL": "NC"}
_PBE = {"SLA PW PBX PBC", "SLA-PW-PBX-PBC", "SLA PW PBE PBE", "PBE"}
"""Names of one functional, over thirty years."""
_MOST_ELECTRONS = 120.0


@dataclass(frozen=True)
class UpfHeader:
    """The header's own claims; empty where it makes none."""

    element: str
    kind: str  # NC, US or PAW
    functional: str  # PBE, or as it is written
    spin_orbit: bool
    z_valence: float | None = None  # electrons


class NotUpf(ValueError):
    """The file has no header of a pseudopotential; the message says what is there."""


def read_upf_header(path: Path) -> UpfHeader:
    """The header of a file, read from left to right once, whatever is in it.

    Raises:
        NotUpf: there is none, it is cut off, or the file holds something else.
    """
    with path.open("rb") as file:
        start = file.read(SEARCHED_BYTES)
    if not start:
        raise NotUpf("it is empty")
    if b"\0" in start[:4096]:
        raise NotUpf("it is binary, perhaps compressed")
    text = start.decode("utf-8", errors="replace")
    begin = text.find("<PP_HEADER")
    if begin < 0:
        raise NotUpf("no PP_HEADER")
    rest = text[begin + len("<PP_HEADER") : begin + HEADER_CHARACTERS]
    return _first_version(rest) if rest.lstrip(" \t")[:1] == ">" else _second_version(rest)


def _second_version(rest: str) -> UpfHeader:
    """Attributes of one tag."""
    values = dict(_attributes(rest))
    return _header(
        values.get("element", ""),
        values.get("pseudo_type", ""),
        values.get("functional", ""),
        values.get("has_so", "").strip(".").upper().startswith("T"),
        values.get("z_valence", ""),
    )


def _attributes(rest: str) -> Iterator[tuple[str, str]]:
    """name="value" pairs up to the end of the tag; '>' may stand within quotes.

    Raises:
        NotUpf: the tag does not end.
    """
    at = 0
    while True:
        equals, close = rest.find("=", at), rest.find(">", at)
        if close >= 0 and (equals < 0 or close < equals):
            return
        quote = rest[equals + 1 :].lstrip()[:1] if equals >= 0 else ""
        opened = rest.find(quote, equals + 1) if quote and quote in "\"'" else -1
        closed = rest.find(quote, opened + 1) if opened >= 0 else -1
        if closed < 0:
            raise NotUpf("its PP_HEADER is cut off")
        words = rest[at:equals].split()
        yield (words[-1] if words else ""), rest[opened + 1 : closed].strip()
        at = closed + 1


def _first_version(rest: str) -> UpfHeader:
    """Lines of values with their meaning behind them."""
    end = rest.find("</PP_HEADER>")
    if end < 0:
        raise NotUpf("its PP_HEADER is cut off")
    header = rest[1 + rest.find(">") : end]
    lines = [" ".join(line.split()) for line in header.splitlines()]

    def value(meaning: str) -> str:
        """What stands before the words, on the first line that has them."""
        return next((line[: line.index(meaning)].strip() for line in lines if meaning in line), "")

    functional = value("Exchange-Correlation functional")
    kind = (value(" pseudopotential").split() or [""])[0]
    return _header(
        value("Element"), kind, functional.removesuffix(" PBE"), "<PP_ADDINFO>" in header, value("Z valence")
    )


def _header(element: str, kind: str, functional: str, spin_orbit: bool, z_valence: str) -> UpfHeader:
    written = " ".join(functional.upper().split())
    return UpfHeader(
        element=element.strip().capitalize()[:40],
        kind=_KINDS.get(kind.strip().upper(), kind.strip()[:40]),
        functional="PBE" if written in _PBE else written[:200],
        spin_orbit=spin_orbit,
        z_valence=_electrons(z_valence),
    )


def _electrons(text: str) -> float | None:
    """A number of electrons, written as Fortran writes numbers; None for anything else."""
    try:
        value = float(text.strip().upper().replace("D", "E"))
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 < value <= _MOST_ELECTRONS else None
