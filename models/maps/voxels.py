"""Crystals as voxel maps: density, species and coordinates of the conventional cell, and the lattice back. No networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal, are_orthogonal
from crystalloop.models.crystals.elements import ionic_radii_ang, symbol_of
from crystalloop.models.maps.element_codes import CODES, element_codes
from crystalloop.models.maps.kernels import (
    Atoms,
    Floats,
    Ints,
    general_maps,
    periodic_gaussians,
    separable_density,
    separable_species,
)

_CHUNK_ATOMS = 512  # measured optimum: smaller runs pay for Python, larger ones leave the cache


class UncodedElement(ValueError):
    """An element for which the networks have no class."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"{symbol_of(number)} (Z = {number}) is beyond plutonium (Z = 94), the last element that the networks know; "
            "leave its crystals out"
        )


@dataclass(frozen=True)
class VoxelConfig:
    """How crystals are drawn.

    Attributes:
        n: voxels per cell edge.
        width_scale: Gaussian width over ionic radius; 1 is the paper's s = r.
        min_width_voxels: narrowest Gaussian, in voxel edges. Sampling a Gaussian of width s on edges h changes its
            integral by up to 6 exp(-2 pi^2 s^2 / h^2): 4 % at half a voxel, 9e-5 at the default. Below half a voxel
            the map aliases: where the atom sits within its voxel can no longer be read.
        min_radius_voxels: smallest sphere of the species map, in voxel edges; above 0.87 every atom owns a voxel.
        tail: periodic images are summed until they add less than this fraction of a peak.
        constant_width_ang: one Gaussian width for all elements instead of width_scale times the ionic radius: the
            "s = 1" rows of the paper's Table 5. None for widths by radius.
        code_width: Gaussian width of the element codes as a fraction of the cell, at least min_width_voxels; the same
            for all elements, so that maps of crystals of one structure are linear in their codes.
    """

    n: int = 32
    width_scale: float = 1.0
    min_width_voxels: float = 0.75
    min_radius_voxels: float = 1.25
    tail: float = 1e-6
    constant_width_ang: float | None = None
    code_width: float = 0.09

    def __post_init__(self) -> None:
        bounds = {
            "n": (4, 256),
            "width_scale": (0.1, 10.0),
            "min_width_voxels": (0.5, 4.0),
            "min_radius_voxels": (0.87, 4.0),
            "tail": (1e-12, 1e-2),
            "constant_width_ang": (0.2, 5.0),
            "code_width": (0.01, 0.25),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"VoxelConfig.{name} = {value}; expected {low} to {high}")


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """The maps of one crystal.

    Attributes:
        density: e/angstrom^3, [n, n, n]; the first index runs along a.
        species: atomic number of the nearest atom whose sphere holds the voxel, 0 = background, [n, n, n].
        coordinates: Cartesian position of every voxel, angstrom, [n, n, n, 3].
    """

    density: Floats
    species: NDArray[np.int16]
    coordinates: Floats


@dataclass(frozen=True, eq=False)
class VoxelBatch:
    """The maps of several crystals; coordinates follow from the lattices (`coordinates`).

    Attributes:
        density: e/angstrom^3, [b, n, n, n].
        species: atomic numbers, 0 = background, [b, n, n, n].
        lattices: rows in angstrom, [b, 3, 3].
    """

    density: Floats
    species: NDArray[np.int16]
    lattices: NDArray[np.float64]


def voxelize(crystal: Crystal, config: VoxelConfig) -> VoxelGrid:
    """Draw one crystal: atoms are Gaussians of Z electrons and of the ionic radius' width, periodic images included.

    rho(v) = (2 pi)^(-3/2) sum_i Z_i / s_i^3 exp(-d_i^2 / (2 s_i^2)), s_i = width_scale * r_i; the paper's equation,
    on the whole conventional cell with voxel edges a/n, so that the map repeats without a seam.
    """
    batch = voxelize_batch([crystal], config)
    return VoxelGrid(batch.density[0], batch.species[0], coordinates(crystal.lattice, config.n))


