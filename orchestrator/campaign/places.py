"""Paths as users write them, and where the embedded database lies. Pseudopotentials: dft/recipe/pseudo_places."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from crystalloop.dft.recipe.user_paths import BadPlace, path_from, user_path


def user_command(text: str) -> str:
    """A command line whose words may begin with `~/`: pw.x is started without a shell that would know it."""
    try:
        words = shlex.split(text)
    except ValueError:
        return text  # what starts it says what is wrong with it
    if not any(word.startswith(("~", "$")) for word in words):
        return text
    return shlex.join([str(user_path(word)) if word.startswith(("~", "$")) else word for word in words])


def command_from(variable: str, default: str) -> str:
    """The command line that a variable of the environment holds, as `user_command` has it.

    Raises:
        BadPlace: see `user_path`; the sentence has the variable.
    """
    try:
        return user_command(os.environ.get(variable) or default)
    except ValueError as error:
        raise BadPlace(f"{variable}: {error}") from error


def home() -> Path:
    """Folder of what a machine needs once: as the embedded database; CRYSTALLOOP_HOME moves it."""
    return path_from("CRYSTALLOOP_HOME") or Path(".crystalloop")
