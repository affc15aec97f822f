"""Keras, imported without a word."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path


def quiet_keras() -> None:
    """Import Keras without TensorFlow's greetings on stderr, which no setting of its own silences."""
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import_module("keras")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
