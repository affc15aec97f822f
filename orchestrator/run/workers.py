"""The worker processes of this machine: started, replaced when they die, ended. What they do is the worker's concern."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)
GRACE_S = 40.0
"""More than a worker gives its pw.x to end by itself (dft.stopping), and what follows."""
QUICK_DEATHS = 3
QUICK_S = 30.0
SHORT_LIVES, SHORT_S = 6, 300.0
"""So many deaths one after the other (and two for each slot), of workers that lived no longer than this, end the campaign
too: something kills them that takes its time, as a machine does that is short of memory."""


class WorkersKeepDying(Exception):
    """Workers end as soon as they start; the message carries the last line that one wrote."""

    exit_kind = "environment"


class LocalWorkers:
    """Keeps a number of worker processes alive.

    Args:
        command: the whole command line of one worker.
        slots: how many to keep.
        log_folder: each worker writes worker-<slot>.log there.
        environment: variables added to this process' own.
        keep: whether a worker that ended by itself, with code 0, is replaced.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        command: Sequence[str],
        slots: int,
        log_folder: Path,
        environment: Mapping[str, str] | None = None,
        keep: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = list(command)
        self._slots: list[subprocess.Popen[bytes] | None] = [None] * slots
        self._folder = log_folder
        self._environment = {**os.environ, **(environment or {})}
        self._keep = keep
        self._clock = clock
        self._deaths: deque[float] = deque(maxlen=QUICK_DEATHS)
        self._started: dict[int, float] = {}
        self._short_lives = 0

    def ensure(self) -> bool:
        """Start missing workers; False when all have ended by themselves and are not to be replaced.

        Raises:
            WorkersKeepDying: several ended within seconds of each other.
        """
        for slot, process in enumerate(self._slots):
            if process is not None and (process.poll() is None or self._is_done(process)):
                continue
            if process is not None:
                self._note_death(slot, process.returncode)
            self._slots[slot] = self._start(slot)
        return not all(process is not None and self._is_done(process) for process in self._slots)

    def _is_done(self, process: subprocess.Popen[bytes]) -> bool:
        return not self._keep and process.poll() == 0

    def stop(self) -> None:
        """Ask every worker to hand its work back and end; kill those that take longer than GRACE_S."""
        alive = [process for process in self._slots if process is not None and process.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGTERM)
        deadline = self._clock() + GRACE_S
        for process in alive:
            try:
                process.wait(max(0.1, deadline - self._clock()))
            except subprocess.TimeoutExpired:
                log.warning("worker %d did not end within %.0f s and was killed", process.pid, GRACE_S)
                process.kill()
                process.wait()
        self._slots = [None] * len(self._slots)

    def _start(self, slot: int) -> subprocess.Popen[bytes]:
        self._started[slot] = self._clock()
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"worker-{slot}.log").open("ab") as out:
            # A session of its own: Ctrl-C in the terminal reaches only the campaign, which then ends its workers.
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def _note_death(self, slot: int, code: int) -> None:
        log.warning("worker of slot %d ended with code %d and is replaced", slot, code)
        self._deaths.append(self._clock())
        short = self._clock() - self._started.get(slot, 0.0) < SHORT_S
        self._short_lives = self._short_lives + 1 if short else 0
        if len(self._deaths) == QUICK_DEATHS and self._deaths[-1] - self._deaths[0] < QUICK_S:
            raise WorkersKeepDying(self._cause(slot, code, f"{QUICK_DEATHS} workers ended within {QUICK_S:.0f} s"))
        if self._short_lives >= max(SHORT_LIVES, 2 * len(self._slots)):
            lives = f"{self._short_lives} workers in a row lived less than {SHORT_S / 60:.0f} minutes"
            raise WorkersKeepDying(self._cause(slot, code, lives))

    def _cause(self, slot: int, code: int, what: str) -> str:
        path = self._folder / f"worker-{slot}.log"
        return (
            f"{what} (last exit code {code}): {_last_line(path)}; the whole log is {path}; mend the cause and repeat the "
            "same command, finished work is kept"
        )


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"


def python_module(module: str, *arguments: str) -> list[str]:
    """Command line that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]
