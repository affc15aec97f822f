"""The arithmetic of voxel maps: periodic Gaussians and spheres, batched. How wide they are is decided in `voxels`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_CODE_BITS = 7  # an atomic number (at most 118) fits below the distance in one int32 key
_DISTANCE_BITS = 22  # bits of a squared distance up to the largest radius: a resolution of about 1e-6 square angstrom
_BACKGROUND_KEY = np.int32((1 << (_CODE_BITS + _DISTANCE_BITS + 2)) - (1 << _CODE_BITS))  # above every distance, code 0
_SAME_COORDINATE = 1e-9  # fractional; atoms this close along z share one table
_COARSE = 1 << 14  # grid points per edge that atoms are sorted on: three, a cell and an element fit in int64


@dataclass(frozen=True)
class Atoms:
    """The atoms of several orthogonal cells, flattened and sorted by crystal, element and z.

    Attributes:
        crystal: index of the cell, [a].
        numbers: atomic numbers, [a].
        frac_coords: [a, 3].
        edges_ang: edges of the atom's cell, [a, 3].
        widths_ang: standard deviation of the Gaussian, [a].
        radii_ang: radius of the sphere in the species map, [a].
        group_starts: first atom of each group of equal (crystal, element, z), [g].
        face_centred: whether each cell repeats itself under (0, 1/2, 1/2) and (1/2, 0, 1/2), [crystals].
    """

    crystal: Ints
    numbers: Ints
    frac_coords: NDArray[np.float64]
    edges_ang: NDArray[np.float64]
    widths_ang: NDArray[np.float64]
    radii_ang: NDArray[np.float64]
    group_starts: Ints
    face_centred: NDArray[np.bool_]

    @classmethod
    def sort(
        cls,
        crystal: Ints,
        numbers: Ints,
        frac_coords: NDArray[np.float64],
        edges_ang: NDArray[np.float64],
        widths_ang: NDArray[np.float64],
        radii_ang: NDArray[np.float64],
    ) -> Atoms:
        """Order the atoms and find their groups."""
        level = np.round(frac_coords[:, 2] / _SAME_COORDINATE).astype(np.int64)  # 30 bits
        keys = (crystal << _CODE_BITS | numbers) << 31 | level
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        return cls(
            crystal=crystal[order],
            numbers=numbers[order],
            frac_coords=frac_coords[order],
            edges_ang=edges_ang[order],
            widths_ang=widths_ang[order],
            radii_ang=radii_ang[order],
            group_starts=starts,
            face_centred=_face_centred(crystal, numbers, frac_coords),
        )

    def parts(self, n: int) -> Iterator[tuple[Ints, Atoms, int]]:
        """Cells that are drawn alike: their indices, their atoms (renumbered), and how many columns along x and y.

        A quarter of a face-centred map says the rest, if half a cell is a whole number of voxels.
        """
        repeats = self.face_centred & (n % 2 == 0)
        for centred in (False, True):
            crystals = np.flatnonzero(repeats == centred)
            if len(crystals) == len(repeats):
                yield crystals, self, n // 2 if centred else n
            elif len(crystals):
                yield crystals, self._of(repeats == centred), n // 2 if centred else n

    def _of(self, wanted: NDArray[np.bool_]) -> Atoms:
        """The atoms of some cells, which are numbered anew from 0."""
        atom = wanted[self.crystal]
        number = np.cumsum(wanted) - 1
        place = np.cumsum(atom) - 1
        starts = self.group_starts[atom[self.group_starts]]
        return Atoms(
            crystal=number[self.crystal[atom]],
            numbers=self.numbers[atom],
            frac_coords=self.frac_coords[atom],
            edges_ang=self.edges_ang[atom],
            widths_ang=self.widths_ang[atom],
            radii_ang=self.radii_ang[atom],
            group_starts=place[starts],
            face_centred=self.face_centred[wanted],
        )


def periodic_gaussians(
    frac: NDArray[np.float64], edges_ang: NDArray[np.float64], widths_ang: NDArray[np.float64], n: int, tail: float
) -> Floats:
    """Normalised 1-D Gaussians summed over periodic images, on the grid i/n.

    Args:
        frac: fractional coordinates, [...].
        edges_ang: period; broadcasts against frac.
        widths_ang: standard deviation; broadcasts against frac.
        n: grid points per period.
        tail: images are summed until they add less than this fraction of the peak.

    Returns:
        Values in 1/angstrom, [..., n].
    """
    reach = np.sqrt(-2.0 * np.log(tail)) * float((widths_ang / edges_ang).max())
    images = int(np.ceil(reach + 0.5))
    offset = _wrapped_offsets(frac, n)
    scale = (edges_ang / (np.sqrt(2.0) * widths_ang)).astype(np.float32)[..., None]
    total = np.zeros(np.broadcast_shapes(offset.shape, scale.shape), dtype=np.float32)
    for image in range(-images, images + 1):
        total += np.exp(-np.square((offset + np.float32(image)) * scale))
    total *= (1.0 / (np.sqrt(2.0 * np.pi) * widths_ang)).astype(np.float32)[..., None]
    return total


def separable_density(atoms: Atoms, tail: float, out: Floats) -> None:
    """Write the density of orthogonal cells, a product of three 1-D sums, in e/angstrom^3 into out [b, n, n, n].

    Atoms of one element at one height share their table along z, so a cell costs one matrix product
    [n^2, groups] x [groups, n].
    """
    n = out.shape[-1]
    for crystals, part, columns in atoms.parts(n):
        x, y, z = (
            periodic_gaussians(part.frac_coords[:, axis], part.edges_ang[:, axis], part.widths_ang, n, tail)
            for axis in range(3)
        )
        starts = part.group_starts
        planes = _planes(x[:, :columns], y[:, :columns], starts, np.multiply, np.add)  # [g, columns^2]
        heights = z[starts] * part.numbers[starts, None].astype(np.float32)  # [g, n]
        whole = columns == n and len(crystals) == len(out)
        drawn = out if whole else np.empty((len(crystals), columns, columns, n), np.float32)
        for crystal, groups in _groups_of_crystals(part):
            np.matmul(planes[groups].T, heights[groups], out=drawn[crystal].reshape(columns**2, n))
        if not whole:
            _repeat(drawn, crystals, out)


def separable_species(atoms: Atoms, out: NDArray[np.int16]) -> None:
    """Write the atomic number of the nearest atom whose sphere holds the voxel, else 0, into out [b, n, n, n].

    A key packs squared distance and atomic number into one int32, so that a minimum carries both. Only the columns
    (x, y) that a group's spheres touch are visited. Equal distances go to the lower atomic number. Orthogonal cells.
    """
    n = out.shape[-1]
    for crystals, part, columns in atoms.parts(n):
        keys = np.full((len(crystals) * columns**2, n), _BACKGROUND_KEY, dtype=np.int32)
        _write_keys(part, columns, keys)
        named = (keys & np.int32((1 << _CODE_BITS) - 1)).astype(out.dtype)
        _repeat(named.reshape(len(crystals), columns, columns, n), crystals, out)


def _write_keys(atoms: Atoms, columns: int, keys: NDArray[np.int32]) -> None:
    """Lower each voxel's key to that of its nearest atom; keys [b * columns^2, n]."""
    n, starts = keys.shape[-1], atoms.group_starts
    cap = 1.01 * float(np.square(atoms.radii_ang).max())
    unit = 2.0**_DISTANCE_BITS / cap
    squared = np.square(_wrapped_offsets(atoms.frac_coords, n) * atoms.edges_ang[..., None]).clip(max=cap) * unit
    x, y, z = (squared[:, axis].astype(np.int32) << _CODE_BITS for axis in range(3))  # [a, n]
    planes = _planes(x[:, :columns], y[:, :columns], starts, np.add, np.minimum)  # [g, columns^2]
    heights = z[starts] + atoms.numbers[starts, None].astype(np.int32)  # [g, n]
    limits = ((np.square(atoms.radii_ang[starts]) * unit).astype(np.int32) + 1) << _CODE_BITS  # [g]
    lines = keys.view(np.dtype((np.void, keys.itemsize * n)))[:, 0]  # numpy assigns opaque items faster than rows
    for groups in _ranks(atoms.crystal[starts]):
        some = planes.take(groups, axis=0)
        inside = np.flatnonzero(some < limits[groups, None])
        which, column = np.divmod(inside, columns**2)
        group = groups.take(which)
        found = heights.take(group, axis=0)  # [columns inside, n]
        found += some.ravel().take(inside)[:, None]
        np.putmask(found, found >= limits.take(group)[:, None], _BACKGROUND_KEY)
        rows = atoms.crystal[starts].take(group) * columns**2 + column
        np.minimum(found, keys.take(rows, axis=0), out=found)
        lines[rows] = found.view(lines.dtype)[:, 0]


