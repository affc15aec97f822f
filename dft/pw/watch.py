"""Watch, the launcher that tells of each SCF as soon as it has converged, and of a long one that it lives."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crystalloop.dft.pw.launch import STDOUT, Launcher, LaunchOptions, PwRun, ScfProgress
from crystalloop.dft.pw.output import PwOutput, parse_pw_output

QUIET_S = (30.0, 300.0)
"""Silence after which a running SCF is reported: at first, and at most, doubled in between."""
_ACCURACY = re.compile(r"estimated scf accuracy\s*<\s*(\S+)\s*Ry")


@dataclass(frozen=True)
class Step:
    """One SCF that converged, for a line of progress."""

    number: int
    volume_per_atom_ang3: float
    energy_per_atom_ev: float
    pressure_kbar: float | None


class Watch:
    """A Launcher, watched.

    Args:
        on_step: hears every SCF that converged.
        on_say: hears a sentence where none has for a while.
        inner: launches pw.x.
    """

    def __init__(self, on_step: Callable[[Step], None], on_say: Callable[[str], None], inner: Launcher) -> None:
        self._on_step, self._on_say, self._inner = on_step, on_say, inner
        self._told = 0  # over all launches

    def __call__(self, input_text: str, folder: Path, options: LaunchOptions) -> PwRun:
        """See Launcher."""
        before, spoke_at_s, quiet_s = self._told, 0.0, QUIET_S[0]

        def look(progress: ScfProgress) -> None:
            nonlocal spoke_at_s, quiet_s
            told = self._told
            if progress.n_scf > self._told - before:
                text = (folder / STDOUT).read_text(errors="replace")
                # The pressure of the last cycle may not be printed yet.
                self._tell(parse_pw_output(None, text, "", 0), before, complete=False)
            if self._told > told:
                spoke_at_s, quiet_s = progress.wall_s, QUIET_S[0]
            elif progress.wall_s - spoke_at_s >= quiet_s:
                self._on_say(f"{sign_of_life(folder / STDOUT, self._told + 1)}, {progress.wall_s:.0f} s in this launch")
                spoke_at_s, quiet_s = progress.wall_s, min(2 * quiet_s, QUIET_S[1])

        ran = self._inner(input_text, folder, options.heard_by(look))
        self._tell(parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode), before, complete=True)
        return ran

    def _tell(self, output: PwOutput, before: int, complete: bool) -> None:
        for cycle in output.cycles[self._told - before :]:
            if cycle.structure is None or (cycle.pressure_kbar is None and not complete):
                return
            self._told += 1
            atoms = len(cycle.structure)
            self._on_step(
                Step(self._told, cycle.structure.volume / atoms, cycle.energy_ev / atoms, cycle.pressure_kbar)
            )


def sign_of_life(stdout: Path, number: int) -> str:
    """How far the SCF that runs is: its iterations, and how far it is from converged."""
    text = stdout.read_text(errors="replace") if stdout.is_file() else ""
    iterations = text.rpartition("\n!    total energy")[2].count("iteration #")
    found = _ACCURACY.findall(text)
    accuracy = f", accuracy {found[-1]} Ry" if found and iterations else ""
    return (
        f"step {number}: pw.x is in iteration {iterations}{accuracy}" if iterations else f"step {number}: pw.x sets up"
    )
