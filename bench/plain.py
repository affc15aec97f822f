"""Every kernel written down plainly, one voxel at a time, and how far ours is from it. For reading and for tests, not for speed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.floating[Any]]


def convolution(x: Doubles, kernel: Doubles, bias: Doubles) -> Doubles:
    """Periodic convolution: x [n, n, n, c], kernel [k, k, k, c, f] -> [n, n, n, f]."""
    n, k = x.shape[0], kernel.shape[0]
    out = np.zeros((n, n, n, kernel.shape[-1]))
    for voxel in product(range(n), repeat=3):
        for tap in product(range(k), repeat=3):
            at = tuple((v + t - k // 2) % n for v, t in zip(voxel, tap, strict=True))
            out[voxel] += x[at] @ kernel[tap]
    return out + bias


def halved(x: Doubles) -> Doubles:
    """Mean over blocks of 2^3 voxels: [n, n, n, c] -> [n/2, n/2, n/2, c]."""
    m = x.shape[0] // 2
    out = np.zeros((m, m, m, x.shape[-1]))
    for voxel in product(range(m), repeat=3):
        for corner in product(range(2), repeat=3):
            out[voxel] += x[tuple(2 * v + c for v, c in zip(voxel, corner, strict=True))] / 8
    return out


def doubled(x: Doubles) -> Doubles:
    """Each voxel becomes a block of 2^3: [n, n, n, c] -> [2n, 2n, 2n, c]."""
    n = x.shape[0]
    out = np.zeros((2 * n, 2 * n, 2 * n, x.shape[-1]))
    for voxel in product(range(2 * n), repeat=3):
        out[voxel] = x[tuple(v // 2 for v in voxel)]
    return out


def folded(x: Doubles, patch: int) -> Doubles:
    """Blocks become channels, their first axis slowest: [n, n, n, c] -> [n/p, n/p, n/p, p^3 c]."""
    m, c = x.shape[0] // patch, x.shape[-1]
    out = np.zeros((m, m, m, patch**3 * c))
    for voxel in product(range(m), repeat=3):
        for place, inside in enumerate(product(range(patch), repeat=3)):
            at = tuple(patch * v + i for v, i in zip(voxel, inside, strict=True))
            out[voxel][place * c : (place + 1) * c] = x[at]
    return out


def lattice(grid: Doubles) -> Doubles:
    """Least-squares line through the positions along each axis: grid [n, n, n, 3] -> [3, 3]."""
    n = grid.shape[0]
    rows = np.zeros((3, 3))
    for axis, x in product(range(3), repeat=2):
        steps = [voxel[axis] for voxel in product(range(n), repeat=3)]
        values = [grid[voxel][x] for voxel in product(range(n), repeat=3)]
        rows[axis, x] = np.polyfit(steps, values, 1)[0] * n
    return rows


def differences(n: int = 6, channels: int = 3, seed: int = 0) -> dict[str, float]:
    """Largest difference between our kernels and the plain ones, over the largest value."""
    import keras

    from crystalloop.models.maps.voxels import coordinates, lattice_from_coordinates
    from crystalloop.models.nets.blocks import down, fold, periodic_conv, up

    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n, n, channels)).astype(np.float32)
    inputs = keras.Input((n, n, n, channels))
    model = keras.Model(inputs, periodic_conv(inputs, 4, "conv"))
    kernel, _ = model.get_layer("conv").get_weights()
    bias = rng.standard_normal(4).astype(np.float32)
    model.get_layer("conv").set_weights([kernel, bias])
    cell = np.eye(3) * 5.0 + rng.normal(0, 0.3, (3, 3))
    ours: dict[str, tuple[Any, Callable[[], Doubles]]] = {
        "periodic_conv": (model(x[None])[0], lambda: convolution(x, kernel, bias)),
        "down": (down(x[None])[0], lambda: halved(x)),
        "up": (up(x[None])[0], lambda: doubled(x)),
        "fold": (fold(keras.ops.convert_to_tensor(x[None]), 2)[0], lambda: folded(x, 2)),
        "coordinates_and_lattice": (
            lattice_from_coordinates(coordinates(cell, n)),
            lambda: lattice(coordinates(cell, n)),
        ),
    }
    return {name: difference(keras.ops.convert_to_numpy(found), plain()) for name, (found, plain) in ours.items()}


def difference(found: NDArray[Any], plain: Doubles) -> float:
    return float(np.abs(found - plain).max() / np.abs(plain).max())