def _repeat(drawn: NDArray[Any], crystals: Ints, out: NDArray[Any]) -> None:
    """Copy columns [c, m, m, n] into the maps of some crystals in out [b, n, n, n], by face centring where m = n / 2."""
    n, half = out.shape[-1], drawn.shape[1]
    if half == n:
        out[crystals] = drawn
        return
    for crystal, quarter in zip(crystals, drawn, strict=True):
        whole = out[crystal]
        whole[:half, :half] = whole[half:, half:] = quarter
        for corner in (whole[:half, half:], whole[half:, :half]):
            corner[..., :half], corner[..., half:] = quarter[..., half:], quarter[..., :half]


def general_maps(
    lattice: NDArray[np.float64],
    numbers: Ints,
    frac_coords: NDArray[np.float64],
    widths_ang: NDArray[np.float64],
    radii_ang: NDArray[np.float64],
    n: int,
    tail: float,
) -> tuple[Floats, NDArray[np.int16]]:
    """Density in e/angstrom^3 and species, [n, n, n], of a cell of any shape by sums over periodic images: slow."""
    axis = np.arange(n) / n
    voxels = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) @ lattice  # [v, 3]
    cutoffs = np.maximum(np.sqrt(-2.0 * np.log(tail)) * widths_ang, radii_ang)
    density, nearest = np.zeros(len(voxels)), np.full(len(voxels), np.inf)
    species = np.zeros(len(voxels), dtype=np.int16)
    for atom in np.argsort(numbers, kind="stable"):  # equal distances go to the lower atomic number
        amplitude = numbers[atom] / ((2.0 * np.pi) ** 1.5 * widths_ang[atom] ** 3)
        for position in _images(lattice, frac_coords[atom], float(cutoffs[atom])):
            squared = np.square(voxels - position).sum(axis=1)
            density += amplitude * np.exp(-squared / (2.0 * widths_ang[atom] ** 2))
            closer = (squared < radii_ang[atom] ** 2) & (squared < nearest - 1e-6)
            nearest[closer], species[closer] = squared[closer], numbers[atom]
    return density.astype(np.float32).reshape(n, n, n), species.reshape(n, n, n)


