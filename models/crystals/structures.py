"""What needs pymatgen's Structure: decorated prototypes, recognising them, conventional cells. Tables of sites: prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.models.crystals.chemistry import balanced_oxidation, ionic_radii_of, mean_radius_ang
from crystalloop.models.crystals.prototypes import (
    EDGE_SCALES,
    InvalidDecoration,
    Prototype,
    check_decoration,
    multiplicities,
    roles,
    sites,
)


def decorate(prototype: Prototype, elements: Sequence[str], a_ang: float | None = None) -> Structure:
    """Put elements on a prototype's sites.

    Args:
        prototype: the structure type.
        elements: one symbol per role, in the order of `roles`; all different.
        a_ang: edge of the conventional cubic cell, angstrom; estimated from radii when None.

    Returns:
        The conventional cubic cell, in the origin of the shared data.

    Raises:
        InvalidDecoration: wrong number of elements, a repeated element, or an edge that is not positive.
        UnknownElement: a symbol is not an element's.
    """
    check_decoration(prototype, elements)
    if a_ang is None:
        a_ang = estimate_a_ang(prototype, elements)
    if not a_ang > 0:
        raise InvalidDecoration(f"a_ang = {a_ang} of {prototype}; a cell edge is positive, in angstrom")
    role_of, frac_coords = sites(prototype)
    return Structure(Lattice.cubic(a_ang), [elements[role] for role in role_of], frac_coords)


def plausible_oxidation(
    elements: Sequence[str], prototype: Prototype, common_only: bool = True
) -> tuple[int, ...] | None:
    """Return oxidation states that balance the charge, or None where the known states cannot.

    Args:
        elements: one symbol per role, in the order of `roles`.
        prototype: gives the multiplicities.
        common_only: use pymatgen's common oxidation states, not all the known ones.

    Returns:
        One state per role; where several sets balance, the one with the smallest charges.
    """
    check_decoration(prototype, elements)
    return balanced_oxidation(tuple(elements), multiplicities(prototype), common_only)


def estimate_a_ang(prototype: Prototype, elements: Sequence[str]) -> float:
    """Estimate the edge of the conventional cell from radii.

    Charge-balanced sets of ions: spheres of Shannon's radii in contact. All others: the mean metallic radius times a
    factor of the prototype. Mean absolute error on the shared crystals: B1 2.9, B2 2.6, B3 2.3, perovskite 5.8,
    Heusler 2.1, half-Heusler 1.7 per cent; one in twenty is off by more than 10 per cent.

    Returns:
        The edge a in angstrom.
    """
    check_decoration(prototype, elements)
    contact_scale, mean_scale = EDGE_SCALES[prototype]
    radii = ionic_radii_of(tuple(elements), multiplicities(prototype))
    if radii is not None:
        return contact_scale * _contact_edge_ang(prototype, radii)
    return mean_scale * mean_radius_ang(tuple(elements), multiplicities(prototype))


def _contact_edge_ang(prototype: Prototype, radii: tuple[float, ...]) -> float:
    """Return the edge at which the nearest unlike ions of the given radii (angstrom) touch."""
    first, second = radii[0], radii[1]
    match prototype:
        case Prototype.ROCKSALT:
            return 2 * (first + second)
        case Prototype.CSCL:
            return 2 / sqrt(3) * (first + second)
        case Prototype.ZINCBLENDE:
            return 4 / sqrt(3) * (first + second)
        case Prototype.PEROVSKITE:
            return max(2 * (second + radii[2]), sqrt(2) * (first + radii[2]))
        case _:
            return 4 / sqrt(3) * (first + max(second, radii[2]))


def match_prototype(structure: Structure, symprec: float = 0.1) -> Prototype | None:
    """Recognise a prototype by comparing all sites with its ideal positions, in any cell and any origin.

    Args:
        structure: an ordered crystal.
        symprec: tolerance of the symmetry search and of each position, angstrom.

    Returns:
        The prototype, or None (an inverse Heusler, for example, is none of the six).
    """
    if not structure.is_ordered or not 2 <= len(structure.composition) <= 3:
        return None
    cell = conventional(structure, symprec)
    lengths, angles = np.array(cell.lattice.abc), np.array(cell.lattice.angles)
    if np.ptp(lengths) > symprec or np.abs(angles - 90).max() > 1.0:
        return None
    symbols = np.array([site.specie.symbol for site in cell])
    tolerance = symprec / lengths.mean()
    for prototype in Prototype:
        for elements in permutations(sorted(set(symbols)), len(roles(prototype))):
            if _same_sites(prototype, np.array(elements), symbols, cell.frac_coords, tolerance):
                return prototype
    return None


def _same_sites(
    prototype: Prototype,
    elements: NDArray[np.str_],
    symbols: NDArray[np.str_],
    frac_coords: NDArray[np.float64],
    tolerance: float,
) -> bool:
    """Whether a cell equals the decorated prototype up to a translation and an inversion."""
    role_of, ideal = sites(prototype)
    wanted = elements[list(role_of)]
    if sorted(wanted) != sorted(symbols):
        return False
    anchor = int(np.flatnonzero(symbols == wanted[0])[0])
    for coords in (frac_coords, -frac_coords):
        shifted = coords - coords[anchor] + ideal[0]
        offset = shifted[:, None] - ideal[None]  # [a, a, 3]
        near = np.linalg.norm(offset - np.round(offset), axis=-1) < tolerance
        hits = near & (symbols[:, None] == wanted[None])
        if (hits.sum(0) == 1).all() and (hits.sum(1) == 1).all():
            return True
    return False


def conventional(structure: Structure, symprec: float = 0.01) -> Structure:
    """Return the conventional standard cell that spglib finds (a = b = c for a cubic crystal).

    Args:
        structure: any cell of an ordered crystal.
        symprec: distance tolerance of the symmetry search, angstrom.
    """
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer  # half a second, of scipy.cluster

    cell: Structure = SpacegroupAnalyzer(structure, symprec=symprec).get_conventional_standard_structure()
    return cell
