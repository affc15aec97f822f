"""relax(): one crystal from preflight to an answer that is believed, through as many launches of pw.x as it takes.

The catalogue of failures is `dft.failures`; processes and files are `dft.pw_run`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol

from pymatgen.core.structure import Structure

from dft.cells import conventional_cell, primitive_cell, spacegroup_number
from dft.compare import Comparison, compare
from dft.failures import PwFailure, correct, describe_change, diagnose
from dft.preflight import preflight
from dft.pseudos import PseudoTable
from dft.pw_input import InputError, pw_input_text
from dft.pw_output import PwOutput, parse_pw_output
from dft.pw_run import STDOUT, PwRun, run_pw
from dft.settings import PwSettings

__all__ = ["AttemptReport", "Comparison", "GaveUp", "Launch", "Relaxed", "compare", "relax", "resume_point"]

log = logging.getLogger(__name__)

_KILL_AFTER = 1.25
"""Of max_seconds, and a minute: pw.x ends by itself at max_seconds unless it hangs."""


class Launch(Protocol):
    """What `relax` needs of `run_pw`; a test passes its own."""

    def __call__(self, input_text: str, folder: Path, command: str = ..., timeout_s: float | None = ...) -> PwRun:
        """One launch of pw.x in a folder."""


@dataclass(frozen=True)
class AttemptReport:
    """One launch of pw.x, or the refusal to make one."""

    number: int
    started_at: datetime
    outcome: str  # "converged" or the name of a PwFailure
    detail: str  # what was seen, in a sentence
    correction: str  # what the next launch changes; "" where there is none
    cpu_s: float = 0.0
    wall_s: float = 0.0
    folder: str = ""  # below the folder of the relaxation; "" where nothing was launched


@dataclass(frozen=True)
class Relaxed:
    """A relaxation whose pressure, forces and SCF were computed anew in the final cell and lie within the thresholds."""

    structure: Structure  # the cell that pw.x saw
    conventional: Structure
    energy_ev: float  # E0 = F + TS/2 of `structure`
    energy_per_atom_ev: float
    a_ang: float  # edge a of the conventional cell
    spacegroup: int
    pressure_kbar: float
    fmax_ev_ang: float
    steps: int  # moves of cell and atoms over all launches
    bond_change_percent: float | None  # against the crystal as generated
    cell_change_percent: float | None
    cpu_s: float  # over all launches
    wall_s: float
    pw_version: str
    pseudos: dict[str, str]  # element -> md5
    attempts: tuple[AttemptReport, ...]


@dataclass(frozen=True)
class GaveUp:
    """No answer, and why: an outcome to record, not an error."""

    failure: PwFailure
    reason: str
    attempts: tuple[AttemptReport, ...]
    last_structure: Structure | None  # last complete cell, from which somebody may go on

    @property
    def cpu_s(self) -> float:
        """Over all launches."""
        return sum(attempt.cpu_s for attempt in self.attempts)

    @property
    def wall_s(self) -> float:
        """Over all launches."""
        return sum(attempt.wall_s for attempt in self.attempts)


def relax(
    structure: Structure,
    settings: PwSettings,
    table: PseudoTable,
    folder: Path,
    run: Launch = run_pw,
    on_attempt: Callable[[AttemptReport], None] | None = None,
    start: Structure | None = None,
    command: str = "pw.x",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Relaxed | GaveUp:
    """Relax a crystal, correcting what goes wrong, until the result is to be believed or hopeless.

    A vc-relax keeps the plane waves of the cell it starts from, so its own verdict is not taken: pressure and forces of
    the last SCF, in the fresh cell, decide. Where they are too large the next launch starts from there.

    Args:
        structure: as generated, in any cell; the symmetrised primitive cell is what is computed.
        settings: thresholds, limits, number of attempts.
        table: pseudopotentials.
        folder: gets one subfolder per launch, `attempt-1` and on; numbers go on where there are some already.
        run: launches pw.x.
        on_attempt: called after each launch or refusal, before the next begins.
        start: cell to start from in place of `structure`, for a relaxation that was interrupted; see `resume_point`.
        command: pw.x, with what stands before it.
        now: the clock.

    Raises:
        PwEnvironmentError: no pw.x, no space, a missing or wrong pseudopotential. The crystal is not to blame for it.
    """
    pseudos = table.check(site.specie.symbol for site in structure)
    first, reports, steps = _next_number(folder), list[AttemptReport](), 0
    cell, current = start or structure, settings
    for attempt in count(1):
        tried = _try(first + attempt - 1, attempt, cell, current, table, now, partial(_launch, run, folder, command))
        reports.append(tried.report)
        steps += tried.output.steps if tried.output else 0
        log.info("%s attempt %d: %s", folder.name, tried.report.number, tried.report.detail)
        if on_attempt is not None:
            on_attempt(tried.report)
        if tried.failure is None and tried.output is not None:
            return _relaxed(structure, tried.output, pseudos, steps, tuple(reports))
        last = (tried.output.last_structure if tried.output else None) or cell
        if tried.failure is not None and tried.following is None:
            return GaveUp(tried.failure, tried.report.detail, tuple(reports), last)
        cell, current = last, tried.following or current
    raise AssertionError("unreachable: correct() ends the loop at max_attempts")


def resume_point(folder: Path) -> Structure | None:
    """Last complete cell among the launches in a folder, for `relax(start=...)`; None where there is none."""
    for number in range(_next_number(folder) - 1, 0, -1):
        path = folder / f"attempt-{number}" / STDOUT
        found = parse_pw_output(None, path.read_text(errors="replace"), "", 0) if path.is_file() else None
        if found is not None and found.last_structure is not None and preflight(found.last_structure) is None:
            return found.last_structure
    return None


@dataclass(frozen=True)
class _Try:
    report: AttemptReport
    failure: PwFailure | None
    output: PwOutput | None  # None where nothing was launched
    following: PwSettings | None  # settings of the next launch; None at the end


def _try(
    number: int,
    attempt: int,
    cell: Structure,
    settings: PwSettings,
    table: PseudoTable,
    now: Callable[[], datetime],
    launch: Callable[[str, str, float], PwRun],
) -> _Try:
    """One launch, or the refusal to make it."""
    started_at = now()
    prepared = _prepared(cell, settings, table)
    if not isinstance(prepared, str):
        failure, detail = prepared
        return _Try(AttemptReport(number, started_at, failure.name.lower(), detail, ""), failure, None, None)
    name = f"attempt-{number}"
    ran = launch(prepared, name, settings.max_seconds * _KILL_AFTER + 60)
    output = parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode, ran.timed_out)
    seen = diagnose(output, settings)
    following = None if seen is None else _following(seen, output, settings, attempt)
    report = AttemptReport(
        number=number,
        started_at=started_at,
        outcome="converged" if seen is None else seen.name.lower(),
        detail=_detail(seen, output),
        correction="" if following is None else describe_change(settings, following),
        cpu_s=ran.cpu_s,
        wall_s=ran.wall_s,
        folder=name,
    )
    return _Try(report, seen, output, following)


def _prepared(cell: Structure, settings: PwSettings, table: PseudoTable) -> str | tuple[PwFailure, str]:
    """The input text, or why there is none."""
    refusal = preflight(cell)
    if refusal is not None:
        return refusal
    try:
        return pw_input_text(primitive_cell(cell), settings, table, "scf" if settings.vary == "nothing" else "vc-relax")
    except InputError as error:
        return PwFailure.BAD_INPUT, str(error)


def _launch(run: Launch, folder: Path, command: str, text: str, name: str, timeout_s: float) -> PwRun:
    return run(text, folder / name, command=command, timeout_s=timeout_s)


def _following(failure: PwFailure, output: PwOutput, settings: PwSettings, attempt: int) -> PwSettings | None:
    if failure in (PwFailure.OUT_OF_TIME, PwFailure.TIMEOUT) and output.n_scf == 0:
        return None  # not one SCF cycle fits in the limit: the next launch would get no further
    return correct(failure, settings, attempt)


def _detail(failure: PwFailure | None, output: PwOutput) -> str:
    last = output.last
    seen = [f"{error.routine} ({error.code}): {error.message}" for error in output.errors[:1]]
    if last is not None and last.pressure_kbar is not None and last.fmax_ev_ang is not None:
        seen.append(f"P {last.pressure_kbar:.2f} kbar, fmax {last.fmax_ev_ang:.1e} eV/angstrom")
    elif output.scf_accuracy_ry is not None:
        seen.append(f"SCF accuracy {output.scf_accuracy_ry:.1e} Ry")
    what = "converged" if failure is None else failure.meaning
    return f"{what}; {', '.join(seen)}" if seen else what


def _next_number(folder: Path) -> int:
    numbers = [path.name.removeprefix("attempt-") for path in folder.glob("attempt-*")]
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=0)


def _relaxed(
    generated: Structure,
    output: PwOutput,
    pseudos: dict[str, str],
    steps: int,
    reports: tuple[AttemptReport, ...],
) -> Relaxed:
    last, final = output.last, output.last_structure
    if last is None or final is None or last.pressure_kbar is None or last.fmax_ev_ang is None:
        raise ValueError("diagnose() passed a launch without results")
    conventional = conventional_cell(final)
    change = compare(generated, final)
    return Relaxed(
        structure=final,
        conventional=conventional,
        energy_ev=last.energy_ev,
        energy_per_atom_ev=last.energy_ev / len(final),
        a_ang=float(conventional.lattice.a),
        spacegroup=spacegroup_number(final),
        pressure_kbar=last.pressure_kbar,
        fmax_ev_ang=last.fmax_ev_ang,
        steps=steps,
        bond_change_percent=change.bond_change_percent,
        cell_change_percent=change.cell_change_percent,
        cpu_s=sum(report.cpu_s for report in reports),
        wall_s=sum(report.wall_s for report in reports),
        pw_version=output.version,
        pseudos=pseudos,
        attempts=reports,
    )
