"""Launches of pw.x that were made already, found again by their input: a worker killed after one does not repeat it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dft.pw_run import INPUT, STDERR, STDOUT, XML, PwRun

COMPLETE = "launch.json"
"""Written last: a launch without it was cut off."""


class Replay:
    """Stands between `relax` and `run_pw`: answers from the candidate's folder where the same input ran to its end.

    Args:
        folder: of the candidate; its launches are in `attempt-1` and on.
        run: launches pw.x where there is nothing to find.
    """

    def __init__(self, folder: Path, run: Callable[..., PwRun]) -> None:
        self._run = run
        self._earlier = {path.parent for path in folder.glob(f"attempt-*/{COMPLETE}")}
        self.names: dict[str, str] = {}
        """Name of a launch as `relax` counts it -> the folder it was found in."""

    def __call__(self, input_text: str, folder: Path, **options: Any) -> PwRun:  # noqa: ANN401  (run_pw's)
        """Like `run_pw`; the folder stays unmade where an earlier launch answers."""
        for earlier in sorted(self._earlier):
            found = _read(earlier, input_text)
            if found is not None:
                self._earlier.remove(earlier)
                self.names[folder.name] = earlier.name
                return found
        run = self._run(input_text, folder, **options)
        facts = {"returncode": run.returncode, "cpu_s": run.cpu_s, "wall_s": run.wall_s, "timed_out": run.timed_out}
        unfinished = folder / f"{COMPLETE}.partial"
        with unfinished.open("w") as file:
            json.dump(facts, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(folder / COMPLETE)
        return run


def was_cut_off(folder: Path) -> bool:
    """Whether the last launch in a candidate's folder did not run to its end."""
    attempts = [path for path in folder.glob("attempt-*") if path.name.removeprefix("attempt-").isdigit()]
    last = max(attempts, key=lambda path: int(path.name.removeprefix("attempt-")), default=None)
    return last is not None and not (last / COMPLETE).exists()


def _read(folder: Path, input_text: str) -> PwRun | None:
    try:
        if (folder / INPUT).read_text() != input_text:
            return None
        facts = json.loads((folder / COMPLETE).read_text())
        xml = folder / XML
        return PwRun(
            stdout=(folder / STDOUT).read_text(errors="replace"),
            stderr=(folder / STDERR).read_text(errors="replace"),
            xml=xml.read_text(errors="replace") if xml.exists() else None,
            folder=folder,
            **facts,
        )
    except (OSError, ValueError, TypeError):  # incomplete after all: launch it again
        return None
