"""CrystalGraph: each atom's nearest periodic neighbours, and batches of them as padded arrays. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.crystal import Crystal


@dataclass(frozen=True)
class CrystalGraph:
    """Atoms and their nearest neighbours, nearest first; missing neighbours have an infinite distance."""

    numbers: NDArray[np.int32]  # [a]
    neighbours: NDArray[np.int32]  # [a, k] index of the neighbour's atom
    distances_ang: NDArray[np.float32]  # [a, k]


@dataclass(frozen=True)
class GraphBatch:
    """Graphs padded to one shape; atomic number 0 marks padding."""

    numbers: NDArray[np.int32]  # [b, a]
    neighbours: NDArray[np.int32]  # [b, a, k]
    distances_ang: NDArray[np.float32]  # [b, a, k], infinite where there is none

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """As the networks take them."""
        return {"numbers": self.numbers, "neighbours": self.neighbours, "distances": self.distances_ang}


def build_graph(crystal: Crystal, cutoff_ang: float = 6.0, neighbours: int = 12) -> CrystalGraph:
    """The periodic neighbour graph of one atom of each set that the cell's centring translations make equal.

    A mean over these is the mean over all atoms, and an F-centred cell has four times as many of them.
    Neighbours at equal distance are ordered by atomic number, so that the graph does not depend on the order of atoms.

    Args:
        crystal: any cell.
        cutoff_ang: neighbours farther away do not count.
        neighbours: at most this many per atom.
    """
    lattice, frac_coords, numbers = crystal.lattice, crystal.frac_coords, crystal.numbers
    kept, stands_for = np.unique(_first_equal(crystal), return_inverse=True)
    heights = abs(np.linalg.det(lattice)) / np.linalg.norm(np.cross(lattice[[1, 2, 0]], lattice[[2, 0, 1]]), axis=1)
    reach = np.ceil(cutoff_ang / heights).astype(int) + 1
    axes = [np.arange(-r, r + 1) for r in reach]
    shifts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    images = (frac_coords[None, :, :] + shifts[:, None, :]) @ lattice  # [s, a, 3]
    owner = np.tile(np.arange(len(numbers)), len(shifts))
    found = np.zeros((len(kept), neighbours), np.int32)
    distances = np.full((len(kept), neighbours), np.inf, np.float32)
    for atom, position in enumerate(frac_coords[kept] @ lattice):
        d = np.linalg.norm(images.reshape(-1, 3) - position, axis=1)
        near = np.flatnonzero((d <= cutoff_ang) & (d > 1e-3))
        near = near[np.lexsort((numbers[owner[near]], np.round(d[near], 2)))][:neighbours]
        found[atom, : len(near)] = stands_for[owner[near]]
        distances[atom, : len(near)] = d[near]
    return CrystalGraph(numbers[kept].astype(np.int32), found, distances)


def _first_equal(crystal: Crystal, tolerance_ang: float = 0.01) -> NDArray[np.intp]:
    """The first of the atoms that pure translations of the crystal bring each atom onto: [a]."""
    frac_coords, numbers = crystal.frac_coords, crystal.numbers
    first = np.arange(len(numbers))
    kinds, counts = np.unique(numbers, return_counts=True)
    rarest = np.flatnonzero(numbers == kinds[counts.argmin()])
    same = numbers[:, None] == numbers[None, :]
    for shift in frac_coords[rarest[1:]] - frac_coords[rarest[0]]:
        offset = frac_coords[:, None] + shift - frac_coords[None]
        distance = np.linalg.norm((offset - np.round(offset)) @ crystal.lattice, axis=-1)
        onto = (distance < tolerance_ang) & same  # [a, a]
        if onto.any(axis=1).all():
            first = np.minimum(first, onto.argmax(axis=1))
    return first[first]


def pad_batch(graphs: Sequence[CrystalGraph], atoms: int | None = None) -> GraphBatch:
    """Pad graphs to one number of atoms (the largest graph's unless given).

    Raises:
        ValueError: no graph, or one with more atoms than `atoms`.
    """
    if not graphs:
        raise ValueError("no graph to pad; give at least one crystal")
    largest = max(len(graph.numbers) for graph in graphs)
    size = atoms or largest
    if largest > size:
        raise ValueError(f"a graph has {largest} atoms, more than the {size} of the batch")
    k = graphs[0].neighbours.shape[1]
    numbers = np.zeros((len(graphs), size), np.int32)
    neighbours = np.zeros((len(graphs), size, k), np.int32)
    distances = np.full((len(graphs), size, k), np.inf, np.float32)
    for row, graph in enumerate(graphs):
        a = len(graph.numbers)
        numbers[row, :a], neighbours[row, :a], distances[row, :a] = graph.numbers, graph.neighbours, graph.distances_ang
    return GraphBatch(numbers, neighbours, distances)
