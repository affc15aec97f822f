"""What a relaxation will cost, before it is run: plane waves, bands and k points counted. Good to a factor of two."""

from __future__ import annotations

import math

import spglib
from pymatgen.core.structure import Structure

from crystalloop.dft.cells import only_volume_is_free, primitive_cell
from crystalloop.dft.magnetism import for_crystal
from crystalloop.dft.pseudos import PseudoTable
from crystalloop.dft.pw_input import cutoffs_ry, k_mesh
from crystalloop.dft.rungs import cheap_settings
from crystalloop.dft.settings import PwSettings

BOHR_ANG = 0.529177210903
SECONDS_PER_WAVE = 3.3e-5
SECONDS_PER_DENSITY_WAVE = 3.2e-5
"""Of one SCF: per plane wave of the wave functions, band and k point; and per plane wave of the density and atom (the
augmentation charges). Fitted to ten relaxations with the test preset on one core of a 2.5 GHz Xeon: salts of Li, Na and
Mg in B1, B2, B3 and as perovskites. Estimate over measurement lies between 0.6 and 1.4 for them; single metals with their
dense k meshes are overestimated up to five times, molecules underestimated up to three times."""
SCFS_OF_A_RELAXATION = 3.0
SCFS_OF_AN_EQUATION_OF_STATE = 6.0
"""Volumes that are tried where only the volume is free, from a sensible cell; other cells take half as many again."""
GAMMA_SHARE = 0.25
"""Real wave functions at the one point of a molecule, and few augmentation charges in a box that is mostly empty."""


def estimate_cpu_s(structure: Structure, settings: PwSettings, table: PseudoTable) -> float:
    """CPU seconds of one rank for this crystal under these settings.

    Raises:
        MissingPseudo: an element without a pseudopotential.
    """
    settings = for_crystal(structure, settings)
    cell = primitive_cell(structure) if settings.vary == "cell" else structure
    cheap = cheap_settings(settings)
    before = 0.0 if cheap is None else estimate_cpu_s(structure, cheap, table)
    scfs = SCFS_OF_A_RELAXATION if settings.vary == "cell" else 1.0
    if settings.vary == "cell" and settings.method == "eos" and only_volume_is_free(cell):
        scfs = SCFS_OF_AN_EQUATION_OF_STATE
    if settings.gamma_only:
        scfs *= GAMMA_SHARE
    elements = tuple(sorted(cell.symbol_set))
    cutoff_wfc_ry, cutoff_rho_ry = cutoffs_ry(elements, settings, table)
    bands = bands_of(cell, settings, table) * settings.nspin
    work = SECONDS_PER_WAVE * plane_waves(cell, cutoff_wfc_ry) * bands * irreducible_points(cell, settings)
    return before + scfs * (
        work + SECONDS_PER_DENSITY_WAVE * plane_waves(cell, cutoff_rho_ry) * len(cell) * settings.nspin
    )


def bands_of(cell: Structure, settings: PwSettings, table: PseudoTable) -> float:
    """Bands that pw.x takes for a metal, per spin."""
    electrons = sum(table.valence(site.specie.symbol) for site in cell)
    return max(0.6 * electrons, electrons / 2 + 4) * (1 + settings.extra_bands)


def plane_waves(cell: Structure, cutoff_ry: float) -> float:
    """Number of plane waves in a sphere of radius sqrt(E), in atomic units: V E^(3/2) / (6 pi^2)."""
    return float(cell.volume / BOHR_ANG**3 * cutoff_ry**1.5 / (6 * math.pi**2))


def irreducible_points(cell: Structure, settings: PwSettings) -> int:
    """K points that symmetry leaves to compute."""
    if settings.gamma_only:
        return 1
    positions = (cell.lattice.matrix, cell.frac_coords, [site.specie.Z for site in cell])
    mapping, _ = spglib.get_ir_reciprocal_mesh(settings.k_mesh or k_mesh(cell, settings.kspacing_inv_ang), positions)
    return len(set(mapping.tolist()))
