"""The eight properties of crystals as rows, from a CGCNN or from none. Nothing is chosen or judged here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.generate.base import Rows
from crystalloop.models.nets.cgcnn import CGCNN, predict_with_intervals
from crystalloop.models.nets.checkpoint import load


def load_cgcnn(models: Path) -> CGCNN:
    """The CGCNN of a folder of networks; raises as `models.nets.checkpoint.load`."""
    return load(models / "cgcnn", CGCNN)


def predict_rows(cgcnn: CGCNN | None, crystals: Sequence[Crystal], decimals: int | None = None) -> Rows:
    """What a network says of crystals; nothing without one.

    Args:
        cgcnn: the network.
        crystals: conventional cells.
        decimals: to round to, for people; None keeps what was computed.
    """
    if cgcnn is None or not crystals:
        return [dict.fromkeys(PROPERTIES) for _ in crystals], [dict.fromkeys(PROPERTIES) for _ in crystals]

    def known(value: np.floating) -> float | None:
        number = float(value) if decimals is None else round(float(value), decimals)
        return number if np.isfinite(value) else None

    def rows(columns: Mapping[str, NDArray[np.floating]]) -> list[dict[str, float | None]]:
        return [{name: known(column[i]) for name, column in columns.items()} for i in range(len(crystals))]

    found = predict_with_intervals(cgcnn, crystals)
    return rows(found.values), rows(found.sigma)
