"""How a running pw.x is ended: asked by a file that it looks for, then by SIGTERM, then killed. Starts nothing."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crystalloop.dft.pw_input import OUTDIR, PREFIX

STOP_GRACE_S = 20.0
"""pw.x looks for the file after each SCF iteration and each k point of it: seconds for small cells. Slurm kills 30 s
after its SIGTERM, and this has to fit into that with all that follows."""
TERM_GRACE_S = 5.0
"""srun, mpirun and docker pass SIGTERM on to what they started, on other nodes too; SIGKILL they cannot pass on."""
_ASK_S = 0.5


class StopKindly(Exception):
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
