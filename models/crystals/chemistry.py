"""What pymatgen knows of elements: radii, oxidation states that balance, formulas as it writes them. No crystals here."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from itertools import product
from math import gcd, inf, isnan
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element

from crystalloop.models.crystals.elements import atomic_number, covalent_radii_ang

if TYPE_CHECKING:
    pass


_COVALENT_TO_METALLIC = 1.1  # typical ratio of the two radii, for elements without a metallic radius
# Where that ratio is far off: the radius that the training split of the shared cubic crystals asks for (median).
_MEASURED_RADIUS_ANG = {"H": 0.68, "F": 0.87}


def mean_radius_ang(elements: tuple[str, ...], multiplicities: tuple[int, ...]) -> float:
    """Return the mean metallic radius of a formula unit's atoms, angstrom."""
    return float(np.average([metallic_radius_ang(element) for element in elements], weights=multiplicities))


@cache
def metallic_radius_ang(element: str) -> float:
    """Return pymatgen's metallic radius; where it has none, 1.1 times the covalent radius, or a measured one; angstrom."""
    radius = _facts(element).get("Metallic radius")
    if isinstance(radius, int | float):
        return float(radius)
    if element in _MEASURED_RADIUS_ANG:
        return _MEASURED_RADIUS_ANG[element]
    return _COVALENT_TO_METALLIC * float(covalent_radii_ang()[atomic_number(element)])


def ionic_radii_of(elements: tuple[str, ...], multiplicities: tuple[int, ...]) -> tuple[float, ...] | None:
    """Return ionic radii (angstrom) of a charge-balanced set of ions, None where the charges or radii are not known."""
    states = balanced_oxidation(elements, multiplicities, common_only=True)
    if states is None:
        return None
    radii = tuple(_ionic_radius_ang(element, state) for element, state in zip(elements, states, strict=True))
    return None if None in radii else tuple(radius for radius in radii if radius is not None)


@cache
def balanced_oxidation(
    elements: tuple[str, ...], multiplicities: tuple[int, ...], common_only: bool
) -> tuple[int, ...] | None:
    """Return the oxidation states with the smallest charges that sum to zero, or None."""
    balanced = [
        states
        for states in product(*(_oxidation_states(element, common_only) for element in elements))
        if any(states) and sum(count * state for count, state in zip(multiplicities, states, strict=True)) == 0
    ]
    return min(balanced, key=lambda states: (sum(map(abs, states)), states), default=None)


@cache
def _oxidation_states(element: str, common_only: bool) -> tuple[int, ...]:
    member = Element(element)
    return tuple(member.common_oxidation_states if common_only else member.oxidation_states)


def _ionic_radius_ang(element: str, state: int) -> float | None:
    """Radius of the nearest listed oxidation state of the same sign."""
    listed = {charge: radius for charge, radius in Element(element).ionic_radii.items() if charge * state > 0}
    return float(listed[min(listed, key=lambda charge: abs(charge - state))]) if listed else None


@cache
def _facts(element: str) -> dict[str, Any]:
    return dict(Element(element).data)


_ANION_PAIR = 1.65
"""Two last elements closer in electronegativity than this are written as one anion, as in Ca(NO3)2."""


def reduced_formula(counts: Mapping[str, int]) -> str:
    """Reduced formula of atoms by element symbol: pymatgen's order, bracketed anions and whole molecules (O2, Li2O2)."""
    common = gcd(*counts.values())
    return _written(tuple(sorted((symbol, count // common) for symbol, count in counts.items())))


@cache
def _written(counts: tuple[tuple[str, int], ...]) -> str:
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns of every element without a value
        value = float(Element(symbol).X)
    return inf if isnan(value) else value
