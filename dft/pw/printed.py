"""Numbers, tables and geometries as pw.x prints them, in its own units. What they mean is in `dft.pw.output`. Pure.

A broken byte, stars, NaN or a cell without volume are no number, no table and no geometry: None, never an exception.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from crystalloop.dft.recipe.moments import KIND, symbol_of
from crystalloop.dft.recipe.units import BOHR_ANG

Array = NDArray[np.float64]
NUMBER = r"[-+]?\d+\.\d*(?:[eEdD][-+]?\d+)?"
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FLAT_ANG3, _LONG_ANG = 1e-3, 1e4


def seconds(text: str) -> float:
    """pw.x writes 23.40s, 2m 3.10s, 1h 2m and 1d 2h 3m."""
    counts = [(number(count) or 0.0, unit) for count, unit in re.findall(r"([\d.]+)\s*([smhd])", text)]
    return sum(count * _UNITS_S[unit] for count, unit in counts)


def search(pattern: str, text: str) -> str | None:
    """The group of the first match; lines begin and end at ^ and $."""
    found = re.search(pattern, text, flags=re.MULTILINE)
    return found.group(1) if found else None


def number(text: str | None) -> float | None:
    """1.5E-05 and 1.5D-05; None for what is no finite number."""
    try:
        found = math.nan if text is None else float(re.sub("[dD]", "e", text))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def integer(text: str | None) -> int | None:
    """None for None, and for what is no number that anything is counted in."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def last_number(pattern: str, text: str) -> float | None:
    """The group of the last match."""
    found = re.findall(pattern, text)
    return number(found[-1]) if found else None


def floats(text: str | None) -> Array | None:
    """All numbers of a text; None where one of its words is none."""
    found = [number(word) for word in (text or "").split()]
    return None if None in found else np.array(found, float)


def table(text: str | None, rows: int | None) -> Array | None:
    """Rows of three numbers; None where there are others, or none at all."""
    found = floats(text)
    if found is None or found.size == 0 or found.size % 3 or (rows is not None and found.size != 3 * rows):
        return None
    return found.reshape(-1, 3)


def crystal(lattice: Array, labels: Sequence[str], coords: Array, cartesian: bool) -> Structure | None:
    """The geometry, labels of species kept where one is not its element's symbol; None where it is that of no crystal."""
    symbols = [symbol_of(label) for label in labels]
    size = abs(np.linalg.det(lattice)) if np.isfinite(lattice).all() and np.abs(lattice).max() < _LONG_ANG else 0.0
    if not size > _FLAT_ANG3 or not np.isfinite(coords).all() or not all(map(Element.is_valid_symbol, symbols)):
        return None
    named = {KIND: list(labels)} if symbols != list(labels) else None
    return Structure(lattice, symbols, coords, coords_are_cartesian=cartesian, site_properties=named)


def first_structure(text: str) -> Structure | None:
    """From the header: `crystal axes` and the site list, both in units of alat."""
    alat = number(search(rf"celldm\(1\)=\s*({NUMBER})", text))
    rows = re.findall(rf"a\(\d\) = \(\s*({NUMBER})\s*({NUMBER})\s*({NUMBER})", text)[:3]
    sites = re.findall(rf"^\s+\d+\s+([A-Z]\w{{0,2}})\s+tau\(\s*\d+\) = \(\s*({NUMBER})\s*({NUMBER})\s*({NUMBER})",
                       text, flags=re.MULTILINE)  # fmt: skip
    count = integer(search(r"number of atoms/cell\s+=\s+(\d+)", text))
    sites = sites[:count]  # a launch that was continued within its first cycle has two headers
    if alat is None or len(rows) < 3 or not sites or len(sites) != count:
        return None
    lattice = table(" ".join(" ".join(row) for row in rows), 3)
    coords = table(" ".join(" ".join(site[1:]) for site in sites), count)
    if lattice is None or coords is None:
        return None
    unit = alat * BOHR_ANG
    return crystal(lattice * unit, [site[0] for site in sites], coords * unit, cartesian=True)


def next_structure(chunk: str, current: Structure | None) -> Structure | None:
    """The geometry printed after a cycle, if a whole one was; else the present one. None where it is broken."""
    if current is None:
        return None
    cell = search(rf"^CELL_PARAMETERS \(angstrom\)\n((?:\s+{NUMBER}\s+{NUMBER}\s+{NUMBER}\s*\n){{3}})", chunk)
    lattice = table(cell, 3) if cell is not None else current.lattice.matrix
    block = search(r"^ATOMIC_POSITIONS \(crystal\)\n((?:[A-Z]\w{0,2}\s.*\n)+)", chunk)
    if block is None:
        return current
    sites = re.findall(rf"^([A-Z]\w{{0,2}})\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})", block, flags=re.MULTILINE)
    coords = table(" ".join(" ".join(site[1:]) for site in sites), len(current))
    if len(sites) != len(current):
        return current
    if lattice is None or coords is None:
        return None
    return crystal(lattice, [site[0] for site in sites], coords, cartesian=False)


def forces_ry_bohr(chunk: str) -> Array | None:
    """[a, 3]; None where one atom's are missing."""
    block = search(r"Forces acting on atoms.*?\n\s*\n((?:\s+atom\s+\d+ type.*\n)+)", chunk)
    if block is None:
        return None
    rows = re.findall(rf"force =\s*({NUMBER})\s*({NUMBER})\s*({NUMBER})", block)
    return table(" ".join(" ".join(row) for row in rows), block.count(" type"))


def stress_ry_bohr3(chunk: str) -> Array | None:
    """[3, 3]."""
    block = search(rf"total\s+stress.*P=.*\n((?:(?:\s+{NUMBER}){{6}}\s*\n){{3}})", chunk)
    found = floats(block)
    return None if found is None or found.size != 18 else found.reshape(3, 6)[:, :3]


def site_moments(text: str) -> tuple[float, ...]:
    """Of the last time that pw.x wrote them: Bohr magnetons, atom by atom. Releases 6 and 7 write them differently."""
    block = text.rpartition("Magnetic moment per site")[2]
    return tuple(
        float(moment)
        for moment in re.findall(rf"^ *atom:? +\d+.*?charge[:=] *{NUMBER} +magn[:=] *({NUMBER})", block, re.MULTILINE)
        if number(moment) is not None
    )


def error_boxes(text: str) -> tuple[tuple[str, int, str], ...]:
    """Routine, code and sentence of each `Error in routine X (n)`, once."""
    found = re.findall(r"Error in routine\s+(.+?)\s*\(\s*(-?\d{1,9})\)\s*:?\s*\n\s*(.*)", text)
    return tuple(dict.fromkeys((routine.strip(), int(code), message.strip()) for routine, code, message in found))


def clock(text: str) -> tuple[float | None, float | None]:
    """CPU and wall seconds, as pw.x counts them at its end."""
    line = re.search(r"PWSCF\s+:\s+(.+?)\s*CPU\s+(.+?)\s*WALL", text)
    return (seconds(line.group(1)), seconds(line.group(2))) if line else (None, None)


def ram_mb(text: str) -> float | None:
    """pw.x's own estimate."""
    line = re.search(r"Estimated max dynamical RAM per process >\s+([\d.]+)\s*(MB|GB)", text)
    found = None if line is None else number(line.group(1))
    return None if line is None or found is None else found * (1024 if line.group(2) == "GB" else 1)
