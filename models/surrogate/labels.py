"""What every surrogate asks of its labels before it learns from them."""

from __future__ import annotations

import numpy as np

from crystalloop.models.surrogate.base import Labelled


def checked(labelled: Labelled) -> Labelled:
    """The labels, once they can be learnt from.

    Raises:
        ValueError: fewer than two, of unequal length, or something is not finite.
    """
    rows, values = labelled.rows, labelled.values
    if len(values) < 2:
        raise ValueError(f"a surrogate needs two labels at least, not {len(values)}")
    if rows.ndim != 2 or len(rows) != len(values) or len(labelled.groups) != len(values):
        raise ValueError(f"{len(values)} values, but rows {rows.shape} and {len(labelled.groups)} groups")
    if not np.isfinite(rows).all() or not np.isfinite(values).all():
        raise ValueError("rows and values must be finite numbers")
    return labelled
