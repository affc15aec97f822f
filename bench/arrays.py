"""Crystals, labels and split as one .npz file: ragged arrays end to end. numpy only; data files are read in `prepare_arrays`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal

PARTS = ("train", "val", "test")


def write(
    path: Path, crystals: Sequence[Crystal], labels: NDArray[np.floating], split: NDArray[np.str_], digest: str
) -> None:
    """Write crystals, labels [c, 8], split [c] and the data's digest; atoms of crystal i are starts[i] to starts[i + 1]."""
    np.savez_compressed(
        path,
        starts=np.r_[0, np.cumsum([len(crystal) for crystal in crystals])].astype(np.int64),
        lattices=np.array([crystal.lattice for crystal in crystals]),
        numbers=np.concatenate([crystal.numbers for crystal in crystals]).astype(np.uint8),
        coords=np.concatenate([crystal.frac_coords for crystal in crystals]),
        labels=labels.astype(np.float32),
        split=np.array([PARTS.index(str(part)) for part in split], dtype=np.uint8),
        digest=np.array(digest),
    )


def read(path: Path, part: str, limit: int = 0) -> tuple[list[Crystal], NDArray[np.float64], str]:
    """Crystals of one part of the split, their labels [c, 8] with NaN where unknown, and the file's digest.

    A limit takes crystals evenly over the file, so that all classes are among them.
    """
    with np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    rows = np.flatnonzero(stored["split"] == PARTS.index(part))
    if limit and limit < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
    starts = stored["starts"]
    atoms = [slice(int(starts[i]), int(starts[i + 1])) for i in rows]
    crystals = [
        Crystal(stored["lattices"][i], stored["numbers"][own].astype(np.int64), stored["coords"][own])
        for i, own in zip(rows, atoms, strict=True)
    ]
    return crystals, stored["labels"][rows].astype(np.float64), str(stored["digest"])
