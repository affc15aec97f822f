"""One attempt: pw.x launched once, or once per volume, and judged. What follows from it is decided in `dft.relax`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from pymatgen.core.structure import Structure

from dft.cells import only_volume_is_free, primitive_cell
from dft.corrections import correct, describe_change
from dft.equation_of_state import EquationOfState, Point, PoorFit, fit, in_window, next_volume
from dft.failures import MACHINES_FAULT, PwFailure, diagnose
from dft.launch import Launch, launch
from dft.memory import too_large
from dft.preflight import preflight
from dft.pseudos import PseudoTable, PwEnvironmentError
from dft.pw_input import InputError, k_mesh, pw_input_text
from dft.pw_output import PwOutput, parse_pw_output
from dft.pw_run import PwRun
from dft.replay import forget
from dft.restart import in_fresh_cell
from dft.settings import PwSettings
from dft.volume import next_volume_ang3

Mesh = tuple[int, int, int]
_SMALL_STEP = 0.03
"""Of the volume: the k mesh stays what it was."""


class MachineFault(PwEnvironmentError):
    """pw.x says that it cannot work on this machine as it was started."""


@dataclass(frozen=True)
class AttemptReport:
    """One attempt: a vc-relax, a series of SCFs along the volume, or the refusal to launch anything."""

    number: int
    started_at: datetime
    outcome: str  # "converged" or the name of a PwFailure, in lower case
    detail: str  # what was seen, in a sentence
    correction: str  # what the next attempt changes; "" where there is none
    cpu_s: float = 0.0
    wall_s: float = 0.0
    folder: str = ""  # below the folder of the relaxation; "" where nothing was launched


@dataclass(frozen=True)
class Tried:
    """What an attempt came to."""

    report: AttemptReport
    failure: PwFailure | None
    output: PwOutput | None  # of the last launch; None where there was none
    last_structure: Structure | None  # of the last complete SCF
    steps: int  # moves of cell and atoms
    following: PwSettings | None  # settings of the next attempt; None at the end
    first_pressure_kbar: float | None = None  # in the cell that the attempt began with
    equation: EquationOfState | None = None


@dataclass(frozen=True)
class Bench:
    """Where and how attempts are made."""

    folder: Path
    table: PseudoTable
    run: Launch
    command: str
    now: Callable[[], datetime]
    memory_mb: float | None = None  # that a launch may take; None for what the machine has


@dataclass(frozen=True)
class _Seen:
    """The launches of one attempt so far."""

    failure: PwFailure | None
    detail: str
    output: PwOutput | None = None
    last_structure: Structure | None = None
    steps: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    first_pressure_kbar: float | None = None
    equation: EquationOfState | None = None
    continued: int = 0  # launches that went on where the one before had stopped for time


def make_attempt(
    bench: Bench, number: int, attempt: int, cell: Structure, settings: PwSettings, spent_cpu_s: float = 0.0
) -> Tried:
    """One attempt, in the subfolder `attempt-<number>`.

    Args:
        bench: where and how.
        number: names the folder.
        attempt: counts against settings.max_attempts.
        cell: to start from; its symmetrised primitive cell is computed.
        settings: earlier corrections included.
        spent_cpu_s: by earlier attempts; none follows this one where settings.max_cpu_hours are over.
    """
    started_at, name = bench.now(), f"attempt-{number}"
    refusal = preflight(cell) or too_large(cell, settings, bench.table, bench.memory_mb)
    if refusal is not None:
        seen = _Seen(*refusal)
    elif settings.vary == "nothing":
        seen = _launch(bench, name, primitive_cell(cell), settings, "scf")
    elif settings.follows_the_volume and only_volume_is_free(cell):
        seen = _along_the_volume(bench, name, primitive_cell(cell), settings)
    else:
        seen = _launch(bench, name, primitive_cell(cell), settings, "vc-relax")
    following = None if seen.failure is None else _following(seen.failure, seen, settings, attempt)
    if seen.failure is PwFailure.LAUNCH_FAILED and following is None:
        raise MachineFault(_never_began(bench, name, seen))
    if seen.failure is PwFailure.DISK_FULL and attempt > 1:
        raise MachineFault(_still_full(bench, name, seen))
    if following is not None and spent_cpu_s + seen.cpu_s >= settings.max_cpu_s:
        seen = replace(seen, detail=f"{seen.detail}; all of max_cpu_hours {settings.max_cpu_hours:g} is spent")
        following = None
    elif seen.failure is not None and following is None and (seen.output is not None or attempt > 1):
        # A crystal that is refused at once has its next move in the refusal.
        seen = replace(seen, detail=f"{seen.detail}; given up after attempt {attempt}: {seen.failure.cure}")
    report = AttemptReport(
        number=number,
        started_at=started_at,
        outcome="converged" if seen.failure is None else seen.failure.name.lower(),
        detail=seen.detail,
        correction="" if following is None else describe_change(settings, following),
        cpu_s=seen.cpu_s,
        wall_s=seen.wall_s,
        folder="" if seen.output is None else name,
    )
    return Tried(
        report,
        seen.failure,
        seen.output,
        seen.last_structure,
        seen.steps,
        following,
        seen.first_pressure_kbar,
        seen.equation,
    )


def _never_began(bench: Bench, name: str, seen: _Seen) -> str:
    """pw.x writes its first line before it reads anything: no crystal can keep it from that."""
    said = "" if seen.output is None else seen.output.stderr.strip()
    wrote = " ".join(said.split())[:300] or "nothing"
    return (
        f"{PwFailure.LAUNCH_FAILED.meaning} ({name} in {bench.folder}); it wrote: {wrote}; "
        f"correct the command {bench.command!r}, then run again"
    )


def _still_full(bench: Bench, name: str, seen: _Seen) -> str:
    """Once is tried again, since another job may have held the space for a moment; the crystal is not to blame."""
    free = shutil.disk_usage(bench.folder).free / 2**20
    return (
        f"{seen.detail} ({name} in {bench.folder}, where {free:.0f} MB are free): make room there, in the scratch folder "
        "and in TMPDIR, then run again; finished launches are kept"
    )


def _launch(
    bench: Bench, name: str, cell: Structure, settings: PwSettings, calculation: Literal["scf", "vc-relax"]
) -> _Seen:
    try:
        text = pw_input_text(cell, settings, bench.table, calculation)
    except InputError as error:
        return _Seen(PwFailure.BAD_INPUT, str(error))
    ran = _launched(bench, text, name, settings)
    output = parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode, ran.timed_out)
    failure = diagnose(output, settings)
    if failure in MACHINES_FAULT | {PwFailure.LAUNCH_FAILED, PwFailure.DISK_FULL}:
        forget(ran.folder)  # else the next worker would be told of it again, and launch nothing
    if failure in MACHINES_FAULT:
        raise MachineFault(f"{failure.meaning} ({name} in {bench.folder}): {failure.cure}, then run again")
    detail = _detail(failure, output) + (f"; continued {ran.continued} x after a stop" if ran.continued else "")
    first = output.cycles[0].pressure_kbar if output.cycles else None
    return _Seen(
        failure, detail, output, output.last_structure, output.steps, ran.cpu_s, ran.wall_s, first, None, ran.continued
    )


def _launched(bench: Bench, text: str, name: str, settings: PwSettings) -> PwRun:
    """As `dft.launch.launch`; a file that cannot be written is the machine's fault, whichever it is."""
    try:
        return launch(bench.run, text, bench.folder / name, bench.command, settings)
    except OSError as error:
        place = next(path for path in (bench.folder, *bench.folder.resolve().parents) if path.is_dir())
        left = f"{shutil.disk_usage(place).free / 2**20:.0f} MB are free there"
        raise MachineFault(
            f"a file of pw.x in {bench.folder / name} cannot be written or read ({error.strerror or error}; {left}): make "
            "room or mend the folder, then run again; finished launches are kept"
        ) from error


