"""Engine: the contract of what takes optimiser steps, and the words it shares with the fits. No backend here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


Report = Callable[[Mapping[str, Any]], None]


def read_progress(path: Path) -> list[dict[str, Any]]:
    """The lines of a progress file so far: network, step, steps, loss, seconds, cpu_s, memory_mb (of the first worker)."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def progress_writer(path: Path | None) -> Report | None:
    """Appends one JSON line per report."""
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(line: Mapping[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(line)) + "\n")

    return write


Loss = Callable[[Mapping[str, Any]], Mapping[str, Any]]

Batch = dict[str, NDArray[np.generic]]


class Engine(Protocol):
    """Takes optimiser steps: in this process, or as one of several workers."""

    share: Share
    step_s: float

    def begin(self, seed: int) -> AbstractContextManager[object]:
        """A scope in which variables are made, with the seed set."""

    def minimise(
        self, network: str, loss: Loss, variables: list[Any], batches: Iterable[Batch], steps: int, learning_rate: float
    ) -> dict[str, float]:
        """Take the steps; the last steps' mean of every part of the loss."""


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several workers computes."""

    rank: int = 0
    world: int = 1

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """This worker's rows; all workers' are of one length."""
        return rows[self.rank :: self.world]
