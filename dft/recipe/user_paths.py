"""Paths as users write them, in files, options and the environment. Where things lie: pseudo_places, campaign/places."""

from __future__ import annotations

import os
import re
from pathlib import Path

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def user_path(text: str | Path) -> Path:
    """The path that a user means: `~` and `~name` are home folders, `$NAME` and `${NAME}` of the environment are filled in.

    The one way from what is typed, in a campaign file, an option or a variable, to a path: nobody makes a folder named `~`.

    Raises:
        ValueError: no such user or variable, or a `~` that stands for nothing.
    """
    written = str(text)
    if "\0" in written or len(written) > 4096:
        raise ValueError("no path: it has a character that paths cannot have, or more than 4096 of them")

    def filled(match: re.Match[str]) -> str:
        value = os.environ.get(match[1] or match[2])
        if not value:
            raise ValueError(f"{match[0]} in {written!r} is not set in the environment; set it, or write the path out")
        return value

    path = Path(_VARIABLE.sub(filled, written))
    try:
        path = path.expanduser()
    except RuntimeError:
        raise ValueError(f"{written!r}: there is no user {path.parts[0][1:]!r} here; write the path out") from None
    if "~" in path.parts:
        raise ValueError(f"{written!r}: ~ is a home folder only where a path begins with it; write the path out")
    return path


class BadPlace(ValueError):
    """A variable of the environment names no path; the message has both."""

    exit_kind = "usage"


def path_from(variable: str) -> Path | None:
    """The path that a variable of the environment names; None where it is not set, or empty.

    Raises:
        BadPlace: see `user_path`; the sentence has the variable.
    """
    if not (given := os.environ.get(variable)):
        return None
    try:
        return user_path(given)
    except ValueError as error:
        raise BadPlace(f"{variable}: {error}") from error