def _along_the_volume(bench: Bench, name: str, cell: Structure, settings: PwSettings) -> _Seen:
    """Single SCFs until the pressure is within its threshold, each in a subfolder `volume-<k>`."""
    points: list[Point] = []
    total = _Seen(PwFailure.NSTEP, "the pressure did not come down")
    last_mesh: Mesh | None = None
    for k in range(1, settings.nstep + 1):
        meshed = settings.model_copy(update={"k_mesh": last_mesh or _mesh(cell, settings, points)})
        seen = _launch(bench, f"{name}/volume-{k}", cell, meshed, "scf")
        total = replace(
            seen,
            last_structure=seen.last_structure or total.last_structure,
            steps=k - 1,
            cpu_s=total.cpu_s + seen.cpu_s,
            wall_s=total.wall_s + seen.wall_s,
            first_pressure_kbar=seen.first_pressure_kbar if k == 1 else total.first_pressure_kbar,
        )
        point = _point(cell, seen, meshed)
        if seen.failure is None and last_mesh is None and point and point.mesh != _mesh(cell, settings, []):
            # Found with the mesh of the way here: what is found shall not depend on the volume that one started from.
            last_mesh = _mesh(cell, settings, [])
            points.append(point)
            continue
        if point and points and points[-1].volume_ang3 == point.volume_ang3:
            points = _as_on_the_mesh_of(point, points)
        if seen.failure is None and settings.method == "eos" and point is not None:
            return _with_curve(bench, name, cell, meshed, total, [*points, point])
        if seen.failure not in (PwFailure.RESIDUAL_STRESS, PwFailure.MOMENT_VANISHED) or point is None:
            return total
        points.append(point)
        cell = cell.copy()
        cell.scale_lattice(next_volume_ang3([(at.volume_ang3, at.pressure_kbar) for at in points], len(cell)))
        if seen.failure is PwFailure.MOMENT_VANISHED:
            return replace(total, last_structure=cell)  # the next attempt, without spin, need not repeat this volume
        refusal = preflight(cell)
        if refusal is not None:
            return replace(total, failure=refusal[0], detail=f"under {point.pressure_kbar:.0f} kbar: {refusal[1]}")
    return replace(total, failure=PwFailure.NSTEP)


