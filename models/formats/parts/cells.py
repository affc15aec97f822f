"""Numbers -> the lattice vectors of a cell that a crystal can have. Which numbers, in which unit, the formats say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.formats.crystal_read import FormatError

LONGEST_ANG, _SHORTEST_ANG = 10_000.0, 0.5
_FLATTEST = 1e-5
"""Volume over the product of the edges, below which three vectors lie in a plane."""


def cell_of_vectors(rows: Sequence[Sequence[float]] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The cell [3, 3] of three vectors in angstrom, one a row, left-handed ones as they are.

    Raises:
        FormatError: vectors of impossible length, or in a plane.
    """
    cell = np.asarray(rows, dtype=np.float64)
    with np.errstate(over="ignore"):
        edges = np.sqrt(np.square(cell).sum(axis=1))
    for name, edge in zip("abc", edges, strict=True):
        if not edge > 1e-10:
            raise FormatError(f"lattice vector {name} is zero: no cell; write three vectors, or put it into a box")
        if not _SHORTEST_ANG <= edge <= LONGEST_ANG:
            raise FormatError(
                f"lattice vector {name} is {edge:.3g} angstrom long, expected {_SHORTEST_ANG:g} to {LONGEST_ANG:g}; "
                "check the unit and the scale"
            )
    if not abs(np.linalg.det(cell / edges[:, None])) > _FLATTEST:
        raise FormatError("the three lattice vectors lie in a plane: the cell has no volume; mend the cell")
    return cell


def cell_of_parameters(lengths: Sequence[float], angles: Sequence[float]) -> NDArray[np.float64]:
    """The cell [3, 3] of three edges (angstrom) and three angles (degrees): a along x, b in the plane of x and y.

    Raises:
        FormatError: edges or angles that no cell has.
    """
    for name, angle in zip(("alpha", "beta", "gamma"), angles, strict=True):
        if not 0 < angle < 180:
            raise FormatError(f"{name} is {angle:g}, expected an angle between 0 and 180 degrees; mend the cell")
    for name, length in zip("abc", lengths, strict=True):
        if not length > 0:
            raise FormatError(f"{name} is {length:g}, expected a length above 0; mend the cell")
    # The exact cosine of 90 and 120 degrees, so that a square stays one.
    cosines = [round(math.cos(math.radians(angle)), 15) for angle in angles]
    alpha, beta, gamma = cosines
    squared = 1 - alpha**2 - beta**2 - gamma**2 + 2 * alpha * beta * gamma
    if squared <= _FLATTEST**2:
        told = ", ".join(f"{angle:g}" for angle in angles)
        raise FormatError(f"three edges cannot meet at angles of {told} degrees; mend the cell")
    a, b, c = lengths
    sine = math.sqrt(1 - gamma**2)
    towards_y = (alpha - beta * gamma) / sine
    return cell_of_vectors(
        [[a, 0, 0], [b * gamma, b * sine, 0], [c * beta, c * towards_y, c * math.sqrt(squared) / sine]]
    )


def fractions_of(cartesian: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates [a, 3] of positions in the unit of the cell [3, 3]."""
    return np.asarray(np.linalg.solve(cell.T, cartesian.T).T, dtype=np.float64)
