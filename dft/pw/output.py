"""What a run of pw.x said: XML, stdout and stderr as a PwOutput in eV, angstrom and kbar. Pure; judges nothing.

Every part may be missing or cut off in the middle: whatever was complete is read, the rest is None.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # our own pw.x wrote the file
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from crystalloop.dft.pw.printed import (
    NUMBER,
    clock,
    crystal,
    error_boxes,
    first_structure,
    floats,
    forces_ry_bohr,
    integer,
    last_number,
    next_structure,
    number,
    ram_mb,
    search,
    site_moments,
    stress_ry_bohr3,
    table,
)
from crystalloop.dft.recipe.moments import KIND
from crystalloop.dft.recipe.units import BOHR_ANG, KBAR_PER_EV_ANG3, RYDBERG_EV

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cycle:
    """One self-consistent cycle that converged, and what was computed at its geometry.

    The energy is E0 = F + TS/2, the extrapolation to zero smearing (Gillan 1989), not pw.x's `!` total energy F.
    """

    structure: Structure | None
    energy_ev: float  # E0, of the cell
    free_energy_ev: float  # F
    forces_ev_ang: Array | None  # [a, 3]
    stress_kbar: Array | None  # [3, 3], positive under compression
    dispersion_ev: float | None = None  # what D2 adds to the energies; the SCF knows nothing of it

    @property
    def pressure_kbar(self) -> float | None:
        """A third of the trace of the stress."""
        return None if self.stress_kbar is None else float(np.trace(self.stress_kbar) / 3)

    @property
    def largest_stress_kbar(self) -> float | None:
        """Size of the largest component of the stress: a crystal can be squeezed along c at no pressure."""
        return None if self.stress_kbar is None else float(np.abs(self.stress_kbar).max())

    @property
    def fmax_ev_ang(self) -> float | None:
        """Length of the largest force."""
        return None if self.forces_ev_ang is None else float(np.linalg.norm(self.forces_ev_ang, axis=1).max())


@dataclass(frozen=True)
class RoutineError:
    """pw.x's own error box: `Error in routine X (n)` and the sentence under it."""

    routine: str
    code: int
    message: str


@dataclass(frozen=True)
class Bands:
    """The states of one cycle on its mesh of k points."""

    energies_ev: Array  # [k, spin, band]; one channel of spin, or up and down
    electrons: float
    magnetization: float  # Bohr magnetons per cell


@dataclass(frozen=True)
class PwOutput:
    """One launch as reported by pw.x. `dft.heal.failures.diagnose` says what to make of it."""

    returncode: int
    job_done: bool
    cycles: tuple[Cycle, ...]  # converged SCF cycles in order; after a vc-relax the last is of the fresh cell
    scf_converged: bool  # no cycle failed, and none was left unfinished
    relax_converged: bool  # what BFGS claims; see failures.FALSE_BFGS
    final_scf: bool  # the cell was computed once more with its own plane waves
    errors: tuple[RoutineError, ...]
    version: str
    cpu_s: float | None
    wall_s: float | None
    ram_mb: float | None  # pw.x's own estimate
    scf_accuracy_ry: float | None  # of the last iteration
    magnetization: float | None  # Bohr magnetons per cell
    symmetries: int | None
    stdout: str
    stderr: str
    absolute_magnetization: float | None = None  # Bohr magnetons per cell; also of what is antiparallel
    moments: tuple[float, ...] = ()  # Bohr magnetons of each atom, in spheres that pw.x chooses
    bands: Bands | None = None  # of the last cycle, where the XML is of it
    timed_out: bool = False  # killed by us: it passed its wall-time limit

    @property
    def last(self) -> Cycle | None:
        """The last complete cycle."""
        return self.cycles[-1] if self.cycles else None

    @property
    def n_scf(self) -> int:
        """Converged SCF cycles."""
        return len(self.cycles)

    @property
    def steps(self) -> int:
        """Moves of atoms or cell: cycles without the first and without the one of the fresh cell."""
        return max(0, self.n_scf - 1 - int(self.final_scf))

    @property
    def last_structure(self) -> Structure | None:
        """Geometry of the last complete cycle, from which the next attempt goes on."""
        return next((cycle.structure for cycle in reversed(self.cycles) if cycle.structure is not None), None)


