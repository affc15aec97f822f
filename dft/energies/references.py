"""Elemental reference energies and what is made of them: which calculation, under which key, and formation energies.

The references are computed by the same `relax` as the crystals, with the same functional, pseudopotentials and
smearing, and E0 = F + TS/2 is taken on both sides. Raw PBE: no corrections for anions. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

import numpy as np
from pymatgen.core.structure import Structure

from crystalloop.dft.energies.ground_states import (
    FIXED,
    MAGNETIC,
    MOLECULES,
    NoReference,
    ground_state,
    supported_elements,
)
from crystalloop.dft.recipe.cells import primitive_cell, spacegroup_number
from crystalloop.dft.recipe.element_rules import for_crystal
from crystalloop.dft.recipe.moments import without_moments
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import CODE_VERSION, PwSettings

__all__ = [
    "NoReference",
    "calculation_key",
    "energy_scheme",
    "formation_energy_ev_per_atom",
    "reference_settings",
    "reference_structure",
    "release",
    "same_scheme",
    "supported_elements",
]

_SCHEME = ("ecutwfc_ry", "ecutrho_ry", "kspacing_inv_ang", "smearing", "degauss_ry", "d2")
"""Settings that shift energies by more than relaxations are converged to. Spin is not among them: it belongs to the
ground state of each crystal. References have denser k points and are found by their own key."""
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
    # Bulk modulus, coarse rung and limits are asked of candidates; a mesh that fits one cell fits no other.
    changes |= {"cheap_first": False, "reject_above_ev_per_atom": None, "start_volume": "given", "k_mesh": None}
    changes["band_gap"] = "none"
    # Moments are guessed for compounds; an element starts as it is known.
    changes |= {"starting_magnetization": 0.5, "starting_moments": {}}
    changes["method"] = "auto" if settings.method == "eos" else settings.method
    changes["kspacing_metals_inv_ang"] = None
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


def calculation_key(structure: Structure, settings: PwSettings, table: PseudoTable, pw_version: str = "") -> str:
    """Digest of what would be computed: equal keys are the same calculation.

    The functional is that of the pseudopotentials, so it enters with their md5. The release of pw.x (6.7, 7.3) enters
    where it is known: keys of databases that began without it stay as they are.

    The crystal enters by what no choice of cell, origin or order of atoms changes: elements, space group, volume per
    atom, and each atom's distances to its nearest shells, all of the symmetrised primitive cell. Limits and corrections
    of the settings do not enter. Tiny differences can still fall on two sides of a rounding step: ask a
    StructureMatcher before computing twice what is expensive.
    """
    structure = without_moments(structure)  # moments of a file are no part of a campaign's crystals
    cell, settings = primitive_cell(structure), for_crystal(structure, settings)
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
    if pw_version:
        content["pw"] = release(pw_version)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def energy_scheme(settings: PwSettings, table: PseudoTable, pw_version: str) -> str:
    """Name of the scheme of an energy: two total energies may be subtracted where it is the same, and only there.

    It holds the release of pw.x, the k spacing and the dispersion for people to read, and a digest of these, cutoffs,
    smearing and the md5 of every pseudopotential of the table. Write it beside the energies of an imported set.
    """
    pseudos = {element: entry.md5 for element, entry in table.entries.items()}
    content = {"code": CODE_VERSION, "pw": release(pw_version), "pseudos": pseudos} | _scheme_fields(settings)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
    return f"pw{release(pw_version)}-k{settings.kspacing_inv_ang:g}{'-d2' if settings.d2 else ''}-{digest}"


def same_scheme(settings: PwSettings, other: PwSettings) -> bool:
    """Whether crystals computed with either have energies that may be compared, given the same pseudopotentials."""
    return _scheme_fields(settings) == _scheme_fields(other)


def release(pw_version: str) -> str:
    """Major and minor number of a version as pw.x prints it: 6.7 of 6.7MaX, 7.3 of 7.3.1."""
    found = re.match(r"\d+\.\d+", pw_version)
    return found[0] if found else pw_version


def _scheme_fields(settings: PwSettings) -> dict[str, object]:
    fields = {name: getattr(settings, name) for name in _SCHEME}
    if settings.kspacing_metals_inv_ang is not None:  # names of schemes without it stay what they were
        fields["kspacing_metals_inv_ang"] = settings.kspacing_metals_inv_ang
    return fields


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
