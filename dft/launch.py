"""One calculation: pw.x launched, and continued where it stopped for time, until it ends otherwise. Judges nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from dft.pw_input import restarting
from dft.pw_run import PwRun, drop_scratch, has_scratch, stopped_cleanly
from dft.settings import PwSettings

_KILL_AFTER = 1.25
"""Of max_seconds, and a minute: pw.x ends by itself at max_seconds unless it hangs."""


class Launch(Protocol):
    """What an attempt needs of `run_pw`; a test passes its own."""

    def __call__(
        self,
        input_text: str,
        folder: Path,
        command: str = ...,
        timeout_s: float | None = ...,
        *,
        resume: Path | None = ...,
    ) -> PwRun:
        """One launch of pw.x in a folder. Only launches that leave their scratch are asked again, with `resume`."""


def launch(run: Launch, input_text: str, folder: Path, command: str, settings: PwSettings) -> PwRun:
    """Run pw.x, and go on with restart_mode = 'restart' each time it stops at max_seconds.

    Nothing is computed twice: pw.x reads its density, wave functions and the history of BFGS, and goes on within the
    SCF cycle. Continuations run in `continued-1` and on below the folder of the first launch, from a copy of the scratch,
    which is deleted only when the continuation has come back: whoever repeats this after a crash goes on from there too.

    Args:
        run: launches pw.x.
        input_text: of the first launch.
        folder: of the first launch.
        command: pw.x, with what stands before it.
        settings: max_seconds per launch; at most max_attempts - 1 continuations, and none past max_cpu_hours.

    Returns:
        One PwRun with the outputs one behind the other and the times added.
    """
    options: dict[str, Any] = {"command": command, "timeout_s": settings.max_seconds * _KILL_AFTER + 60}
    whole = run(input_text, folder, **options)
    for k in range(1, settings.max_attempts):
        answered, left = whole.folder, settings.max_cpu_s - whole.cpu_s
        below = answered if k == 1 else answered.parent
        again = has_scratch(answered) or (below / f"continued-{k}").is_dir()
        if not (stopped_cleanly(whole.stdout) and whole.returncode >= 0 and again and left > 0):
            break
        more = run(restarting(input_text), folder / f"continued-{k}", **options, resume=answered)
        drop_scratch(answered)
        whole = _joined(whole, more)
    drop_scratch(whole.folder)
    return whole


def _joined(first: PwRun, more: PwRun) -> PwRun:
    """As one launch, without the end of the first: its last geometry is the one that the second begins with."""
    stdout = first.stdout
    for words in ("Maximum CPU time exceeded", "Program stopped by user request", "Signal Received, stopping"):
        stdout = stdout.split(words)[0]
    return replace(
        more,
        stdout=f"{stdout}\n{more.stdout}",
        cpu_s=first.cpu_s + more.cpu_s,
        wall_s=first.wall_s + more.wall_s,
        continued=first.continued + 1,
    )
