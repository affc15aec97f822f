"""Symmetry of periodic maps on their own grid: which operations leave a map unchanged, and averaging over them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
HALVES: tuple[tuple[float, float, float], ...] = ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0), (0.5, 0.5, 0.5))
"""The translations of face and body centring."""


@cache
def point_operations() -> NDArray[np.int64]:
    """The 48 signed permutation matrices, the point operations of a cube; the identity is the first: [48, 3, 3]."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            matrix = np.zeros((3, 3), np.int64)
            matrix[range(3), order] = signs
            found.append(matrix)
    return np.array(found)


@cache
def moved_voxels(n: int, operation: int, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Index:
    """Flat index of the voxel that each voxel's content comes from under an operation about the origin: [n^3]."""
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    moved = (grid @ point_operations()[operation].T + np.rint(np.array(shift) * n).astype(np.int64)) % n
    index: Index = (moved[:, 0] * n + moved[:, 1]) * n + moved[:, 2]
    return index


def common_operations(maps: NDArray[np.floating[Any]], tolerance: float = 0.02) -> tuple[int, ...]:
    """Point operations about the origin that leave every one of the maps unchanged.

    Args:
        maps: [b, n, n, n] of cubic cells.
        tolerance: largest root mean square change, as a fraction of a map's standard deviation.

    Returns:
        Indices into `point_operations`; they form a group, and the identity (0) is always one of them.
    """
    n, flat = maps.shape[1], maps.reshape(len(maps), -1)
    bound = tolerance * flat.std(axis=1) + 1e-6
    return tuple(
        operation
        for operation in range(len(point_operations()))
        if (np.sqrt(np.square(flat[:, moved_voxels(n, operation)] - flat).mean(axis=1)) <= bound).all()
    )


def orbits(n: int, operations: Sequence[int]) -> Index:
    """Number of the symmetry orbit that each voxel belongs to, 0, 1, 2, ...: [n^3]."""
    smallest = np.min([moved_voxels(n, operation) for operation in operations], axis=0)
    _, index = np.unique(smallest, return_inverse=True)
    return np.asarray(index, np.intp).reshape(-1)


def near_translations(density: NDArray[np.floating[Any]], tolerance: float) -> tuple[tuple[float, float, float], ...]:
    """Centring translations under which a map is nearly unchanged; all three faces or none.

    Args:
        density: [n, n, n], n even.
        tolerance: largest root mean square change, as a fraction of the map's standard deviation.
    """
    n, bound = density.shape[0], tolerance * float(density.std())
    near = [
        shift
        for shift in HALVES
        if np.sqrt(np.square(density - np.roll(density, np.rint(np.array(shift) * n).astype(int), (0, 1, 2))).mean())
        <= bound
    ]
    faces = [shift for shift in near if shift != HALVES[3]]
    kept = (faces if len(faces) == 3 else []) + [shift for shift in near if shift == HALVES[3]]
    return tuple(kept) if len(kept) in (1, 3, 4) else ()
