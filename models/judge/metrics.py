"""Measures over many crystals and maps: means with their failures, recall, validity, ranks. One crystal's sites: `site_metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Integers = NDArray[np.integer[Any]]
Reals = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class VoxelTally:
    """Voxels of one or more maps, counted against the true ones.

    Attributes:
        atoms: truly within an atom.
        named: of these, given the right element.
        predicted: predicted to be within an atom.
        both: truly and predicted to be within an atom, of whatever element.
    """

    atoms: int = 0
    named: int = 0
    predicted: int = 0
    both: int = 0

    def __add__(self, other: VoxelTally) -> VoxelTally:
        """Both maps' voxels together."""
        return VoxelTally(
            self.atoms + other.atoms,
            self.named + other.named,
            self.predicted + other.predicted,
            self.both + other.both,
        )

    @property
    def recall(self) -> float:
        """The paper's non-zero recall: atoms' voxels with the right element over all of them."""
        return share(self.named, self.atoms)

    @property
    def occupancy_iou(self) -> float:
        """Intersection over union of the occupied voxels."""
        return share(self.both, self.atoms + self.predicted - self.both)


def tally_voxels(true: Integers, predicted: Integers) -> VoxelTally:
    """Count the voxels of species maps, 0 = background, any one shape."""
    atoms, given = true > 0, predicted > 0
    return VoxelTally(
        int(atoms.sum()), int((atoms & (true == predicted)).sum()), int(given.sum()), int((atoms & given).sum())
    )


def share(part: float, whole: float) -> float:
    """Part over whole; NaN of nothing."""
    return part / whole if whole else float("nan")


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean of the values that are not NaN; NaN of none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def decile_of(values: Reals, edges: Sequence[float]) -> Integers:
    """Decile 0 to 9 of each value given the nine inner edges; -1 where it is NaN."""
    found: Integers = np.searchsorted(np.asarray(edges), values)
    return np.where(np.isfinite(values), found, -1)


def deciles_obeyed(requested: Integers, predicted: Integers) -> tuple[int, int]:
    """How many came out exactly in the requested decile, and how many within one of it; -1 is no answer, and a miss."""
    off = np.where(predicted < 0, 99, np.abs(predicted - requested))
    return int((off == 0).sum()), int((off <= 1).sum())


def spearman(one: Reals, other: Reals) -> float:
    """Rank correlation over the pairs in which both are finite; NaN of fewer than three, or where one never varies."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 3:
        return float("nan")
    first, second = rankdata(one[both]), rankdata(other[both])
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def mean_absolute_error(predicted: Reals, true: Reals) -> float:
    """Over the pairs in which both are finite."""
    return mean(np.abs(predicted - true).ravel())


def coverage(low: Reals, high: Reals, true: Reals) -> tuple[int, int]:
    """How many true values lie within their interval, and how many intervals there are."""
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(true)
    inside = known & (low <= true) & (true <= high)
    return int(inside.sum()), int(known.sum())


def cell_errors_ang(true: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absolute errors of a, b, c in angstrom: lattices [..., 3, 3] -> [..., 3]."""
    errors: NDArray[np.float64] = np.abs(np.linalg.norm(true, axis=-1) - np.linalg.norm(found, axis=-1))
    return errors
