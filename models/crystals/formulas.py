"""Formulas: reduced and anonymous, from crystals and in microseconds; base compounds as users write them. Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import gcd, inf, isnan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.crystals.prototypes import Prototype, decorate, multiplicities, roles

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


Formula = tuple[tuple[int, int], ...]
"""A reduced formula as (atomic number, count) pairs, in the order of atomic numbers."""


def anonymous_counts(crystal: Crystal) -> tuple[int, ...]:
    """The anonymous formula as sorted counts: (1, 1, 3) for any ABX3."""
    return tuple(sorted(count for _, count in reduced_counts(crystal)))


def reduced_counts(crystal: Crystal) -> Formula:
    """The reduced formula of a crystal, without pymatgen."""
    return reduced_counts_of(crystal.numbers)


def reduced_counts_of(atomic_numbers: ArrayLike) -> Formula:
    """The reduced formula of atoms, [a]."""
    numbers, counts = np.unique(atomic_numbers, return_counts=True)
    divisor = gcd(*counts.tolist())
    return tuple((int(z), int(c) // divisor) for z, c in zip(numbers, counts, strict=True))


_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*)")


@dataclass(frozen=True)
class Compound:
    """A prototype with an element on each role; `name` is how the user wrote it."""

    name: str
    prototype: Prototype
    elements: tuple[str, ...]

    def structure(self) -> Structure:
        """Conventional cell with an edge estimated from radii."""
        return decorate(self.prototype, self.elements)


def parse_compound(text: str) -> Compound:
    """Read FORMULA:prototype; elements are written in the order of the prototype's roles (perovskite A B X).

    Raises:
        ValueError: no colon, unknown prototype or element, or numbers of atoms that the prototype does not have.
    """
    formula, colon, name = text.partition(":")
    known = ", ".join(Prototype)
    if not colon:
        raise ValueError(f"{text!r} names no prototype; write e.g. 'LiF:{Prototype.ROCKSALT}' with one of {known}")
    if name not in set(Prototype):
        raise ValueError(f"{text!r}: unknown prototype {name!r}; there are {known}")
    prototype = Prototype(name)
    tokens = _TOKEN.findall(formula)
    if "".join(symbol + number for symbol, number in tokens) != formula or not tokens:
        raise ValueError(f"{text!r}: {formula!r} is not a chemical formula")
    unknown = [symbol for symbol, _ in tokens if symbol not in atomic_numbers()]
    if unknown:
        raise ValueError(f"{text!r}: {unknown[0]!r} is not an element symbol")
    given = tuple(int(number or 1) for _, number in tokens)
    wanted = multiplicities(prototype)
    if sorted(given) != sorted(wanted):
        pattern = " ".join(
            f"{role}{count if count > 1 else ''}" for role, count in zip(roles(prototype), wanted, strict=True)
        )
        raise ValueError(f"{text!r}: {prototype} has the formula {pattern}; {formula} does not fit")
    return Compound(text, prototype, _by_role(tokens, given, wanted))


def _by_role(tokens: list[tuple[str, str]], given: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[str, ...]:
    """Give each role the first unused element with its number of atoms."""
    left = list(zip([symbol for symbol, _ in tokens], given, strict=True))
    chosen = []
    for count in wanted:
        pick = next(item for item in left if item[1] == count)
        left.remove(pick)
        chosen.append(pick[0])
    return tuple(chosen)


_ANION_PAIR = 1.65
"""Two last elements closer in electronegativity than this are written as one anion, as in Ca(NO3)2."""


def reduced_formula(counts: Mapping[str, int]) -> str:
    """Reduced formula of atoms by element symbol: pymatgen's order, bracketed anions and whole molecules (O2, Li2O2)."""
    common = gcd(*counts.values())
    return _written(tuple(sorted((symbol, count // common) for symbol, count in counts.items())))


@cache
def _written(counts: tuple[tuple[str, int], ...]) -> str:
    from pymatgen.core.composition import Composition

    ordered = sorted(counts, key=lambda item: (_electronegativity(item[0]), item[0]))
    text = _joined(ordered)
    if len(ordered) >= 3 and _electronegativity(ordered[-1][0]) - _electronegativity(ordered[-2][0]) < _ANION_PAIR:
        common = gcd(ordered[-1][1], ordered[-2][1])
        if common > 1:
            anion = _joined([(symbol, count // common) for symbol, count in ordered[-2:]])
            text = f"{_joined(ordered[:-2])}({anion}){common}"
    return str(Composition.special_formulas.get(text, text))


def _joined(counts: list[tuple[str, int]]) -> str:
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts)


@cache
def _electronegativity(symbol: str) -> float:
    """Pauling's value as pymatgen has it; elements without one come last."""
    import warnings

    from pymatgen.core.periodic_table import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns of every element without a value
        value = float(Element(symbol).X)
    return inf if isnan(value) else value
