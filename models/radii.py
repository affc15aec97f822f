"""Radii that depend on chemistry, and the charge balance that picks them: pymatgen's data, loaded on first use. No prototypes."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np

from crystalloop.models.elements import atomic_number, covalent_radii_ang

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
    from pymatgen.core.periodic_table import Element

    member = Element(element)
    return tuple(member.common_oxidation_states if common_only else member.oxidation_states)


def _ionic_radius_ang(element: str, state: int) -> float | None:
    """Radius of the nearest listed oxidation state of the same sign."""
    from pymatgen.core.periodic_table import Element

    listed = {charge: radius for charge, radius in Element(element).ionic_radii.items() if charge * state > 0}
    return float(listed[min(listed, key=lambda charge: abs(charge - state))]) if listed else None


@cache
def _facts(element: str) -> dict[str, Any]:
    from pymatgen.core.periodic_table import Element

    return dict(Element(element).data)
