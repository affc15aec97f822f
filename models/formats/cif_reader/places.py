"""Sites and operations of a CIF -> the places of the cell, each with what is on it; or why there are none. No text here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import atomic_numbers, covalent_radii_ang
from crystalloop.models.formats.cif_reader.operations import Operations
from crystalloop.models.formats.cif_reader.sites import ListedSite
from crystalloop.models.formats.crystal_read import MOST_ATOMS

MERGE_ANG, WIDE_MERGE_ANG, APART_ANG = 0.06, 0.25, 0.5
"""Images within the first are one atom, beyond the last two; within the second they are one where the amounts say so."""
_TOLD_ANG = 0.0005
_FULL = 1.005  # what occupancies of one place may add up to: thirds with three digits
_MOST_SHIFTS, _MOST_TRIES = 64, 10_000  # origins that are tried, and places times origins


@dataclass(frozen=True)
class Place:
    """A place of the cell.

    Attributes:
        position: fractional coordinates [3].
        species: symbol -> occupancy, at most 1 together.
        site: index of the listed site that made it.
        maker: index of the operation that did.
    """

    position: NDArray[np.float64]
    species: Mapping[str, float]
    site: int
    maker: int


@dataclass(frozen=True, eq=False)
class Orbit:
    """The places of one site.

    Attributes:
        positions: fractional coordinates [m, 3] in 0..1, the first where the site is.
        makers: indices [m] of operations that make them.
        shift_ang: how far the site was moved onto its special position.
        gap_ang: shortest distance to an image that counts as another atom.
        whole: whether the images fall onto places of equal number.
    """

    positions: NDArray[np.float64]
    makers: NDArray[np.int64]
    shift_ang: float
    gap_ang: float
    whole: bool


def orbit_of(
    position: NDArray[np.float64], operations: Operations, lattice: NDArray[np.float64], merge_ang: float
) -> Orbit:
    """Images of a site; those within `merge_ang` of it are the site itself, which goes to their middle."""
    if len(operations) == 1:  # P 1, as most programs write it
        only = np.zeros(1, dtype=np.int64)
        return Orbit((position[None] + 1e-9) % 1.0 - 1e-9, only, 0.0, float("inf"), True)
    at = position
    for _ in range(3):
        offsets = operations.images(at) - at
        offsets -= np.rint(offsets)
        same = np.linalg.norm(offsets @ lattice, axis=1) < merge_ang
        at = at + offsets[same].mean(axis=0)
    images = operations.images(at)
    offsets = images - at
    offsets -= np.rint(offsets)
    away = np.linalg.norm(offsets @ lattice, axis=1)
    makers = _distinct(images, lattice) if same.sum() > 1 else np.arange(len(images))
    return Orbit(
        positions=(images[makers] + 1e-9) % 1.0 - 1e-9,
        makers=makers,
        shift_ang=float(np.linalg.norm((at - position) @ lattice)),
        gap_ang=float(away[~same].min()) if (~same).any() else float("inf"),
        whole=bool(away[same].max() < 1e-3) and len(makers) * int(same.sum()) == len(operations),
    )


def _distinct(images: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.int64]:
    left, found = np.arange(len(images)), []
    while len(left):
        found.append(int(left[0]))
        offsets = images[left] - images[left[0]]
        offsets -= np.rint(offsets)
        left = left[np.linalg.norm(offsets @ lattice, axis=1) >= 1e-3]
    return np.array(found)


@dataclass
class Places:
    """What a reading makes of the sites.

    Attributes:
        all: places of the cell, in the order of the sites.
        orbits: of the sites, one each.
        notes: what was moved or merged.
        complaint: why this cannot be the crystal, or None.
        twice: sentence on sites that were listed although others make them; None where none were.
    """

    all: list[Place] = field(default_factory=list)
    orbits: list[Orbit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complaint: str | None = None
    twice: str | None = None
    wide: bool = False

    def amounts(self) -> dict[str, float]:
        """Symbol -> atoms in the cell."""
        found: defaultdict[str, float] = defaultdict(float)
        for place in self.all:
            for symbol, occupancy in place.species.items():
                found[symbol] += occupancy
        return found


def places_of(
    sites: Sequence[ListedSite], operations: Operations, lattice: NDArray[np.float64], merge_ang: float = MERGE_ANG
) -> Places:
    """Every site taken through all operations; images of one site that fall together are one atom."""
    found, total = Places(), 0
    for site in sites:
        orbit = orbit_of(site.position, operations, lattice, merge_ang)
        found.orbits.append(orbit)
        if (not orbit.whole or orbit.gap_ang < APART_ANG) and (site.occupancy == 1 or not orbit.whole):
            found.complaint = (
                f"images of site {site.label} are {min(orbit.gap_ang, 9.99):.2g} angstrom apart, neither one atom nor two; "
                "write its coordinates with more digits, or its special position"
            )
            found.wide = orbit.gap_ang < WIDE_MERGE_ANG
            return found
        if orbit.shift_ang > _TOLD_ANG:
            found.notes.append(_moved(site, orbit))
        total += len(orbit.positions)
        if total > MOST_ATOMS:
            found.complaint = f"has more than {MOST_ATOMS} atoms in the cell; give a smaller crystal"
            return found
    _settle(found, sites, lattice)
    return found


def _moved(site: ListedSite, orbit: Orbit) -> str:
    at = " ".join(f"{x:.6g}" for x in site.position)
    to = " ".join(f"{x:.4f}" for x in orbit.positions[0])
    return (
        f"site {site.label} is rounded ({at}): moved by {orbit.shift_ang:.4f} angstrom onto its special position ({to})"
    )


def _settle(found: Places, sites: Sequence[ListedSite], lattice: NDArray[np.float64]) -> None:
    """Fill the places; atoms at one place share it where they are not too many."""
    owner = np.concatenate([np.full(len(orbit.positions), i) for i, orbit in enumerate(found.orbits)])
    positions = np.concatenate([orbit.positions for orbit in found.orbits])
    makers = np.concatenate([orbit.makers for orbit in found.orbits])
    species = [{sites[i].symbol: sites[i].occupancy} for i in owner]
    gone: set[int] = set()
    for count, (i, j, apart) in enumerate(close_pairs(positions, lattice, APART_ANG)):
        if count > 10 * len(positions):
            found.complaint = f"atoms coincide: more than {count} pairs are within {APART_ANG} angstrom; mend the sites"
            return
        a, b = sites[owner[i]], sites[owner[j]]
        if i in gone or j in gone or (apart >= MERGE_ANG and min(a.occupancy, b.occupancy) < 1):
            continue
        if a.occupancy == b.occupancy == 1 and a.symbol == b.symbol and apart < MERGE_ANG:
            found.twice = (
                f"sites {a.label} and {b.label} coincide ({apart:.2g} angstrom apart): one atom is listed twice"
            )
        elif apart >= MERGE_ANG or sum(species[i].values()) + sum(species[j].values()) > _FULL:
            found.complaint = (
                f"atoms coincide: sites {a.label} and {b.label} are {apart:.3g} angstrom apart and hold "
                f"{sum(species[i].values()) + sum(species[j].values()):.4g} atoms; remove what is too many"
            )
            return
        else:
            _add(species[i], species[j])
        gone.add(j)
    found.all = [
        Place(positions[i], dict(species[i]), int(owner[i]), int(makers[i])) for i in range(len(owner)) if i not in gone
    ]


def _add(species: dict[str, float], more: Mapping[str, float]) -> None:
    for symbol, occupancy in more.items():
        species[symbol] = species.get(symbol, 0.0) + occupancy


def close_pairs(
    positions: NDArray[np.float64], lattice: NDArray[np.float64], within_ang: float
) -> Iterator[tuple[int, int, float]]:
    """Pairs (i < j, distance) of fractional positions [n, 3] that are closer than this, periodic images included."""
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    reach = [range(-1, 2) if height < 2.5 * within_ang else (0,) for height in heights]
    steps = np.array(list(product(*reach)), dtype=np.float64)
    for i in range(len(positions) - 1):
        offsets = positions[i + 1 :] - positions[i]
        offsets -= np.rint(offsets)
        away = np.linalg.norm((offsets[:, None] + steps) @ lattice, axis=2).min(axis=1)
        yield from ((i, i + 1 + int(k), float(away[k])) for k in np.flatnonzero(away < within_ang))


def has_clashes(places: Sequence[Place], lattice: NDArray[np.float64], share: float = 0.6) -> bool:
    """Whether two full atoms are closer than a share of the sum of their covalent radii."""
    radii = covalent_radii_ang()
    sizes = [radii[atomic_numbers()[next(iter(place.species))]] for place in places]
    pairs = close_pairs(np.array([place.position for place in places]), lattice, 2 * share * max(sizes))
    return any(apart < share * (sizes[i] + sizes[j]) for i, j, apart in pairs)


def same_crystal(one: Sequence[Place], other: Sequence[Place], lattice: NDArray[np.float64]) -> bool:
    """Whether two lists of places of one cell differ by a shift of the origin or an inversion alone."""
    ours, theirs = _by_species(one), _by_species(other)
    if {kind: len(places) for kind, places in ours.items()} != {kind: len(places) for kind, places in theirs.items()}:
        return False
    rarest = min(ours, key=lambda kind: len(ours[kind]))
    for sign in (1, -1):
        for target in theirs[rarest][: max(1, min(_MOST_SHIFTS, _MOST_TRIES // len(one)))]:
            shift = target - sign * ours[rarest][0]
            if all(_covers(theirs[kind], sign * ours[kind] + shift, lattice) for kind in ours):
                return True
    return False


def _by_species(places: Sequence[Place]) -> dict[str, NDArray[np.float64]]:
    found: defaultdict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for place in places:
        found[" ".join(f"{symbol}{n:.3f}" for symbol, n in sorted(place.species.items()))].append(place.position)
    return {kind: np.array(positions) for kind, positions in found.items()}


def _covers(theirs: NDArray[np.float64], ours: NDArray[np.float64], lattice: NDArray[np.float64]) -> bool:
    for position in ours:
        offsets = theirs - position
        offsets -= np.rint(offsets)
        if np.linalg.norm(offsets @ lattice, axis=1).min() > MERGE_ANG:
            return False
    return True
