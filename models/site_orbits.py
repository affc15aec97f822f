"""Sites of a symmetric map as orbits, and which element sits on which orbit. Segmentation finds the sites, not this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.channels import compress
from models.crystal import Crystal
from models.map_symmetry import average, near_operations, near_translations, orbits, point_operations
from models.segmentation import minimum_image_ang
from models.voxels import VoxelConfig, density_batch

Shift = tuple[float, float, float]
MOST_ASSIGNMENTS = 4096
"""Tried in a few milliseconds; where there are more orbits, only the densest are kept."""


@dataclass(frozen=True)
class MapGroup:
    """Operations about the origin, and centring translations, that a map (nearly) has."""

    operations: tuple[int, ...]
    shifts: tuple[Shift, ...]


@dataclass(frozen=True)
class OrbitReading:
    """A crystal read orbit by orbit, and the root mean square error of its density on the compressed scale."""

    crystal: Crystal
    misfit: float


def nearly_symmetric(
    density: NDArray[np.floating[Any]], exact: Sequence[int], tolerance: float
) -> tuple[MapGroup, NDArray[np.float32]]:
    """The group that a decoded density nearly has, and the density averaged over it.

    Args:
        density: compressed, [n, n, n].
        exact: operations that it has by construction.
        tolerance: change under an operation, as a fraction of the map's standard deviation, that is taken for noise.
    """
    group = MapGroup(near_operations(density, exact, tolerance), near_translations(density, tolerance))
    return group, average(density, group.operations, group.shifts)


def site_orbits(
    frac_coords: NDArray[np.float64],
    density: NDArray[np.floating[Any]],
    lattice: NDArray[np.float64],
    group: MapGroup,
    near_ang: float,
) -> list[NDArray[np.float64]]:
    """Complete sites to whole orbits, each image averaged onto its special position.

    Args:
        frac_coords: sites as found, [a, 3].
        density: of the map, [n, n, n]; sites are taken from the highest down.
        lattice: rows in angstrom, [3, 3].
        group: the map's symmetry.
        near_ang: images closer than this are one site; lower sites this close to a higher one are dropped.

    Returns:
        Fractional coordinates of every orbit, [k, 3] each.
    """
    found: list[NDArray[np.float64]] = []
    matrices = point_operations()[list(group.operations)]
    shifts = np.array([(0.0, 0.0, 0.0), *group.shifts])
    voxel = tuple((np.rint(frac_coords * len(density)).astype(int) % len(density)).T)
    for site in frac_coords[np.argsort(-density[voxel], kind="stable")]:
        if any((minimum_image_ang(orbit - site, lattice) < near_ang).any() for orbit in found):
            continue
        images = ((site @ matrices.transpose(0, 2, 1))[:, None] + shifts[None]).reshape(-1, 3)
        found.append(_merged(images, lattice, near_ang))
    return found


def _merged(images: NDArray[np.float64], lattice: NDArray[np.float64], near_ang: float) -> NDArray[np.float64]:
    """Each cluster of images as its mean place: [i, 3] -> [k, 3]."""
    left, places = images, []
    while len(left):
        offset = left - left[0]
        offset -= np.round(offset)
        close = np.linalg.norm(offset @ lattice, axis=1) < near_ang
        places.append((left[0] + offset[close].mean(axis=0)) % 1.0)
        left = left[~close]
    return np.array(places)


def assign_elements(
    density: NDArray[np.floating[Any]],
    sites: Sequence[NDArray[np.float64]],
    lattice: NDArray[np.float64],
    elements: Sequence[int],
    group: MapGroup,
    voxels: VoxelConfig,
) -> OrbitReading | None:
    """The elements on the orbits whose atoms draw the density best; every element is used if the orbits suffice.

    All assignments are tried, those that leave orbits empty too: a segmentation of a noisy map finds too many sites.
    The error is taken on the compressed scale, on which the decoder was trained, so that a light atom counts as much
    as a heavy one.

    Args:
        density: compressed, [n, n, n].
        sites: fractional coordinates of each orbit, the densest first.
        lattice: rows in angstrom.
        elements: atomic numbers that occur.
        group: the density's symmetry; one voxel of each orbit is compared.
        voxels: how atoms are drawn.

    Returns:
        None where there is no site or no element.
    """
    if not sites or not elements:
        return None
    choices = len(elements) + 1  # the last one leaves the orbit empty
    sites = sites[: int(np.log(MOST_ASSIGNMENTS) / np.log(choices))]
    trials = np.array(list(product(range(choices), repeat=len(sites))))  # [t, k]
    distinct = np.array([len(set(trial) - {len(elements)}) for trial in trials.tolist()])
    trials = trials[distinct == distinct.max()]
    _, unique, weights = np.unique(orbits(voxels.n, group.operations), return_index=True, return_counts=True)
    atoms = [Crystal(lattice, np.full(len(site), z), site) for site in sites for z in elements]
    drawn = density_batch(atoms, voxels).reshape(len(sites), len(elements), -1)[..., unique]  # [k, e, v]
    drawn = np.concatenate([drawn, np.zeros_like(drawn[:, :1])], axis=1)
    sums = sum(drawn[k, trials[:, k]] for k in range(len(sites)))  # [t, v]
    errors = np.square(compress(np.asarray(sums)) - density.ravel()[unique]) @ weights / weights.sum()  # [t]
    best = [
        (site, elements[e]) for site, e in zip(sites, trials[int(errors.argmin())], strict=True) if e < len(elements)
    ]
    numbers = np.concatenate([np.full(len(site), element) for site, element in best])
    crystal = Crystal(lattice, numbers, np.concatenate([site for site, _ in best]))
    return OrbitReading(crystal, float(np.sqrt(errors.min())))
