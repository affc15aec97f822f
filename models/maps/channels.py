"""The networks' channels: compressed density, scaled coordinates, element codes; from physical maps and back. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.maps.element_codes import CODES
from crystalloop.models.maps.voxels import VoxelConfig, code_batch, coordinates, density_batch, lattices_of


def draw_maps(crystals: Sequence[Crystal], voxels: VoxelConfig) -> Floats:
    """The networks' input for crystals: [b, n, n, n, 12]."""
    cells = coordinates(lattices_of(crystals), voxels.n)
    return to_channels(density_batch(crystals, voxels), cells, code_batch(crystals, voxels))


REFERENCE_DENSITY = 0.03
"""e/angstrom^3 below which the compression is nearly linear, under most of what lies between the atoms of a dense crystal."""
COORDINATE_SCALE_ANG = 5.0
"""Length that the coordinate channels are divided by, so that they are of order one like the density's."""
CLASSES = 95
"""Species classes: 0 is background, then the elements H (1) to Pu (94)."""

CHANNELS = 4 + CODES
"""Of a map: compressed density, three coordinates, the element code."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def compress(density: NDArray[np.floating]) -> Floats:
    """log(1 + rho / rho_0): peaks span a factor of 60, and a 1 % difference stays one of 0.01 (docs/science/networks.md, row 5).

    Args:
        density: e/angstrom^3, any shape, not negative.
    """
    return np.asarray(np.log1p(density / REFERENCE_DENSITY), np.float32)


def expand(compressed: NDArray[np.floating]) -> Floats:
    """Inverse of `compress`: e/angstrom^3."""
    return np.asarray(REFERENCE_DENSITY * np.expm1(compressed), np.float32)


def to_channels(
    density: NDArray[np.floating], coordinates: NDArray[np.floating], codes: NDArray[np.floating]
) -> Floats:
    """Stack physical maps into what the networks see.

    Args:
        density: e/angstrom^3, [b, n, n, n].
        coordinates: angstrom, [b, n, n, n, 3].
        codes: element codes, each atom's spread over a Gaussian of height one, [b, n, n, n, 8].

    Returns:
        [b, n, n, n, 12]: compressed density, then x, y, z over COORDINATE_SCALE_ANG, then the codes.
    """
    scaled = (coordinates / COORDINATE_SCALE_ANG).astype(np.float32)
    return np.concatenate([compress(density)[..., None], scaled, codes.astype(np.float32)], axis=-1)


def from_channels(maps: Floats) -> tuple[Floats, Floats, Floats]:
    """Inverse of `to_channels`: density in e/angstrom^3, coordinates in angstrom, codes."""
    return expand(maps[..., 0]), maps[..., 1:4] * COORDINATE_SCALE_ANG, maps[..., 4:]


def fractional_grid(n: int) -> Floats:
    """Fractional coordinates of the voxels' origins, i/n: [n, n, n, 3]."""
    axis = np.arange(n, dtype=np.float32) / n
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
