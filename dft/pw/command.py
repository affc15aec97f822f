"""The command that starts pw.x on this machine: checked, filled in, and asked for its version. Nothing is physics here.

A command is a list of arguments written on one line, `mpirun -np 4 pw.x -nk 2` or
`apptainer exec --bind {folder},{pseudos} qe.sif pw.x`. It is split like a shell line and run without a shell, so what
only a shell understands is refused. `-inp pw.in` is added at the end, and pw.x starts in the folder of the launch.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path

from crystalloop.dft.pw.launch import Launcher, LaunchOptions, PwRun
from crystalloop.dft.pw.run import require_pw, run_pw
from crystalloop.dft.recipe.pseudos import PwEnvironmentError

PLACEHOLDERS = ("folder", "pseudos")
"""What {...} may name: the folder of the launch and that of the pseudopotentials, as absolute paths."""
OLDEST, NEWEST = (6, 7), (7, 99)
PROBE_S = 60.0
_SHELL = re.compile(r"^(\d?[<>]{1,2}.*|[|&;]+|.*;)$|\$\(|\$\{|\$\w|`|^~")


class PwCommandError(PwEnvironmentError):
    """The command for pw.x cannot be run as it is written."""


def check_command(command: str) -> tuple[str, ...]:
    """The words of the command, placeholders still in them.

    Raises:
        PwCommandError: a shell would be needed, a placeholder is unknown, or `-inp` is given; says which word.
        PwNotFound: its program is not there.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise PwCommandError(f"the command {command!r} for pw.x cannot be split into words: {error}") from error
    for number, word in enumerate(words):
        _check_word(command, number, word)
    return tuple(require_pw(command))


def fill_command(command: str, folder: Path, pseudos: Path) -> str:
    """The command of one launch, each placeholder filled; a path with spaces stays one word."""
    values = {"folder": str(folder.resolve()), "pseudos": str(pseudos.resolve())}
    words = shlex.split(command)
    return shlex.join(re.sub(r"\{(\w+)\}", lambda found: values[found[1]], word) for word in words)


class Filled:
    """The Launcher that fills in the placeholders of its command, for each launch its own folder.

    Args:
        pseudos: folder of the pseudopotentials.
        inner: launches pw.x.
    """

    def __init__(self, pseudos: Path, inner: Launcher) -> None:
        self._pseudos, self._inner = pseudos, inner

    def __call__(self, input_text: str, folder: Path, options: LaunchOptions) -> PwRun:
        """See Launcher."""
        if "{" in options.command:
            options = replace(options, command=fill_command(options.command, folder, self._pseudos))
        return self._inner(input_text, folder, options)


def pw_version(command: str, run: Launcher = run_pw) -> str:
    """The version that pw.x prints, such as 6.7MaX, from a launch with an empty input.

    Raises:
        PwCommandError: there is no version in what it printed, or it is none that is known.
        PwNotFound: its program is not there.
    """
    with tempfile.TemporaryDirectory(prefix="crystalloop-") as name:
        folder = Path(name)
        filled = fill_command(command, folder, folder)
        printed = run("", folder, LaunchOptions(filled, timeout_s=PROBE_S))
    found = re.search(r"Program PWSCF v\.?\s*(\S+)", printed.stdout)
    if found is None:
        last = (printed.stderr.strip().splitlines() or ["nothing"])[-1][:200]
        raise PwCommandError(f"{command!r} did not start pw.x: no `Program PWSCF` in its output; it wrote: {last}")
    require_known_release(found[1])
    return found[1]


def require_known_release(version: str) -> None:
    """Refuse a pw.x whose output this package was not made for.

    Raises:
        PwCommandError: older than 6.7, newer than 7.x, or no version at all.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or not OLDEST <= (int(found[1]), int(found[2])) <= NEWEST:
        raise PwCommandError(
            f"pw.x {version or 'without a version'}; 6.7 to 7.x are known: give another dft.pw_command"
        )


def _check_word(command: str, number: int, word: str) -> None:
    if _SHELL.search(word):
        raise PwCommandError(
            f"{word!r} in the command {command!r} needs a shell, and pw.x is started without one: "
            "write the value itself, or put the line into a script of yours and name that"
        )
    if number == 0 and re.match(r"\w+=", word):
        raise PwCommandError(f"the command {command!r} begins with a variable: write `env {command}`")
    if word in ("-inp", "-in", "-i", "-input"):
        raise PwCommandError(f"leave {word} out of the command {command!r}: it is added at the end")
    unknown = [name for name in re.findall(r"\{(.*?)\}", word) if name not in PLACEHOLDERS]
    if unknown:
        known = " and ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise PwCommandError(f"unknown {{{unknown[0]}}} in the command {command!r}; there are {known}")
