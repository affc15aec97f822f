"""One labelled region per atom, from species, occupancy and density maps: periodic watershed. No chemistry, no positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label
from skimage.segmentation import watershed

from crystalloop.models.crystals.elements import covalent_radii_ang, ionic_radii_ang

Labels = NDArray[np.int32]
_SHALLOW = 0.7  # against the depth of the marker beside it; equal atoms are equally deep
_TIE_BREAK = 1e-3  # weight of the density in the marker score: only decides between voxels equally far from a border


@dataclass(frozen=True)
class SegmentConfig:
    """How regions are found; the defaults hold for true maps and for maps from a network.

    Attributes:
        occupancy_threshold: voxels at or above it belong to atoms; 0.8 is the paper's.
        min_voxels: smaller regions are noise.
        min_contact: markers closer than this fraction of the sum of covalent radii are one atom. No real contact in
            the shared crystals is under 0.79; the default stays well below, so that a generated crystal with atoms too
            close is seen, and rejected, as such.
        min_marker_voxels: the same, in voxel edges, for radii below the resolution.
        density_smoothing_voxels: Gaussian smoothing before density peaks are sought, against voxel noise.
    """

    occupancy_threshold: float = 0.8
    min_voxels: int = 4
    min_contact: float = 0.5
    min_marker_voxels: float = 1.5
    density_smoothing_voxels: float = 0.7

    def __post_init__(self) -> None:
        if not 0.0 < self.occupancy_threshold < 1.0:
            raise ValueError(f"occupancy_threshold = {self.occupancy_threshold}; expected between 0 and 1")
        if self.min_voxels < 1 or self.min_contact < 0 or self.min_marker_voxels < 0:
            raise ValueError(f"expected min_voxels of at least 1 and distances of at least 0, got {self}")


def segment_atoms(
    density: NDArray[np.floating[Any]],
    species: NDArray[np.integer[Any]],
    occupancy: NDArray[np.floating[Any]],
    lattice: NDArray[np.float64],
    config: SegmentConfig,
) -> Labels:
    """Label the region of every atom.

    Atoms touch, so connected components alone would merge them (two equal touching spheres have a convexity of 0.8).
    Markers are the periodic maxima of the distance to the nearest border, where a change of species is a border too,
    and the peaks of the density that lie apart from those.

    Args:
        density: e/angstrom^3, [n, n, n].
        species: atomic number per voxel, 0 = background, [n, n, n].
        occupancy: probability that a voxel belongs to an atom, [n, n, n].
        lattice: rows in angstrom, [3, 3].
        config: thresholds.

    Returns:
        0 outside atoms, 1, 2, ... inside, [n, n, n]; all 0 when nothing is found.
    """
    mask = occupancy >= config.occupancy_threshold
    domains = _without_specks(np.where(mask, species, 0), config.min_voxels)
    mask &= domains > 0
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.int32)
    voxel_ang = np.linalg.norm(lattice, axis=1) / mask.shape[0]
    depth = _depth_ang(domains, voxel_ang)  # [n, n, n]
    smooth = ndimage.gaussian_filter(density.astype(np.float32), config.density_smoothing_voxels, mode="wrap")
    score = depth + np.float32(_TIE_BREAK * voxel_ang.mean() / max(float(smooth.max()), 1e-12)) * smooth
    markers = _markers(score, smooth, mask, domains, lattice, config)  # [m, 3] voxel indices
    return _drop_small(_flood(score, markers, domains, mask), config.min_voxels)


def periodic_regions(values: NDArray[np.integer[Any]]) -> Labels:
    """Label connected regions of equal non-zero value, faces joined to the opposite faces: [n, n, n]."""
    regions = label(values, background=0, connectivity=1).astype(np.int32)
    count = int(regions.max()) + 1
    joints = []
    for axis in range(3):
        first, last = np.take(values, 0, axis).ravel(), np.take(values, -1, axis).ravel()
        joined = (first == last) & (first != 0)
        ends = np.take(regions, 0, axis).ravel()[joined], np.take(regions, -1, axis).ravel()[joined]
        joints.append(np.unique(ends[0].astype(np.int64) * count + ends[1]))
    one, other = np.divmod(np.concatenate(joints), count)
    links = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(count, count))
    _, compact = connected_components(
        links, directed=False
    )  # numbered by the first region of each; 0 is the background
    joined_regions: Labels = compact[regions].astype(np.int32)
    return joined_regions


def minimum_image_ang(offsets: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lengths in angstrom of fractional offsets [..., 3], each wrapped to the nearest image."""
    wrapped = (offsets - np.round(offsets)) @ lattice
    lengths: NDArray[np.float64] = np.sqrt(np.square(wrapped).sum(axis=-1))
    return lengths


def _without_specks(values: NDArray[np.integer[Any]], min_voxels: int) -> NDArray[np.integer[Any]]:
    """Give regions under min_voxels the species of their largest neighbours, or background."""
    regions = periodic_regions(values)
    small = np.bincount(regions.ravel())[regions] < min_voxels
    small &= values > 0
    if not small.any():
        return values
    kept = np.where(small, 0, values)
    around = ndimage.maximum_filter(kept, size=3, mode="wrap")
    return np.where(small, around, values)