def _with_curve(
    bench: Bench, name: str, cell: Structure, settings: PwSettings, found: _Seen, points: list[Point]
) -> _Seen:
    """The relaxation that was found, with the equation of state round it: further SCFs, each in `eos-<k>`.

    A volume that cannot be computed is left out, and without enough of them the relaxation stands without a curve.
    """
    centre, failed = cell.volume, list[float]()
    near = [at for at in in_window(points, centre) if at.mesh == settings.k_mesh]
    while (volume := next_volume(near, centre, len(cell), failed)) is not None:
        other = cell.copy()
        other.scale_lattice(volume)
        seen = _launch(bench, f"{name}/eos-{len(near) + len(failed) + 1}", other, settings, "scf")
        found = replace(found, cpu_s=found.cpu_s + seen.cpu_s, wall_s=found.wall_s + seen.wall_s)
        point = _point(other, seen, settings) if seen.failure in (None, PwFailure.RESIDUAL_STRESS) else None
        if point is None:
            failed.append(volume)
        else:
            near.append(point)
    try:
        equation = fit(near, len(cell))
    except PoorFit as error:
        return replace(found, detail=f"{found.detail}; no equation of state: {error}")
    what = f"B {equation.bulk_modulus_gpa:.1f} GPa from {equation.points} volumes"
    return replace(found, equation=equation, detail=f"{found.detail}; {what}, rms {equation.rms_mev_per_atom:.3f} meV")


def _mesh(cell: Structure, settings: PwSettings, points: list[Point]) -> Mesh | None:
    """The k mesh of this cell, or that of the last volume after a small step.

    Where the mesh changes with the volume the pressure jumps, and a zero between its two branches is never found.
    """
    if settings.gamma_only or settings.k_mesh is not None:
        return settings.k_mesh
    if points and abs(cell.volume / points[-1].volume_ang3 - 1) < _SMALL_STEP:
        return points[-1].mesh
    return k_mesh(cell, settings.kspacing_inv_ang)


def _as_on_the_mesh_of(point: Point, earlier: list[Point]) -> list[Point]:
    """Earlier points but the last, which is of the same volume on another mesh: pressures differ by as much as theirs do."""
    offset = point.pressure_kbar - earlier[-1].pressure_kbar
    return [replace(at, pressure_kbar=at.pressure_kbar + offset) for at in earlier[:-1]]


def _point(cell: Structure, seen: _Seen, settings: PwSettings) -> Point | None:
    last = None if seen.output is None else seen.output.last
    if last is None or last.pressure_kbar is None:
        return None
    return Point(cell.volume, last.free_energy_ev, last.pressure_kbar, settings.k_mesh)


def _following(failure: PwFailure, seen: _Seen, settings: PwSettings, attempt: int) -> PwSettings | None:
    if failure in (PwFailure.OUT_OF_TIME, PwFailure.TIMEOUT) and seen.last_structure is None:
        return None  # not one SCF cycle fits in the limit: the next attempt would get no further
    fresh = seen.output is not None and in_fresh_cell(seen.output.stdout)
    if failure is PwFailure.OUT_OF_TIME and seen.continued and not fresh:
        return None  # max_attempts launches went on from each other
    return correct(failure, settings, attempt)


def _detail(failure: PwFailure | None, output: PwOutput) -> str:
    last = output.last
    seen = [f"{error.routine} ({error.code}): {error.message}" for error in output.errors[:1]]
    if last is not None and last.pressure_kbar is not None and last.fmax_ev_ang is not None:
        stress = f"P {last.pressure_kbar:.2f} kbar, largest stress {last.largest_stress_kbar:.2f}"
        seen.append(f"{stress}, fmax {last.fmax_ev_ang:.1e} eV/angstrom")
    elif output.scf_accuracy_ry is not None:
        seen.append(f"SCF accuracy {output.scf_accuracy_ry:.1e} Ry")
    if output.magnetization is not None and output.absolute_magnetization is not None:
        moments = f"{output.magnetization:.2f}, absolute {output.absolute_magnetization:.2f}"
        seen.append(f"magnetisation {moments} Bohr magnetons")
    what = "converged" if failure is None else failure.meaning
    return f"{what}; {', '.join(seen)}" if seen else what