def parse_pw_output(
    xml_text: str | None, stdout_text: str, stderr_text: str, returncode: int, timed_out: bool = False
) -> PwOutput:
    """Read one launch. Never raises on cut-off or missing text.

    Args:
        xml_text: data-file-schema.xml, which outlives SCF failures: its existence means nothing.
        stdout_text: all of stdout.
        stderr_text: all of stderr (MPI and Fortran run-time messages).
        returncode: as of the process; negative for a signal.
        timed_out: whether we killed it for its wall time.
    """
    before, *chunks = re.split(r"^!\s+total energy", stdout_text, flags=re.MULTILINE)
    cycles = _cycles(before, chunks)
    xml, bands = _output_of(xml_text), None
    if xml is not None and cycles and "JOB DONE" in stdout_text:
        bands = _bands(xml) if _same_energy(number(xml.findtext("total_energy/etot")) or 0.0, cycles[-1]) else None
        cycles = (*cycles[:-1], _sharpened(cycles[-1], xml))
    cpu_s, wall_s = clock(stdout_text)
    # A chunk without a cycle has an energy that is no number.
    unfinished = len(cycles) < len(chunks) or "Self-consistent Calculation" in (chunks[-1] if chunks else before)
    return PwOutput(
        returncode=returncode,
        job_done="JOB DONE" in stdout_text,
        cycles=cycles,
        scf_converged=bool(cycles) and not unfinished and "convergence NOT achieved" not in stdout_text,
        relax_converged="bfgs converged in" in stdout_text or "Damped Dynamics: convergence achieved" in stdout_text,
        final_scf=bool(chunks) and "Final scf calculation at the relaxed structure" in "".join([before, *chunks[:-1]]),
        errors=tuple(RoutineError(*row) for row in error_boxes(stdout_text + "\n" + stderr_text)),
        version=search(r"Program PWSCF v\.?\s*(\S+)", stdout_text) or "",
        cpu_s=cpu_s,
        wall_s=wall_s,
        ram_mb=ram_mb(stdout_text),
        scf_accuracy_ry=last_number(rf"estimated scf accuracy\s+<\s+({NUMBER})", stdout_text),
        magnetization=last_number(rf"total magnetization\s+=\s+({NUMBER})", stdout_text),
        absolute_magnetization=last_number(rf"absolute magnetization\s+=\s+({NUMBER})", stdout_text),
        symmetries=integer(search(r"(\d+) Sym\. Ops\.", stdout_text)),
        stdout=stdout_text,
        stderr=stderr_text,
        timed_out=timed_out,
        moments=site_moments(stdout_text),
        bands=bands,
    )


def _cycles(before: str, chunks: list[str]) -> tuple[Cycle, ...]:
    """Each chunk starts behind a `!    total energy`; the geometry it belongs to was printed before it."""
    structure = first_structure(before)
    cycles = []
    for chunk in chunks:
        free = number(search(rf"\A\s*=\s*({NUMBER}) Ry", chunk))
        # What follows the results is the next geometry and its iterations; a cut-off chunk ends anywhere.
        if free is not None:
            dispersion = number(search(rf"Dispersion Correction\s*=\s*({NUMBER}) Ry", chunk))
            minus_ts = number(search(rf"smearing contrib\. \(-TS\)\s*=\s*({NUMBER}) Ry", chunk)) or 0.0
            cycles.append(
                Cycle(
                    structure=structure,
                    energy_ev=(free - minus_ts / 2) * RYDBERG_EV,
                    free_energy_ev=free * RYDBERG_EV,
                    forces_ev_ang=_in(forces_ry_bohr(chunk), RYDBERG_EV / BOHR_ANG),
                    stress_kbar=_in(stress_ry_bohr3(chunk), RYDBERG_EV / BOHR_ANG**3 * KBAR_PER_EV_ANG3),
                    dispersion_ev=None if dispersion is None else dispersion * RYDBERG_EV,
                )
            )
        structure = next_structure(chunk, structure)
    return tuple(cycles)


