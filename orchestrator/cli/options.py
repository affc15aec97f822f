"""What every command shares: the two consoles, options of one meaning, machine-readable output. No command lives here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from crystalloop.dft.recipe.pseudo_places import default_pseudos
from crystalloop.dft.recipe.user_paths import user_path

__all__ = ["AsJson", "File", "Folder", "err", "escape", "out", "paths_as_meant", "print_json", "pseudo_folder"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
out = Console(width=None if sys.stdout.isatty() else 140)  # a pipe or a file has no width
err = Console(stderr=True, width=None if sys.stderr.isatty() else 140)

File = Annotated[Path, typer.Argument(help="campaign file, e.g. campaigns/first.yaml", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output on stdout, and nothing else there")]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", "--dir", help="folder of the UPF files; default CRYSTALLOOP_PSEUDOS, else this user's"),
]


class PathError(ValueError):
    """An option or argument that is no path; the message has its name."""

    exit_kind = "usage"


def paths_as_meant(call: Callable[..., None]) -> Callable[..., None]:
    """A command whose paths, options and arguments, all have the one reading: `--out=~/nets` is in the home folder."""

    @wraps(call)
    def called(*args: Any, **given: Any) -> None:  # noqa: ANN401
        call(*args, **{name: _as_meant(name, value) for name, value in given.items()})

    return called


def _as_meant(name: str, value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_as_meant(name, one) for one in value]
    try:
        return user_path(value) if isinstance(value, Path) else value
    except ValueError as error:
        raise PathError(f"{name.replace('_', '-')}: {error}") from error


def print_json(value: object) -> None:
    """Machine-readable output: the only thing on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")


def pseudo_folder(folder: Path | None) -> Path:
    """The folder given, else the one that is found."""
    return folder or default_pseudos()
