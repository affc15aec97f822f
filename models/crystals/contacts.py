"""Distances of sites, the shortest contact, and the tests of valid distances: the paper's and ours. One crystal at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import covalent_radii_ang

VOLUME_BOUNDS_ANG3 = (2.0, 100.0)
"""Volume per atom that no training set widens; real crystals of the shared data span 6 to 92."""


def shortest_ang(crystal: Crystal) -> float:
    """Shortest distance of two sites, periodic images included, angstrom; inf for one atom."""
    if len(crystal) < 2:
        return float("inf")
    distances = periodic_distances_ang(crystal.frac_coords, crystal.frac_coords, crystal.lattice)
    return float(distances[np.triu_indices(len(crystal), 1)].min())


def _shortest_translation_ang(lattice: NDArray[np.float64]) -> float:
    steps = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)])
    return float(np.linalg.norm(steps @ lattice, axis=1).min())


PAPER_CONTACT_ANG = 0.5
"""Shortest distance of the paper's validity (Court et al. 2020)."""


def volume_window_ang3(crystals: Sequence[Crystal], margin: float = 1.25) -> tuple[float, float]:
    """Volumes per atom that real crystals have, widened by a factor, within VOLUME_BOUNDS_ANG3.

    Args:
        crystals: of the training set.
        margin: factor on either side.
    """
    low, high = VOLUME_BOUNDS_ANG3
    volumes = [crystal.volume_ang3 / len(crystal) for crystal in crystals]
    if not volumes:
        return low, high
    return max(low, min(volumes) / margin), min(high, max(volumes) * margin)


def is_valid_paper(crystal: Crystal) -> bool:
    """The paper's validity: no two sites within 0.5 angstrom."""
    return shortest_ang(crystal) > PAPER_CONTACT_ANG


def is_valid_strict(crystal: Crystal, window_ang3: tuple[float, float] = VOLUME_BOUNDS_ANG3) -> bool:
    """No atoms that touch, and a volume per atom within the window."""
    low, high = window_ang3
    return low <= crystal.volume_ang3 / len(crystal) <= high and not touches(crystal)


def touches(crystal: Crystal) -> bool:
    """Whether two atoms are closer than any two are in real crystals."""
    return contact_ratio(crystal) < STRICT_CONTACT


BORDER = 0.01
"""Of an edge: how far before the origin the cell of the paper's distance starts."""
_IMAGES = np.array(list(product((-1.0, 0.0, 1.0), repeat=3)))
STRICT_CONTACT = 0.7
"""Shortest distance of two atoms over the sum of their covalent radii; no real contact in the shared data is under 0.79
(docs/science/networks.md, row 13)."""


def contact_ratio(crystal: Crystal) -> float:
    """Shortest distance over the sum of the two covalent radii, an atom's own images included."""
    radii = covalent_radii_ang()[crystal.numbers]
    sums = radii[:, None] + radii[None]
    distances = periodic_distances_ang(crystal.frac_coords, crystal.frac_coords, crystal.lattice)
    np.fill_diagonal(distances, _shortest_translation_ang(crystal.lattice))
    return float((distances / sums).min())


def periodic_distances_ang(
    one: NDArray[np.float64], other: NDArray[np.float64], lattice: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of every pair of sites to the nearest periodic image, angstrom: [a, 3], [b, 3] -> [a, b].

    Exact for reduced cells (any whose angles lie between 60 and 120 degrees).
    """
    offsets = one[:, None, :] - other[None, :, :]
    offsets -= np.round(offsets)
    squared = np.square((offsets[:, :, None, :] + _IMAGES) @ lattice).sum(axis=-1)  # [a, b, 27]
    distances: NDArray[np.float64] = np.sqrt(squared.min(axis=-1))
    return distances
