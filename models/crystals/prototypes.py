"""The six cubic prototypes: their sites, decorating them with elements, recognising them. No choice of what to compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import combinations, permutations
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import atomic_number, balanced_oxidation, ionic_radii_of, mean_radius_ang

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


_FACE_CENTRED = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_PRIMITIVE = ((0.0, 0.0, 0.0),)


class Prototype(StrEnum):
    """A cubic structure type without free internal coordinates, named by its Strukturbericht symbol."""

    ROCKSALT = "rocksalt_B1"
    CSCL = "CsCl_B2"
    ZINCBLENDE = "zincblende_B3"
    PEROVSKITE = "perovskite_E21"
    HEUSLER = "full_heusler_L21"
    HALF_HEUSLER = "half_heusler_C1b"


class InvalidDecoration(ValueError):
    """Elements that a prototype cannot carry."""

    exit_kind = "usage"


# Role of each element -> positions of that role, before centring, in the origin of the shared data.
_SITES: dict[Prototype, dict[str, tuple[tuple[float, float, float], ...]]] = {
    Prototype.ROCKSALT: {"A": ((0, 0, 0),), "B": ((0.5, 0.5, 0.5),)},
    Prototype.CSCL: {"A": ((0, 0, 0),), "B": ((0.5, 0.5, 0.5),)},
    Prototype.ZINCBLENDE: {"A": ((0, 0, 0),), "B": ((0.25, 0.25, 0.25),)},
    Prototype.PEROVSKITE: {
        "A": ((0, 0, 0),),
        "B": ((0.5, 0.5, 0.5),),
        "X": ((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)),
    },
    Prototype.HEUSLER: {
        "X": ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75)),
        "Y": ((0.5, 0.5, 0.5),),
        "Z": ((0, 0, 0),),
    },
    Prototype.HALF_HEUSLER: {"X": ((0.25, 0.25, 0.25),), "Y": ((0.5, 0.5, 0.5),), "Z": ((0, 0, 0),)},
}
_CENTRING = {
    prototype: _PRIMITIVE if prototype in (Prototype.CSCL, Prototype.PEROVSKITE) else _FACE_CENTRED
    for prototype in Prototype
}
# Median of (computed a / estimated a) over the training split of the shared cubic crystals, for the two rules of
# `estimate_a_ang`: ions in contact, mean metallic radius.
_SCALES = {
    Prototype.ROCKSALT: (1.011, 3.884),
    Prototype.CSCL: (1.043, 2.246),
    Prototype.ZINCBLENDE: (0.915, 4.231),
    Prototype.PEROVSKITE: (0.969, 3.509),
    Prototype.HEUSLER: (1.006, 4.486),
    Prototype.HALF_HEUSLER: (1.026, 4.269),
}


def roles(prototype: Prototype) -> tuple[str, ...]:
    """Return the names of a prototype's sites in the order in which `decorate` takes the elements."""
    return tuple(_SITES[prototype])


def multiplicities(prototype: Prototype) -> tuple[int, ...]:
    """Return how many atoms each role has in one formula unit, in the order of `roles`."""
    return tuple(len(positions) for positions in _SITES[prototype].values())


def sites(prototype: Prototype) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the role index of every atom of the conventional cell, and its fractional coordinates [a, 3]."""
    centring = np.array(_CENTRING[prototype])
    role_of, coords = [], []
    for role, positions in enumerate(_SITES[prototype].values()):
        for position in positions:
            coords.append((np.array(position) + centring) % 1.0)
            role_of += [role] * len(centring)
    return tuple(role_of), np.concatenate(coords)


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
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    _check(prototype, elements)
    if a_ang is None:
        a_ang = estimate_a_ang(prototype, elements)
    if not a_ang > 0:
        raise InvalidDecoration(f"a_ang = {a_ang} of {prototype}; a cell edge is positive, in angstrom")
    role_of, frac_coords = sites(prototype)
    return Structure(Lattice.cubic(a_ang), [elements[role] for role in role_of], frac_coords)


def decorations(
    prototypes: Iterable[Prototype], elements: Iterable[str]
) -> Iterator[tuple[Prototype, tuple[str, ...]]]:
    """Yield every distinct crystal that the elements make in the prototypes, each once.

    Exchanging A and B gives the same crystal in B1, B2 and B3, and so does exchanging Y and Z in the Heuslers.
    The order follows that of the arguments. Nothing is left out for its chemistry; see `plausible_oxidation`.
    """
    pool = tuple(dict.fromkeys(elements))
    for prototype in dict.fromkeys(prototypes):
        for chosen in _distinct_choices(prototype, pool):
            yield prototype, chosen


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
    _check(prototype, elements)
    return balanced_oxidation(tuple(elements), multiplicities(prototype), common_only)


def estimate_a_ang(prototype: Prototype, elements: Sequence[str]) -> float:
    """Estimate the edge of the conventional cell from radii.

    Charge-balanced sets of ions: spheres of Shannon's radii in contact. All others: the mean metallic radius times a
    factor of the prototype. Mean absolute error on the shared crystals: B1 2.9, B2 2.6, B3 2.3, perovskite 5.8,
    Heusler 2.1, half-Heusler 1.7 per cent; one in twenty is off by more than 10 per cent.

    Returns:
        The edge a in angstrom.
    """
    _check(prototype, elements)
    contact_scale, mean_scale = _SCALES[prototype]
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
    from crystalloop.models.crystals.crystal import conventional

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


def _distinct_choices(prototype: Prototype, pool: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    match prototype:
        case Prototype.PEROVSKITE:
            yield from permutations(pool, 3)
        case Prototype.HEUSLER | Prototype.HALF_HEUSLER:
            for doubled in pool:
                for pair in combinations([element for element in pool if element != doubled], 2):
                    yield (doubled, *pair)
        case _:
            yield from combinations(pool, 2)


def _check(prototype: Prototype, elements: Sequence[str]) -> None:
    expected = roles(prototype)
    if len(elements) != len(expected) or len(set(elements)) != len(elements):
        raise InvalidDecoration(
            f"{prototype} takes {len(expected)} different elements ({', '.join(expected)}), got {tuple(elements)}"
        )
    for element in elements:
        atomic_number(element)
