"""A crystal as numbers that a forest or a Gaussian process can learn from: composition and sites. No relaxed length goes in.

The columns do not change with the cell that describes a crystal, nor with its volume: a candidate's edge is a guess before
DFT and a result after it, and a model that saw results would be wrong on guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import symbols
from crystalloop.models.crystals.formulas import Formula
from crystalloop.models.surrogate.base import FeatureRows
from crystalloop.models.surrogate.element_table import NAMES, common_oxidation_states, element_table

SITES = ("loosest", "middle", "tightest")
"""Sites in the order of how near their neighbours are; of equal ones the rarer, then the less electronegative is first."""
REACH = 6
"""Power of the inverse distance that a neighbour counts with: the first shell decides, far images do not matter."""


CHARGES = ("polarity", "root of polarity", "charge left", "neutral")
"""Of the composition: the sum over pairs of elements of their shares and their squared difference of electronegativity,
its root, the least total charge per atom that common oxidation states leave, and whether that is none."""
BLOCKS = (4 * len(NAMES), (len(SITES) + 1) * len(NAMES) + 3, len(CHARGES))
"""Columns of the composition, of the sites, and of the charges: each says something else about likeness."""
DENSE = sum(BLOCKS)
"""Columns before those of single elements: what elements have in common, from which one can be judged by another."""


@cache
def feature_names() -> tuple[str, ...]:
    """What each column is."""
    pooled = [f"{kind} {name}" for kind in ("mean", "spread", "lowest", "highest") for name in NAMES]
    sited = [f"{site} {name}" for site in SITES for name in NAMES]
    contrasts = [f"neighbours differ in {name}" for name in NAMES]
    shares = [f"share of {symbol}" for symbol in symbols()[1:]]
    return (*pooled, *sited, *contrasts, "looseness", "tightness", "atoms of the formula", *CHARGES, *shares)


def features(crystals: Sequence[Crystal]) -> FeatureRows:
    """Every crystal as a row of `feature_names`, all finite. [crystals, features]."""
    rows = [crystal_features(crystal) for crystal in crystals]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(feature_names()))


def crystal_features(crystal: Crystal) -> NDArray[np.float64]:
    """One crystal as such a row. [features]."""
    table, numbers = element_table(), crystal.numbers
    facts = table[numbers]  # [atoms, 12]
    nearness = _nearness(crystal)  # [atoms, atoms]
    tight = nearness.sum(axis=1)
    shares = np.bincount(numbers, minlength=len(table))[1:] / len(numbers)
    mean = facts.mean(axis=0)
    weights = nearness / tight[:, None]
    contrast = np.einsum("ij,ijk->k", weights, np.abs(facts[:, None] - facts[None])) / len(numbers)
    size = len(numbers) / np.gcd.reduce(np.unique(numbers, return_counts=True)[1])
    scaled = np.log(tight)
    return np.concatenate(
        [
            mean,
            np.abs(facts - mean).mean(axis=0),
            facts.min(axis=0),
            facts.max(axis=0),
            _by_site(numbers, facts, scaled),
            contrast,
            [scaled.min(), scaled.max(), size],
            _ionic(tuple(zip(*(part.tolist() for part in np.unique(numbers, return_counts=True)), strict=True))),
            shares,
        ]
    )


@cache
def _ionic(counts: Formula) -> tuple[float, ...]:
    """The columns of CHARGES for atoms of each element in a cell."""
    atoms = sum(count for _, count in counts)
    shares = np.array([count / atoms for _, count in counts])
    x = element_table()[[number for number, _ in counts], 0]
    polarity = 0.5 * float(shares @ (x[:, None] - x[None]) ** 2 @ shares)
    states = [common_oxidation_states()[number] for number, _ in counts]
    totals = [0]
    for (_, count), possible in zip(counts, states, strict=True):
        totals = list({total + count * state for total in totals for state in possible})
    left = min(abs(total) for total in totals)
    return polarity, polarity**0.5, left / atoms, float(left == 0)


def _nearness(crystal: Crystal) -> NDArray[np.float64]:
    """Sum over images of (V^(1/3) / d)^6 for every pair of atoms, itself at zero distance left out. [atoms, atoms]."""
    shift = np.array(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij")).reshape(3, -1).T  # [27, 3]
    apart = crystal.frac_coords[:, None] - crystal.frac_coords[None]
    apart -= np.round(apart)
    vectors = (apart[:, :, None] + shift) @ crystal.lattice  # [atoms, atoms, 27, 3]
    length = (crystal.volume_ang3 / len(crystal)) ** (1 / 3)
    squares = np.einsum("abij,abij->abi", vectors, vectors) / length**2
    squares[squares < 1e-6] = np.inf
    return np.asarray((squares ** (-REACH / 2)).sum(axis=2))


def _by_site(
    numbers: NDArray[np.int64], facts: NDArray[np.float64], scaled: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Facts of the element on the loosest and the tightest sites, and the mean of those between. [3 * 12].

    Sites are put together by element and by how tight they are, to one decimal of the logarithm.
    """
    kinds: dict[tuple[int, float], int] = {}
    for number, tightness in zip(numbers.tolist(), np.round(scaled, 1).tolist(), strict=True):
        kinds[number, tightness] = kinds.get((number, tightness), 0) + 1
    table = element_table()
    order = sorted(kinds, key=lambda kind: (kind[1], kinds[kind], table[kind[0], 0]))
    inner = order[1:-1] or [order[0], order[-1]]
    counts = np.array([kinds[kind] for kind in inner], dtype=np.float64)
    middle = (table[[kind[0] for kind in inner]] * counts[:, None]).sum(axis=0) / counts.sum()
    return np.concatenate([table[order[0][0]], middle, table[order[-1][0]]])
