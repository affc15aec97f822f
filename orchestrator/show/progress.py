"""What the terminal shows of a training: a live bar for each network, or a line now and then. Rendering only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from crystalloop.models.learn.engine import read_progress
from crystalloop.orchestrator.show.tables import show_rows

PARTS = 4
"""Parts of a loss that fit on a line."""
LOOK_S = 0.5
LINE_S = 15.0
"""Without a terminal to redraw, a line this often says that work goes on."""


class TrainWatch:
    """Reads the progress file while networks train, and shows network, step, loss parts, samples/s and time left.

    Args:
        console: where to.
        progress: the file that the first worker appends to.
        crystals_in_step: network -> crystals in a step.
    """

    def __init__(self, console: Console, progress: Path, crystals_in_step: Callable[[str], int]) -> None:
        self._console, self._path, self._size = console, progress, crystals_in_step
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._shown = len(read_progress(progress))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._bars.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._look()
        self._bars.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"[dim]{escape(text)}[/]", highlight=False)

    def _watch(self) -> None:
        wait = LOOK_S if self._console.is_terminal else LINE_S
        while not self._end.wait(wait):
            self._look()

    def _look(self) -> None:
        lines = read_progress(self._path)
        if len(lines) < self._shown:  # a new training rewrote the file
            self._shown = 0
        news = lines[self._shown :]
        self._shown += len(news)
        latest = {line["network"]: line for line in news}
        for network, line in latest.items():
            text = describe(line, self._size(network))
            if self._console.is_terminal:
                task = self._tasks.setdefault(network, self._bars.add_task(network, total=None, text=""))
                self._bars.update(task, completed=line["step"], total=line["steps"], text=text)
            else:
                self.say(f"{network} step {line['step']}/{line['steps']}: {text}")


def describe(line: Mapping[str, Any], crystals_in_step: int) -> str:
    """Loss parts, samples/s and time left of a line of progress."""
    told = {"network", "step", "steps", "seconds", "cpu_s", "memory_mb"}
    parts = [f"{name} {value:.3g}" for name, value in line.items() if name not in told][: PARTS + 1]
    seconds = max(float(line["seconds"]), 1e-9)
    left = seconds * (line["steps"] - line["step"]) / line["step"]
    rate = line["step"] * crystals_in_step / seconds
    return f"{', '.join(parts)}; {rate:.1f} samples/s, {left // 60:.0f}:{left % 60:02.0f} left"


def show_record(console: Console, record: Mapping[str, Any], folder: Path) -> None:
    """The closing table, and what to do next."""
    rows = [
        {
            "network": name,
            "crystals": row["crystals"],
            "steps": row["steps"],
            "wall s": round(row["wall_s"]),
            "CPU s": round(row["cpu_s"]),
            "peak MB": row["peak_memory_mb"],
            "loss": row["metrics"].get("loss", row["metrics"].get("loss_energies")),
        }
        for name, row in record["networks"].items()
    ]
    show_rows(console, rows, title=str(folder))
    for name, row in record["networks"].items():
        if row["validation"]:
            errors = ", ".join(f"{key} {value:.3g}" for key, value in row["validation"].items())
            console.print(f"{name} on a sample of val: {errors}", highlight=False, soft_wrap=True)
    console.print("[dim]CPU s and peak MB: the first worker's, in training steps[/]")
    console.print(f"next: crystalloop generate random --models {folder}", markup=False, highlight=False, soft_wrap=True)
