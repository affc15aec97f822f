"""Rows of the evaluation about the CGCNN: errors against labels it was not trained on, coverage of its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.judge.metrics import coverage, mean_absolute_error, share
from crystalloop.models.judge.rows import Row
from crystalloop.models.nets.cgcnn import CGCNN, predict_with_intervals

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions in the properties' units, NaN where there is none: values and ends of the 90 % intervals, [b, 8]."""

    values: Reals
    low: Reals
    high: Reals


def predict(model: CGCNN, crystals: Sequence[Crystal]) -> Predicted:
    """The eight properties with their intervals."""
    found = predict_with_intervals(model, crystals)
    tables = [
        np.stack([part[name] for name in PROPERTIES], axis=1).astype(np.float64)
        for part in (found.values, found.lower, found.upper)
    ]
    return Predicted(*tables)


def property_rows(
    predicted: Predicted, labels: Reals, train_mean: Mapping[str, float], train_count: Mapping[str, int]
) -> list[Row]:
    """One row for each property with labels, and one for the intervals.

    Args:
        predicted: of the held-out crystals.
        labels: theirs, NaN where missing, [b, 8].
        train_mean: property -> mean of the training labels, the stand-in for a missing prediction in the strict column.
        train_count: property -> labels that the network was trained on.
    """
    rows = []
    for i, name in enumerate(PROPERTIES):
        true, made = labels[:, i], predicted.values[:, i]
        known = np.isfinite(true)
        if not known.any() or not train_count.get(name):
            continue
        missing = known & ~np.isfinite(made)
        filled = np.where(missing, train_mean.get(name, np.nan), made)
        rows.append(
            Row(
                f"mae_{name}",
                mean_absolute_error(made, true),
                mean_absolute_error(filled, true),
                int(known.sum()),
                int(missing.sum()),
                {"training labels": float(train_count[name])},
            )
        )
    return [*rows, *_coverage(predicted, labels, train_count)]


def _coverage(predicted: Predicted, labels: Reals, train_count: Mapping[str, int]) -> list[Row]:
    """Only properties that have any interval at all count."""
    parts: dict[str, float] = {}
    inside = intervals = of_all = 0
    for i, name in enumerate(PROPERTIES):
        hits, count = coverage(predicted.low[:, i], predicted.high[:, i], labels[:, i])
        if not count or not train_count.get(name):
            continue
        inside, intervals = inside + hits, intervals + count
        of_all += int(np.isfinite(labels[:, i]).sum())
        parts[name] = share(hits, count)
    if not intervals:
        return []
    return [Row("coverage_90", share(inside, intervals), share(inside, of_all), of_all, of_all - intervals, parts)]
