"""Keras, imported without TensorFlow's greetings on stderr, which no setting of its own silences. Import it from here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _silence() -> Iterator[None]:
    """Whatever libraries in C write to stderr is lost in here."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if "keras" not in sys.modules:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    with _silence():
        import keras
else:
    import keras
layers, ops = keras.layers, keras.ops

__all__ = ["keras", "layers", "ops"]
