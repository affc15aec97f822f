"""CrystalGraph: a crystal's distinct atoms and their nearest periodic neighbours, and batches of them. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import UnknownElement, symbol_of
from crystalloop.models.maps.channels import CLASSES

SHELL_ANG = 0.1
"""Neighbours no farther beyond the last one that counts do so too: a shell of equal distances is never cut."""
MERGE_ANG = 0.01
"""Distances that round to the same multiple are one edge, counted as often as it occurs."""
AT_ONCE = 256
"""Crystals that are compressed at once: numpy's calls cost more than their work on one."""
T = TypeVar("T", bound=np.generic)
Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]


@dataclass(frozen=True)
class CrystalGraph:
    """Distinct atoms of a crystal and their distinct edges, sorted by target.

    Atoms whose surroundings agree at every depth have the same features after every convolution, so one of them stands
    for all, and so does one of several equal edges: a message-passing network's answer is that of the whole graph.
    """

    numbers: NDArray[np.int32]  # [a]
    shares: NDArray[np.float32]  # [a] of the crystal's atoms that each stands for; they sum to 1
    targets: NDArray[np.int32]  # [e] index of the atom that has the neighbour
    sources: NDArray[np.int32]  # [e] index of the neighbour
    distances_ang: NDArray[np.float32]  # [e]
    counts: NDArray[np.float32]  # [e] how many such neighbours the target has


@dataclass(frozen=True)
class GraphBatch:
    """Graphs one after the other, padded at the end; padding atoms have share 0, padding edges count 0."""

    numbers: NDArray[np.int32]  # [n]
    graphs: NDArray[np.int32]  # [n] which graph the atom is of, ascending
    shares: NDArray[np.float32]  # [n]
    targets: NDArray[np.int32]  # [e] ascending
    sources: NDArray[np.int32]  # [e]
    distances_ang: NDArray[np.float32]  # [e]
    counts: NDArray[np.float32]  # [e]
    real: NDArray[np.float32]  # [b] ones; its length is the number of graphs

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """As the networks take them."""
        return {
            "numbers": self.numbers,
            "graphs": self.graphs,
            "shares": self.shares,
            "targets_of": self.targets,
            "sources": self.sources,
            "distances": self.distances_ang,
            "counts": self.counts,
            "real": self.real,
        }


def build_graph(crystal: Crystal, cutoff_ang: float = 8.0, neighbours: int = 12) -> CrystalGraph:
    """The graph of one crystal; see `build_graphs`."""
    return build_graphs([crystal], cutoff_ang, neighbours)[0]


def build_graphs(crystals: Sequence[Crystal], cutoff_ang: float = 8.0, neighbours: int = 12) -> list[CrystalGraph]:
    """The periodic neighbour graph of one atom of each kind that a crystal's symmetry makes equal.

    It does not depend on the cell, its origin or the order of atoms: kinds are found by colour refinement (Weisfeiler
    and Leman 1968) on the neighbours' distances, not from the cell.

    Args:
        crystals: any cells.
        cutoff_ang: neighbours farther away do not count.
        neighbours: how many nearest ones count, and the rest of the shell that the last one is in.

    Raises:
        UnknownElement: an element that the networks have no class for.
    """
    heaviest = max((int(crystal.numbers.max()) for crystal in crystals), default=0)
    if heaviest >= CLASSES:
        raise UnknownElement(
            f"{symbol_of(heaviest)} has atomic number {heaviest}; the networks know 1 to {CLASSES - 1} (up to "
            f"{symbol_of(CLASSES - 1)}): leave the crystal out"
        )
    parts = (crystals[start : start + AT_ONCE] for start in range(0, len(crystals), AT_ONCE))
    return [graph for part in parts for graph in _build_chunk(part, cutoff_ang, neighbours)]


