"""Magnetic moments as files give them -> one number per atom, or a sentence why they are not used. Bohr magnetons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ZERO = 1e-6
NON_COLLINEAR = "the magnetic moments of the file do not lie along one line (non-collinear): they are not used"


def along_one_line(moments: Sequence[Sequence[float]] | NDArray[np.float64]) -> tuple[list[float] | None, str | None]:
    """Signed moments [a] of vectors [a, 3] that are parallel or antiparallel to the first that is not zero, and a note.

    None where they point in other directions: pw.x is run without non-collinear magnetism.
    """
    vectors = np.asarray(moments, dtype=np.float64).reshape(-1, 3)
    sizes = np.linalg.norm(vectors, axis=1)
    largest = int(np.argmax(sizes))
    if sizes[largest] <= _ZERO:
        return [0.0] * len(vectors), None
    axis = vectors[largest] / sizes[largest]
    if axis[np.flatnonzero(np.abs(axis) > _ZERO)[-1]] < 0:
        axis = -axis
    signed = vectors @ axis
    if np.any(np.abs(np.abs(signed) - sizes) > 1e-3 * sizes[largest]):
        return None, NON_COLLINEAR
    told = " ".join(f"{part + 0.0:.3g}" for part in axis)
    return [float(one) for one in signed], f"the magnetic moments of the file lie along {told}: up and down are kept"
