"""Reduced formulas as pymatgen writes them, in microseconds: for tens of thousands of rows. Compounds of users: compounds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import gcd, inf, isnan

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
