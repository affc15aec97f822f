"""One calculation: pw.x launched, and continued where it stopped for time, until it ends otherwise. Judges nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crystalloop.dft.pw.input import restarting, time_limit
from crystalloop.dft.pw.launch import INPUT, Launcher, LaunchOptions, PwRun
from crystalloop.dft.pw.stop_and_restart import (
    before_the_stop,
    drop_scratch,
    goes_on,
    hand_on,
    in_fresh_cell,
    stopped_cleanly,
)
from crystalloop.dft.recipe.settings import PwSettings

_KILL_AFTER = 1.25
"""Of max_seconds, and a minute: pw.x ends by itself at max_seconds unless it hangs."""


_MOST = 1000
"""Launches of one calculation, workers that end within minutes included."""


def launch(run: Launcher, input_text: str, folder: Path, command: str, settings: PwSettings) -> PwRun:
    """Run pw.x, and go on with restart_mode = 'restart' each time it stops at max_seconds or where a worker had to end.

    Nothing is computed twice: pw.x reads its density, wave functions and the history of BFGS, and goes on within the
    SCF cycle. Continuations run in `continued-1` and on below the folder of the first launch, from a copy of the scratch,
    which is deleted only when the continuation has come back: whoever repeats this after a crash goes on from there too.

    Args:
        run: launches pw.x.
        input_text: of the first launch.
        folder: of the first launch.
        command: pw.x, with what stands before it.
        settings: max_seconds per launch; at most max_attempts - 1 continuations of launches that used all of it, and
            none past max_cpu_hours. Launches that a worker had to end earlier count as part of the next one.

    Returns:
        One PwRun with the outputs one behind the other and the times added.
    """
    options = LaunchOptions(command, timeout_s=time_for(settings))
    whole = run(input_text, folder, options)
    full = int(_used_its_time(whole, settings))
    for k in range(1, _MOST):
        answered, left = whole.folder, settings.max_cpu_s - whole.cpu_s
        if not (stopped_cleanly(whole.stdout) and whole.returncode >= 0 and _goes_on(answered, k)):
            break
        if full >= settings.max_attempts or left <= 0 or in_fresh_cell(whole.stdout):
            break
        more = run(restarting(input_text), folder / f"continued-{k}", replace(options, resume=answered))
        if more.returncode >= 0 and not more.timed_out:
            hand_on(answered)
        drop_scratch(answered)
        full += _used_its_time(more, settings)
        whole = _joined(whole, more)
    drop_scratch(whole.folder)
    return whole


def time_for(settings: PwSettings) -> float:
    """Seconds after which a launch is killed."""
    return settings.max_seconds * _KILL_AFTER + 60


def _used_its_time(run: PwRun, settings: PwSettings) -> bool:
    """Whether a launch stopped after all of max_seconds, rather than for the sake of its worker."""
    limit = settings.max_seconds
    given = run.folder / INPUT
    if given.is_file():
        limit = time_limit(given.read_text(errors="replace")) or limit
    return "Maximum CPU time exceeded" in run.stdout and limit >= settings.max_seconds


def _goes_on(answered: Path, k: int) -> bool:
    # The second: folders of a release that left no mark.
    below = answered if k == 1 else answered.parent
    return goes_on(answered) or (below / f"continued-{k}").is_dir()


def _joined(first: PwRun, more: PwRun) -> PwRun:
    """As one launch, without the end of the first: its last geometry is the one that the second begins with."""
    return replace(
        more,
        stdout=f"{before_the_stop(first.stdout)}\n{more.stdout}",
        cpu_s=first.cpu_s + more.cpu_s,
        wall_s=first.wall_s + more.wall_s,
        continued=first.continued + 1,
    )
