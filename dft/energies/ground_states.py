"""The elements as found at low temperature: crystals to relax, molecules in a box. Pure tables and geometry.

bcc, fcc, hcp and diamond start from PBE volumes, so that a metal is computed once or twice and not four times. What
ASE lacks, or has in a high-temperature phase, stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ase.data import atomic_numbers, reference_states
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

BOX_ANG = {"H": 6.5, "N": 6.5, "O": 6.5, "F": 6.5, "Cl": 7.0}
"""Edge of the box of a diatomic molecule; S8 gets 12. Against 8 angstrom, O2 and F2 change by 0.3 meV/atom in 7 and O2
by less than 0.1 in 6, Cl2 by 0.9 in 7 (10 in 6)."""

BOND_ANG = {"H": 0.750, "N": 1.102, "O": 1.219, "F": 1.413, "Cl": 2.005}
"""PBE bond lengths of the diatomic molecules (0.01 angstrom off costs 3 to 10 meV/atom)."""

# cubic angstrom per atom, PBE at 0 K: Lejaeghere et al., Science 351, aad3000 (2016), all-electron
_VOLUMES_ANG3 = {
    "Li": 20.22, "Be": 7.92, "Na": 37.47, "Mg": 22.94, "Al": 16.48, "Si": 20.45, "K": 73.68, "Ca": 42.21, "Sc": 24.62,
    "Ti": 17.39, "V": 13.45, "Cr": 11.78, "Fe": 11.34, "Co": 10.86, "Ni": 10.89, "Cu": 11.96, "Zn": 15.18, "Ge": 23.92,
    "Rb": 91.17, "Sr": 54.53, "Y": 32.86, "Zr": 23.39, "Nb": 18.14, "Mo": 15.79, "Tc": 14.44, "Ru": 13.76, "Rh": 14.05,
    "Pd": 15.31, "Ag": 17.85, "Cd": 22.73, "Cs": 117.1, "Ba": 63.39, "Hf": 22.53, "Ta": 18.29, "W": 16.16, "Re": 14.97,
    "Os": 14.29, "Ir": 14.50, "Pt": 15.64, "Au": 18.14, "Tl": 31.39, "Pb": 31.99,
}  # fmt: skip

_PBE_RATIO = {"Mg": 1.613}
"""c/a where the experimental one is far enough from PBE's to cost steps."""

_BCC = "Li Na K Rb Cs Ba V Nb Ta Cr Mo W Fe"  # Li and Na: close-packed phases lie 1-3 meV/atom lower at 0 K
_FCC = "Al Ca Sr Ni Cu Rh Pd Ag Ir Pt Au Pb"
_HCP = "Be Mg Sc Y Ti Zr Hf Tc Re Ru Os Co Zn Cd Tl"
_DIAMOND = "Si Ge"

_BODY_CENTRED = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
_FACE_CENTRED = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]
"""Written out: pymatgen takes half a second of CPU time to multiply the operations of a cubic space group."""

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

    exit_kind = "usage"


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


def _cubic(element: str, atoms: int) -> Lattice:
    return Lattice.cubic((atoms * _VOLUMES_ANG3[element]) ** (1 / 3))


def _bcc(element: str) -> Structure:
    return Structure(_cubic(element, 2), [element] * 2, _BODY_CENTRED)


def _fcc(element: str) -> Structure:
    return Structure(_cubic(element, 4), [element] * 4, _FACE_CENTRED)


def _diamond(element: str) -> Structure:
    return Structure.from_spacegroup("Fd-3m", _cubic(element, 8), [element], [[0, 0, 0]])


def _hcp(element: str) -> Structure:
    ratio = _PBE_RATIO.get(element) or float(reference_states[atomic_numbers[element]]["c/a"])
    edge = (2 * _VOLUMES_ANG3[element] / (ratio * math.sqrt(3) / 2)) ** (1 / 3)
    lattice = Lattice.hexagonal(edge, ratio * edge)
    return Structure.from_spacegroup("P6_3/mmc", lattice, [element], [[1 / 3, 2 / 3, 0.25]])


def _diatomic(element: str) -> Structure:
    half = BOND_ANG[element] / 2
    coords = [[0, 0, -half], [0, 0, half]]
    return Structure(Lattice.cubic(BOX_ANG[element]), [element] * 2, coords, coords_are_cartesian=True)


def _s8() -> Structure:
    """The crown of orthorhombic sulfur alone (D4d, bond 2.065 angstrom, angle 108 degrees)."""
    bond, angle = 2.065, math.radians(108.0)
    radius = bond * math.sin(angle / 2) / math.sin(math.pi / 4)
    height = math.sqrt(bond**2 - (2 * radius * math.sin(math.pi / 8)) ** 2) / 2
    coords = [
        [radius * math.cos(i * math.pi / 4), radius * math.sin(i * math.pi / 4), height * (-1) ** i] for i in range(8)
    ]
    return Structure(Lattice.cubic(12.0), ["S"] * 8, coords, coords_are_cartesian=True)
