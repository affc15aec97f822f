"""Elemental reference energies and what is made of them: which calculation, under which key, and formation energies.

The references are computed by the same `relax` as the crystals, with the same functional, pseudopotentials and
smearing, and E0 = F + TS/2 is taken on both sides. Raw PBE: no corrections for anions. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from pymatgen.core.structure import Structure

from dft.cells import primitive_cell, spacegroup_number
from dft.ground_states import FIXED, MAGNETIC, MOLECULES, NoReference, ground_state, supported_elements
from dft.pseudos import PseudoTable
from dft.settings import CODE_VERSION, PwSettings

__all__ = [
    "NoReference",
    "calculation_key",
    "formation_energy_ev_per_atom",
    "reference_settings",
    "reference_structure",
    "supported_elements",
]

_NONMETALS = frozenset(["B", "C", "Si", "P", "Ge", "As", "Se", "Br", "Sb", "Te", "I", "Sn"])


def reference_structure(element: str) -> Structure:
    """The element's ground state: a crystal to relax, or a molecule in a box.

    Raises:
        NoReference: the element has none here.
    """
    return ground_state(element)


def reference_settings(element: str, settings: PwSettings) -> PwSettings:
    """How the element is computed so that it goes with crystals computed with `settings`.

    A metal needs many more k points than an ionic crystal: at 0.30/angstrom Al is 27 meV/atom off and Mg 16, at 0.20
    (the most that is taken here) Al 6, Mg 3, Na 3, Li 1, measured against 0.15.
    Molecules and graphite are computed at their given geometry. Oxygen, iron, cobalt and nickel are spin-polarised.
    """
    changes: dict[str, object] = {"nspin": 1, "tot_magnetization": None, "vary": "cell", "gamma_only": False}
    changes["kspacing_inv_ang"] = min(settings.kspacing_inv_ang, 0.30 if element in _NONMETALS else 0.20)
    if element in FIXED:
        changes["vary"] = "nothing"
    if element in MOLECULES:
        changes |= {"gamma_only": True, "kspacing_inv_ang": settings.kspacing_inv_ang}
    if element in MAGNETIC:
        changes |= {"nspin": 2, "starting_magnetization": MAGNETIC[element]}
    if element == "O":
        changes["tot_magnetization"] = 2.0
    return settings.model_copy(update=changes)


def calculation_key(structure: Structure, settings: PwSettings, table: PseudoTable) -> str:
    """Digest of what would be computed: equal keys are the same calculation.

    The crystal enters by what no choice of cell, origin or order of atoms changes: elements, space group, volume per
    atom, and each atom's distances to its nearest shells, all of the symmetrised primitive cell. Limits and corrections
    of the settings do not enter. Tiny differences can still fall on two sides of a rounding step: ask a
    StructureMatcher before computing twice what is expensive.
    """
    cell = primitive_cell(structure)
    elements = sorted({site.specie.symbol for site in cell})
    content = {
        "code": CODE_VERSION,
        "settings": settings.physics(),
        "pseudos": {element: table[element].md5 for element in elements},
        "spacegroup": spacegroup_number(cell),
        "atoms": sorted(site.specie.symbol for site in cell),
        "volume": _rounded(cell.volume / len(cell), 0.05),
        "shells": _shells(cell),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _shells(cell: Structure) -> list[list[object]]:
    """Per atom: its element and its nearest neighbours' elements and distances, independent of order and origin."""
    reach = 1.9 * (cell.volume / len(cell)) ** (1 / 3)
    centres, points, _, distances = cell.get_neighbor_list(reach)
    symbols = [site.specie.symbol for site in cell]
    seen: list[dict[tuple[str, int], int]] = [{} for _ in symbols]
    for centre, point, distance in zip(centres, points, distances, strict=True):
        kind = (symbols[point], _rounded(float(distance), 0.02))
        seen[centre][kind] = seen[centre].get(kind, 0) + 1
    return sorted(
        [symbol, sorted([*kind, number] for kind, number in shell.items())]
        for symbol, shell in zip(symbols, seen, strict=True)
    )


def _rounded(value: float, step: float) -> int:
    # Off centre, so that the round numbers people type do not lie on a rounding step.
    return int(np.floor(value / step + 0.37))


def formation_energy_ev_per_atom(
    energy_ev: float, composition: Mapping[str, float], references: Mapping[str, float]
) -> float:
    """Energy of formation from the elements, (E - sum of n_i mu_i) / N.

    Args:
        energy_ev: E0 of the cell.
        composition: element -> number of atoms in that cell.
        references: element -> E0 of its reference state, eV/atom.

    Raises:
        NoReference: a reference energy is missing.
    """
    missing = sorted(set(composition) - set(references))
    if missing:
        raise NoReference(f"no reference energy of {', '.join(missing)} yet: relax their reference states first")
    atoms = sum(composition.values())
    return (energy_ev - sum(number * references[element] for element, number in composition.items())) / atoms
