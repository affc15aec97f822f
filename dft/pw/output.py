"""What a run of pw.x said: XML, stdout and stderr as a PwOutput in eV, angstrom and kbar. Pure; judges nothing.

Every part may be missing or cut off in the middle: whatever was complete is read, the rest is None.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # our own pw.x wrote the file
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from crystalloop.dft.pw.printed import NUMBER, integer, last_number, number, search, seconds
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
    xml = _xml(xml_text)
    if xml is not None and cycles and "JOB DONE" in stdout_text:
        cycles = (*cycles[:-1], _sharpened(cycles[-1], xml))
    cpu_s, wall_s = _clock(stdout_text)
    unfinished = "Self-consistent Calculation" in (chunks[-1] if chunks else before)
    return PwOutput(
        returncode=returncode,
        job_done="JOB DONE" in stdout_text,
        cycles=cycles,
        scf_converged=bool(cycles) and not unfinished and "convergence NOT achieved" not in stdout_text,
        relax_converged="bfgs converged in" in stdout_text or "Damped Dynamics: convergence achieved" in stdout_text,
        final_scf=bool(chunks) and "Final scf calculation at the relaxed structure" in "".join([before, *chunks[:-1]]),
        errors=_errors(stdout_text + "\n" + stderr_text),
        version=search(r"Program PWSCF v\.?\s*(\S+)", stdout_text) or "",
        cpu_s=cpu_s,
        wall_s=wall_s,
        ram_mb=_ram_mb(stdout_text),
        scf_accuracy_ry=last_number(rf"estimated scf accuracy\s+<\s+({NUMBER})", stdout_text),
        magnetization=last_number(rf"total magnetization\s+=\s+({NUMBER})", stdout_text),
        absolute_magnetization=last_number(rf"absolute magnetization\s+=\s+({NUMBER})", stdout_text),
        symmetries=integer(search(r"(\d+) Sym\. Ops\.", stdout_text)),
        stdout=stdout_text,
        stderr=stderr_text,
        timed_out=timed_out,
    )


def _cycles(before: str, chunks: list[str]) -> tuple[Cycle, ...]:
    """Each chunk starts behind a `!    total energy`; the geometry it belongs to was printed before it."""
    structure = _first_structure(before)
    cycles = []
    for chunk in chunks:
        free = number(search(rf"\A\s*=\s*({NUMBER}) Ry", chunk))
        # What follows the results is the next geometry and its iterations; a cut-off chunk ends anywhere.
        if free is not None:
            minus_ts = number(search(rf"smearing contrib\. \(-TS\)\s*=\s*({NUMBER}) Ry", chunk)) or 0.0
            cycles.append(
                Cycle(
                    structure=structure,
                    energy_ev=(free - minus_ts / 2) * RYDBERG_EV,
                    free_energy_ev=free * RYDBERG_EV,
                    forces_ev_ang=_forces(chunk),
                    stress_kbar=_stress(chunk),
                    dispersion_ev=_dispersion(chunk),
                )
            )
        structure = _next_structure(chunk, structure)
    return tuple(cycles)


def _first_structure(text: str) -> Structure | None:
    """From the header: `crystal axes` and the site list, both in units of alat."""
    alat = number(search(rf"celldm\(1\)=\s*({NUMBER})", text))
    rows = re.findall(rf"a\(\d\) = \(\s*({NUMBER})\s*({NUMBER})\s*({NUMBER})", text)[:3]
    sites = re.findall(rf"^\s+\d+\s+([A-Z][a-z]?)\w*\s+tau\(\s*\d+\) = \(\s*({NUMBER})\s*({NUMBER})\s*({NUMBER})",
                       text, flags=re.MULTILINE)  # fmt: skip
    count = integer(search(r"number of atoms/cell\s+=\s+(\d+)", text))
    sites = sites[:count]  # a launch that was continued within its first cycle has two headers
    if alat is None or len(rows) < 3 or not sites or len(sites) != count:
        return None
    lattice = np.array(rows, float) * alat * BOHR_ANG  # [3, 3]
    coords = np.array([site[1:] for site in sites], float) * alat * BOHR_ANG  # [a, 3]
    return Structure(lattice, [site[0] for site in sites], coords, coords_are_cartesian=True)


def _next_structure(chunk: str, current: Structure | None) -> Structure | None:
    """The geometry printed after a cycle, if a whole one was; else the present one."""
    if current is None:
        return None
    cell = re.search(rf"^CELL_PARAMETERS \(angstrom\)\n((?:\s+{NUMBER}\s+{NUMBER}\s+{NUMBER}\s*\n){{3}})",
                     chunk, flags=re.MULTILINE)  # fmt: skip
    lattice = np.array(cell.group(1).split(), float).reshape(3, 3) if cell else current.lattice.matrix
    block = search(r"^ATOMIC_POSITIONS \(crystal\)\n((?:[A-Z][a-z]?\w*\s.*\n)+)", chunk)
    if block is None:
        return current
    sites = re.findall(rf"^([A-Z][a-z]?)\w*\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})", block, flags=re.MULTILINE)
    if len(sites) != len(current):
        return current
    return Structure(lattice, [site[0] for site in sites], np.array([site[1:] for site in sites], float))


def _dispersion(chunk: str) -> float | None:
    found = number(search(rf"Dispersion Correction\s*=\s*({NUMBER}) Ry", chunk))
    return None if found is None else found * RYDBERG_EV


def _forces(chunk: str) -> Array | None:
    block = search(r"Forces acting on atoms.*?\n\s*\n((?:\s+atom\s+\d+ type.*\n)+)", chunk)
    if block is None:
        return None
    rows = re.findall(rf"force =\s*({NUMBER})\s*({NUMBER})\s*({NUMBER})", block)
    return np.array(rows, float) * (RYDBERG_EV / BOHR_ANG) if rows else None


def _stress(chunk: str) -> Array | None:
    block = search(rf"total\s+stress.*P=.*\n((?:(?:\s+{NUMBER}){{6}}\s*\n){{3}})", chunk)
    if block is None:
        return None
    table = np.array(block.split(), float).reshape(3, 6)
    return np.asarray(table[:, :3] * RYDBERG_EV / BOHR_ANG**3 * KBAR_PER_EV_ANG3)


def _xml(text: str | None) -> ET.Element | None:
    if not text:
        return None
    try:
        return ET.fromstring(text).find("output")
    except ET.ParseError:  # pw.x was killed while writing it
        return None


def _sharpened(cycle: Cycle, output: ET.Element) -> Cycle:
    """The last cycle with the XML's digits, where the XML is of the same cycle and not of an earlier one."""
    free = number(output.findtext("total_energy/etot"))
    if free is None or abs(2 * free * RYDBERG_EV - cycle.free_energy_ev) > 1e-5:
        return cycle
    demet = number(output.findtext("total_energy/demet")) or 0.0  # -TS in hartree
    return Cycle(
        structure=_xml_structure(output, cycle.structure),
        energy_ev=(free - demet / 2) * 2 * RYDBERG_EV,
        free_energy_ev=free * 2 * RYDBERG_EV,
        forces_ev_ang=_matrix(output.findtext("forces"), 2 * RYDBERG_EV / BOHR_ANG, cycle.forces_ev_ang),
        stress_kbar=_matrix(
            output.findtext("stress"), 2 * RYDBERG_EV / BOHR_ANG**3 * KBAR_PER_EV_ANG3, cycle.stress_kbar
        ),
        dispersion_ev=cycle.dispersion_ev,
    )


