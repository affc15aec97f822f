"""Where things of a machine lie unless somebody says otherwise: pseudopotentials, the embedded database. No campaign here."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Folder of what a machine needs once: pseudopotentials and the embedded database; CRYSTALLOOP_HOME moves it."""
    return Path(os.environ.get("CRYSTALLOOP_HOME", ".crystalloop"))


def default_pseudos() -> Path:
    """Folder of the pseudopotentials where a campaign names none; CRYSTALLOOP_PSEUDOS moves it."""
    return Path(os.environ.get("CRYSTALLOOP_PSEUDOS", home() / "pseudos"))