def _images(lattice: NDArray[np.float64], frac: NDArray[np.float64], cutoff: float) -> NDArray[np.float64]:
    """Cartesian positions [p, 3] of all periodic images that reach into the cell's circumscribed sphere."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    counts = np.ceil(cutoff / heights).astype(int) + 1
    shifts = np.array(list(product(*(range(-count, count + 1) for count in counts))))
    positions = (frac + shifts) @ lattice
    corners = (np.array(list(product((0.0, 1.0), repeat=3))) - 0.5) @ lattice
    reach = cutoff + np.linalg.norm(corners, axis=1).max()
    near = np.linalg.norm(positions - 0.5 * lattice.sum(axis=0), axis=1) < reach
    return np.asarray(positions[near])


def _face_centred(crystal: Ints, numbers: Ints, frac_coords: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the atoms of each cell are the same after both shifts by half a face diagonal: [crystals].

    Atoms are paired by sorting them on a coarse grid; where that parts two equal ones, a cell is drawn whole, as any other.
    """
    kind = crystal << _CODE_BITS | numbers

    def ordered(moved: NDArray[np.float64]) -> tuple[Ints, NDArray[np.float64]]:
        x, y, z = (np.rint(moved * _COARSE).astype(np.int64) % _COARSE).T
        keys = ((kind * _COARSE + x) * _COARSE + y) * _COARSE + z
        order = np.argsort(keys)
        return kind[order], moved[order]

    starts = np.flatnonzero(np.r_[True, crystal[1:] != crystal[:-1]])
    same = np.ones(len(starts), np.bool_)
    kinds, places = ordered(frac_coords)
    for shift in ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5)):
        moved_kinds, moved = ordered(frac_coords + np.array(shift))
        apart = moved - places
        near = np.abs(apart - np.rint(apart)).max(axis=1) < _SAME_COORDINATE
        same &= np.logical_and.reduceat(near & (kinds == moved_kinds), starts)
    return same


def _wrapped_offsets(frac: NDArray[np.float64], n: int) -> Floats:
    """Fractional offset of every grid point i/n from each coordinate, wrapped into [-1/2, 1/2]: [..., n]."""
    offset = np.arange(n) / n - frac[..., None]
    return (offset - np.round(offset)).astype(np.float32)


def _planes(x: NDArray[Any], y: NDArray[Any], starts: Ints, combine: np.ufunc, reduce: np.ufunc) -> NDArray[Any]:
    """Combine the x and y tables of every atom, and reduce over the atoms of each group: [g, n^2].

    Runs over the first, second, ... atoms of all groups, which is several times faster than `ufunc.reduceat`.
    """
    sizes = np.diff(np.r_[starts, len(x)])
    planes = combine(x[starts][:, :, None], y[starts][:, None, :])
    for rank in range(1, int(sizes.max())):
        groups = np.flatnonzero(sizes > rank)
        atom = starts[groups] + rank
        planes[groups] = reduce(planes[groups], combine(x[atom][:, :, None], y[atom][:, None, :]))
    flat: NDArray[Any] = planes.reshape(len(starts), -1)
    return flat


def _groups_of_crystals(atoms: Atoms) -> Iterator[tuple[int, slice]]:
    owner = atoms.crystal[atoms.group_starts]
    bounds = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1], True])
    for first, last in pairwise(bounds):
        yield int(owner[first]), slice(int(first), int(last))


def _ranks(owner: Ints) -> Iterator[Ints]:
    """Yield the first group of every crystal, then the second of every crystal, ...: no crystal twice in one array."""
    first = np.r_[True, owner[1:] != owner[:-1]]
    starts = np.flatnonzero(first)
    rank = np.arange(len(owner)) - starts[np.cumsum(first) - 1]
    for value in range(int(rank.max()) + 1):
        yield np.flatnonzero(rank == value)
