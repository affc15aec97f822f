"""The eight properties that the CGCNN predicts: names, units and the ranges that a value can have. No network here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def label_array(labels: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Labels of each crystal as [c, 8], NaN where a property is not named."""
    rows = [[row.get(name, np.nan) for name in PROPERTIES] for row in labels]
    return np.array(rows, dtype=np.float64).reshape(-1, len(PROPERTIES))


@dataclass(frozen=True)
class Property:
    """A scalar property of a crystal.

    Attributes:
        name: as in the data files and the results; `log10_` marks a property that is stored as its decimal logarithm.
        unit: unit of the value (of the argument of the logarithm, where there is one).
        lowest, highest: bounds outside which a label is refused as an error of units.
    """

    name: str
    unit: str
    lowest: float
    highest: float


TABLE = (
    Property("formation_energy_per_atom", "eV/atom", -8.0, 8.0),
    Property("energy_per_atom", "eV/atom", -10_000.0, 5.0),
    Property("band_gap", "eV", 0.0, 30.0),
    Property("log10_bulk_modulus", "GPa", -2.0, 3.2),
    Property("log10_shear_modulus", "GPa", -2.0, 3.2),
    Property("poisson_ratio", "", -1.0, 0.5),
    Property("refractive_index", "", 1.0, 100.0),
    Property("log10_dielectric", "", 0.0, 5.0),
)
E_F = "formation_energy_per_atom"
PROPERTIES: tuple[str, ...] = tuple(row.name for row in TABLE)
