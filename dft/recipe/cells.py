"""Symmetrised cells of a crystal (spglib): the primitive one that pw.x gets, the conventional one that is compared.

Atoms of one element with different moments (dft.recipe.moments) are different atoms: an antiferromagnet is not folded.
"""

from __future__ import annotations

import numpy as np
import spglib
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from crystalloop.dft.recipe.moments import site_moments, with_moments

SYMPREC_ANG = 0.01
SpglibCell = tuple[np.ndarray, np.ndarray, list[int]]


def primitive_cell(structure: Structure, symprec_ang: float = SYMPREC_ANG) -> Structure:
    """The idealised standard primitive cell: pw.x is 7 times faster on that of rock salt than on the conventional.

    Idealised, because noise of 3e-4 in the coordinates cuts the 48 symmetry operations that pw.x finds to 2.
    Where spglib finds no symmetry the structure comes back as it is.
    """
    return _standardized(structure, symprec_ang, to_primitive=True)


def conventional_cell(structure: Structure, symprec_ang: float = SYMPREC_ANG) -> Structure:
    """The idealised standard conventional cell; the structure itself where spglib finds no symmetry."""
    return _standardized(structure, symprec_ang, to_primitive=False)


def spacegroup_number(structure: Structure, symprec_ang: float = SYMPREC_ANG) -> int:
    """International number; 1 where spglib finds no symmetry."""
    try:
        dataset = spglib.get_symmetry_dataset(spglib_cell(structure), symprec=symprec_ang)
    except spglib.SpglibError:
        return 1
    return 1 if dataset is None else int(dataset.number)


def only_volume_is_free(structure: Structure, symprec_ang: float = SYMPREC_ANG) -> bool:
    """Whether symmetry fixes all but the volume: a cubic lattice, and no atom may move.

    An atom may move along what the average of its site's rotations leaves; none do if the traces are zero.
    """
    if spacegroup_number(structure, symprec_ang) < 195:
        return False
    operations = spglib.get_symmetry(spglib_cell(structure), symprec=symprec_ang)
    for position in structure.frac_coords:
        images = operations["rotations"] @ position + operations["translations"] - position  # [operations, 3]
        stays = np.all(np.abs(images - np.round(images)) < 1e-3, axis=1)
        if abs(np.trace(operations["rotations"][stays].mean(axis=0))) > 1e-6:
            return False
    return True


def _standardized(structure: Structure, symprec_ang: float, to_primitive: bool) -> Structure:
    try:
        found = spglib.standardize_cell(spglib_cell(structure), to_primitive=to_primitive, symprec=symprec_ang)
    except spglib.SpglibError:
        found = None
    if found is None:
        return structure.copy()
    lattice, positions, numbers = found
    # Many operations are lost to an x of 1 - 1e-17 beside one of 0; + 0.0 takes the sign off zero.
    positions = np.where(np.isclose(positions, 1.0, atol=1e-10), 0.0, positions) + 0.0
    found = Structure(lattice, [Element.from_Z(int(z) % _SIZES).symbol for z in numbers], positions)
    sizes = sorted(set(site_moments(structure)))
    return with_moments(found, [sizes[int(z) // _SIZES] for z in numbers]) if sizes else found


_SIZES = 1000
"""Above all atomic numbers."""


def spglib_cell(structure: Structure) -> SpglibCell:
    """Lattice, positions and a number for each kind of atom: Z, and more where moments tell atoms of an element apart."""
    numbers, moments = [int(site.specie.Z) for site in structure], site_moments(structure)
    if moments:
        sizes = sorted(set(moments))
        numbers = [z + _SIZES * sizes.index(moment) for z, moment in zip(numbers, moments, strict=True)]
    return structure.lattice.matrix, structure.frac_coords, numbers
