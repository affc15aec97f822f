"""The one place where pw.x is started: as a process group of its own, with limits, and never left behind. Linux."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from crystalloop.dft.pw.input import OUTDIR, PREFIX
from crystalloop.dft.pw.launch import INPUT, STDERR, STDOUT, XML, LaunchOptions, PwRun, ScfProgress
from crystalloop.dft.pw.printed import seconds
from crystalloop.dft.pw.stop_and_restart import (
    CONTINUED,
    StopKindly,
    drop_scratch,
    ended_when_asked,
    group_ended,
    has_ended,
    has_scratch,
    stopped_cleanly,
    withdraw,
)
from crystalloop.dft.recipe.pseudos import PwEnvironmentError

_POLL_S = 1.0
_SAVED_XML = Path(OUTDIR, f"{PREFIX}.save", "data-file-schema.xml")

# Runs in place of a preexec_fn, which is unsafe beside threads. PR_SET_PDEATHSIG is 1; the parent may already be dead.
_LAUNCHER = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "os.getppid() == int(sys.argv[1]) and os.execvp(sys.argv[2], sys.argv[2:])\n"
)


class PwNotFound(PwEnvironmentError):
    """There is no pw.x to run."""


class DiskFull(PwEnvironmentError):
    """Too little space for another launch."""


class ScratchNotWritable(PwEnvironmentError):
    """The folder for the files of pw.x cannot be made or written."""


def run_pw(input_text: str, folder: Path, options: LaunchOptions) -> PwRun:
    """Run pw.x once and wait for it. Input, stdout, stderr and XML stay in the folder; wave functions do not.

    Unless pw.x stopped by itself before it was done, or they are to be kept: then its scratch stays, and a launch with
    `resume` goes on from it.

    Where `on_progress` raises StopKindly, pw.x is asked to stop, and what it then left is returned as always; the
    exception comes out where it did not end in time. Whatever else ends the wait early (time-out, Ctrl-C, another
    exception in `on_progress`) ends the whole process group: pw.x starts an `orted` or MPI ranks of its own. If this
    process is killed itself, the kernel takes pw.x with it. (Linux ties that to the thread which called: call from one
    that lives as long as the process.)

    Args:
        input_text: with outdir `./out`.
        folder: made if missing; leftovers of an earlier launch in it are deleted first.
        options: how it is launched.

    Raises:
        StopKindly: `on_progress` raised it, and pw.x was killed since it did not end in time.
        PwNotFound: the command's program is not there.
        DiskFull: less space than `min_free_mb`.
        ScratchNotWritable: the folder cannot be made or written.
    """
    words = require_pw(options.command)
    _prepare(folder, input_text, options)
    started = time.monotonic()
    try:
        returncode, cpu_s, timed_out = _launch([*words, "-inp", INPUT], folder, options)
    except BaseException:
        drop_scratch(folder)
        raise
    stdout = _read(folder / STDOUT)
    run = PwRun(
        returncode=returncode,
        stdout=stdout,
        stderr=_read(folder / STDERR),
        xml=_keep_xml(folder),
        cpu_s=max(cpu_s, _told_cpu_s(stdout)),
        wall_s=time.monotonic() - started,
        timed_out=timed_out,
        folder=folder,
    )
    if not stopped_cleanly(run.stdout) and not options.keep_scratch:
        drop_scratch(folder)
    return run


def require_pw(command: str) -> list[str]:
    """The words of the command, if its program is there.

    Raises:
        PwNotFound: it is not, or a quotation mark is not closed.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise PwNotFound(
            f"the command {command!r} cannot be split into words ({error}); mend its quotation marks"
        ) from error
    if not words or shutil.which(words[0]) is None:
        raise PwNotFound(
            f"no program {command!r}; `make setup` installs pw.x, or give its path as dft.pw_command or --pw-command"
        )
    return words


def _prepare(folder: Path, input_text: str, options: LaunchOptions) -> None:
    resume = options.resume
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_space(folder, options.min_free_mb)
        _sweep(folder)
        if resume is not None and has_scratch(resume):
            shutil.copytree(resume / OUTDIR, folder / OUTDIR)
            if (resume / XML).is_file():
                shutil.copy(resume / XML, folder / _SAVED_XML)
            withdraw(folder)
        (folder / INPUT).write_text(input_text)
    except OSError as error:
        raise ScratchNotWritable(
            f"{folder} cannot be written ({error.strerror or error}): make it writable, or run elsewhere"
        ) from error


def _require_space(folder: Path, min_free_mb: int) -> None:
    free_mb = shutil.disk_usage(folder).free / 2**20
    if free_mb < min_free_mb:
        raise DiskFull(f"{free_mb:.0f} MB free under {folder}, pw.x needs {min_free_mb}: make room, then run again")


def _sweep(folder: Path) -> None:
    """A CRASH file or XML of an earlier launch outlives one that dies before pw.x starts, and would be read as its."""
    for name in ("CRASH", STDOUT, STDERR, XML, CONTINUED):
        (folder / name).unlink(missing_ok=True)
    withdraw(folder)
    shutil.rmtree(folder / OUTDIR, ignore_errors=True)


def _launch(words: list[str], folder: Path, options: LaunchOptions) -> tuple[int, float, bool]:
    """Return code, CPU seconds and whether it was killed for time."""
    with (folder / STDOUT).open("wb") as stdout, (folder / STDERR).open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *words],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        with group_ended(process.pid) as handle:
            ended = _wait(handle, folder, options)
    finally:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        withdraw(folder)
    return process.returncode, usage.ru_utime + usage.ru_stime, not ended


def _environment() -> dict[str, str]:
    # One thread: two jobs of one rank each beat one job of two. The other two let OpenMPI run as root, in containers.
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


def _wait(handle: int, folder: Path, options: LaunchOptions) -> bool:
    """True when the process has ended, False when the time is over."""
    started, timeout_s = time.monotonic(), options.timeout_s
    while True:
        elapsed = time.monotonic() - started
        if has_ended(handle, _POLL_S if timeout_s is None else min(_POLL_S, timeout_s - elapsed)):
            return True
        if timeout_s is not None and elapsed >= timeout_s:
            return False
        try:
            if options.on_progress is not None:
                options.on_progress(ScfProgress(_read(folder / STDOUT).count("\n!    total energy"), elapsed))
        except StopKindly:
            if ended_when_asked(handle, folder, options.grace_s):
                return True
            raise


def _told_cpu_s(stdout: str) -> float:
    """CPU seconds by pw.x's own count; the kernel's are those of srun or docker where these started it elsewhere."""
    told = re.search(r"PWSCF +:((?: *[\d.]+ *[smhd])+) *CPU", stdout)
    ranks = re.search(r"Parallel version \(.*\), running on +(\d+) processors", stdout)
    return (seconds(told[1]) if told else 0.0) * int(ranks[1] if ranks else 1)


def _keep_xml(folder: Path) -> str | None:
    source = folder / _SAVED_XML
    if not source.is_file():
        return None
    shutil.move(source, folder / XML)
    return _read(folder / XML)


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
