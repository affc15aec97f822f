"""Launcher, the contract of whatever starts pw.x, with what it is told and what it brings back. Starts nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

INPUT, STDOUT, STDERR, XML = "pw.in", "pw.out", "pw.err", "pw.xml"
MIN_FREE_MB = 200
STOP_GRACE_S = 20.0
"""pw.x looks for the request to stop after each SCF iteration and each k point of it: seconds for small cells. Slurm
kills 30 s after its SIGTERM, and this has to fit into that with all that follows."""


@dataclass(frozen=True)
class ScfProgress:
    """How far a running pw.x is."""

    n_scf: int  # SCF cycles that converged
    wall_s: float


@dataclass(frozen=True)
class LaunchOptions:
    """How one launch is made; what is computed stands in its input alone.

    Args:
        command: pw.x with what stands before it, such as `mpirun -np 4 pw.x`; split like a shell line, run without one.
        timeout_s: wall time after which it is killed; None for ever.
        on_progress: called about once a second while pw.x runs.
        resume: folder of the launch that the input continues (restart_mode = 'restart'); its scratch is copied, so that
            it can be continued once more if this launch is killed. `drop_scratch` deletes it.
        min_free_mb: on the file system of the folder.
        keep_scratch: leave density and wave functions, for a launch that starts from them; `drop_scratch` deletes them.
        grace_s: for pw.x to end by itself once it was asked to.
    """

    command: str = "pw.x"
    timeout_s: float | None = None
    on_progress: Callable[[ScfProgress], None] | None = None
    resume: Path | None = None
    min_free_mb: int = MIN_FREE_MB
    keep_scratch: bool = False
    grace_s: float = STOP_GRACE_S

    def heard_by(self, listener: Callable[[ScfProgress], None]) -> LaunchOptions:
        """The same, with one more who hears of progress; whoever asked before hears of it first."""
        earlier = self.on_progress

        def both(progress: ScfProgress) -> None:
            if earlier is not None:
                earlier(progress)
            listener(progress)

        return replace(self, on_progress=both)


@dataclass(frozen=True)
class PwRun:
    """One launch: what came back, unread."""

    returncode: int  # negative: the signal that ended it
    stdout: str
    stderr: str
    xml: str | None
    cpu_s: float  # of pw.x and its children: what the kernel counted, or pw.x itself where that is more
    wall_s: float
    timed_out: bool
    folder: Path
    continued: int = 0  # times that it stopped for time and went on; see dft.pw.continuations


class Launcher(Protocol):
    """Where pw.x starts: `run_pw`, and every layer round it, each of which holds the next one.

    Promised, and held by tests/contracts/launcher.py:

    * The same input gives the same answer: stdout, stderr, XML and return code.
    * Whatever pw.x does, crash or refuse or say nonsense, is a PwRun with its return code and its own words. An
      exception means the machine (PwEnvironmentError), or is one that `on_progress` raised, which comes out as it is.
    * `PwRun.folder` holds input and output of the launch; it is the folder asked for, or that of an earlier launch which
      answered in its place.
    * `on_progress` hears about once a second, whoever else listens.
    * Where it raises StopKindly, pw.x is asked to stop. One that does ends as a PwRun like any other, and its scratch
      stays in its folder: a launch with `resume` goes on from there, and copies it. One that does not is killed.
    * No scratch stays of a launch that ended otherwise, and no process of any.
    * A launch past `timeout_s` is killed, and its PwRun says `timed_out`.
    """

    def __call__(self, input_text: str, folder: Path, options: LaunchOptions, /) -> PwRun:
        """One launch of pw.x.

        Args:
            input_text: with outdir `./out`.
            folder: made if missing; leftovers of an earlier launch in it are deleted first.
            options: how.

        Raises:
            PwEnvironmentError: the machine cannot launch it.
        """
