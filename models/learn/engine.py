"""Engine: the contract of what takes optimiser steps, which one is asked for, and progress lines. No backend here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

Backend = Literal["tensorflow", "jax"]
"""What Keras computes with, and so which engine takes the steps."""
Batch = dict[str, NDArray[np.generic]]
Loss = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A batch -> the parts of its loss, scalars of the backend; `loss` among them is what is minimised."""
Report = Callable[[Mapping[str, Any]], None]
"""Hears the progress lines of a training."""


INSTALL = {
    "tensorflow": "`pip install -e .` in the checkout installs it",
    "jax": "`pip install -e '.[jax]'` in the checkout installs it",
}


class BackendError(Exception):
    """A backend that is unknown, not installed, or not the one that Keras runs on in this process."""

    exit_kind = "environment"


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several workers computes."""

    rank: int = 0
    world: int = 1

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """This worker's rows; all workers' are of one length."""
        return rows[self.rank :: self.world]


class Engine(Protocol):
    """Takes optimiser steps: in this process, or as one of several workers. tests/contracts/engine.py holds it to this.

    * Variables that are made within `begin(seed)` are the same for a seed in every process of a backend.
    * `minimise` takes one step for each batch, in order, and changes the variables it is given; beside them only what
      the loss itself assigns to (running means). A second `minimise` starts with a new optimiser.
    * A step is Adam under one schedule for all engines (`steps.adam`): a warm-up over a twentieth of the steps, a cosine
      down to a tenth of the rate, gradients clipped to norm 1.
    * What comes back is the mean of every part of the loss over the last tenth of the steps, at least over one.
    * `share` says which rows of a batch this worker computes; the workers' gradients are averaged.
    * The report hears at most about twenty lines of a `minimise`, the last step among them: network, step, steps, seconds
      and cpu_s so far, memory_mb (peak of this process), and the parts of that step's loss.
    * `step_s` is the wall time of all `minimise` so far, seconds; drawing the batches is in it.
    """

    share: Share
    step_s: float

    def begin(self, seed: int) -> AbstractContextManager[object]:
        """A scope in which variables are made, with the seed set."""

    def minimise(
        self, network: str, loss: Loss, variables: list[Any], batches: Iterable[Batch], steps: int, learning_rate: float
    ) -> dict[str, float]:
        """Take the steps; the last steps' mean of every part of the loss.

        Args:
            network: what the progress lines call it.
            loss: of a batch.
            variables: Keras variables to change.
            batches: as many as steps, each of host arrays; few shapes among them, for each is compiled.
            steps: the schedule ends there.
            learning_rate: peak of the schedule.
        """


def use_backend(backend: str) -> None:
    """Make Keras run on a backend in this process; to be called before the first module that imports Keras.

    Raises:
        BackendError: it is unknown or not installed, or Keras runs on another one already.
    """
    if backend not in get_args(Backend):
        raise BackendError(f"unknown backend {backend!r}; choose {' or '.join(get_args(Backend))}")
    if find_spec(backend) is None:
        raise BackendError(
            f"--backend {backend}: {backend} is not installed here; {INSTALL[backend]}, or choose another --backend"
        )
    keras = sys.modules.get("keras")
    running = keras.backend.backend() if keras is not None else backend
    if running != backend:
        raise BackendError(
            f"--backend {backend}: Keras runs on {running} in this process already; start a new one with "
            f"KERAS_BACKEND={backend}"
        )
    os.environ["KERAS_BACKEND"] = backend


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
