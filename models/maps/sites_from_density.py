"""Maps back to crystals: regions to sites, species by vote or by density, positions below a voxel. No networks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal, are_orthogonal
from crystalloop.models.maps.density_fit import DensityFit
from crystalloop.models.maps.regions import Labels, SegmentConfig, segment_atoms
from crystalloop.models.maps.voxels import VoxelConfig

KINDS = 119
"""Length of a vote: background and 118 elements."""
LAST_WITH_RADIUS = 98
"""Last element with an ionic radius of its own; all later ones look alike in a density."""
_VOTE_FLOOR = 0.02  # an element without any vote may still be right


class SpeciesFrom(Enum):
    """What decides a site's element."""

    VOTE = "vote"  # the majority of the species map over the site's region
    DENSITY = "density"  # the known Gaussian (Z, radius) of each allowed element fitted to the density
    BOTH = "both"  # the two multiplied as probabilities


class ReconstructionFailure(Enum):
    """Why no crystal came out; counted, not fatal."""

    BAD_MAP = "bad map"
    BAD_LATTICE = "bad lattice"
    NOTHING_FOUND = "nothing found"
    TOO_MANY_SITES = "too many sites"
    NO_ALLOWED_SPECIES = "no allowed species"


class ReconstructionError(ValueError):
    """A map from which no crystal can be read.

    Attributes:
        reason: for counting.
    """

    def __init__(self, reason: ReconstructionFailure, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason


@dataclass(frozen=True)
class ReconstructConfig:
    """How maps are read.

    Attributes:
        segment: thresholds of the segmentation.
        voxels: how atoms are drawn in the density; n is taken from the map.
        species_from: vote, density or both.
        amplitude_error: relative error expected of the density's amplitudes; with BOTH, errors above it outvote the vote.
        max_sites: more sites than this are a failure.
        max_edge_ang, min_edge_ang: cell edges outside are a failure.
        sweeps: rounds of the species fit.
        refine_steps: Gauss-Newton steps on the positions, 0 for centroids alone.
    """

    segment: SegmentConfig = field(default_factory=SegmentConfig)
    voxels: VoxelConfig = field(default_factory=VoxelConfig)
    species_from: SpeciesFrom = SpeciesFrom.BOTH
    amplitude_error: float = 0.1
    max_sites: int = 64
    min_edge_ang: float = 1.5
    max_edge_ang: float = 30.0
    sweeps: int = 8
    refine_steps: int = 4


@dataclass(frozen=True)
class Site:
    """What is known of one site.

    Attributes:
        number: atomic number.
        voxels: size of its region.
        occupancy: mean occupancy over its region.
        vote: share of the region's voxels that the species map gives to this element.
        fit: share of the density in its region that the atoms explain, 0 to 1; 1 where it was not fitted.
        confidence: occupancy x vote, occupancy x fit or occupancy x vote x fit, as `SpeciesFrom` says.
    """

    number: int
    voxels: int
    occupancy: float
    vote: float
    fit: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A crystal read from maps, the least of its sites' confidences, and the sites in the crystal's order."""

    crystal: Crystal
    confidence: float
    per_site: tuple[Site, ...]


@dataclass(frozen=True, eq=False)
class _Regions:
    """Per-region tables: voxels [a], mean occupancy [a], centroids [a, 3], votes [a, 119]."""

    voxels: NDArray[np.int64]
    occupancy: NDArray[np.float64]
    centroids: NDArray[np.float64]
    votes: NDArray[np.float64]


def structure_from_map(
    density: NDArray[np.floating[Any]],
    species: NDArray[np.integer[Any]],
    occupancy: NDArray[np.floating[Any]],
    lattice: NDArray[np.float64],
    config: ReconstructConfig,
    allowed: Collection[int] | None = None,
) -> Reconstruction:
    """Read a crystal from the maps of one cell.

    Works on true maps and on a network's: specks are absorbed, negative densities cut, species smoothed over each
    region. The density is fitted in orthogonal cells only; in others the vote decides and centroids stay.

    Args:
        density: e/angstrom^3, [n, n, n].
        species: most likely atomic number of every voxel, 0 = background, [n, n, n].
        occupancy: probability that a voxel belongs to an atom, [n, n, n].
        lattice: rows in angstrom, [3, 3].
        config: thresholds.
        allowed: atomic numbers that may occur; None for those that the species map holds.

    Returns:
        The crystal with its confidence.

    Raises:
        ReconstructionError: a counted failure, see `ReconstructionFailure`.
    """
    density = _checked(density, species, occupancy, lattice, config)
    labels = segment_atoms(density, species, occupancy, lattice, config.segment)
    sites = int(labels.max())
    if sites == 0:
        threshold = config.segment.occupancy_threshold
        raise ReconstructionError(
            ReconstructionFailure.NOTHING_FOUND, f"largest occupancy {occupancy.max():.2f}, threshold {threshold}"
        )
    if sites > config.max_sites:
        raise ReconstructionError(ReconstructionFailure.TOO_MANY_SITES, f"{sites} sites, at most {config.max_sites}")
    regions = _regions(labels, density, species, occupancy)
    candidates = _candidates(regions.votes, allowed, config.species_from)  # [k]
    fit = _density_fit(density, lattice, config)
    numbers, frac_coords = _solve(regions, candidates, fit, config)
    explained = np.ones(sites) if fit is None else _explained(fit, labels, frac_coords, numbers)
    per_site = _sites(regions, numbers, explained, config.species_from)
    crystal = Crystal(lattice, numbers, frac_coords)
    return Reconstruction(crystal, min(site.confidence for site in per_site), per_site)


def _checked(
    density: NDArray[np.floating[Any]],
    species: NDArray[np.integer[Any]],
    occupancy: NDArray[np.floating[Any]],
    lattice: NDArray[np.float64],
    config: ReconstructConfig,
) -> NDArray[np.float64]:
    """Return the density as float64 without negative values, after refusing what is no map of a cell."""
    shape = density.shape
    if len(shape) != 3 or len(set(shape)) != 1 or species.shape != shape or occupancy.shape != shape:
        shapes = f"density {shape}, species {species.shape}, occupancy {occupancy.shape}"
        raise ReconstructionError(ReconstructionFailure.BAD_MAP, f"expected three maps [n, n, n], got {shapes}")
    if not (np.isfinite(density).all() and np.isfinite(occupancy).all()):
        raise ReconstructionError(
            ReconstructionFailure.BAD_MAP, "density or occupancy holds values that are not finite"
        )
    edges = np.linalg.norm(lattice, axis=1)
    possible = np.isfinite(edges).all() and edges.min() >= config.min_edge_ang and edges.max() <= config.max_edge_ang
    if not possible or abs(np.linalg.det(lattice)) < 0.1 * edges.prod():
        raise ReconstructionError(ReconstructionFailure.BAD_LATTICE, f"edges {edges.round(3).tolist()} angstrom")
    positive: NDArray[np.float64] = np.maximum(density, 0.0).astype(np.float64)
    return positive


def _density_fit(
    density: NDArray[np.float64], lattice: NDArray[np.float64], config: ReconstructConfig
) -> DensityFit | None:
    if not are_orthogonal(lattice):
        return None
    return DensityFit(density, np.linalg.norm(lattice, axis=1), replace(config.voxels, n=density.shape[0]))


def _regions(
    labels: Labels,
    density: NDArray[np.float64],
    species: NDArray[np.integer[Any]],
    occupancy: NDArray[np.floating[Any]],
) -> _Regions:
    n, count = labels.shape[0], int(labels.max())
    voxel = np.nonzero(labels)  # 3 x [v]
    site = labels[voxel] - 1
    size = np.bincount(site, minlength=count)
    weight = density[voxel] + 1e-9  # a region without density has its geometric centre
    angles = 2.0 * np.pi * np.stack(voxel) / n  # circular mean, so that a region may cross the faces
    sines, cosines = (
        np.stack([np.bincount(site, weight * wave, minlength=count) for wave in waves], axis=-1)
        for waves in (np.sin(angles), np.cos(angles))
    )
    votes = np.bincount(site * KINDS + species[voxel], minlength=count * KINDS).reshape(count, KINDS).astype(np.float64)
    votes[:, 0] = 0.0
    return _Regions(
        voxels=size,
        occupancy=np.bincount(site, occupancy[voxel], minlength=count) / size,
        centroids=np.arctan2(sines, cosines) / (2.0 * np.pi) % 1.0,
        votes=votes / size[:, None],
    )


def _candidates(
    votes: NDArray[np.float64], allowed: Collection[int] | None, species_from: SpeciesFrom
) -> NDArray[np.int64]:
    """Atomic numbers that a site may get, ascending."""
    if allowed is not None:
        candidates = np.array(sorted({int(number) for number in allowed}), dtype=np.int64)
    elif species_from is SpeciesFrom.DENSITY:
        candidates = np.arange(1, LAST_WITH_RADIUS + 1)
    else:
        candidates = np.flatnonzero(votes.max(axis=0) > 0)
    if len(candidates) == 0 or (species_from is SpeciesFrom.VOTE and not votes[:, candidates].any(axis=1).all()):
        found = np.flatnonzero(votes.any(axis=0)).tolist()
        raise ReconstructionError(
            ReconstructionFailure.NO_ALLOWED_SPECIES, f"allowed {candidates.tolist()}, the map holds {found}"
        )
    return candidates


def _solve(
    regions: _Regions, candidates: NDArray[np.int64], fit: DensityFit | None, config: ReconstructConfig
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return species [a] and fractional coordinates [a, 3] of all sites."""
    votes = regions.votes[:, candidates]
    numbers = candidates[votes.argmax(axis=1)]
    if fit is None:
        return numbers, regions.centroids
    if config.species_from is SpeciesFrom.VOTE:
        return numbers, fit.refine_positions(regions.centroids, numbers, config.refine_steps)
    # Minus log likelihood of a relative amplitude error d is d^2 / (2 s^2), and the misfit is d^2.
    prior = -2.0 * config.amplitude_error**2 * np.log(votes + _VOTE_FLOOR)
    prior *= config.species_from is SpeciesFrom.BOTH
    frac_coords = regions.centroids
    for _ in range(2):  # better positions tell the elements apart better
        numbers, _scores = fit.species_costs(frac_coords, numbers, candidates, prior, config.sweeps)
        frac_coords = fit.refine_positions(frac_coords, numbers, config.refine_steps)
    return numbers, frac_coords


def _explained(
    fit: DensityFit, labels: Labels, frac_coords: NDArray[np.float64], numbers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Share of the density in each region that the atoms account for, [a]."""
    count = len(numbers)
    left = np.abs(fit.residual(frac_coords, numbers))
    missing, total = (np.bincount(labels.ravel(), values.ravel(), count + 1)[1:] for values in (left, fit.density))
    return np.asarray(np.clip(1.0 - missing / np.maximum(total, 1e-9), 0.0, 1.0))


def _sites(
    regions: _Regions, numbers: NDArray[np.int64], explained: NDArray[np.float64], species_from: SpeciesFrom
) -> tuple[Site, ...]:
    sites = []
    for index, number in enumerate(numbers):
        occupancy, fit = float(regions.occupancy[index]), float(explained[index])
        vote = float(regions.votes[index, number])
        confidence = occupancy
        confidence *= 1.0 if species_from is SpeciesFrom.DENSITY else vote
        confidence *= 1.0 if species_from is SpeciesFrom.VOTE else fit
        sites.append(Site(int(number), int(regions.voxels[index]), occupancy, vote, fit, confidence))
    return tuple(sites)
