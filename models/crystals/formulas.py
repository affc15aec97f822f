"""Formulas of crystals as counts of atomic numbers: reduced and anonymous. numpy alone; as text they are in chemistry."""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import ArrayLike

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import symbol_of

Formula = tuple[tuple[int, int], ...]
"""A reduced formula as (atomic number, count) pairs, in the order of atomic numbers."""


def anonymous_counts(crystal: Crystal) -> tuple[int, ...]:
    """The anonymous formula as sorted counts: (1, 1, 3) for any ABX3."""
    return tuple(sorted(count for _, count in reduced_counts(crystal)))


def written(formula: Formula) -> str:
    """The formula as a text that every reader of formulas takes, such as Mg1O1."""
    return "".join(f"{symbol_of(number)}{count}" for number, count in formula)


def reduced_counts(crystal: Crystal) -> Formula:
    """The reduced formula of a crystal, without pymatgen."""
    return reduced_counts_of(crystal.numbers)


def reduced_counts_of(atomic_numbers: ArrayLike) -> Formula:
    """The reduced formula of atoms, [a]."""
    numbers, counts = np.unique(atomic_numbers, return_counts=True)
    divisor = gcd(*counts.tolist())
    return tuple((int(z), int(c) // divisor) for z, c in zip(numbers, counts, strict=True))
