"""What `crystalloop relax` is about to do, said before pw.x starts: cell, method and why, k points, cost. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core.structure import Structure
from pymatgen.symmetry.groups import SpaceGroup

from crystalloop.dft.alone.start import Start
from crystalloop.dft.pw.input import cutoffs_ry, k_mesh, species_of
from crystalloop.dft.recipe.cells import only_volume_is_free, primitive_cell, spacegroup_number
from crystalloop.dft.recipe.element_rules import ANIONS, SEMICONDUCTORS, for_crystal, may_be_metal, starts
from crystalloop.dft.recipe.molecules import directions_filled, electron_count
from crystalloop.dft.recipe.pseudos import LANTHANIDES, PseudoTable
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.estimate import available_mb, estimate_cpu_s, estimate_memory_mb, irreducible_points

GAP_ANG = 7.0
"""Empty space along an edge beyond which a cell holds a slab, a wire or a molecule; layers of a crystal lie nearer."""

METAL_INV_ANG = 0.25
"""Distance of k points above which the shape of a metal's cell is doubtful."""

SEMICONDUCTOR_INV_ANG = 0.35
"""The same, of the energy of boron, silicon and germanium."""


@dataclass(frozen=True)
class Plan:
    """The calculation in words and numbers, for the user to stop it if it is not the one that was meant."""

    formula: str
    atoms_given: int
    atoms: int  # in the primitive cell, which is computed
    spacegroup: int
    method: str  # volume, eos, vc-relax, atoms or scf: what will really be done
    why: str
    k_mesh: tuple[int, int, int]
    k_points: int  # that symmetry leaves
    ecutwfc_ry: float
    ecutrho_ry: float
    starting_moments: dict[str, float]  # of the species as pw.x names them; empty where it starts without spin
    why_spin: str  # why it starts as it does with spin
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
        why = f" ({self.why_spin})" if self.why_spin else ""
        spin = f"spin-polarised from moments of {moments} Bohr magnetons{why}" if moments else "without spin"
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
    "atoms": "relax of the atoms, the box stays as it is",
    "scf": "one SCF of an atom",
}


def make_plan(begun: Start, table: PseudoTable, folder: Path, memory_mb: float | None = None) -> Plan:
    """What `dft.relax.relax.relax` will do.

    Args:
        begun: the cell that the first attempt begins with, which has passed `dft.relax.preflight`, and the settings.
        table: pseudopotentials.
        folder: of the launches.
        memory_mb: that a launch may take; None for what the machine has.

    Raises:
        InputError, PwEnvironmentError: as `dft.pw.input.cutoffs_ry`.
    """
    start, settings = begun.structure, begun.settings
    cell, polarised = start if begun.in_box else primitive_cell(start), for_crystal(start, settings)
    method, why = _method(cell, settings)
    wfc, rho = cutoffs_ry(species_of(cell), settings, table)
    return Plan(
        formula=start.composition.reduced_formula,
        atoms_given=len(start),
        atoms=len(cell),
        spacegroup=spacegroup_number(cell),
        method=method,
        why=why,
        k_mesh=(1, 1, 1) if settings.gamma_only else settings.k_mesh or k_mesh(cell, polarised.kspacing_inv_ang),
        k_points=irreducible_points(cell, polarised),
        ecutwfc_ry=wfc,
        ecutrho_ry=rho,
        starting_moments=dict(polarised.starting_moments) if polarised.nspin == 2 else {},
        why_spin=begun.why_spin,
        cpu_s=estimate_cpu_s(start, settings, table),
        memory_mb=estimate_memory_mb(start, settings, table),
        available_mb=available_mb() if memory_mb is None else memory_mb,
        folder=str(folder),
        notes=(*begun.notes, *_notes(cell, settings)),
    )


def _method(cell: Structure, settings: PwSettings) -> tuple[str, str]:
    if settings.vary == "atoms":
        return ("atoms", "a molecule in a box") if len(cell) > 1 else ("scf", "an atom in a box")
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
    polarised = for_crystal(cell, settings)
    if settings.vary == "cell":
        notes += _on_emptiness(cell)
    if polarised.nspin == 1 and settings.vary == "cell" and electron_count(cell) % 2 and set(cell.symbol_set) & ANIONS:
        notes.append(
            "an odd number of electrons in the cell, computed without spin: right for a metal; in a compound with a gap one "
            "of them is unpaired, and --moments starts it polarised"
        )
    spacing = polarised.kspacing_inv_ang
    if spacing > METAL_INV_ANG and may_be_metal(cell) and settings.k_mesh is None and settings.vary == "cell":
        notes.append(
            f"k points {spacing:g}/angstrom apart are coarse if this is a metal: edges and energy are rough (hcp Mg with preset "
            "test ends at 3.06 and 5.65 angstrom, measured are 3.21 and 5.21); presets fast and paper have them closer"
        )
    if spacing > SEMICONDUCTOR_INV_ANG and set(cell.symbol_set) <= SEMICONDUCTORS and settings.vary == "cell":
        notes.append(
            f"k points {spacing:g}/angstrom apart are coarse for a semiconductor: silicon's energy lies 0.30 eV/atom high with "
            "0.70, and 0.02 with 0.45; preset fast has them closer"
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


def _on_emptiness(cell: Structure) -> list[str]:
    gap = widest_gap_ang(cell)
    if gap <= GAP_ANG:
        return []
    what = {1: "a chain", 2: "a slab"}.get(directions_filled(cell) or 0, "a slab, a wire or molecules")
    return [
        f"{gap:.1f} angstrom of the cell are empty: {what}. All edges are relaxed, the empty ones, too; its energy is that of "
        "the slab, the chain or the molecules only while the gap stays wide"
    ]


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
