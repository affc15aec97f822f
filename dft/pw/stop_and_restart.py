"""How a running pw.x is asked to stop, and what one that stopped leaves for another to go on from. Files only."""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crystalloop.dft.pw.input import OUTDIR, PREFIX
from crystalloop.dft.pw.launch import STOP_GRACE_S

CONTINUED = "continued"
"""A file in the folder of a launch: another one has gone on from its scratch, which is no more."""
_CLEAN_STOPS = ("Maximum CPU time exceeded", "Program stopped by user request", "Signal Received, stopping")


def stopped_cleanly(stdout: str) -> bool:
    """Whether pw.x wrote what a restart needs, since its time was over or somebody asked it to stop."""
    return any(words in stdout for words in _CLEAN_STOPS)


def in_fresh_cell(stdout: str) -> bool:
    """Whether a vc-relax stopped in its last SCF: pw.x 6.7 has other plane waves there and cannot go on from its files.

    It says `davcio (10): error reading file`; starting over from the relaxed cell costs little more.
    """
    return "Final scf calculation at the relaxed structure" in stdout


def before_the_stop(stdout: str) -> str:
    """What a launch said before it stopped; what follows is said again by the launch that goes on."""
    for words in _CLEAN_STOPS:
        stdout = stdout.split(words)[0]
    return stdout


def has_scratch(folder: Path) -> bool:
    """Whether the launch in this folder left something to go on from."""
    return (folder / OUTDIR).is_dir()


def drop_scratch(folder: Path) -> None:
    """Delete wave functions and charge: 1-25 MB."""
    shutil.rmtree(folder / OUTDIR, ignore_errors=True)


def hand_on(folder: Path) -> None:
    """Delete the scratch of a launch from which another has gone on and come back, and note that one has."""
    (folder / CONTINUED).touch()
    drop_scratch(folder)


def goes_on(folder: Path) -> bool:
    """Whether a launch that stopped can be gone on from, or has been: then its continuation is found by its input."""
    return has_scratch(folder) or (folder / CONTINUED).exists()


TERM_GRACE_S = 5.0
"""srun, mpirun and docker pass SIGTERM on to what they started, on other nodes too; SIGKILL they cannot pass on."""
_ASK_S = 0.5


class Interrupted(Exception):
    """Nothing is to be computed here any more: the worker stops, or the lease is gone. A running pw.x is killed."""


class StopKindly(Interrupted):
    """Raised while pw.x runs: let it write what a restart needs and end by itself, and kill it only if it does not."""


def exit_files(folder: Path) -> tuple[Path, Path]:
    """Where pw.x looks for a request to stop: beside its input or in its outdir, which depends on the release."""
    return folder / f"{PREFIX}.EXIT", folder / OUTDIR / f"{PREFIX}.EXIT"


def withdraw(folder: Path) -> None:
    """Remove requests to stop: one that is left over would end the next launch at once."""
    for path in exit_files(folder):
        path.unlink(missing_ok=True)


def ended_when_asked(handle: int, folder: Path, grace_s: float = STOP_GRACE_S) -> bool:
    """Ask the pw.x that runs in a folder to stop, and wait for it; False where it is still there after `grace_s`.

    Args:
        handle: of the process, as os.pidfd_open gives it.
        folder: of the launch; its outdir may come to be while this waits.
        grace_s: how long to wait.
    """
    deadline = time.monotonic() + grace_s
    while (left := deadline - time.monotonic()) > 0:
        for path in exit_files(folder):
            with suppress(OSError):
                path.touch()
        if has_ended(handle, min(_ASK_S, left)):
            return True
    return False


def has_ended(handle: int, within_s: float) -> bool:
    """Whether the process ends in time."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(max(0.0, within_s) * 1000))


@contextmanager
def group_ended(leader: int) -> Iterator[int]:
    """A handle of a process; at the end of the `with`, whatever is left of its process group is gone.

    The leader must not be reaped before: while it is not, its group cannot be anybody else's.
    """
    handle = os.pidfd_open(leader)
    try:
        yield handle
    finally:
        with suppress(ProcessLookupError):
            if not has_ended(handle, 0.0):
                os.killpg(leader, signal.SIGTERM)
                has_ended(handle, TERM_GRACE_S)
            os.killpg(leader, signal.SIGKILL)
        os.close(handle)
