"""Launches of pw.x that were made already, found again by their input: a worker killed after one does not repeat it."""

from __future__ import annotations

import json
from pathlib import Path

from crystalloop.dft.pw.input import without_time_limit
from crystalloop.dft.pw.launch import INPUT, STDERR, STDOUT, XML, Launcher, LaunchOptions, PwRun
from crystalloop.dft.recipe.whole_file import whole

COMPLETE = "launch.json"
"""Written last: a launch without it was cut off, from outside or by its time limit."""
_TOTAL_ENERGY = "\n!    total energy"


class Replay:
    """The Launcher that answers from the candidate's folder where the same input ran to its end.

    Args:
        folder: of the candidate; `relax` makes `attempt-1` and on in it.
        inner: launches pw.x where there is nothing to find.
    """

    def __init__(self, folder: Path, inner: Launcher) -> None:
        self._folder, self._inner = folder, inner
        self._earlier = sorted((path.parent for path in folder.rglob(COMPLETE)), key=_in_order)
        self._found: dict[str, str] = {}  # name of an attempt now -> name of the one that answered
        self._launched: set[str] = set()  # attempts in which pw.x was started

    def __call__(self, input_text: str, folder: Path, options: LaunchOptions) -> PwRun:
        """See Launcher; the folder stays unmade where an earlier launch answers."""
        attempt = self._attempt(folder)
        for earlier in self._earlier:
            answer = _read(earlier, input_text)
            if answer is not None:
                self._earlier.remove(earlier)
                self._found[attempt] = self._attempt(earlier)
                return answer
        self._launched.add(attempt)
        run = self._inner(input_text, folder, options)
        if run.returncode >= 0 and not run.timed_out:
            _write(folder, run)
        return run

    def answered(self, attempt: str) -> str:
        """The attempt whose files hold all launches of this one: an earlier one, or itself."""
        return attempt if attempt in self._launched else self._found.get(attempt, attempt)

    def _attempt(self, folder: Path) -> str:
        return folder.relative_to(self._folder).parts[0]


def forget(folder: Path) -> None:
    """Let a launch be made again: what it ended with is the machine's doing."""
    (folder / COMPLETE).unlink(missing_ok=True)


def was_cut_off(folder: Path) -> bool:
    """Whether a candidate's last attempt is one launch that did not run to its end.

    A series of launches is another matter: those before the last are answered, so it goes on where it was. So is the
    continuation of one that stopped for time, unless it completed an SCF: it goes on from the same scratch again.
    """
    attempts = [path for path in folder.glob("attempt-*") if path.name.removeprefix("attempt-").isdigit()]
    last = max(attempts, key=lambda path: int(path.name.removeprefix("attempt-")), default=None)
    if last is None:
        return False
    if (last / INPUT).exists() and not (last / COMPLETE).exists():
        return True
    unfinished = [path for path in last.glob("continued-*") if not (path / COMPLETE).exists()]
    return any(_TOTAL_ENERGY in (path / STDOUT).read_text(errors="replace") for path in unfinished if _said(path))


def _in_order(folder: Path) -> tuple[tuple[str, int], ...]:
    """The order in which launches were made: attempt-2 before attempt-10."""
    names = (name.rpartition("-") for name in folder.parts)
    return tuple((name, int(number)) if number.isdigit() else (f"{name}-{number}", 0) for name, _, number in names)


def _said(folder: Path) -> bool:
    return (folder / STDOUT).is_file()


def _write(folder: Path, run: PwRun) -> None:
    facts = {"returncode": run.returncode, "cpu_s": run.cpu_s, "wall_s": run.wall_s, "timed_out": run.timed_out}
    with whole(folder / COMPLETE) as path:
        path.write_text(json.dumps(facts))


def _read(folder: Path, input_text: str) -> PwRun | None:
    try:
        if without_time_limit((folder / INPUT).read_text()) != without_time_limit(input_text):
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
