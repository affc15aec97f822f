"""Atoms and molecules in a box, slabs and chains: told from crystals by what is empty, and how many spins are unpaired. Pure."""

from __future__ import annotations

import re

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

EMPTY_ANG, BONDED = 3.5, 1.3
"""Atoms further apart than both, the second in units of the sum of their covalent radii, do not belong together. Molecules of a
crystal are nearer to each other (O2 3.2, SF6 3.0, CH4 2.6 angstrom between the nearest atoms of two); two molecules in one cell
are no molecule in a box in any case."""
ATOM_BOX_ANG = 5.0
"""Edge of a rectangular cell from which on its only atom is an atom in a box: polonium's cube has 3.35."""
OPEN_OXYGEN_ANG = 1.40
"""O-O distance below which the pair is O2 (1.21, two unpaired electrons) or superoxide (1.28 to 1.35, one); that of
peroxides is 1.45 to 1.50, and closed."""
SMALL = 3
"""Atoms of a molecule up to which an even number of electrons is started polarised, too: O2, SO, NF, CH2 are triplets."""


def directions_filled(structure: Structure) -> int | None:
    """0 for an atom or a molecule in a box, 1 for a chain, 2 for a slab, 3 for a crystal; None for several separate pieces.

    Two atoms belong together where they are less than 3.5 angstrom apart, or 1.3 times the sum of their covalent radii; the
    directions are those in which a piece goes on from cell to cell.
    """
    if len(structure) == 1 and not _reaches_itself(structure):
        rectangular = np.allclose(structure.lattice.angles, 90.0, atol=1.0)
        return 0 if rectangular and min(structure.lattice.abc) >= ATOM_BOX_ANG else None
    neighbours = _neighbours(structure)
    placed, loops, left = {0: np.zeros(3, np.int64)}, [], [0]
    while left:
        one = left.pop()
        for other, image in neighbours.get(one, []):
            at = placed[one] + image
            if other not in placed:
                placed[other] = at
                left.append(other)
            elif (at != placed[other]).any():
                loops.append(at - placed[other])
    if len(placed) < len(structure):
        return None
    return int(np.linalg.matrix_rank(np.array(loops))) if loops else 0


def _reaches_itself(structure: Structure) -> bool:
    return len(structure.get_neighbor_list(EMPTY_ANG, exclude_self=True)[0]) > 0


def _neighbours(structure: Structure) -> dict[int, list[tuple[int, NDArray[np.int64]]]]:
    """Of each site those that belong together with it, and in which cell they are."""
    radii = np.array([covalent_radii[int(site.specie.Z)] for site in structure])
    reach = max(EMPTY_ANG, 2 * BONDED * float(radii.max()))
    start, end, images, distances = structure.get_neighbor_list(reach, exclude_self=True)
    near = distances < np.maximum(EMPTY_ANG, BONDED * (radii[start] + radii[end]))
    found: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
    for one, other, image in zip(start[near].tolist(), end[near].tolist(), images[near].astype(np.int64), strict=True):
        found.setdefault(one, []).append((other, image))
    return found


def electron_count(structure: Structure) -> int:
    """Of the neutral cell, core included."""
    return sum(int(site.specie.Z) for site in structure)


def unpaired(symbol: str) -> int:
    """Unpaired electrons of the free atom in its ground configuration, by Hund's first rule."""
    shells = re.findall(r"\d([spdf])(\d+)", Element(symbol).electronic_structure)
    sizes = {"s": 2, "p": 6, "d": 10, "f": 14}
    return sum(min(int(count), sizes[shell] - int(count)) for shell, count in shells)


def open_shell(structure: Structure) -> tuple[dict[str, float], str]:
    """Starting moments of an atom or a molecule in a box by element, empty for none; and why, for its user.

    What has no moment loses the one that it starts with in its first SCF.
    """
    symbols = sorted({site.specie.symbol for site in structure})
    moments = {symbol: float(unpaired(symbol)) for symbol in symbols if unpaired(symbol)}
    if len(structure) == 1:
        (symbol,) = symbols
        if not moments:
            return {}, f"an atom of {symbol} has no unpaired electron"
        return moments, f"the free atom of {symbol} has {moments[symbol]:g} unpaired electrons"
    if not moments:
        return {}, "its atoms have no unpaired electrons"
    if electron_count(structure) % 2:
        return _one_each(moments), "an odd number of electrons: one is unpaired at least"
    if len(structure) <= SMALL:
        return _one_each(
            moments
        ), "a small molecule may have unpaired electrons, as O2 has two; they vanish where it has none"
    return {}, "an even number of electrons, taken for a closed shell; --moments starts it polarised"


def _one_each(moments: dict[str, float]) -> dict[str, float]:
    return dict.fromkeys(moments, 1.0)


def has_open_oxygen(structure: Structure) -> bool:
    """Whether some of its oxygen stands in pairs as near as in O2 or in superoxides."""
    oxygen = [site.frac_coords for site in structure if site.specie.symbol == "O"]
    if len(oxygen) < 2:
        return False
    alone = Structure(structure.lattice, ["O"] * len(oxygen), oxygen)
    return bool(len(alone.get_neighbor_list(OPEN_OXYGEN_ANG, exclude_self=True)[0]))
