"""What pymatgen knows of elements: radii, oxidation states that balance, formulas as it writes them. No crystals here."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from itertools import product
from math import gcd, inf, isnan
from typing import Any

import numpy as np
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element

from crystalloop.models.crystals.contacts import periodic_distances_ang
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number, covalent_radii_ang

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
    radii = tuple(ionic_radius_ang(element, state) for element, state in zip(elements, states, strict=True))
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


@cache
def ionic_radius_ang(element: str, state: int) -> float | None:
    """Return Shannon's radius (angstrom) of the nearest listed oxidation state of the same sign; None without one."""
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
    ordered = sorted(counts, key=lambda item: (electronegativity(item[0]), item[0]))
    text = _joined(ordered)
    if len(ordered) >= 3 and electronegativity(ordered[-1][0]) - electronegativity(ordered[-2][0]) < _ANION_PAIR:
        common = gcd(ordered[-1][1], ordered[-2][1])
        if common > 1:
            anion = _joined([(symbol, count // common) for symbol, count in ordered[-2:]])
            text = f"{_joined(ordered[:-2])}({anion}){common}"
    return str(Composition.special_formulas.get(text, text))


def _joined(counts: list[tuple[str, int]]) -> str:
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts)


@cache
def electronegativity(symbol: str) -> float:
    """Pauling's value as pymatgen has it; elements without one come last."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity", UserWarning)  # inf says it
        value = float(Element(symbol).X)
    return inf if isnan(value) else value


HARD_ANIONS = frozenset({"F", "O", "Cl", "Br", "I"})
"""With one of these a crystal is held to the balance of charges."""
SOFT_ANIONS = frozenset({"N", "S", "Se"})
"""With one of these only where every other element is of groups 1 and 2: nitrides and sulfides of other metals are often
metals themselves, and their electrons need not count out."""
BONDED_ANIONS, BONDED_CATIONS = 1.25, 1.15
"""Like atoms nearer than this times twice their covalent radius are bonded: O-O up to 1.65 angstrom, B-B up to 1.9."""
LEAST_OF_A_CHAIN = -0.125
"""The least charge of a bonded anion: peroxides have -1, superoxides -1/2, azides -1/3."""

Charges = tuple[float, float]
"""The least and the largest mean charge of an element's atoms."""


def must_balance(crystal: Crystal) -> bool:
    """Whether its elements make a crystal ionic; elements, alloys, and what holds carbon and hydrogen are exempt."""
    elements = set(crystal.composition)
    if len(elements) < 2 or {"C", "H"} <= elements:
        return False
    others = elements - SOFT_ANIONS
    return bool(elements & HARD_ANIONS) or (others < elements and all(Element(one).block == "s" for one in others))


def charges_balance(crystal: Crystal) -> bool:
    """Whether known oxidation states can make a crystal neutral; always where `must_balance` says that they need not.

    After SMACT (Davies et al., Chem 1, 617, 2016): the more electronegative elements are the anions, the others the
    cations, and charges must sum to zero for some choice of states. Atoms of one element may have several states at a
    time (Fe3O4), so any mean between its lowest and its highest counts; anions bonded to their like may have less
    charge (Li2O2, KO2, NaN3, FeS2), which only the structure can tell.
    """
    if not must_balance(crystal):
        return True
    ordered = tuple(sorted(crystal.composition.items(), key=lambda item: (electronegativity(item[0]), item[0])))
    return _balances(ordered, frozenset()) or _balances(ordered, _chains(crystal))


@cache
def _balances(ordered: tuple[tuple[str, int], ...], chains: frozenset[str]) -> bool:
    """Elements in the order of their electronegativity: some of the last ones are anions."""
    symbols = tuple(symbol for symbol, _ in ordered)
    cations = [_cation(symbol, symbols[place + 1 :], symbol in chains) for place, symbol in enumerate(symbols)]
    anions = [_anion(symbol, symbol in chains) for symbol in symbols]
    for first in range(1, len(symbols)):
        spans = [*cations[:first], *anions[first:]]
        known = [(span, count) for span, (_, count) in zip(spans, ordered, strict=True) if span is not None]
        low, high = (sum(count * span[end] for span, count in known) for end in (0, 1))
        if len(known) == len(spans) and low <= 0 <= high:
            return True
    return False


@cache
def _cation(symbol: str, more_electronegative: tuple[str, ...], bonded: bool) -> Charges | None:
    """Positive states; of d and f metals any up to the highest, since they keep electrons; of oxygen beside fluorine."""
    if symbol == "F" or (symbol == "O" and more_electronegative != ("F",)):
        return None
    member = Element(symbol)
    known = [state for state in member.oxidation_states if state > 0]
    if member.block in "df" and member.group != 12:
        return 0.0, max(known, default=0.0)
    listed = {*(member.icsd_oxidation_states or known), *member.common_oxidation_states}
    states = [2] if symbol == "O" else [state for state in listed if state > 0]
    if not states:
        return None
    return (0.0 if bonded and member.block == "p" else min(states)), max(states)


@cache
def _anion(symbol: str, bonded: bool) -> Charges | None:
    """Negative states; less of a charge where bonded."""
    member = Element(symbol)
    listed = {*member.icsd_oxidation_states, *member.common_oxidation_states}
    listed = listed if symbol in HARD_ANIONS | SOFT_ANIONS else {*listed, *member.oxidation_states}
    lowest = min(listed, default=0)
    return None if lowest >= 0 else (lowest, LEAST_OF_A_CHAIN if bonded else lowest)


def _chains(crystal: Crystal) -> frozenset[str]:
    """Elements of which some atoms are bonded to one of their own kind, its bonds short enough for it."""
    found = []
    for symbol, count in crystal.composition.items():
        number = atomic_number(symbol)
        places = crystal.frac_coords[crystal.numbers == number]
        distances = periodic_distances_ang(places, places, crystal.lattice)[~np.eye(count, dtype=bool)]
        reach = BONDED_ANIONS if symbol in HARD_ANIONS | SOFT_ANIONS else BONDED_CATIONS
        if min(distances, default=inf) < reach * 2 * covalent_radii_ang()[number]:
            found.append(symbol)
    return frozenset(found)
