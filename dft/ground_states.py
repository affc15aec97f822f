"""The elements as found at low temperature: crystals to relax, molecules in a box. Pure tables and geometry.

bcc, fcc, hcp and diamond edges are experimental ones from `ase.data.reference_states` (room temperature, within 2 % of
PBE: a start for a relaxation). What ASE lacks, or has in a high-temperature phase, stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

BOX_ANG = 8.0
"""Edge of the box of a diatomic molecule; S8 gets 12."""

BOND_ANG = {"H": 0.750, "N": 1.102, "O": 1.219, "F": 1.413, "Cl": 2.005}
"""PBE bond lengths of the diatomic molecules (0.01 angstrom off costs 3 to 10 meV/atom)."""

_BCC = "Li Na K Rb Cs Ba V Nb Ta Cr Mo W Fe"  # Li and Na: close-packed phases lie 1-3 meV/atom lower at 0 K
_FCC = "Al Ca Sr Ni Cu Rh Pd Ag Ir Pt Au Pb"
_HCP = "Be Mg Sc Y Ti Zr Hf Tc Re Ru Os Co Zn Cd Tl"
_DIAMOND = "Si Ge"

# space group, lattice, Wyckoff representatives; X-ray structures at low temperature where there are any
_SPECIAL: dict[str, tuple[str, Lattice, list[list[float]]]] = {
    "B": ("R-3m", Lattice.hexagonal(4.908, 12.567), [[0.1192, -0.1192, 0.8912], [0.1969, -0.1969, 0.0243]]),
    "C": ("P6_3/mmc", Lattice.hexagonal(2.461, 6.708), [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25]]),  # graphite
    "P": ("Cmce", Lattice.orthorhombic(3.3136, 10.478, 4.3763), [[0, 0.1017, 0.0806]]),  # black
    "Ga": ("Cmce", Lattice.orthorhombic(4.5192, 7.6586, 4.5258), [[0, 0.1539, 0.0798]]),
    "As": ("R-3m", Lattice.hexagonal(3.760, 10.548), [[0, 0, 0.2271]]),
    "Se": ("P3_121", Lattice.hexagonal(4.366, 4.954), [[0.2254, 0, 1 / 3]]),
    "Br": ("Cmce", Lattice.orthorhombic(6.567, 4.466, 8.694), [[0, 0.1390, 0.1134]]),
    "In": ("I4/mmm", Lattice.tetragonal(3.252, 4.946), [[0, 0, 0]]),
    "Sn": ("Fd-3m", Lattice.cubic(6.489), [[0, 0, 0]]),  # grey tin, stable below 286 K
    "Sb": ("R-3m", Lattice.hexagonal(4.307, 11.273), [[0, 0, 0.2336]]),
    "Te": ("P3_121", Lattice.hexagonal(4.456, 5.921), [[0.2636, 0, 1 / 3]]),
    "I": ("Cmce", Lattice.orthorhombic(7.136, 4.686, 9.784), [[0, 0.1543, 0.1174]]),
    "La": ("P6_3/mmc", Lattice.hexagonal(3.774, 12.171), [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]),  # dhcp
    "Bi": ("R-3m", Lattice.hexagonal(4.546, 11.862), [[0, 0, 0.2339]]),
}

MOLECULES = frozenset(BOND_ANG) | {"S"}
FIXED = MOLECULES | {"C"}
"""Computed at the given geometry: PBE leaves the layers of graphite unbound, and a box must not shrink."""
MAGNETIC = {"Fe": 0.5, "Co": 0.5, "Ni": 0.3, "O": 0.5}
"""Elements whose ground state is magnetic, with the magnetisation to start from. Cr is taken without its
antiferromagnetism (15 meV/atom in PBE); Mn, with 58 atoms, is not supported."""


class NoReference(ValueError):
    """The element has no reference state here."""


def supported_elements() -> frozenset[str]:
    """Elements with a reference state."""
    return frozenset(_simple()) | frozenset(_SPECIAL) | MOLECULES


def ground_state(element: str) -> Structure:
    """The crystal to start from, in its conventional cell, or the molecule in its box.

    Raises:
        NoReference: noble gases, mercury, manganese, lanthanides but La, actinides.
    """
    if element in BOND_ANG:
        return _diatomic(element)
    if element == "S":
        return _s8()
    if element in _SPECIAL:
        spacegroup, lattice, sites = _SPECIAL[element]
        return Structure.from_spacegroup(spacegroup, lattice, [element] * len(sites), sites)
    build = _simple().get(element)
    if build is None:
        raise NoReference(
            f"no reference state for {element}; there are {', '.join(sorted(supported_elements()))}: "
            "leave the element out of the campaign"
        )
    return build(element)


def _simple() -> dict[str, Callable[[str], Structure]]:
    builders = {_BCC: _bcc, _FCC: _fcc, _HCP: _hcp, _DIAMOND: _diamond}
    return {element: build for elements, build in builders.items() for element in elements.split()}


def _edges(element: str) -> tuple[float, float]:
    """Edges a and c in angstrom; c is a for cubic ones."""
    from ase.data import atomic_numbers, reference_states

    state = reference_states[atomic_numbers[element]]
    a = float(state["a"])
    return a, a * float(state.get("c/a", 1.0))


def _bcc(element: str) -> Structure:
    return Structure.from_spacegroup("Im-3m", Lattice.cubic(_edges(element)[0]), [element], [[0, 0, 0]])


def _fcc(element: str) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(_edges(element)[0]), [element], [[0, 0, 0]])


def _diamond(element: str) -> Structure:
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(_edges(element)[0]), [element], [[0, 0, 0]])


def _hcp(element: str) -> Structure:
    return Structure.from_spacegroup("P6_3/mmc", Lattice.hexagonal(*_edges(element)), [element], [[1 / 3, 2 / 3, 0.25]])


def _diatomic(element: str) -> Structure:
    half = BOND_ANG[element] / 2
    coords = [[0, 0, -half], [0, 0, half]]
    return Structure(Lattice.cubic(BOX_ANG), [element] * 2, coords, coords_are_cartesian=True)


def _s8() -> Structure:
    """The crown of orthorhombic sulfur alone (D4d, bond 2.065 angstrom, angle 108 degrees)."""
    bond, angle = 2.065, math.radians(108.0)
    radius = bond * math.sin(angle / 2) / math.sin(math.pi / 4)
    height = math.sqrt(bond**2 - (2 * radius * math.sin(math.pi / 8)) ** 2) / 2
    coords = [
        [radius * math.cos(i * math.pi / 4), radius * math.sin(i * math.pi / 4), height * (-1) ** i] for i in range(8)
    ]
    return Structure(Lattice.cubic(12.0), ["S"] * 8, coords, coords_are_cartesian=True)
