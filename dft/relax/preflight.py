"""What is refused before pw.x sees it: elements and cells that no correction can save. Pure."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_numbers, covalent_radii, missing
from pymatgen.core.structure import Structure

from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.recipe.pseudos import ACTINIDES

CLOSEST = 0.5
"""Of the sum of covalent radii. pw.x computes atoms 0.002 angstrom apart without a word."""
FURTHEST = 1.7
"""Of the same sum: where not even the closest atoms touch, the pressure is small and the answer empty."""
LONGEST_ANG, FLATTEST_DEG = 100.0, 10.0
"""Of a cell: an edge beyond takes gigabytes, a flatter angle makes the volume and the symmetry search meaningless."""
FLATTEST_VOLUME = 1e-3
"""Of the product of the edges: three vectors in one plane may have no flat angle between any two."""
RESCALE = "reject the structure, or, if only its volume is wrong, start_volume: radii (--start-volume radii) scales it"
VOLUME_PER_ATOM_ANG3 = (2.0, 300.0)
"""Inside lie hydrogen under pressure, caesium (115) and a diatomic molecule in an 8 angstrom box (256)."""


def preflight(structure: Structure, in_box: bool = False) -> tuple[PwFailure, str] | None:
    """Why a cell must not be computed, with the next move; or None.

    Volume per atom before distances: in a cell that is too small everything is too close.

    Args:
        structure: as it would be computed.
        in_box: an atom or a molecule, which may have any room around it.
    """
    refusal = unfit_elements(structure)
    if refusal is not None:
        return refusal
    if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
        return PwFailure.SINGULAR_CELL, "a lattice vector or coordinate is no finite number; reject the structure"
    longest, most = max(structure.lattice.abc), max(structure.lattice.angles)
    if longest > LONGEST_ANG or not FLATTEST_DEG <= min(structure.lattice.angles) <= most <= 180 - FLATTEST_DEG:
        return (
            PwFailure.SINGULAR_CELL,
            f"edges to {longest:.3g} angstrom, angles {min(structure.lattice.angles):.1f} to {most:.1f} degrees; edges to "
            f"{LONGEST_ANG:g} and angles {FLATTEST_DEG:g} to {180 - FLATTEST_DEG:g} can be computed; reduce the cell",
        )
    if structure.volume < FLATTEST_VOLUME * np.prod(structure.lattice.abc):
        share = structure.volume / np.prod(structure.lattice.abc)
        return (
            PwFailure.SINGULAR_CELL,
            f"the three lattice vectors lie in one plane: the volume is {share:.1g} of the product of the edges; "
            "reject the structure",
        )
    volume = structure.volume / len(structure)
    low, high = VOLUME_PER_ATOM_ANG3
    if not low <= volume <= (np.inf if in_box else high):
        return (
            PwFailure.VOLUME_OUT_OF_RANGE,
            f"{volume:.3g} cubic angstrom per atom, outside {low:g} to {high:g}; {RESCALE}",
        )
    pair = closest_pair(structure)
    if in_box and len(structure) == 1:
        return None
    if pair is None:
        return PwFailure.ATOMS_TOO_FAR, f"no two atoms are within 9 angstrom of each other; {RESCALE}"
    first, second, distance, ratio = pair
    if CLOSEST <= ratio <= FURTHEST:
        return None
    return (
        PwFailure.ATOMS_TOO_CLOSE if ratio < CLOSEST else PwFailure.ATOMS_TOO_FAR,
        f"the closest atoms, {first} and {second}, are {distance:.3f} angstrom apart: {ratio:.2f} of the sum of their "
        f"covalent radii, outside {CLOSEST:g} to {FURTHEST:g}; {RESCALE}",
    )


def unfit_elements(structure: Structure) -> tuple[PwFailure, str] | None:
    """Why what stands on the sites must not be computed, with the next move; or None."""
    shared = [site for site in structure if not site.is_ordered]
    if shared:
        return (
            PwFailure.FRACTIONAL_OCCUPANCY,
            f"{len(shared)} of {len(structure)} sites are shared or partly empty, the first holds "
            f"{shared[0].species.formula!r}; choose one element per site (an ordered approximant) and submit that",
        )
    actinides = sorted({site.specie.symbol for site in structure} & ACTINIDES)
    if actinides:
        return (
            PwFailure.ACTINIDE,
            f"{', '.join(actinides)} is an actinide, for which plain PBE is not reliable; leave the element out",
        )
    return None


def closest_pair(structure: Structure, reach_ang: float = 9.0) -> tuple[str, str, float, float] | None:
    """The two atoms nearest in units of their covalent radii: symbols, distance, ratio; None with none in reach."""
    symbols = [site.specie.symbol for site in structure]
    radii = np.array([covalent_radius_ang(symbol) for symbol in symbols])
    centres, points, _, distances = structure.get_neighbor_list(reach_ang, exclude_self=True)
    if len(distances) == 0:
        return None
    ratios = distances / (radii[centres] + radii[points])
    at = int(np.argmin(ratios))
    return symbols[centres[at]], symbols[points[at]], float(distances[at]), float(ratios[at])


def covalent_radius_ang(symbol: str) -> float:
    """Covalent radius (Cordero et al. 2008, as in ASE); 1.5 angstrom where there is none."""
    radius = float(covalent_radii[atomic_numbers[symbol]])
    return 1.5 if radius == missing else radius
