"""A structure -> CIF with its symmetry, POSCAR, extended XYZ or JSON, as text: what the tests give to our readers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

TextFormat = Literal["cif", "poscar", "extxyz", "json"]
_SYMMETRY_ANG = 1e-3
"""How far atoms may lie from where symmetry puts them; a CIF moves them there."""


def text_of(structure: Structure, form: TextFormat) -> str:
    """The text of an ordered crystal.

    A CIF holds the conventional cell with the operations of its space group and one site of each orbit; triclinic cells stay as
    they are. POSCAR groups the sites by element. Moments (the site property "magmom") are in extended XYZ and JSON alone.

    """
    assert structure.is_ordered
    return _WRITERS[form](structure)


def _cif(structure: Structure) -> str:
    symbols, coords, cell, group, operations = _by_symmetry(structure)
    kept, sizes = _orbits(symbols, coords, cell, operations)
    lengths, angles = np.linalg.norm(cell, axis=1), _angles(cell)
    formula, units = structure.composition.reduced_composition, len(symbols)
    units = round(units / formula.num_atoms)
    lines = [
        f"data_{structure.composition.reduced_formula}",
        f"_chemical_formula_sum '{formula.formula}'",
        f"_cell_formula_units_Z {units}",
        *(f"_cell_length_{name} {value:.10f}" for name, value in zip("abc", lengths, strict=True)),
        *(f"_cell_angle_{name} {value:.10f}" for name, value in zip(("alpha", "beta", "gamma"), angles, strict=True)),
        f"_cell_volume {abs(np.linalg.det(cell)):.8f}",
        f"_space_group_name_H-M_alt '{group.xhm()}'",
        f"_space_group_name_Hall '{group.hall}'",
        f"_space_group_IT_number {group.number}",
        "loop_",
        "_space_group_symop_operation_xyz",
        *(f"'{operation.triplet()}'" for operation in operations),
        "loop_",
        *(f"_atom_site_{name}" for name in ("label", "type_symbol", "symmetry_multiplicity")),
        *(f"_atom_site_fract_{axis}" for axis in "xyz"),
        "_atom_site_occupancy",
    ]
    for number, (index, size) in enumerate(zip(kept, sizes, strict=True), 1):
        place = " ".join(f"{value:.10f}" for value in coords[index] % 1.0)
        lines.append(f"{symbols[index]}{number} {symbols[index]} {size} {place} 1")
    return "\n".join(lines) + "\n"


_Described = tuple[list[str], NDArray[np.float64], NDArray[np.float64], gemmi.SpaceGroup, list[gemmi.Op]]


def _by_symmetry(structure: Structure) -> _Described:
    """Symbols, fractions, cell, space group and operations of the conventional cell; of the cell as it is if triclinic."""
    symbols = [site.specie.symbol for site in structure]
    cell, coords = np.array(structure.lattice.matrix), np.array(structure.frac_coords)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)  # spglib 2.8, every call
        try:
            found = spglib.get_symmetry_dataset((cell, coords, structure.atomic_numbers), symprec=_SYMMETRY_ANG)
        except spglib.SpglibError:  # what spglib 3 does instead of returning None
            found = None
    if found is None or found.number == 1:
        return symbols, coords, cell, *_group("P 1")
    if found.number == 2:  # the centre of inversion becomes the origin
        turned = int(np.flatnonzero(found.rotations[:, 0, 0] == -1)[0])
        return symbols, coords - found.translations[turned] / 2, cell, *_group("-P 1")
    by_number = dict(zip(structure.atomic_numbers, symbols, strict=True))
    group, operations = _group(spglib.get_spacegroup_type(found.hall_number).hall_symbol)
    standard = [by_number[number] for number in found.std_types]
    return standard, np.array(found.std_positions), np.array(found.std_lattice), group, operations


def _group(hall: str) -> tuple[gemmi.SpaceGroup, list[gemmi.Op]]:
    operations = gemmi.symops_from_hall(hall)
    group = gemmi.find_spacegroup_by_ops(operations)
    assert group is not None, hall
    return group, list(operations)


def _orbits(
    symbols: Sequence[str], coords: NDArray[np.float64], cell: NDArray[np.float64], operations: Sequence[gemmi.Op]
) -> tuple[list[int], list[int]]:
    """The first site of each orbit, and how many sites the orbit has."""
    rotations = np.array([operation.rot for operation in operations]) / gemmi.Op.DEN
    translations = np.array([operation.tran for operation in operations]) / gemmi.Op.DEN
    kinds, left = np.array(symbols), np.ones(len(symbols), dtype=bool)
    kept, sizes = [], []
    for index in range(len(symbols)):
        if not left[index]:
            continue
        images = rotations @ coords[index] + translations  # [operations, 3]
        candidates = np.flatnonzero(left & (kinds == kinds[index]))
        apart = images[:, None, :] - coords[candidates][None, :, :]
        distances = np.linalg.norm((apart - np.round(apart)) @ cell, axis=2).min(axis=0)
        orbit = candidates[distances < 10 * _SYMMETRY_ANG]
        left[orbit] = False
        kept.append(index)
        sizes.append(len(orbit))
    return kept, sizes


def _angles(cell: NDArray[np.float64]) -> list[float]:
    unit = cell / np.linalg.norm(cell, axis=1)[:, None]
    cosines = (unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1])
    return [float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) for cosine in cosines]


def _poscar(structure: Structure) -> str:
    """Elements in the order in which they come first; two vectors of a left-handed cell change places, as VASP wants it."""
    symbols = [site.specie.symbol for site in structure]
    elements = list(dict.fromkeys(symbols))
    axes = [0, 1, 2] if np.linalg.det(structure.lattice.matrix) > 0 else [0, 2, 1]
    rows = [site.frac_coords[axes] for element in elements for site in structure if site.specie.symbol == element]
    counts = " ".join(str(symbols.count(element)) for element in elements)
    lines = [
        structure.composition.formula,
        "1.0",
        *(_numbers(vector) for vector in structure.lattice.matrix[axes]),
        " ".join(elements),
        counts,
        "Direct",
        *(_numbers(row) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _extxyz(structure: Structure) -> str:
    moments = structure.site_properties.get("magmom")
    columns = "species:S:1:pos:R:3" + (":initial_magmoms:R:1" if moments else "")
    box = " ".join(f"{value:.16g}" for value in structure.lattice.matrix.ravel())
    lines = [str(len(structure)), f'Lattice="{box}" Properties={columns} pbc="T T T"']
    for index, site in enumerate(structure):
        moment = f" {float(moments[index] or 0.0):.16g}" if moments else ""
        lines.append(f"{site.specie.symbol} {_numbers(site.coords)}{moment}")
    return "\n".join(lines) + "\n"


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.16g}" for value in values)


def _json(structure: Structure) -> str:
    return json.dumps(structure.as_dict(), indent=1) + "\n"


_WRITERS: dict[str, Callable[[Structure], str]] = {
    "cif": _cif,
    "poscar": _poscar,
    "extxyz": _extxyz,
    "json": _json,
}
