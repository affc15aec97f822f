"""The idealised conventional cell of a crystal as read, found by spglib. Cells that pw.x gets are made in `dft.recipe.cells`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal

_PARTS = 8
"""Sites of rock salts, perovskites, Heuslers and their kin lie on eighths of the edges."""
Pattern = tuple[tuple[int, int, int, int], ...]
"""Of every site, in order: three coordinates in eighths, and which of the elements it has."""


def symmetrise(crystal: Crystal, symprec: float = 0.1, max_strain: float = 0.05) -> Crystal:
    """Snap to the conventional cell of the symmetry found within a tolerance; one a for cubic cells.

    A cell whose edges agree within max_strain and whose angles are near 90 degrees is tried as a cube of the same
    volume first, because a network's three edges never agree exactly; it is kept if it has the higher symmetry.

    Args:
        crystal: as reconstructed.
        symprec: tolerance on positions, angstrom.
        max_strain: largest relative departure of an edge from the cube root of the volume.

    Returns:
        The idealised conventional cell; the same crystal where no symmetry can be found.
    """
    trials = [crystal]
    edge = crystal.volume_ang3 ** (1 / 3)
    gram = crystal.lattice @ crystal.lattice.T / edge**2
    if 1e-9 < np.abs(gram - np.eye(3)).max() <= 2 * max_strain:
        trials.insert(0, Crystal(np.eye(3) * edge, crystal.numbers, crystal.frac_coords))
    refined = [found for trial in trials if (found := _standardised(trial, symprec)) is not None]
    return max(refined, key=lambda found: found[0])[1] if refined else crystal


def _standardised(crystal: Crystal, symprec: float) -> tuple[int, Crystal] | None:
    """Space-group number and idealised conventional cell, or None where spglib finds none."""
    known = _on_eighths(crystal, symprec)
    if known is None:
        found = _found_by_spglib(crystal.lattice, crystal.frac_coords, crystal.numbers, symprec)
        return None if found is None else (found.number, Crystal(found.lattice, found.kinds, found.frac_coords))
    edge, kinds, pattern = known
    found = _of_pattern(pattern)
    if found is None:
        return None
    return found.number, Crystal(found.lattice * edge, kinds[found.kinds], found.frac_coords)


def _on_eighths(crystal: Crystal, symprec: float) -> tuple[float, NDArray[np.int64], Pattern] | None:
    """Edge, elements and pattern of a cube whose sites all lie on different eighths within half the tolerance, else None.

    Any operation of the pattern then maps the crystal onto itself within the tolerance, so it is what spglib would find.
    """
    edge = float(crystal.lattice[0, 0])
    if edge <= 0 or np.abs(crystal.lattice - edge * np.eye(3)).max() > 1e-6 * edge:
        return None
    eighths = np.round(crystal.frac_coords * _PARTS)
    off = np.linalg.norm(crystal.frac_coords - eighths / _PARTS, axis=1) * edge
    if off.max() > min(symprec / 2, edge / 40):
        return None
    places = eighths.astype(np.int64) % _PARTS
    order = np.lexsort(places.T)
    places, numbers = places[order], crystal.numbers[order]
    if (np.diff(places, axis=0) == 0).all(axis=1).any():
        return None
    kinds, first, which = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # elements by their first site, so that equal patterns look equal
    pattern = tuple((int(x), int(y), int(z), int(k)) for (x, y, z), k in zip(places, rank[which], strict=True))
    return edge, np.asarray(kinds[np.argsort(first)], np.int64), pattern


@dataclass(frozen=True, eq=False)
class _Found:
    """Space-group number, lattice rows [3, 3], kinds [a] and fractions [a, 3] of the idealised conventional cell."""

    number: int
    lattice: NDArray[np.float64]
    kinds: NDArray[np.int64]
    frac_coords: NDArray[np.float64]


@lru_cache(maxsize=4096)
def _of_pattern(pattern: Pattern) -> _Found | None:
    """The cell of a pattern in a cube of edge one. spglib needs 50 ms for a Heusler; patterns are few."""
    sites = np.array(pattern)
    return _found_by_spglib(np.eye(3), sites[:, :3] / _PARTS, sites[:, 3], 1e-3)


def _found_by_spglib(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], kinds: NDArray[np.int64], symprec: float
) -> _Found | None:
    import spglib  # only where a pattern is new; arrays work without it

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)  # spglib 2.8, every call
        try:
            dataset = spglib.get_symmetry_dataset((lattice, frac_coords, kinds), symprec=symprec)
        except spglib.SpglibError:  # what spglib 3 does instead of returning None
            return None
    if dataset is None:
        return None
    types = np.array(dataset.std_types, np.int64)
    return _Found(int(dataset.number), np.array(dataset.std_lattice), types, np.array(dataset.std_positions))
