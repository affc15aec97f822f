"""Cell, elements, positions, moments -> the structure: the one place where readers make one. Nothing is parsed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.parts.cells import LONGEST_ANG
from crystalloop.models.formats.parts.moments import along_one_line
from crystalloop.models.formats.parts.sound import refuse_count
from crystalloop.models.formats.parts.words import shown

_SMALLEST_BOHR = 0.01
"""Below it a moment is the noise of a calculation without any."""
OnSite = str | Mapping[str, float]
"""The element of a site, or how much of which elements is on it."""


def assembled(
    cell: NDArray[np.float64],
    species: Sequence[OnSite],
    coords: NDArray[np.float64],
    moments: Sequence[float] | Sequence[Sequence[float]] | None = None,
    notes: Sequence[str] = (),
) -> CrystalRead:
    """The structure of what a reader found.

    Args:
        cell: vectors in angstrom, one a row [3, 3].
        species: of each site [a].
        coords: fractional [a, 3].
        moments: Bohr magnetons of each site [a], or [a, 3] as vectors; None where the file says nothing.
        notes: what the reader has to say.

    Raises:
        FormatError: counts that do not fit each other, positions that are no fractions, symbols that pymatgen refuses.
    """
    if len(species) != len(coords):
        raise FormatError(f"holds {len(species)} species and {len(coords)} positions; mend the file")
    refuse_count(len(species))
    if not np.all(np.abs(coords) < LONGEST_ANG):
        worst = int(np.argmax(np.abs(coords).max(axis=1)))
        raise FormatError(
            f"position {worst + 1} lies {np.abs(coords[worst]).max():.3g} cells away; mend it or check its unit"
        )
    try:
        structure = Structure(Lattice(cell), [one if isinstance(one, str) else dict(one) for one in species], coords)
    except ValueError as error:
        raise FormatError(f"the species {shown(species[0])} and so on make no crystal ({error})") from error
    more = _add_moments(structure, moments)
    return CrystalRead(structure, (*notes, *more))


def _add_moments(structure: Structure, moments: Sequence[float] | Sequence[Sequence[float]] | None) -> list[str]:
    if moments is None:
        return []
    found = np.asarray(moments, dtype=np.float64)
    note = None
    signed: list[float] | None = [float(one) for one in found] if found.ndim == 1 else None
    if found.ndim == 2:
        signed, note = along_one_line(found)
    if signed is not None and any(abs(one) > _SMALLEST_BOHR for one in signed):
        structure.add_site_property("magmom", signed)
    return [note] if note else []
