"""What `crystalloop train|evaluate|generate` call once their options are read: the modules that import Keras."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from crystalloop.models.generate.request import GenerateRequest, generate
from crystalloop.models.generate.results import as_json, write_crystals
from crystalloop.models.judge.evaluate import Evaluation
from crystalloop.models.judge.evaluate import evaluate as measure
from crystalloop.models.judge.inputs import Settings
from crystalloop.models.learn.engine import Backend
from crystalloop.models.learn.job import NETWORKS, TrainResources, crystals_in_step
from crystalloop.orchestrator.learn.inputs import TrainInputError, TrainRequest, parse_epochs
from crystalloop.orchestrator.learn.train_files import PROGRESS, train_networks
from crystalloop.orchestrator.show.evaluation_page import write_page
from crystalloop.orchestrator.show.evaluation_table import show_evaluation
from crystalloop.orchestrator.show.progress import TrainWatch
from crystalloop.orchestrator.show.tables import show_generated, show_record

__all__ = [
    "NETWORKS",
    "GenerateRequest",
    "Settings",
    "TrainRequest",
    "as_json",
    "evaluate",
    "generate",
    "parse_epochs",
    "show_evaluation",
    "show_generated",
    "show_record",
    "train",
    "train_resources",
    "write_crystals",
]


def evaluate(settings: Settings, page: Path | None, say: Callable[[str], None]) -> Evaluation:
    """Judge, and write the page where one is wanted."""
    found = measure(settings, say)
    if page is not None:
        say(f"page: {write_page(found, page, datetime.now().astimezone())}")
    return found


def train_resources(workers: int, gpus: bool, backend: Backend) -> TrainResources:
    """Where the training runs.

    Raises:
        TrainInputError: jax on several workers.
    """
    if backend == "tensorflow":
        return TrainResources(num_workers=workers, use_gpu=gpus)
    if workers > 1 or gpus:
        raise TrainInputError(
            f"--workers {workers}{' --gpus' if gpus else ''} with --backend jax: jax trains in this process, on whatever "
            "device it finds; leave both out, or take --backend tensorflow"
        )
    return TrainResources(num_workers=0, backend=backend)


def train(request: TrainRequest, command: str, console: Console) -> dict[str, Any]:
    """Train, with a live bar for each network; the record of it all.

    Args:
        request: what and how.
        command: as the user typed it, for the record.
        console: gets the bars.
    """
    with TrainWatch(console, request.folder / PROGRESS, lambda name: crystals_in_step(request.preset, name)) as watch:
        return train_networks(request, command, watch.say)
