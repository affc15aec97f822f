"""Sites from the element codes of a map: peaks, their places below a voxel, their elements. No networks, no symmetry."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster import hierarchy

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.maps.channels import Doubles
from crystalloop.models.maps.element_codes import element_codes
from crystalloop.models.maps.sites_from_density import ReconstructionError, ReconstructionFailure
from crystalloop.models.maps.voxels import VoxelConfig

_PATCH = np.array(list(product((-1, 0, 1), repeat=3)))  # the voxels about a peak, [27, 3]


@dataclass(frozen=True)
class PeakConfig:
    """How sites are read; a code's peak is 1 high in a true map.

    Attributes:
        least_height: lower peaks are no atoms.
        least_occupancy: nor are peaks where the UNet sees less than this, on the mean of the 27 voxels about them.
        vote: weight of the UNet's species votes (the share of those voxels) beside the code, whose weight is one.
        presence: weight of the logarithm of the probability that the latent gives to an element.
        alike: sites whose codes are closer than this on average have one element (two elements' differ by 0.85 or
            more): a sampled code lies between elements, and the atoms of one sublattice must not fall apart over it.
        sweeps: rounds in which every site is fitted with its neighbours' tails subtracted.
        nearest_voxels: of two closer peaks the lower one is dropped, in voxel edges.
        max_sites, min_edge_ang, max_edge_ang: more sites or other edges are a failure.
    """

    least_height: float = 0.4
    least_occupancy: float = 0.05
    vote: float = 0.3
    presence: float = 0.05
    alike: float = 0.5
    sweeps: int = 4
    nearest_voxels: float = 1.6
    max_sites: int = 64
    min_edge_ang: float = 1.5
    max_edge_ang: float = 30.0


@dataclass(frozen=True, eq=False)
class PeakReading:
    """A crystal read from its codes.

    Attributes:
        crystal: sites in descending order of height.
        heights: of the fitted peaks, [a].
        confidence: the least of the sites': height (at most 1) times the share of the code's length that lies along the
            element's own.
    """

    crystal: Crystal
    heights: Doubles
    confidence: float


def crystal_from_codes(
    codes: NDArray[np.floating],
    species: NDArray[np.integer],
    occupancy: NDArray[np.floating],
    presence: NDArray[np.floating],
    lattice: Doubles,
    voxels: VoxelConfig,
    config: PeakConfig,
    allowed: Collection[int] | None = None,
) -> PeakReading:
    """Read the crystal that a map of element codes shows.

    Args:
        codes: [n, n, n, 8].
        species: the UNet's atomic number per voxel, 0 = background, [n, n, n].
        occupancy: the UNet's probability of an atom per voxel, [n, n, n].
        presence: probability of each element according to the latent, [95].
        lattice: rows in angstrom, [3, 3].
        voxels: gives the width that codes are drawn with.
        config: thresholds and weights.
        allowed: atomic numbers that may occur; None for all.

    Raises:
        ReconstructionError: a counted failure.
    """
    edges = np.linalg.norm(lattice, axis=1)
    if not np.isfinite(edges).all() or edges.min() < config.min_edge_ang or edges.max() > config.max_edge_ang:
        raise ReconstructionError(ReconstructionFailure.BAD_LATTICE, f"edges {edges.round(3).tolist()} angstrom")
    height = np.linalg.norm(codes, axis=-1)  # [n, n, n]
    peaks = _peaks(height, occupancy, config)
    if not len(peaks):
        raise ReconstructionError(
            ReconstructionFailure.NOTHING_FOUND, f"highest code {height.max():.2f}, least {config.least_height}"
        )
    if len(peaks) > config.max_sites:
        raise ReconstructionError(
            ReconstructionFailure.TOO_MANY_SITES, f"{len(peaks)} sites, at most {config.max_sites}"
        )
    candidates = _candidates(allowed)
    prior = _prior(species, presence, peaks, candidates, config)  # [a, k]
    width = max(voxels.code_width * len(codes), voxels.min_width_voxels)
    places, vectors = _fit(codes.astype(np.float64), peaks, width, config.sweeps)
    kinds = _kinds(vectors, config.alike)  # [a]
    along = vectors @ element_codes()[candidates].T  # [a, k]
    votes = np.zeros((kinds.max() + 1, len(candidates)))
    np.add.at(votes, kinds, along + prior)
    best = votes.argmax(axis=1)[kinds]
    heights = np.take_along_axis(along, best[:, None], axis=1)[:, 0]
    length = np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
    confidence = float((np.clip(heights, 0.0, 1.0) * np.clip(heights / length, 0.0, 1.0)).min())
    crystal = Crystal(lattice, candidates[best], places / len(codes))
    return PeakReading(crystal, heights, confidence)


def _peaks(height: NDArray[np.floating], occupancy: NDArray[np.floating], config: PeakConfig) -> NDArray[np.int64]:
    """Periodic maxima that are high, occupied and apart, the highest first: [a, 3] voxel indices."""
    n = len(height)
    top = (height == ndimage.maximum_filter(height, size=3, mode="wrap")) & (height >= config.least_height)
    top &= ndimage.uniform_filter(occupancy.astype(np.float32), size=3, mode="wrap") >= config.least_occupancy
    found = np.argwhere(top)
    found = found[np.argsort(-height[tuple(found.T)], kind="stable")]
    kept = np.empty((0, 3), np.int64)
    for peak in found[: 4 * config.max_sites]:
        apart = np.abs((kept - peak + n // 2) % n - n // 2)
        if (np.linalg.norm(apart, axis=1) >= config.nearest_voxels).all():
            kept = np.vstack([kept, peak])
    return kept


def _candidates(allowed: Collection[int] | None) -> NDArray[np.int64]:
    last = len(element_codes()) - 1
    if allowed is None:
        return np.arange(1, last + 1)
    inside = sorted({int(z) for z in allowed if 0 < z <= last})
    if not inside:
        raise ReconstructionError(ReconstructionFailure.NO_ALLOWED_SPECIES, f"allowed {sorted(allowed)}")
    return np.array(inside)


def _prior(
    species: NDArray[np.integer],
    presence: NDArray[np.floating],
    peaks: NDArray[np.int64],
    candidates: NDArray[np.int64],
    config: PeakConfig,
) -> Doubles:
    """What UNet and latent say of every candidate at every site, in units of a code's height: [a, k]."""
    n = len(species)
    around = (peaks[:, None] + _PATCH) % n  # [a, 27, 3]
    votes = species[tuple(np.moveaxis(around, -1, 0))]  # [a, 27]
    share: Doubles = (votes[..., None] == candidates).mean(axis=1)
    likely = np.log(np.clip(presence[candidates], 1e-6, 1.0))
    return np.asarray(config.vote * share + config.presence * likely, np.float64)