def _in(values: Array | None, unit: float) -> Array | None:
    return None if values is None else values * unit


def _output_of(text: str | None) -> ET.Element | None:
    if not text:
        return None
    try:
        return ET.fromstring(text).find("output")
    except (ET.ParseError, ValueError):  # pw.x was killed while writing it, or a byte of it is broken
        return None


def _sharpened(cycle: Cycle, output: ET.Element) -> Cycle:
    """The last cycle with the XML's digits, where the XML is of the same cycle and not of an earlier one."""
    free, demet = number(output.findtext("total_energy/etot")), number(output.findtext("total_energy/demet")) or 0.0
    if free is None or not _same_energy(free, cycle):
        return cycle
    hartree_ev, atoms = 2 * RYDBERG_EV, None if cycle.structure is None else len(cycle.structure)
    stress = table(output.findtext("stress"), 3)
    forces = table(output.findtext("forces"), atoms)
    return replace(
        cycle,
        structure=_xml_structure(output, cycle.structure),
        energy_ev=(free - demet / 2) * hartree_ev,  # demet: -TS in hartree
        free_energy_ev=free * hartree_ev,
        forces_ev_ang=cycle.forces_ev_ang if forces is None else forces * (hartree_ev / BOHR_ANG),
        stress_kbar=cycle.stress_kbar if stress is None else stress * (hartree_ev / BOHR_ANG**3 * KBAR_PER_EV_ANG3),
    )


def parse_bands(xml_text: str | None) -> Bands | None:
    """The states of an nscf calculation, which has no energy of its own; None where they were not all written."""
    xml = _output_of(xml_text)
    return None if xml is None else _bands(xml)


def _same_energy(free_hartree: float, cycle: Cycle) -> bool:
    return abs(2 * free_hartree * RYDBERG_EV - cycle.free_energy_ev) <= 1e-5


def _xml_structure(output: ET.Element, printed: Structure | None) -> Structure | None:
    """The printed structure with more digits; itself where the XML has already moved on to the next geometry."""
    if printed is None:
        return None
    lattice = table(" ".join(output.findtext(f"atomic_structure/cell/a{i}") or "" for i in (1, 2, 3)), 3)
    atoms = output.findall("atomic_structure/atomic_positions/atom")
    coords = table(" ".join(atom.text or "" for atom in atoms), len(printed))
    if lattice is None or coords is None:
        return printed
    if not np.allclose(lattice * BOHR_ANG, printed.lattice.matrix, atol=1e-4):
        return printed
    labels = printed.site_properties.get(KIND) or [site.specie.symbol for site in printed]
    return crystal(lattice * BOHR_ANG, labels, coords * BOHR_ANG, cartesian=True) or printed


def _bands(output: ET.Element) -> Bands | None:
    """The states of all k points, where all of them were written."""
    of = output.find("band_structure")
    points = [] if of is None else of.findall("ks_energies")
    electrons = None if of is None else number(of.findtext("nelec"))
    rows = [floats(point.findtext("eigenvalues")) for point in points]
    if of is None or electrons is None or not rows or any(row is None or row.size == 0 for row in rows):
        return None
    if len({row.size for row in rows if row is not None}) > 1 or integer(of.findtext("nks")) != len(rows):
        return None
    channels = 2 if (of.findtext("lsda") or "").strip() == "true" else 1
    up = integer(of.findtext("nbnd_up")) if channels == 2 else rows[0].size  # type: ignore[union-attr]
    if not up or up * channels != rows[0].size:  # type: ignore[union-attr]
        return None
    energies = np.array(rows).reshape(len(rows), channels, up) * 2 * RYDBERG_EV
    return Bands(energies, electrons, number(output.findtext("magnetization/total")) or 0.0)
