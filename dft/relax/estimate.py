"""What a relaxation will cost in CPU time and in memory, before it is run: counted, good to a factor of two."""

from __future__ import annotations

import math
from pathlib import Path

import spglib
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.pw.input import cutoffs_ry, k_mesh, species_of
from crystalloop.dft.recipe.cells import only_volume_is_free, primitive_cell, spglib_cell
from crystalloop.dft.recipe.element_rules import for_crystal
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import InputError, PwSettings
from crystalloop.dft.recipe.units import BOHR_ANG
from crystalloop.dft.relax.rungs import cheap_settings

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
    mesh = settings.k_mesh or k_mesh(cell, settings.kspacing_inv_ang)
    mapping, _ = spglib.get_ir_reciprocal_mesh(mesh, spglib_cell(cell))
    return len(set(mapping.tolist()))


BASE_MB = 60.0
"""Of the program and its libraries."""
PROJECTORS_PER_ATOM = 13
DAVIDSON_COPIES = 6
"""psi, H psi and S psi in a basis of twice the bands."""
GRID_COPIES, MIXED_COPIES = 16, 16
"""Arrays on the real-space grid per spin; densities and residuals of 8 SCF iterations."""
PAIRS, PAIRS_WITH_D = 64, 200
"""Pairs of projectors of one element whose augmentation charges are held at once, each as a density. Fitted to pw.x's own
estimates for Li, LiF, O2, LiMg (64) and Ni, NiAl (200): this term decides for ultrasoft and PAW sets."""
BOX_OVER_SPHERE = 1.91
"""Points of the FFT box over plane waves in its sphere: 6 / pi."""


def estimate_memory_mb(structure: Structure, settings: PwSettings, table: PseudoTable) -> float:
    """Resident memory of one rank, all k points in one pool, as disk_io = 'low' keeps their wave functions.

    Raises:
        MissingPseudo, InputError: as `dft.pw.input.cutoffs_ry`.
    """
    settings = for_crystal(structure, settings)
    cell = primitive_cell(structure) if settings.vary == "cell" else structure
    wfc_ry, rho_ry = cutoffs_ry(species_of(cell), settings, table)
    waves, density_waves = plane_waves(cell, wfc_ry), plane_waves(cell, rho_ry)
    bands = bands_of(cell, settings, table)
    kept = irreducible_points(cell, settings) * settings.nspin
    per_wave = bands * (kept + DAVIDSON_COPIES) + PROJECTORS_PER_ATOM * len(cell)
    pairs = PAIRS_WITH_D if any(Element(symbol).block in "df" for symbol in species_of(cell)) else PAIRS
    per_density_wave = pairs + settings.nspin * (BOX_OVER_SPHERE * GRID_COPIES / 2 + 2 * MIXED_COPIES / 2)
    return BASE_MB + 16 * (waves * per_wave + density_waves * per_density_wave) / 2**20


def too_large(
    structure: Structure, settings: PwSettings, table: PseudoTable, limit_mb: float | None = None
) -> tuple[PwFailure, str] | None:
    """Why a crystal must not be started on this machine, or None; input that cannot be written is left to the writer.

    Args:
        structure: ordered.
        settings: with what it is computed.
        table: pseudopotentials.
        limit_mb: None for what the machine has.
    """
    try:
        needed = estimate_memory_mb(structure, settings, table)
    except InputError:
        return None
    limit = available_mb() if limit_mb is None else limit_mb
    if needed <= limit:
        return None
    return (
        PwFailure.MEMORY_NEEDED,
        f"{len(structure)} atoms in {structure.volume:.0f} cubic angstrom need about {needed:.0f} MB, this machine or "
        f"--memory-mb gives {limit:.0f}; take a smaller cell or coarser k points, or a machine with more memory",
    )


def available_mb() -> float:
    """Memory that this process may use: what the machine has, or its control group where that is less. Linux."""
    limits = [_meminfo_mb()]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = Path(path).read_text().strip() if Path(path).is_file() else ""
        if text.isdigit():
            limits.append(int(text) / 2**20)
    return min(limits)


def _meminfo_mb() -> float:
    path = Path("/proc/meminfo")
    rows = dict(line.split(":", 1) for line in path.read_text().splitlines()) if path.is_file() else {}
    return float(rows["MemTotal"].split()[0]) / 1024 if "MemTotal" in rows else float("inf")
