"""Where the embedded database of a machine lies unless somebody says otherwise. Pseudopotentials: dft/recipe/pseudo_places."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Folder of what a machine needs once, as the embedded database; CRYSTALLOOP_HOME moves it."""
    return Path(os.environ.get("CRYSTALLOOP_HOME", ".crystalloop"))
