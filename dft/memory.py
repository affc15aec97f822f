"""How much memory pw.x will need for a crystal, before it is started, and how much there is. Good to a factor of two."""

from __future__ import annotations

from pathlib import Path

from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from crystalloop.dft.cells import primitive_cell
from crystalloop.dft.cost import bands_of, irreducible_points, plane_waves
from crystalloop.dft.failures import PwFailure
from crystalloop.dft.magnetism import for_crystal
from crystalloop.dft.pseudos import PseudoTable
from crystalloop.dft.pw_input import InputError, cutoffs_ry, species_of
from crystalloop.dft.settings import PwSettings

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
        MissingPseudo, InputError: as `crystalloop.dft.pw_input.cutoffs_ry`.
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
