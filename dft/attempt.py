"""One attempt: pw.x launched once, or once per volume, and judged. What follows from it is decided in `dft.relax`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from pymatgen.core.structure import Structure

from dft.cells import only_volume_is_free, primitive_cell
from dft.failures import PwFailure, correct, describe_change, diagnose
from dft.preflight import preflight
from dft.pseudos import PseudoTable
from dft.pw_input import InputError, pw_input_text
from dft.pw_output import PwOutput, parse_pw_output
from dft.pw_run import PwRun
from dft.settings import PwSettings
from dft.volume import next_volume_ang3

_KILL_AFTER = 1.25
"""Of max_seconds, and a minute: pw.x ends by itself at max_seconds unless it hangs."""


class Launch(Protocol):
    """What an attempt needs of `run_pw`; a test passes its own."""

    def __call__(self, input_text: str, folder: Path, command: str = ..., timeout_s: float | None = ...) -> PwRun:
        """One launch of pw.x in a folder."""


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


@dataclass(frozen=True)
class Bench:
    """Where and how attempts are made."""

    folder: Path
    table: PseudoTable
    run: Launch
    command: str
    now: Callable[[], datetime]


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


def make_attempt(bench: Bench, number: int, attempt: int, cell: Structure, settings: PwSettings) -> Tried:
    """One attempt, in the subfolder `attempt-<number>`.

    Args:
        bench: where and how.
        number: names the folder.
        attempt: counts against settings.max_attempts.
        cell: to start from; its symmetrised primitive cell is computed.
        settings: earlier corrections included.
    """
    started_at, name = bench.now(), f"attempt-{number}"
    refusal = preflight(cell)
    if refusal is not None:
        seen = _Seen(*refusal)
    elif settings.vary == "nothing":
        seen = _launch(bench, name, primitive_cell(cell), settings, "scf")
    elif not (settings.always_vc_relax or settings.damped) and only_volume_is_free(cell):
        seen = _along_the_volume(bench, name, primitive_cell(cell), settings)
    else:
        seen = _launch(bench, name, primitive_cell(cell), settings, "vc-relax")
    following = None if seen.failure is None else _following(seen.failure, seen, settings, attempt)
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
    return Tried(report, seen.failure, seen.output, seen.last_structure, seen.steps, following)


def _launch(
    bench: Bench, name: str, cell: Structure, settings: PwSettings, calculation: Literal["scf", "vc-relax"]
) -> _Seen:
    try:
        text = pw_input_text(cell, settings, bench.table, calculation)
    except InputError as error:
        return _Seen(PwFailure.BAD_INPUT, str(error))
    limit_s = settings.max_seconds * _KILL_AFTER + 60
    ran = bench.run(text, bench.folder / name, command=bench.command, timeout_s=limit_s)
    output = parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode, ran.timed_out)
    failure = diagnose(output, settings)
    detail = _detail(failure, output)
    return _Seen(failure, detail, output, output.last_structure, output.steps, ran.cpu_s, ran.wall_s)


def _along_the_volume(bench: Bench, name: str, cell: Structure, settings: PwSettings) -> _Seen:
    """Single SCFs until the pressure is within its threshold, each in a subfolder `volume-<k>`."""
    points: list[tuple[float, float]] = []
    total = _Seen(PwFailure.NSTEP, "the pressure did not come down")
    for k in range(1, settings.nstep + 1):
        seen = _launch(bench, f"{name}/volume-{k}", cell, settings, "scf")
        total = replace(
            seen,
            last_structure=seen.last_structure or total.last_structure,
            steps=k - 1,
            cpu_s=total.cpu_s + seen.cpu_s,
            wall_s=total.wall_s + seen.wall_s,
        )
        last = None if seen.output is None else seen.output.last
        if seen.failure is not PwFailure.RESIDUAL_STRESS or last is None or last.pressure_kbar is None:
            return total
        points.append((cell.volume, last.pressure_kbar))
        cell = cell.copy()
        cell.scale_lattice(next_volume_ang3(points, len(cell)))
        refusal = preflight(cell)
        if refusal is not None:
            return replace(total, failure=refusal[0], detail=f"under {last.pressure_kbar:.0f} kbar: {refusal[1]}")
    return replace(total, failure=PwFailure.NSTEP)


def _following(failure: PwFailure, seen: _Seen, settings: PwSettings, attempt: int) -> PwSettings | None:
    if failure in (PwFailure.OUT_OF_TIME, PwFailure.TIMEOUT) and seen.last_structure is None:
        return None  # not one SCF cycle fits in the limit: the next attempt would get no further
    return correct(failure, settings, attempt)


def _detail(failure: PwFailure | None, output: PwOutput) -> str:
    last = output.last
    seen = [f"{error.routine} ({error.code}): {error.message}" for error in output.errors[:1]]
    if last is not None and last.pressure_kbar is not None and last.fmax_ev_ang is not None:
        stress = f"P {last.pressure_kbar:.2f} kbar, largest stress {last.largest_stress_kbar:.2f}"
        seen.append(f"{stress}, fmax {last.fmax_ev_ang:.1e} eV/angstrom")
    elif output.scf_accuracy_ry is not None:
        seen.append(f"SCF accuracy {output.scf_accuracy_ry:.1e} Ry")
    what = "converged" if failure is None else failure.meaning
    return f"{what}; {', '.join(seen)}" if seen else what
