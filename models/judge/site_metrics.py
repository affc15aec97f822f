"""How well the sites of one crystal were found again: two definitions of each error. Averages live in `metrics`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from crystalloop.models.crystals.contacts import BORDER, periodic_distances_ang
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.formulas import reduced_counts

UNMATCHED_ANG = 1.0
"""What an atom without a partner costs in the strict site error (docs/science/networks.md, row 12)."""
PARTNER_ANG = 1.0
"""A found site farther than this from a true one is not the same site."""
_CLOSED_SHELLS = (0, 2, 10, 18, 36, 54, 86, 118)


@dataclass(frozen=True)
class SpeciesTally:
    """What became of the true sites of one crystal.

    Attributes:
        sites: true sites.
        found: of these, with a found site within PARTNER_ANG, whatever its element.
        right: of the found, with the right element.
        next_element: of the found, with an element one atomic number away.
        same_group: of the found, with another element of the same group.
    """

    sites: int = 0
    found: int = 0
    right: int = 0
    next_element: int = 0
    same_group: int = 0

    def __add__(self, other: SpeciesTally) -> SpeciesTally:
        """Both crystals' sites together."""
        return SpeciesTally(
            self.sites + other.sites,
            self.found + other.found,
            self.right + other.right,
            self.next_element + other.next_element,
            self.same_group + other.same_group,
        )


def emd_ang(true: Crystal, found: Crystal) -> float:
    """The paper's distance of sites: Cartesian, not periodic, elements ignored, extra atoms free.

    The smallest sum of distances over pairings of min(N, N') sites, divided by min(N, N'), angstrom. The cell starts a
    hundredth of an edge before its origin, or an atom read at -0.001 instead of 0 would be an edge away.
    """
    one, other = (((c.frac_coords + BORDER) % 1.0 - BORDER) @ c.lattice for c in (true, found))
    distances = np.linalg.norm(one[:, None] - other[None], axis=-1)
    return float(distances[linear_sum_assignment(distances)].mean())


def site_error_ang(true: Crystal, found: Crystal | None) -> float:
    """The strict distance of sites: periodic, element by element, in one origin; angstrom per true atom.

    Fractional coordinates are compared in the true cell, because the cell has an error of its own. Atoms of an element
    are paired so that the sum of their distances is smallest; every atom left over, true or found, costs
    UNMATCHED_ANG, so a wrong element costs two (one missing, one too many).

    Args:
        true: as it was drawn.
        found: as it was read, in the same origin; None for a failure, which costs UNMATCHED_ANG for each true atom.
    """
    if found is None:
        return UNMATCHED_ANG
    total = 0.0
    for number in np.union1d(true.numbers, found.numbers):
        mine, theirs = true.numbers == number, found.numbers == number
        distances = periodic_distances_ang(true.frac_coords[mine], found.frac_coords[theirs], true.lattice)
        total += float(distances[linear_sum_assignment(distances)].sum())
        total += UNMATCHED_ANG * abs(int(mine.sum()) - int(theirs.sum()))
    return total / len(true)


def site_error_shifted_ang(true: Crystal, found: Crystal | None) -> float:
    """The strict site error after the rigid shift that makes it smallest, for crystals in another origin.

    Tried are the shifts that put one found atom on one true atom of the same element (the element with fewest pairs);
    each is then centred on its pairs. Inversions and rotations are not tried.
    """
    if found is None:
        return UNMATCHED_ANG
    pairs = {
        int(z): int((true.numbers == z).sum() * (found.numbers == z).sum())
        for z in np.intersect1d(true.numbers, found.numbers)
    }
    best = site_error_ang(true, found)
    if not pairs:
        return best
    anchor = min(pairs, key=lambda z: (pairs[z], z))
    mine, theirs = true.frac_coords[true.numbers == anchor], found.frac_coords[found.numbers == anchor]
    for shift in (mine[:, None] - theirs[None]).reshape(-1, 3):
        moved = Crystal(found.lattice, found.numbers, found.frac_coords + shift)
        centred = Crystal(found.lattice, found.numbers, moved.frac_coords + _mean_offset(true, moved))
        best = min(best, site_error_ang(true, moved), site_error_ang(true, centred))
    return best


def _mean_offset(true: Crystal, found: Crystal) -> NDArray[np.float64]:
    """Mean fractional offset of the true sites from their nearest found ones of the same element: [3]."""
    offsets = [np.zeros(3)]
    for number in np.intersect1d(true.numbers, found.numbers):
        mine, theirs = true.frac_coords[true.numbers == number], found.frac_coords[found.numbers == number]
        rows, columns = linear_sum_assignment(periodic_distances_ang(mine, theirs, true.lattice))
        offset = mine[rows] - theirs[columns]
        offsets.extend(offset - np.round(offset))
    mean: NDArray[np.float64] = np.sum(offsets, axis=0) / max(1, len(offsets) - 1)
    return mean


def tally_species(true: Crystal, found: Crystal | None) -> SpeciesTally:
    """Which element sits on each true site: sites are paired by place alone, periodic, within PARTNER_ANG."""
    if found is None:
        return SpeciesTally(sites=len(true))
    distances = periodic_distances_ang(true.frac_coords, found.frac_coords, true.lattice)
    rows, columns = linear_sum_assignment(np.minimum(distances, 10 * PARTNER_ANG))
    near = distances[rows, columns] <= PARTNER_ANG
    wanted, given = true.numbers[rows[near]], found.numbers[columns[near]]
    groups = np.array(element_groups())
    wrong = wanted != given
    return SpeciesTally(
        sites=len(true),
        found=int(near.sum()),
        right=int((~wrong).sum()),
        next_element=int((np.abs(wanted - given) == 1).sum()),
        same_group=int((wrong & (groups[wanted] == groups[given])).sum()),
    )


def same_composition(true: Crystal, found: Crystal) -> bool:
    """Whether the reduced formulas agree."""
    return reduced_counts(true) == reduced_counts(found)


def same_contents(true: Crystal, found: Crystal | None) -> bool:
    """Whether the cells hold the same atoms, element by element."""
    return found is not None and Counter(true.numbers.tolist()) == Counter(found.numbers.tolist())


@cache
def element_groups() -> tuple[int, ...]:
    """IUPAC group of every element by atomic number; lanthanides and actinides all in group 3, index 0 is 0."""
    return (0, *(_group(z) for z in range(1, _CLOSED_SHELLS[-1] + 1)))


def _group(number: int) -> int:
    if number in (1, 2):
        return 1 if number == 1 else 18
    period = int(np.searchsorted(_CLOSED_SHELLS, number))
    place, length = (
        number - _CLOSED_SHELLS[period - 1],
        _CLOSED_SHELLS[period] - _CLOSED_SHELLS[period - 1],
    )
    if place <= 2:
        return place
    return max(3, place + 18 - length)