def _xml_structure(output: ET.Element, printed: Structure | None) -> Structure | None:
    """The printed structure with more digits; itself where the XML has already moved on to the next geometry."""
    atomic = output.find("atomic_structure")
    atoms = [] if atomic is None else atomic.findall("atomic_positions/atom")
    rows = [] if atomic is None else [atomic.findtext(f"cell/a{i}") for i in (1, 2, 3)]
    if printed is None or len(atoms) != len(printed) or len(rows) != 3 or None in rows:
        return printed
    lattice = np.array([str(row).split() for row in rows], float) * BOHR_ANG
    coords = np.array([str(atom.text).split() for atom in atoms], float) * BOHR_ANG
    if not np.allclose(lattice, printed.lattice.matrix, atol=1e-4):
        return printed
    return Structure(lattice, [site.specie for site in printed], coords, coords_are_cartesian=True)


def _matrix(text: str | None, factor: float, otherwise: Array | None) -> Array | None:
    if not text or not text.split():
        return otherwise
    return np.array(text.split(), float).reshape(-1, 3) * factor


def _errors(text: str) -> tuple[RoutineError, ...]:
    found = re.findall(r"Error in routine\s+(.+?)\s*\(\s*(-?\d+)\)\s*:?\s*\n\s*(.*)", text)
    unique = dict.fromkeys((routine.strip(), int(code), message.strip()) for routine, code, message in found)
    return tuple(RoutineError(*row) for row in unique)


def _clock(text: str) -> tuple[float | None, float | None]:
    line = re.search(r"PWSCF\s+:\s+(.+?)\s*CPU\s+(.+?)\s*WALL", text)
    return (seconds(line.group(1)), seconds(line.group(2))) if line else (None, None)


def _ram_mb(text: str) -> float | None:
    line = re.search(r"Estimated max dynamical RAM per process >\s+([\d.]+)\s*(MB|GB)", text)
    return None if line is None else float(line.group(1)) * (1024 if line.group(2) == "GB" else 1)
