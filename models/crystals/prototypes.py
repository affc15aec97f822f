"""The six cubic prototypes: their sites, decorating them with elements, recognising them. No choice of what to compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import atomic_number

if TYPE_CHECKING:
    pass


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
EDGE_SCALES = {
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


def check_decoration(prototype: Prototype, elements: Sequence[str]) -> None:
    """Refuse what cannot stand on a prototype's sites.

    Raises:
        InvalidDecoration: too few or too many elements, or one of them twice.
        UnknownElement: a symbol is not an element's.
    """
    expected = roles(prototype)
    if len(elements) != len(expected) or len(set(elements)) != len(elements):
        raise InvalidDecoration(
            f"{prototype} takes {len(expected)} different elements ({', '.join(expected)}), got {tuple(elements)}"
        )
    for element in elements:
        atomic_number(element)
