"""Where pseudopotentials are looked for when nobody names a folder. What is in a folder is read by pseudos."""

from __future__ import annotations

import os
from pathlib import Path

from crystalloop.dft.recipe.user_paths import path_from

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder of this program's source, where it is used out of a checkout."""


def user_data() -> Path:
    """What this user keeps, found from any folder: $XDG_DATA_HOME/crystalloop, else below ~/.local/share.

    Source: the XDG Base Directory Specification; a relative XDG_DATA_HOME is to be ignored.
    """
    given = Path(os.environ.get("XDG_DATA_HOME") or "")
    return (given if given.is_absolute() else Path.home() / ".local" / "share") / "crystalloop"


def user_pseudos() -> Path:
    """This user's own."""
    return user_data() / "pseudos"


def places() -> dict[Path, str]:
    """The folders that are looked through, in this order, with why each is among them; a named one is the only one.

    Raises:
        BadPlace: a variable of the environment names no path.
    """
    found: dict[Path, str] = {}
    if named := path_from("CRYSTALLOOP_PSEUDOS"):
        return {named: "CRYSTALLOOP_PSEUDOS"}
    if home := path_from("CRYSTALLOOP_HOME"):
        found[home / "pseudos"] = "CRYSTALLOOP_HOME"
    found.setdefault(user_pseudos(), "this user's")
    found.setdefault(Path(".crystalloop", "pseudos"), "here")
    found.setdefault(CHECKOUT / ".crystalloop" / "pseudos", "made by `make setup`")
    return found


def default_pseudos() -> Path:
    """The first folder with files in it; what CRYSTALLOOP_PSEUDOS names in any case; where there is none, this user's."""
    for folder, why in places().items():
        if why == "CRYSTALLOOP_PSEUDOS" or _has_files(folder):
            return folder
    return install_folder()


def install_folder() -> Path:
    """Where `pseudos install` puts files: what the environment names, else this user's folder."""
    return next(
        folder for folder, why in places().items() if why in ("CRYSTALLOOP_PSEUDOS", "CRYSTALLOOP_HOME", "this user's")
    )


def where_looked() -> str:
    """The places in words, for messages."""
    return ", ".join(f"{folder} ({why})" for folder, why in places().items())


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(one.suffix.lower() in (".upf", ".json") for one in folder.iterdir())