def _depth_ang(domains: NDArray[np.integer[Any]], voxel_ang: NDArray[np.float64]) -> NDArray[np.float32]:
    """Distance of every voxel to the nearest one that borders on another species or the background, periodic.

    Exact: squared distances separate into the three axes, each a minimum over the shifts of half a period. Ten times
    faster at 32^3 than `scipy.ndimage.distance_transform_edt` on a map padded for its periodicity.
    """
    interior = domains > 0
    for axis in range(3):
        for step in (1, -1):
            interior &= domains == np.roll(domains, step, axis)
    half = domains.shape[0] // 2
    squared = np.where(interior, np.float32(np.square(half * voxel_ang).sum()), np.float32(0.0))
    for axis, edge in enumerate(voxel_ang):
        lines = np.moveaxis(squared, axis, 0)
        wrapped = np.concatenate([lines[-half:], lines, lines[:half]])
        nearest = lines.copy()
        for shift in range(1, half + 1):
            added = np.float32((shift * edge) ** 2)
            if nearest.max() <= added:  # nothing farther away is nearer
                break
            for start in (half - shift, half + shift):
                np.minimum(nearest, wrapped[start : start + len(lines)] + added, out=nearest)
        squared = np.ascontiguousarray(np.moveaxis(nearest, 0, axis))
    depth: NDArray[np.float32] = np.where(domains > 0, np.sqrt(squared) + np.float32(0.5 * voxel_ang.mean()), 0.0)
    return depth


def _markers(
    depth: NDArray[np.float32],
    density: NDArray[np.float32],
    mask: NDArray[np.bool_],
    domains: NDArray[np.integer[Any]],
    lattice: NDArray[np.float64],
    config: SegmentConfig,
) -> NDArray[np.int64]:
    """Periodic maxima of depth, then of density, best first, that keep their distance from those taken before."""
    n = mask.shape[0]
    covalent = config.min_contact * covalent_radii_ang()
    voxel_ang = float(np.linalg.norm(lattice, axis=1).mean()) / n
    smallest = config.min_marker_voxels * voxel_ang
    sphere = ionic_radii_ang() + 0.5 * voxel_ang
    peaks = np.concatenate([_peaks(field, mask) for field in (depth, density)])  # [p, 3], best first in each field
    kinds, depths = domains[tuple(peaks.T)], depth[tuple(peaks.T)]
    free = np.ones(len(peaks), dtype=np.bool_)
    taken = []
    for index, peak in enumerate(peaks):
        if not free[index]:
            continue
        taken.append(index)
        # Where two equal spheres touch, their densities add up to a peak between them, and the neck has a depth of
        # its own: no atom, but within either sphere and shallow.
        neck = (kinds == kinds[index]) & (depths < _SHALLOW * depths[index])
        closest = np.maximum(covalent[kinds] + covalent[kinds[index]], np.where(neck, sphere[kinds], 0.0))
        free &= minimum_image_ang((peak - peaks) / n, lattice) >= np.maximum(closest, smallest)
    return peaks[taken]


def _peaks(field: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Periodic maxima of a field within the mask, highest first: voxel indices [p, 3]."""
    found = np.argwhere((field == ndimage.maximum_filter(field, size=3, mode="wrap")) & mask)
    order = np.argsort(-field[tuple(found.T)], kind="stable")
    highest_first: NDArray[np.int64] = found[order]
    return highest_first


def _flood(
    score: NDArray[np.float32], markers: NDArray[np.int64], domains: NDArray[np.integer[Any]], mask: NDArray[np.bool_]
) -> Labels:
    """Give each voxel of the mask to one marker: whole domains that hold a single marker, the rest by watershed."""
    at = tuple(markers.T)
    seeds = np.zeros(mask.shape, dtype=np.int32)
    seeds[at] = np.arange(1, len(markers) + 1)
    regions = periodic_regions(domains)
    owner = np.zeros(int(regions.max()) + 1, dtype=np.int32)
    owner[regions[at]] = seeds[at]
    owner[np.bincount(regions[at], minlength=len(owner)) != 1] = 0
    seeds = np.where(seeds > 0, seeds, owner[regions])
    if (seeds > 0)[mask].all():
        return seeds
    pad = mask.shape[0] // 2  # an atom is nowhere wider than the cell, so its nearest image lies within
    basins = watershed(*(np.pad(field, pad, mode="wrap") for field in (-score, seeds)), mask=np.pad(mask, pad, "wrap"))
    inner: Labels = basins[pad:-pad, pad:-pad, pad:-pad].astype(np.int32)
    return inner


def _drop_small(labels: Labels, min_voxels: int) -> Labels:
    keep = np.bincount(labels.ravel()) >= min_voxels
    keep[0] = False
    renumbered = np.cumsum(keep) * keep
    kept: Labels = renumbered[labels].astype(np.int32)
    return kept
