"""Symmetry of periodic maps on their own grid: which operations leave a map unchanged, and averaging over them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
FACES: tuple[tuple[float, float, float], ...] = ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
"""The translations of face centring. Body centring is not looked for: it nearly holds wherever two sublattices carry
elements that draw alike, as in B2 AlF or a Heusler alloy of neighbours, and would make them one."""


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


@cache
def orbits(n: int, operations: tuple[int, ...]) -> Index:
    """Number of the symmetry orbit that each voxel belongs to, 0, 1, 2, ...: [n^3]."""
    smallest = np.min([moved_voxels(n, operation) for operation in operations], axis=0)
    _, index = np.unique(smallest, return_inverse=True)
    return np.asarray(index, np.intp).reshape(-1)


def near_translations(density: NDArray[np.floating[Any]], tolerance: float) -> tuple[tuple[float, float, float], ...]:
    """The face centrings if all three leave a map nearly unchanged, else none.

    Args:
        density: [n, n, n], n even.
        tolerance: largest root mean square change, as a fraction of the map's standard deviation.
    """
    n, bound = density.shape[0], tolerance * float(density.std())
    changes = [
        float(
            np.sqrt(np.square(density - np.roll(density, np.rint(np.array(shift) * n).astype(int), (0, 1, 2))).mean())
        )
        for shift in FACES
    ]
    return FACES if max(changes) <= bound else ()


def near_operations(density: NDArray[np.floating[Any]], exact: Sequence[int], tolerance: float) -> tuple[int, ...]:
    """Point operations under which a map is nearly unchanged, if they form a group that holds the exact ones; else those.

    Args:
        density: [n, n, n].
        exact: operations that leave the map exactly unchanged, a group.
        tolerance: as of `near_translations`.
    """
    if len(exact) == 1:
        return tuple(exact)
    near = set(common_operations(density[None], tolerance))
    table = _products()
    closed = all(int(table[i, j]) in near for i in near for j in near)
    return tuple(sorted(near)) if closed and near >= set(exact) else tuple(exact)


def average(
    density: NDArray[np.floating[Any]], operations: Sequence[int], shifts: Sequence[tuple[float, float, float]]
) -> NDArray[np.float32]:
    """A map averaged over point operations, then over translations: [n, n, n]."""
    n, flat = density.shape[0], density.ravel()
    turned = np.mean([flat[moved_voxels(n, operation)] for operation in operations], axis=0).reshape(n, n, n)
    copies = [np.roll(turned, np.rint(np.array(shift) * n).astype(int), (0, 1, 2)) for shift in shifts]
    return np.asarray(np.mean([turned, *copies], axis=0), np.float32)


@cache
def _products() -> Index:
    """Index of the product of every two point operations: [48, 48]."""
    matrices = point_operations()
    index = {matrix.tobytes(): i for i, matrix in enumerate(matrices)}
    return np.array([[index[(a @ b).tobytes()] for b in matrices] for a in matrices], np.intp)
