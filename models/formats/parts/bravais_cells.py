"""The lattice vectors that pw.x makes of `ibrav` and celldm. No text of an input is read here.

Source: INPUT_PW of Quantum ESPRESSO, variable ibrav. Its own print of the crystal axes is the right answer of the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.formats.crystal_read import FormatError

Vectors = list[list[float]]
"""Three vectors in units of alat."""


def _rhombohedral(cosine: float) -> tuple[float, float, float]:
    if not -0.5 < cosine < 1:
        raise FormatError(
            f"the cosine of the rhombohedral angle is {cosine:g}, expected more than -0.5 and less than 1"
        )
    return math.sqrt((1 - cosine) / 2), math.sqrt((1 - cosine) / 6), math.sqrt((1 + 2 * cosine) / 3)


def _along_z(cosine: float) -> Vectors:
    x, y, z = _rhombohedral(cosine)
    return [[x, -y, z], [0, 2 * y, z], [-x, -y, z]]


def _along_111(cosine: float) -> Vectors:
    _, y, z = _rhombohedral(cosine)
    u, v = (z - 2 * math.sqrt(2) * y) / math.sqrt(3), (z + math.sqrt(2) * y) / math.sqrt(3)
    return [[u, v, v], [v, u, v], [v, v, u]]


def _sine(cosine: float) -> float:
    if not -1 < cosine < 1:
        raise FormatError(f"the cosine of an angle of the cell is {cosine:g}, expected more than -1 and less than 1")
    return math.sqrt(1 - cosine**2)


def _triclinic(b: float, c: float, bc: float, ac: float, ab: float) -> Vectors:
    sine = _sine(ab)
    squared = 1 + 2 * bc * ac * ab - bc**2 - ac**2 - ab**2
    if squared <= 0:
        raise FormatError(f"three edges cannot meet at angles with the cosines {bc:g}, {ac:g}, {ab:g}; mend the cell")
    return [[1, 0, 0], [b * ab, b * sine, 0], [c * ac, c * (bc - ac * ab) / sine, c * math.sqrt(squared) / sine]]


# ibrav -> which of celldm(2..6) it needs, and the vectors of b/a, c/a and the three cosines celldm(4..6).
_CELLS: dict[int, tuple[tuple[int, ...], Callable[[float, float, float, float, float], Vectors]]] = {
    1: ((), lambda b, c, p, q, r: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    2: ((), lambda b, c, p, q, r: [[-0.5, 0, 0.5], [0, 0.5, 0.5], [-0.5, 0.5, 0]]),
    3: ((), lambda b, c, p, q, r: [[0.5, 0.5, 0.5], [-0.5, 0.5, 0.5], [-0.5, -0.5, 0.5]]),
    -3: ((), lambda b, c, p, q, r: [[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    4: ((3,), lambda b, c, p, q, r: [[1, 0, 0], [-0.5, math.sqrt(3) / 2, 0], [0, 0, c]]),
    5: ((4,), lambda b, c, p, q, r: _along_z(p)),
    -5: ((4,), lambda b, c, p, q, r: _along_111(p)),
    6: ((3,), lambda b, c, p, q, r: [[1, 0, 0], [0, 1, 0], [0, 0, c]]),
    7: ((3,), lambda b, c, p, q, r: [[0.5, -0.5, c / 2], [0.5, 0.5, c / 2], [-0.5, -0.5, c / 2]]),
    8: ((2, 3), lambda b, c, p, q, r: [[1, 0, 0], [0, b, 0], [0, 0, c]]),
    9: ((2, 3), lambda b, c, p, q, r: [[0.5, b / 2, 0], [-0.5, b / 2, 0], [0, 0, c]]),
    -9: ((2, 3), lambda b, c, p, q, r: [[0.5, -b / 2, 0], [0.5, b / 2, 0], [0, 0, c]]),
    91: ((2, 3), lambda b, c, p, q, r: [[1, 0, 0], [0, b / 2, -c / 2], [0, b / 2, c / 2]]),
    10: ((2, 3), lambda b, c, p, q, r: [[0.5, 0, c / 2], [0.5, b / 2, 0], [0, b / 2, c / 2]]),
    11: ((2, 3), lambda b, c, p, q, r: [[0.5, b / 2, c / 2], [-0.5, b / 2, c / 2], [-0.5, -b / 2, c / 2]]),
    12: ((2, 3, 4), lambda b, c, p, q, r: [[1, 0, 0], [b * p, b * _sine(p), 0], [0, 0, c]]),
    -12: ((2, 3, 5), lambda b, c, p, q, r: [[1, 0, 0], [0, b, 0], [c * q, 0, c * _sine(q)]]),
    13: ((2, 3, 4), lambda b, c, p, q, r: [[0.5, 0, -c / 2], [b * p, b * _sine(p), 0], [0.5, 0, c / 2]]),
    -13: ((2, 3, 5), lambda b, c, p, q, r: [[0.5, b / 2, 0], [-0.5, b / 2, 0], [c * q, 0, c * _sine(q)]]),
    14: ((2, 3, 4, 5, 6), _triclinic),
}
COSINE_AB = dict.fromkeys((5, -5, 12, 13), 4) | {-12: 5, -13: 5, 14: 6}
"""Which celldm the angle of a and b, or the one angle of a cell, is: cosAC for -12 and -13."""


def bravais_cell(ibrav: int, celldm: Sequence[float | None]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The cell [3, 3] in units of alat, and notes.

    Args:
        ibrav: not 0.
        celldm: celldm(1) to celldm(6): alat, b/a, c/a, and the cosines that the ibrav needs; None where not given.

    Raises:
        FormatError: no such ibrav, a ratio that is missing, angles that no cell has.
    """
    if ibrav not in _CELLS:
        known = ", ".join(str(one) for one in _CELLS)
        raise FormatError(f"ibrav is {ibrav}, expected 0, {known}")
    needed, vectors = _CELLS[ibrav]
    for index in (2, 3):
        ratio = celldm[index - 1]
        if index in needed and (ratio is None or not ratio > 0):
            name = {2: "celldm(2) (B)", 3: "celldm(3) (C)"}[index]
            told = "missing" if ratio is None else f"{ratio:g}"
            raise FormatError(f"{name} is {told}, and ibrav {ibrav} needs it above 0")
    absent = [index for index in needed if index > 3 and celldm[index - 1] is None]
    notes = [f"celldm({index}) is not given: its angle is 90 degrees, as pw.x has it" for index in absent]
    notes += [f"{name} is {value:g}: ibrav {ibrav} does not use it" for name, value in _unused(ibrav, celldm)]
    if ibrav == -13:
        notes.append("ibrav -13 has the axes of pw.x since version 6.5; before, the first two were others")
    values = [0.0 if value is None else value for value in celldm[1:6]]
    return np.array(vectors(*values), dtype=np.float64), tuple(notes)


def _unused(ibrav: int, celldm: Sequence[float | None]) -> list[tuple[str, float]]:
    """What is given, is not what the ibrav has by itself, and is not used."""
    own = {2: 1.0, 3: 1.0, 4: -0.5 if ibrav == 4 else 0.0, 5: 0.0, 6: 0.0}
    return [
        (f"celldm({index})", value)
        for index, value in enumerate(celldm[1:], 2)
        if value and index not in _CELLS[ibrav][0] and abs(value - own[index]) > 1e-3
    ]
