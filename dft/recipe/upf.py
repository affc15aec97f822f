"""What the header of a UPF file says of itself, in both versions of the format. Checks against a table are in pseudos."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 200_000
"""The header lies within this much of the file; PSlibrary's files carry their generator's input before it."""
_KINDS = {"NC": "NC", "US": "US", "USPP": "US", "PAW": "PAW", "SL": "NC"}
_PBE = {"SLA PW PBX PBC", "SLA-PW-PBX-PBC", "SLA PW PBE PBE", "PBE"}
"""Names of one functional, over thirty years."""


@dataclass(frozen=True)
class UpfHeader:
    """The header's own claims; empty where it makes none."""

    element: str
    kind: str  # NC, US or PAW
    functional: str  # PBE, or as it is written
    spin_orbit: bool


class NotUpf(ValueError):
    """The file has no header of a pseudopotential."""


def read_upf_header(path: Path) -> UpfHeader:
    """The header of a file.

    Raises:
        NotUpf: there is none in its first 200 kB.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(HEADER_BYTES)
    if found := re.search(r"<PP_HEADER\s([^>]*)>", text):
        values = dict(re.findall(r'(\w+)\s*=\s*"\s*([^"]*?)\s*"', found[1]))
        spin_orbit = values.get("has_so", "").strip(".").upper().startswith("T")
        return _header(
            values.get("element", ""), values.get("pseudo_type", ""), values.get("functional", ""), spin_orbit
        )
    if found := re.search(r"<PP_HEADER>(.*?)</PP_HEADER>", text, flags=re.DOTALL):
        return _first_version(found[1])
    raise NotUpf("no PP_HEADER")


def _first_version(header: str) -> UpfHeader:
    """Lines of values with their meaning behind them."""

    def value(meaning: str) -> str:
        found = re.search(rf"^\s*(.*?)\s+{meaning}", header, flags=re.MULTILINE)
        return found[1] if found else ""

    functional = re.sub(r"\s+PBE$", "", value("Exchange-Correlation functional"))
    return _header(value("Element"), value(r"\w+ pseudopotential").split(" ")[0], functional, "<PP_ADDINFO>" in header)


def _header(element: str, kind: str, functional: str, spin_orbit: bool) -> UpfHeader:
    written = " ".join(functional.upper().split())
    return UpfHeader(
        element=element.capitalize(),
        kind=_KINDS.get(kind.upper(), kind),
        functional="PBE" if written in _PBE else written,
        spin_orbit=spin_orbit,
    )
