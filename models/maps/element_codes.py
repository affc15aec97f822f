"""A code for every element, drawn into the maps beside the density: which element sits where, readable at once. numpy only."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import symbols

PERIODS = (206.0, 28.4, 7.95, 3.695)
"""Wavelengths, in places of the Mendeleev order, of the code's sines and cosines. The first is half a turn over all
elements; the others were chosen among 4,000 random triples for the largest smallest distance (0.85) between two codes."""
CODES = 2 * len(PERIODS)

# Pettifor's chemical scale as an order of the elements (Pettifor, J. Phys. C 19, 285, 1986; the numbers are those of
# pymatgen's `Element.mendeleev_no`): neighbours replace each other in crystals. H to Pu.
_MENDELEEV = """
103 1 12 77 86 95 100 101 102 2 11 73 80 85 90 94 99 3 10 16 19 51 54 57 60 61 64 67 72 76 81 84 89 93 98 4 9 15 25 49
53 56 59 62 65 69 71 75 79 83 88 92 97 5 8 14 33 32 31 30 29 28 18 27 26 24 23 22 21 17 20 50 52 55 58 63 66 68 70 74
78 82 87 91 96 6 7 13 48 47 46 45 44 43
"""


@cache
def mendeleev_numbers() -> NDArray[np.int64]:
    """Place of every element, H to Pu, in Pettifor's order: [95]; row 0 (background) is 0."""
    return np.array([0, *map(int, _MENDELEEV.split())])


@cache
def element_codes() -> NDArray[np.float32]:
    """A vector of length one for every element: [95, 8]; row 0 (background) is zero.

    Density alone tells neighbours of the periodic table apart by 1-2 % of a peak (docs/science/networks.md, Species identity);
    two codes differ by at least 0.85. Elements close in Pettifor's order share the slow waves, so that a path between
    two crystals passes through their chemical relatives.
    """
    phase = 2.0 * np.pi * mendeleev_numbers()[:, None] / np.array(PERIODS)
    waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / np.sqrt(len(PERIODS))
    codes: NDArray[np.float32] = waves.astype(np.float32)
    codes[0] = 0.0
    codes.setflags(write=False)
    return codes


def nearest_elements(
    values: NDArray[np.floating], among: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The element whose code points most along each value, and the component along it.

    Args:
        values: [..., 8].
        among: atomic numbers that may be named; all with a code when None.

    Returns:
        Atomic numbers [...] and components [...]: 1 at the centre of an atom, 0 far from all.
    """
    numbers = np.arange(1, len(element_codes())) if among is None else np.asarray(among, np.int64)
    along = values @ element_codes()[numbers].T
    best = along.argmax(axis=-1)
    return numbers[best], np.take_along_axis(along, best[..., None], axis=-1)[..., 0].astype(np.float32)


def coded_symbols() -> tuple[str, ...]:
    """The elements that have a code and a class: H to Pu."""
    return symbols()[1 : len(element_codes())]