def _build_chunk(crystals: Sequence[Crystal], cutoff_ang: float, neighbours: int) -> list[CrystalGraph]:
    """All crystals as one graph without edges between them, compressed, and cut apart."""
    sizes = np.array([len(crystal.numbers) for crystal in crystals])
    owner, starts = np.repeat(np.arange(len(sizes)), sizes), np.cumsum(sizes) - sizes
    numbers = np.concatenate([crystal.numbers for crystal in crystals])
    targets, sources, distances = _nearest(crystals, starts, cutoff_ang, neighbours)
    bins = np.round(distances / MERGE_ANG).astype(np.int64)
    kinds, first, atoms = _kinds(numbers + CLASSES * owner, targets, sources, bins)
    stands = np.zeros(len(kinds), bool)
    stands[first] = True
    kept = np.flatnonzero(stands[targets])
    target, source, distance = kinds[targets[kept]], kinds[sources[kept]], distances[kept]
    key = (target * len(first) + source) * (int(cutoff_ang / MERGE_ANG) + 2) + bins[kept]
    _, where, edge, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    mean = np.bincount(edge, distance, minlength=len(where)) / np.maximum(counts, 1)
    ends, cuts = _cuts(owner[first], len(sizes)), _cuts(owner[first][target[where]], len(sizes))
    of_edge = owner[first][target[where]]
    shares = (atoms / sizes[owner[first]]).astype(np.float32)
    kinds_of, own = numbers[first].astype(np.int32), (target[where] - ends[of_edge]).astype(np.int32)
    other, lengths = (source[where] - ends[of_edge]).astype(np.int32), mean.astype(np.float32)
    weights = counts.astype(np.float32)
    graphs = []
    for i in range(len(sizes)):
        n, e = slice(ends[i], ends[i + 1]), slice(cuts[i], cuts[i + 1])
        graphs.append(CrystalGraph(kinds_of[n], shares[n], own[e], other[e], lengths[e], weights[e]))
    return graphs


def _cuts(owner: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Where each owner's part of a sorted column starts, and where the last one ends: [count + 1]."""
    return np.searchsorted(owner, np.arange(count + 1))


def _nearest(crystals: Sequence[Crystal], starts: NDArray[np.intp], cutoff_ang: float, neighbours: int) -> Pairs:
    """Target, source and distance of every pair that counts, by target and then by distance."""
    lattices = np.array([crystal.lattice for crystal in crystals])
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattices), axis=1)  # [c, 3]
    sizes = np.array([len(crystal.numbers) for crystal in crystals])
    radii = np.cbrt(0.4 * neighbours * np.abs(np.linalg.det(lattices)) / sizes) + SHELL_ANG
    found = [
        _pairs(crystal, height, float(radius), cutoff_ang, neighbours)
        for crystal, height, radius in zip(crystals, heights, radii, strict=True)
    ]
    counts = [len(pair) for pair, _ in found]
    pair, distances = (np.concatenate(column) for column in zip(*found, strict=True))
    size, start = np.repeat(sizes, counts), np.repeat(starts, counts)
    targets, sources = pair // size + start, pair % size + start
    order = np.lexsort((distances, targets))
    targets, sources, distances = targets[order], sources[order], distances[order]
    each = np.bincount(targets, minlength=int(sizes.sum()))
    last = np.cumsum(each) - each + np.minimum(each, neighbours) - 1
    kept = distances <= distances[last[targets]] + SHELL_ANG
    return targets[kept], sources[kept], distances[kept]


