"""What `crystalloop relax` is about to do, said before pw.x starts: cell, method and why, k points, cost. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core.structure import Structure
from pymatgen.symmetry.groups import SpaceGroup

from crystalloop.dft.pw.input import cutoffs_ry, k_mesh, species_of
from crystalloop.dft.recipe.cells import only_volume_is_free, primitive_cell, spacegroup_number
from crystalloop.dft.recipe.element_rules import ANIONS, for_crystal, starts
from crystalloop.dft.recipe.pseudos import LANTHANIDES, PseudoTable
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.estimate import available_mb, estimate_cpu_s, estimate_memory_mb, irreducible_points

GAP_ANG = 7.0
"""Empty space along an edge beyond which a cell holds a slab, a wire or a molecule; layers of a crystal lie nearer."""

METAL_INV_ANG = 0.25
"""Distance of k points above which the shape of a metal's cell is doubtful."""


@dataclass(frozen=True)
class Plan:
    """The calculation in words and numbers, for the user to stop it if it is not the one that was meant."""

    formula: str
    atoms_given: int
    atoms: int  # in the primitive cell, which is computed
    spacegroup: int
    method: str  # volume, eos or vc-relax: what will really be done
    why: str
    k_mesh: tuple[int, int, int]
    k_points: int  # that symmetry leaves
    ecutwfc_ry: float
    ecutrho_ry: float
    starting_moments: dict[str, float]  # empty where it starts without spin
    cpu_s: float
    memory_mb: float  # of one rank
    available_mb: float
    folder: str
    notes: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """For a terminal."""
        symbol = SpaceGroup.from_int_number(self.spacegroup).symbol
        mesh = " x ".join(map(str, self.k_mesh))
        moments = _moments(self.starting_moments)
        spin = f"spin-polarised from moments of {moments} Bohr magnetons" if moments else "without spin"
        return (
            f"{self.formula}: {self.atoms_given} atoms read, {self.atoms} in the primitive cell, "
            f"space group {symbol} ({self.spacegroup})",
            f"method: {_METHODS[self.method]}; {self.why}",
            f"k mesh {mesh} ({self.k_points} points after symmetry), cutoffs {self.ecutwfc_ry:g} and "
            f"{self.ecutrho_ry:g} Ry, {spin}",
            f"estimate: {_duration(self.cpu_s)} of CPU, good to a factor of three; memory {self.memory_mb:.0f} MB "
            f"per rank, there are {self.available_mb:.0f}",
            f"folder: {self.folder}",
            *(f"note: {note}" for note in self.notes),
        )


_METHODS = {
    "volume": "single SCFs, the volume follows the pressure to zero",
    "eos": "single SCFs to zero pressure, then the equation of state round it",
    "vc-relax": "vc-relax of cell and atoms",
}


def make_plan(
    start: Structure, settings: PwSettings, table: PseudoTable, folder: Path, memory_mb: float | None = None
) -> Plan:
    """What `dft.relax.relax.relax` will do.

    Args:
        start: the cell that the first attempt begins with; it has passed `dft.relax.preflight`.
        settings: as for relax.
        table: pseudopotentials.
        folder: of the launches.
        memory_mb: that a launch may take; None for what the machine has.

    Raises:
        InputError, PwEnvironmentError: as `dft.pw.input.cutoffs_ry`.
    """
    cell, polarised = primitive_cell(start), for_crystal(start, settings)
    method, why = _method(cell, settings)
    wfc, rho = cutoffs_ry(species_of(cell), settings, table)
    return Plan(
        formula=start.composition.reduced_formula,
        atoms_given=len(start),
        atoms=len(cell),
        spacegroup=spacegroup_number(cell),
        method=method,
        why=why,
        k_mesh=settings.k_mesh or k_mesh(cell, polarised.kspacing_inv_ang),
        k_points=irreducible_points(cell, polarised),
        ecutwfc_ry=wfc,
        ecutrho_ry=rho,
        starting_moments=dict(polarised.starting_moments) if polarised.nspin == 2 else {},
        cpu_s=estimate_cpu_s(start, settings, table),
        memory_mb=estimate_memory_mb(start, settings, table),
        available_mb=available_mb() if memory_mb is None else memory_mb,
        folder=str(folder),
        notes=tuple(_notes(cell, settings)),
    )


def _method(cell: Structure, settings: PwSettings) -> tuple[str, str]:
    if not settings.follows_the_volume:
        return "vc-relax", "asked for"
    if not only_volume_is_free(cell):
        instead = ", so that there is no equation of state" if settings.method == "eos" else ""
        return "vc-relax", f"symmetry leaves more than the volume free{instead}"
    if settings.method == "eos":
        return "eos", "asked for; symmetry leaves only the volume free"
    return "volume", "symmetry leaves only the volume free"


def _notes(cell: Structure, settings: PwSettings) -> list[str]:
    notes = [
        f"the 4f electrons of {element} are valence here, other physics than a frozen core"
        for element in sorted(set(cell.symbol_set) & LANTHANIDES)
    ]
    gap = widest_gap_ang(cell)
    if gap > GAP_ANG:
        notes.append(
            f"{gap:.1f} angstrom of the cell are empty: a slab, a wire or a molecule. All edges are relaxed, the empty "
            "ones, too; its energy is that of the slab or molecule only while the gap stays wide"
        )
    spacing = for_crystal(cell, settings).kspacing_inv_ang
    if spacing > METAL_INV_ANG and not set(cell.symbol_set) & ANIONS and settings.k_mesh is None:
        notes.append(
            f"k points {spacing:g}/angstrom apart are coarse for a metal: edges and energy are rough (hcp Mg with preset "
            "test ends at 3.06 and 5.65 angstrom, measured are 3.21 and 5.21); presets fast and paper have them closer"
        )
    sets = starts(cell, settings)
    if len(sets) > 1:
        named = "; ".join(_moments(each.starting_moments) for each in sets)
        notes.append(
            f"relaxed from each of {len(sets)} starts ({named}), and the lowest energy counts; each takes its time"
        )
    if settings.cheap_first:
        notes.append(
            "coarse k points first (--cheap-first); the numbers above are of the second rung, the time of both"
        )
    return notes


def widest_gap_ang(cell: Structure) -> float:
    """Widest slice between lattice planes of a cell vector that holds no atom, in angstrom."""
    spacings = 2 * np.pi / np.array(cell.lattice.reciprocal_lattice.abc)  # of the planes, per cell vector
    positions = np.sort(np.mod(cell.frac_coords, 1.0), axis=0)  # [atoms, 3]
    steps = np.diff(positions, axis=0, append=positions[:1] + 1.0)
    return float((steps.max(axis=0) * spacings).max())


def _moments(moments: Mapping[str, float]) -> str:
    return ", ".join(f"{element} {moment:g}" for element, moment in moments.items())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
