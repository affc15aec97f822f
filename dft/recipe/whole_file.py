"""A file written whole or not at all, whatever ends the process: the one way of this package. What is in it: its caller."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; at the end of the `with` it is `path`, on the disk and not only in its cache.

    Where an exception leaves the `with`, `path` is what it was.
    """
    unfinished = path.with_name(f".{path.name[:200]}.{os.getpid()}.partial")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