def _pairs(
    crystal: Crystal, height: NDArray[np.float64], radius_ang: float, cutoff_ang: float, neighbours: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Every pair (target * atoms + source) within a radius that holds the neighbours of every atom, and its distance."""
    atoms, lattice = crystal.frac_coords, crystal.lattice
    offsets = atoms[None] - atoms[:, None]
    apart = ((offsets - np.round(offsets)) @ lattice).reshape(-1, 3)  # [a * a, 3]
    lengths = np.einsum("px,px->p", apart, apart)
    farthest = np.sqrt(lengths.max())
    while True:
        radius = min(radius_ang, cutoff_ang)
        shifts = _grid(*np.floor(radius / height + 0.5).astype(int).tolist()) @ lattice  # [s, 3]
        norms = np.einsum("sx,sx->s", shifts, shifts)
        near = norms <= (radius + farthest) ** 2
        squares = apart @ (2.0 * shifts[near].T)
        squares += lengths[:, None]
        squares += norms[near]
        inside = squares <= (radius - SHELL_ANG) ** 2
        enough = inside.reshape(len(atoms), -1).sum(axis=1).min() > neighbours  # the atom itself is counted too
        if enough or radius >= cutoff_ang:
            break
        radius_ang *= 1.25
    chosen = np.flatnonzero((squares <= radius**2) & (squares > 1e-6))
    return chosen // squares.shape[1], np.sqrt(squares.ravel()[chosen])


@cache
def _grid(i: int, j: int, k: int) -> NDArray[np.int64]:
    """All whole vectors within these bounds: [s, 3]."""
    axes = [np.arange(-bound, bound + 1) for bound in (i, j, k)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _kinds(
    marks: NDArray[np.int64], targets: NDArray[np.intp], sources: NDArray[np.intp], bins: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The kind of every atom [a], and of every kind its first atom and its number of atoms [k].

    Atoms of one kind have one mark, and equally many neighbours of each kind in each bin of distance. Kinds are in the
    order of their first atoms.
    """
    ends = np.cumsum(np.bincount(targets, minlength=len(marks)))
    starts = np.concatenate([[0], ends[:-1]])
    _, first, kinds, atoms = np.unique(marks, return_index=True, return_inverse=True, return_counts=True)
    while True:
        edges = _hash(bins.astype(np.uint64) << np.uint64(32) | kinds[sources].astype(np.uint64))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(edges)])  # a sum does not depend on the order
        colours = _hash(_hash(kinds.astype(np.uint64)) + sums[ends] - sums[starts])
        before = len(first)
        _, first, kinds, atoms = np.unique(colours, return_index=True, return_inverse=True, return_counts=True)
        if len(first) == before:
            order = np.argsort(first)
            rank = np.empty(before, np.intp)
            rank[order] = np.arange(before)
            return rank[kinds], first[order], atoms[order]


def _hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter the bits of whole numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def join_graphs(graphs: Sequence[CrystalGraph], atoms: int | None = None, edges: int | None = None) -> GraphBatch:
    """Graphs as one batch, padded to a number of atoms and edges (just enough unless given).

    Raises:
        ValueError: no graph, or more atoms or edges than asked for.
    """
    if not graphs:
        raise ValueError("no graph to join; give at least one crystal")
    sizes = np.array([len(graph.numbers) for graph in graphs])
    bonds = np.array([len(graph.targets) for graph in graphs])
    n, e = (int(total) if size is None else size for total, size in ((sizes.sum(), atoms), (bonds.sum(), edges)))
    if sizes.sum() > n or bonds.sum() > e:
        raise ValueError(f"{sizes.sum()} atoms and {bonds.sum()} edges, more than the {n} and {e} of the batch")
    starts = np.repeat(np.cumsum(sizes) - sizes, bonds)
    column = {name: np.concatenate([getattr(graph, name) for graph in graphs]) for name in CrystalGraph.__annotations__}
    return GraphBatch(
        _padded(column["numbers"], n, 0),
        _padded(np.repeat(np.arange(len(graphs)), sizes), n, len(graphs) - 1).astype(np.int32),
        _padded(column["shares"], n, 0),
        _padded(column["targets"] + starts, e, n - 1).astype(np.int32),
        _padded(column["sources"] + starts, e, n - 1).astype(np.int32),
        _padded(column["distances_ang"], e, 1.0),
        _padded(column["counts"], e, 0),
        np.ones(len(graphs), np.float32),
    )


def _padded(values: NDArray[T], size: int, value: float) -> NDArray[T]:
    return np.concatenate([values, np.full(size - len(values), value, values.dtype)])
