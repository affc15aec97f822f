"""Whether a crystal is one that can be computed or learnt from: ordered, of elements, its atoms apart. Of any format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.formats.crystal_read import MOST_ATOMS, CrystalRead, FormatError
from crystalloop.models.formats.parts.words import ISOTOPES, isotope_note

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

CLOSEST_ANG = 0.5
"""No two atoms are closer (the paper's validity: Court et al. 2020)."""


def sound(read: CrystalRead) -> CrystalRead:
    """The crystal with elements alone on its sites: charges left out, D and T as hydrogen, which a note says.

    Raises:
        FormatError: no atoms or too many, shared or partly empty sites, dummies, two atoms at one place.
    """
    structure = read.structure
    refuse_count(len(structure))
    refuse_unknown(structure)
    refuse_disorder(structure)
    notes = _as_hydrogen(structure)
    structure.remove_oxidation_states()
    refuse_coincidence(structure)
    return CrystalRead(structure, (*read.notes, *notes))


def refuse_count(atoms: int) -> None:
    """No atoms, or more than any calculation here takes.

    Raises:
        FormatError: how many.
    """
    if not 0 < atoms <= MOST_ATOMS:
        how_many = f"{atoms} atoms, {MOST_ATOMS} are read" if atoms else "no atoms"
        raise FormatError(f"holds {how_many}; give the cell of one crystal")


def refuse_unknown(structure: Structure) -> None:
    """Dummies, vacancies and what pymatgen takes for an element and is none.

    Raises:
        FormatError: by name.
    """
    known = set(atomic_numbers()) | set(ISOTOPES)
    unknown = sorted({kind.symbol for site in structure for kind in site.species} - known)
    if unknown:
        raise FormatError(f"{', '.join(unknown)} is not an element symbol; mend the file")


def refuse_disorder(structure: Structure) -> None:
    """Sites that several elements share, or that are partly empty.

    Raises:
        FormatError: how many, and what the first of them holds.
    """
    shared = [(number, site) for number, site in enumerate(structure, 1) if not site.is_ordered]
    if shared:
        number, site = shared[0]
        raise FormatError(
            f"{len(shared)} of {len(structure)} sites are shared or partly empty, the first holds "
            f"{site.species.formula!r} (site {number}); choose one element per site (an ordered approximant) and give that"
        )


def refuse_coincidence(structure: Structure) -> None:
    """Two atoms closer than 0.5 angstrom, images included.

    Raises:
        FormatError: which two, and how far apart.
    """
    reduced = structure.lattice.get_lll_reduced_lattice()
    if min(reduced.abc) < CLOSEST_ANG:
        raise FormatError(f"a lattice translation of {min(reduced.abc):.3f} angstrom: no crystal repeats so closely")
    coords = reduced.get_fractional_coords(structure.cart_coords)
    for one in range(len(structure) - 1):
        apart = reduced.get_all_distances(coords[one], coords[one + 1 :])[0]
        other = int(np.argmin(apart)) + one + 1
        distance = float(apart.min())
        if not distance >= CLOSEST_ANG:
            pair = " and ".join(f"{_named(structure, index)}" for index in (one, other))
            raise FormatError(
                f"atoms coincide: {pair} are {distance:.3f} angstrom apart; remove one of them, or mend their positions"
            )


def _named(structure: Structure, index: int) -> str:
    site = structure[index]
    label = "" if site.label in (None, site.species_string) else f" {site.label}"
    return f"site {index + 1}{label} ({site.species_string})"


def _as_hydrogen(structure: Structure) -> tuple[str, ...]:
    names = {getattr(kind, "name", ""): kind for site in structure for kind in site.species}
    heavy = [name for name in ISOTOPES if name in names]
    for name in heavy:
        structure.replace_species({names[name]: "H"})
    return tuple(isotope_note(name) for name in heavy)