def voxelize_batch(crystals: Sequence[Crystal], config: VoxelConfig, threads: int = 1) -> VoxelBatch:
    """Draw many crystals; orthogonal cells are fast (separable), all others correct and slow.

    Args:
        crystals: any cells.
        config: resolution and widths.
        threads: cores to use; the result does not depend on it.

    Returns:
        Density, species and lattices in the order of the crystals.
    """
    shape = (len(crystals), config.n, config.n, config.n)
    density, species = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.int16)
    _draw(crystals, config, density, species, threads)
    return VoxelBatch(density, species, lattices_of(crystals))


def density_batch(crystals: Sequence[Crystal], config: VoxelConfig, threads: int = 1) -> Floats:
    """Draw the densities alone, e/angstrom^3, [b, n, n, n]."""
    density = np.empty((len(crystals), config.n, config.n, config.n), dtype=np.float32)
    _draw(crystals, config, density, None, threads)
    return density


def code_batch(crystals: Sequence[Crystal], config: VoxelConfig) -> Floats:
    """Draw the element codes: each atom's code times a periodic Gaussian of height one, [b, n, n, n, 8].

    Widths are fractions of each axis, so this is the same in every cell, oblique ones too.

    Raises:
        UncodedElement: an element beyond plutonium has no code.
    """
    n = config.n
    maps = np.zeros((len(crystals), n * n, n * CODES), np.float32)
    for start in range(0, len(crystals), _CHUNK_ATOMS // 8):
        some = crystals[start : start + _CHUNK_ATOMS // 8]
        numbers, frac = (np.concatenate([getattr(c, name) for c in some]) for name in ("numbers", "frac_coords"))
        if len(numbers) and numbers.max() >= len(element_codes()):
            raise UncodedElement(int(numbers.max()))
        width = max(config.code_width, config.min_width_voxels / n)
        tables = periodic_gaussians(frac, np.array(1.0), np.array(width), n, config.tail) * np.float32(
            width * np.sqrt(2.0 * np.pi)
        )  # [a, 3, n], height one
        planes = (tables[:, 0, :, None] * tables[:, 1, None, :]).reshape(len(numbers), n * n)
        lines = (tables[:, 2, :, None] * element_codes()[numbers][:, None, :]).reshape(len(numbers), n * CODES)
        ends = np.cumsum([len(c) for c in some])
        for i, (first, last) in enumerate(pairwise([0, *ends.tolist()])):
            np.matmul(planes[first:last].T, lines[first:last], out=maps[start + i])
    return maps.reshape(len(crystals), n, n, n, CODES)


def coordinates(lattice: NDArray[np.float64], n: int) -> Floats:
    """Return the Cartesian position of every voxel, angstrom.

    Args:
        lattice: rows in angstrom, [..., 3, 3].
        n: voxels per edge.

    Returns:
        (i/n) a + (j/n) b + (k/n) c at [..., i, j, k]: [..., n, n, n, 3].
    """
    steps = np.arange(n)[:, None] * (np.asarray(lattice)[..., None, :] / n)  # [..., 3, n, 3]
    a, b, c = (steps[..., axis, :, :] for axis in range(3))
    grid = a[..., :, None, None, :] + b[..., None, :, None, :] + c[..., None, None, :, :]
    return grid.astype(np.float32)


def lattice_from_coordinates(grid: NDArray[np.floating]) -> NDArray[np.float64]:
    """Read the lattice from coordinate channels: the least-squares slope along each axis, times n.

    All voxels count, so noise of standard deviation s in each shifts an edge by only s * sqrt(12) / n^(3/2).

    Args:
        grid: positions in angstrom, [..., n, n, n, 3]; a constant offset does not matter.

    Returns:
        Rows in angstrom, [..., 3, 3].
    """
    n = grid.shape[-2]
    weights = np.arange(n) - (n - 1) / 2.0
    weights /= np.square(weights).sum()
    values = np.asarray(grid, dtype=np.float64)
    slopes = (
        np.einsum("i,...ijkx->...x", weights, values),
        np.einsum("j,...ijkx->...x", weights, values),
        np.einsum("k,...ijkx->...x", weights, values),
    )
    lattice: NDArray[np.float64] = np.stack(slopes, axis=-2) / n  # sums over n^2 lines, times n voxels per edge
    return lattice


def lattices_of(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Stack the lattices of crystals, angstrom, [b, 3, 3]."""
    lattices: NDArray[np.float64] = np.array([crystal.lattice for crystal in crystals], dtype=np.float64)
    return lattices.reshape(-1, 3, 3)


def widths_and_radii_ang(
    numbers: Ints, longest_edge_ang: NDArray[np.float64] | float, config: VoxelConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each atom's Gaussian width and sphere radius in angstrom, after the floors of the config.

    Args:
        numbers: atomic numbers, [...].
        longest_edge_ang: longest edge of the atom's cell, [...] or one number.
        config: scale and floors.
    """
    radius = ionic_radii_ang()[numbers]
    voxel = np.asarray(longest_edge_ang) / config.n
    one = config.constant_width_ang
    wanted = config.width_scale * radius if one is None else np.full_like(radius, one)
    width: NDArray[np.float64] = np.maximum(wanted, config.min_width_voxels * voxel)
    sphere: NDArray[np.float64] = np.maximum(radius, config.min_radius_voxels * voxel)
    return width, sphere


def _draw(
    crystals: Sequence[Crystal],
    config: VoxelConfig,
    density: Floats,
    species: NDArray[np.int16] | None,
    threads: int,
) -> None:
    """Fill density and, where given, species [b, n, n, n]."""

    def draw(run: slice) -> None:
        if not orthogonal[run.start]:
            density[run.start], labels = _general(crystals[run.start], config)
            if species is not None:
                species[run.start] = labels
            return
        atoms = _atoms(crystals[run], config)
        separable_density(atoms, config.tail, out=density[run])
        if species is not None:
            separable_species(atoms, out=species[run])

    orthogonal = are_orthogonal(lattices_of(crystals))
    with ThreadPoolExecutor(max_workers=threads) as pool:
        list(pool.map(draw, _runs(crystals, orthogonal)))


def _general(crystal: Crystal, config: VoxelConfig) -> tuple[Floats, NDArray[np.int16]]:
    widths, radii = widths_and_radii_ang(crystal.numbers, float(crystal.lengths_ang.max()), config)
    return general_maps(crystal.lattice, crystal.numbers, crystal.frac_coords, widths, radii, config.n, config.tail)


def _runs(crystals: Sequence[Crystal], orthogonal: NDArray[np.bool_]) -> Iterator[slice]:
    """Cut the batch into single oblique crystals and runs of orthogonal ones, each run with few enough atoms."""
    start = size = 0
    for index, crystal in enumerate(crystals):
        breaks = not orthogonal[index] or not orthogonal[start] or size + len(crystal) > _CHUNK_ATOMS
        if index > start and breaks:
            yield slice(start, index)
            start, size = index, 0
        size += len(crystal)
    if crystals:
        yield slice(start, len(crystals))


def _atoms(crystals: Sequence[Crystal], config: VoxelConfig) -> Atoms:
    owner = np.repeat(np.arange(len(crystals)), [len(crystal) for crystal in crystals])
    numbers = np.concatenate([crystal.numbers for crystal in crystals])
    edges = np.array([crystal.lengths_ang for crystal in crystals])[owner]
    frac_coords = np.concatenate([crystal.frac_coords for crystal in crystals])
    widths, radii = widths_and_radii_ang(numbers, edges.max(axis=1), config)
    return Atoms.sort(owner, numbers, frac_coords, edges, widths, radii)
