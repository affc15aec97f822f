"""One attempt: pw.x launched once, or once per volume, and judged. What follows from it is decided in `dft.relax.relax`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import datetime

from pymatgen.core.structure import Structure

from crystalloop.dft.heal.corrections import correct, describe_change
from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.pw.output import PwOutput
from crystalloop.dft.pw.stop_and_restart import in_fresh_cell
from crystalloop.dft.recipe.cells import only_volume_is_free, primitive_cell
from crystalloop.dft.recipe.moments import without_moments
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.calculation import Bench, MachineFault, Seen, look
from crystalloop.dft.relax.equation_of_state import EquationOfState
from crystalloop.dft.relax.estimate import too_large
from crystalloop.dft.relax.preflight import preflight
from crystalloop.dft.relax.pressure_search import along_the_volume


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
    if settings.nspin == 1:
        cell = without_moments(cell)
    refusal = preflight(cell, in_box=settings.vary == "atoms") or too_large(
        cell, settings, bench.table, bench.memory_mb
    )
    if refusal is not None:
        seen = Seen(*refusal)
    elif settings.vary == "nothing":
        seen = look(bench, name, primitive_cell(cell), settings, "scf")
    elif settings.vary == "atoms":
        seen = look(bench, name, cell, settings, "relax" if len(cell) > 1 else "scf")
    elif settings.follows_the_volume and only_volume_is_free(cell):
        seen = along_the_volume(bench, name, primitive_cell(cell), settings)
    else:
        seen = look(bench, name, primitive_cell(cell), settings, "vc-relax")
    following = None if seen.failure is None else _following(seen.failure, seen, settings, attempt)
    if seen.failure is PwFailure.LAUNCH_FAILED and following is None:
        raise MachineFault(_never_began(bench, name, seen))
    if seen.failure is PwFailure.DISK_FULL and attempt > 1:
        raise MachineFault(_still_full(bench, name, seen))
    if following is not None and spent_cpu_s + seen.cpu_s >= settings.max_cpu_s:
        seen = replace(seen, detail=f"{seen.detail}; all of max_cpu_hours {settings.max_cpu_hours:g} is spent")
        following = None
    elif seen.failure is not None and following is None and (seen.output is not None or attempt > 1):
        # A crystal that is refused, at once or on the way, has its next move in the refusal.
        move = "" if seen.failure.cure in seen.detail else f": {seen.failure.cure}"
        seen = replace(seen, detail=f"{seen.detail}; given up after attempt {attempt}{move}")
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


def _never_began(bench: Bench, name: str, seen: Seen) -> str:
    """pw.x writes its first line before it reads anything: no crystal can keep it from that."""
    said = "" if seen.output is None else seen.output.stderr.strip()
    wrote = " ".join(said.split())[:300] or "nothing"
    return (
        f"{PwFailure.LAUNCH_FAILED.meaning} ({name} in {bench.folder}); it wrote: {wrote}; "
        f"correct the command {bench.command!r}, then run again"
    )


def _still_full(bench: Bench, name: str, seen: Seen) -> str:
    """Once is tried again, since another job may have held the space for a moment; the crystal is not to blame."""
    free = shutil.disk_usage(bench.folder).free / 2**20
    return (
        f"{seen.detail} ({name} in {bench.folder}, where {free:.0f} MB are free): make room there, in the scratch folder "
        "and in TMPDIR, then run again; finished launches are kept"
    )


def _following(failure: PwFailure, seen: Seen, settings: PwSettings, attempt: int) -> PwSettings | None:
    if failure in (PwFailure.OUT_OF_TIME, PwFailure.TIMEOUT) and seen.last_structure is None:
        return None  # not one SCF cycle fits in the limit: the next attempt would get no further
    fresh = seen.output is not None and in_fresh_cell(seen.output.stdout)
    if failure is PwFailure.OUT_OF_TIME and seen.continued and not fresh:
        return None  # max_attempts launches went on from each other
    return correct(failure, settings, attempt)