def _kinds(vectors: Doubles, alike: float) -> NDArray[np.intp]:
    """Groups of sites by their code vectors [a, 8], average linkage: [a]."""
    if len(vectors) == 1:
        return np.zeros(1, np.intp)
    tree = hierarchy.linkage(vectors, method="average")
    return np.asarray(hierarchy.fcluster(tree, alike, criterion="distance") - 1, np.intp)


def _fit(codes: Doubles, peaks: NDArray[np.int64], width: float, sweeps: int) -> tuple[Doubles, Doubles]:
    """Places [a, 3] in voxels and code vectors [a, 8] of Gaussians of known width, by Gauss-Newton on 27 voxels each."""
    n = len(codes)
    around = peaks[:, None] + _PATCH  # [a, 27, 3]
    seen = codes[tuple(np.moveaxis(around % n, -1, 0))]  # [a, 27, 8]
    places: Doubles = peaks.astype(np.float64)
    vectors = seen[:, len(_PATCH) // 2]
    start = places.copy()
    for _ in range(sweeps):
        offset = around[:, :, None] - places[None, None]  # [a, 27, a', 3]
        offset -= n * np.round(offset / n)
        bumps = np.exp(-0.5 * np.square(offset).sum(axis=-1) / width**2)  # [a, 27, a']
        own = np.einsum("aia->ai", bumps)
        rest = seen - bumps @ vectors + own[..., None] * vectors[:, None]  # neighbours' tails subtracted
        shift = np.einsum("aiax->aix", offset) / width**2 * own[..., None]  # slope of the bump with its place
        vectors = np.einsum("ai,aic->ac", own, rest) / np.square(own).sum(axis=1)[:, None]
        norm = np.maximum(np.linalg.norm(vectors, axis=1), 1e-6)
        line = np.einsum("aic,ac->ai", rest, vectors / norm[:, None])  # [a, 27]
        basis = np.concatenate([own[..., None], shift], axis=-1)  # [a, 27, 4]
        normal = np.einsum("aij,aik->ajk", basis, basis) + 1e-9 * np.eye(4)
        solved = np.linalg.solve(normal, np.einsum("aij,ai->aj", basis, line)[..., None])[..., 0]
        step = solved[:, 1:] / np.maximum(np.abs(solved[:, :1]), 1e-3)
        places = places + np.clip(step, -0.5, 0.5)
        places = start + np.clip(places - start, -1.5, 1.5)
    return places, vectors
