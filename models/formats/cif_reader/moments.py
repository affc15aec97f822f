"""Magnetic moments of a CIF's sites -> one signed number for each place where they lie along one line, or why not. No positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.formats.cif_reader.blocks import NULLS, CifBlock, number
from crystalloop.models.formats.cif_reader.operations import Operations
from crystalloop.models.formats.cif_reader.places import Places
from crystalloop.models.formats.cif_reader.refusal import CifError
from crystalloop.models.formats.cif_reader.sites import ListedSite

_NOTHING, _STRAIGHT = 1e-3, 0.02  # Bohr magnetons; sine of the angle between moments that count as one line
_LARGEST = 20.0


def moments_of(
    block: CifBlock,
    sites: Sequence[ListedSite],
    places: Places,
    operations: Operations | None,
    lattice: NDArray[np.float64],
) -> list[float] | None:
    """Moments in Bohr magnetons, one for each place, signed along their common line; None where there are none to use.

    Args:
        block: gets a note where it has moments that are not used.
        sites: as listed.
        places: made of them by these operations.
        operations: with their reversals of time; None where they do not say what becomes of moments.
        lattice: rows [3, 3] in angstrom.

    Raises:
        CifError: a moment that is no number, or of a site that is not listed.
    """
    listed = _listed(block, sites, lattice)
    if not any(np.linalg.norm(moment) > _NOTHING for moment in listed.values()):
        return None
    if operations is None:
        block.note(
            "its moments are not used: it lists no magnetic operations, which say what the moments of images are"
        )
        return None
    vectors = np.zeros((len(places.all), 3))
    for index, moment in listed.items():
        kept = [_turned(operations, int(k), moment, lattice) for k in _keepers(operations, places, index)]
        if max(float(np.linalg.norm(one - moment)) for one in kept) > 0.05 + 0.02 * float(np.linalg.norm(moment)):
            block.note(
                f"its moments are not used: the symmetry of site {sites[index].label} turns its moment into another"
            )
            return None
        for k, place in enumerate(places.all):
            if place.site == index:
                vectors[k] = _turned(operations, _maker(operations, places, place.maker), moment, lattice)
    longest = vectors[int(np.argmax(np.linalg.norm(vectors, axis=1)))]
    line = longest / np.linalg.norm(longest)
    along = vectors @ line
    if np.linalg.norm(vectors - along[:, None] * line, axis=1).max() > _STRAIGHT * np.linalg.norm(longest):
        block.note("its moments are not collinear, and are not used")
        return None
    sign = 1.0 if along[int(np.argmax(np.abs(along) > _NOTHING))] > 0 else -1.0
    return [round(float(sign * value), 6) + 0.0 for value in along]


def _keepers(operations: Operations, places: Places, index: int) -> NDArray[np.int64]:
    at = places.orbits[index].positions[0]
    offsets = operations.images(at) - at
    return np.flatnonzero(np.abs(offsets - np.rint(offsets)).max(axis=1) < 1e-4)


def _maker(operations: Operations, places: Places, maker: int) -> int:
    """Index among all operations of the one that made a place, places being made by those without time."""
    code = operations.without_time().codes[maker]
    return int(np.argmax(operations.codes == code))


def _turned(
    operations: Operations, k: int, moment: NDArray[np.float64], lattice: NDArray[np.float64]
) -> NDArray[np.float64]:
    """An axial vector [3] in Cartesian axes after an operation."""
    rotation = operations.rotations[k]
    sign = round(float(np.linalg.det(rotation))) * int(operations.reversals[k])
    turned: NDArray[np.float64] = sign * (rotation @ np.linalg.solve(lattice.T, moment)) @ lattice
    return turned


def _listed(
    block: CifBlock, sites: Sequence[ListedSite], lattice: NDArray[np.float64]
) -> dict[int, NDArray[np.float64]]:
    """Moments [3] in Cartesian axes by index of their site."""
    axes = [block.column(*(f"_atom_site_moment_crystalaxis_{m}{axis}" for m in ("", "m"))) for axis in "xyz"]
    labels = block.column("_atom_site_moment_label")
    if labels is None or any(column is None for column in axes):
        if block.named("_atom_site_moment"):
            block.note("its moments are not used: they are not given as _atom_site_moment.crystalaxis_x, _y and _z")
        return {}
    units = lattice / np.linalg.norm(lattice, axis=1)[:, None]
    by_label = {site.label: index for index, site in enumerate(sites)}
    if len(by_label) < len(sites) or len(set(labels)) < len(labels):
        raise CifError(
            "has moments of sites by labels that are not each of one site; give every site a label of its own"
        )
    found = {}
    for row, label in enumerate(labels):
        given = [column[row] if row < len(column) else "?" for column in axes if column is not None]
        if all(one in NULLS for one in given):
            continue
        values = [number(one) for one in given]
        if not all(math.isfinite(value) and abs(value) <= _LARGEST for value in values):
            raise CifError(
                f"the moment of site {label} is {' '.join(given)[:60]!r}, wanted are three numbers; mend the file"
            )
        if label not in by_label:
            raise CifError(f"has a moment of site {label}, which is not listed; mend the file")
        found[by_label[label]] = np.array(values) @ units
    return found
