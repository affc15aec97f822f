"""One launch of pw.x, judged: what was seen of the crystal, or of the machine. What follows is decided in `dft.relax.attempt`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from pymatgen.core.structure import Structure

from crystalloop.dft.heal.failures import MACHINES_FAULT, PwFailure, diagnose
from crystalloop.dft.pw.continuations import launch
from crystalloop.dft.pw.input import pw_input_text
from crystalloop.dft.pw.launch import Launcher, PwRun
from crystalloop.dft.pw.output import Cycle, PwOutput, parse_pw_output
from crystalloop.dft.pw.replay import forget
from crystalloop.dft.recipe.moments import with_moments_of
from crystalloop.dft.recipe.pseudos import PseudoTable, PwEnvironmentError
from crystalloop.dft.recipe.settings import InputError, PwSettings
from crystalloop.dft.relax.equation_of_state import EquationOfState


class MachineFault(PwEnvironmentError):
    """pw.x says that it cannot work on this machine as it was started."""


@dataclass(frozen=True)
class Bench:
    """Where and how attempts are made."""

    folder: Path
    table: PseudoTable
    run: Launcher
    command: str
    now: Callable[[], datetime]
    memory_mb: float | None = None  # that a launch may take; None for what the machine has


@dataclass(frozen=True)
class Seen:
    """What one launch, or all of an attempt so far, came to."""

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


def look(
    bench: Bench, name: str, cell: Structure, settings: PwSettings, calculation: Literal["scf", "relax", "vc-relax"]
) -> Seen:
    """Run pw.x on a cell as it is, going on where it stopped for time, and judge what it wrote.

    Args:
        bench: where and how.
        name: of the subfolder, such as attempt-1/volume-2.
        cell: primitive.
        settings: of this launch.
        calculation: scf; relax, of the atoms alone; or vc-relax.

    Raises:
        MachineFault: pw.x cannot work on this machine as it was started.
    """
    try:
        text = pw_input_text(cell, settings, bench.table, calculation)
    except InputError as error:
        return Seen(PwFailure.BAD_INPUT, str(error))
    ran = _launched(bench, text, name, settings)
    output = parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode, ran.timed_out)
    output = replace(output, cycles=tuple(_with_moments(cycle, cell) for cycle in output.cycles))
    failure = diagnose(output, settings)
    if failure in MACHINES_FAULT | {PwFailure.LAUNCH_FAILED, PwFailure.DISK_FULL}:
        forget(ran.folder)  # else the next worker would be told of it again, and launch nothing
    if failure in MACHINES_FAULT:
        raise MachineFault(f"{failure.meaning} ({name} in {bench.folder}): {failure.cure}, then run again")
    detail = _detail(failure, output) + (f"; continued {ran.continued} x after a stop" if ran.continued else "")
    first = output.cycles[0].pressure_kbar if output.cycles else None
    return Seen(
        failure, detail, output, output.last_structure, output.steps, ran.cpu_s, ran.wall_s, first, None, ran.continued
    )


def _with_moments(cycle: Cycle, cell: Structure) -> Cycle:
    """pw.x prints species; the moments that these began with are those of the cell that it was given.

    Other atoms than it was given are no answer: a byte of the output is broken.
    """
    found = cycle.structure
    if found is None:
        return cycle
    same = [site.specie for site in found] == [site.specie for site in cell]
    return replace(cycle, structure=with_moments_of(found, cell) if same else None)


def _launched(bench: Bench, text: str, name: str, settings: PwSettings) -> PwRun:
    """As `dft.pw.continuations.launch`; a file that cannot be written is the machine's fault, whichever it is."""
    try:
        return launch(bench.run, text, bench.folder / name, bench.command, settings)
    except OSError as error:
        place = next(path for path in (bench.folder, *bench.folder.resolve().parents) if path.is_dir())
        left = f"{shutil.disk_usage(place).free / 2**20:.0f} MB are free there"
        raise MachineFault(
            f"a file of pw.x in {bench.folder / name} cannot be written or read ({error.strerror or error}; {left}): make "
            "room or mend the folder, then run again; finished launches are kept"
        ) from error


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
