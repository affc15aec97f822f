"""What the terminal shows while work goes on, of a campaign and of a training. Rendering only; finished tables are in tables."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import singledispatchmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.spinner import Spinner

from crystalloop.db.ledger.records import CandidateState
from crystalloop.db.ledger.standing import Standing
from crystalloop.models.learn.engine import read_progress
from crystalloop.orchestrator.loop.events import (
    EnergySettled,
    Event,
    Finished,
    LeasesExpired,
    ModelTrained,
    Note,
    Preparing,
    Proposing,
    Redrawing,
    RoundClosed,
    RoundProposed,
    Stalled,
    Training,
    Waiting,
)

PARTS = 4
"""Parts of a loss that fit on a line."""
LINE_S = 15.0
"""Without a terminal to redraw, a line this often says that work goes on."""


class LiveView(ABC):
    """Looks at work that goes on from a thread of its own: often where a terminal can be redrawn, else every LINE_S.

    Args:
        console: where to.
        live: what is redrawn on a terminal; None says lines alone.
        look_s: seconds between two looks where something is redrawn.
        quiet: neither looks nor says.
    """

    looks_last: ClassVar[bool] = False
    """Whether the last news is shown after the work has ended."""

    def __init__(self, console: Console, live: Live | Bars | None, look_s: float, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._live = live if console.is_terminal and not quiet else None
        self._wait_s = look_s if self._live else LINE_S
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if not self._quiet:
            self._thread.join()
        if self.looks_last:
            self._look()
        if self._live:
            self._live.stop()

    def _watch(self) -> None:
        while not self._end.wait(self._wait_s):
            self._look()

    @abstractmethod
    def _look(self) -> None:
        """Redraw, or write a line if there is news."""


class Progress(LiveView):
    """Hears what the loop does and shows it: a live line on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._started = time.monotonic()
        self._now, self._said = "starting", ""
        self._file: Path | None = None
        self._known: dict[str, CandidateState] = {}
        self._spinner = Spinner("dots", text="starting")
        super().__init__(console, Live(self._spinner, console=console, transient=True), 0.25, quiet=quiet)

    @singledispatchmethod
    def __call__(self, event: Event, /) -> None:
        """See loop.events.EventListener."""
        raise TypeError(f"{type(event).__name__} is no event that is shown; add a method for it")

    def say(self, line: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._console.print(f"[dim]{self._clock()}[/] {line}", highlight=False)

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def _look(self) -> None:
        text = self._describe()
        if self._live:
            self._spinner.update(text=f"{self._clock()} {text}")
        elif text != self._said:
            self.say(text)
            self._said = text

    def _describe(self) -> str:
        if self._file is None:
            return self._now
        lines = read_progress(self._file)
        if not lines:
            return f"{self._now}: starting the workers of Ray Train"
        line = lines[-1]
        return f"{self._now}: {line['network']} step {line['step']}/{line['steps']}, loss {line.get('loss', 0.0):.4g}"

    def _doing(self, text: str, file: Path | None = None) -> None:
        self._now, self._file = text, file

    @__call__.register
    def _(self, event: Note, /) -> None:
        self.say(escape(event.text))

    @__call__.register
    def _(self, event: Preparing, /) -> None:
        self._doing(escape(event.what))

    @__call__.register
    def _(self, event: Proposing, /) -> None:
        source = f"model {event.model}" if event.model else "decorated prototypes"
        self._doing(f"round {event.round}: proposing from {source}")

    @__call__.register
    def _(self, event: Redrawing, /) -> None:
        self.say(f"round {event.round}: {event.found} of {event.wanted} candidates; {event.net}")

    @__call__.register
    def _(self, event: Stalled, /) -> None:
        self.say(f"[yellow]no news for {event.seconds / 60:.0f} minutes[/]; waiting for {escape(event.waits_for)}")

    @__call__.register
    def _(self, event: RoundProposed, /) -> None:
        funnel = " > ".join(f"{count} {name}" for name, count in event.counts)
        self.say(f"[bold]round {event.round}[/] proposed: {funnel} > {len(event.chosen)} chosen")
        for candidate in event.chosen:
            predicted = "" if candidate.e_f_predicted is None else f", predicted {candidate.e_f_predicted:+.3f} eV/atom"
            self.say(f"  {candidate.id} ({candidate.prototype or 'no known prototype'}{predicted})")
        if event.note:
            self.say(f"  [yellow]no more than these[/]: {escape(event.note)}")

    @__call__.register
    def _(self, event: Waiting, /) -> None:
        both = [*event.references, *event.candidates]
        for standing in both:
            self._note_end(standing)
        ended = sum(one.has_ended for one in event.candidates)
        missing = sum(not one.has_ended for one in event.references)
        running = ", ".join(one.formula for one in both if one.state is CandidateState.RUNNING)
        extra = f", {missing} elemental references to go" if missing else ""
        now = f"; pw.x on {running}" if running else ""
        self._doing(f"round {event.round}: {ended}/{len(event.candidates)} relaxations done{extra}{now}")

    @__call__.register
    def _(self, event: LeasesExpired, /) -> None:
        self.say(f"  handed back, since their worker is gone: {', '.join(event.candidates)}")

    @__call__.register
    def _(self, event: RoundClosed, /) -> None:
        for standing in event.candidates:
            self._note_end(standing)
        self._doing(f"round {event.round}: done")

    @__call__.register
    def _(self, event: EnergySettled, /) -> None:
        predicted = event.candidate.e_f_predicted
        beside = f" (predicted {predicted:+.3f})" if predicted is not None else ""
        value = f"formation energy {event.e_f:+.3f} eV/atom{beside}" if event.e_f is not None else ""
        self.say(f"  {event.candidate.id} {value or escape(f'no formation energy: {event.reason}')}")

    @__call__.register
    def _(self, event: Training, /) -> None:
        numbers = f"{event.labelled} labelled and {event.unlabelled} unlabelled crystals"
        self.say(f"[bold]training {event.version}[/] on {numbers}")
        self._doing(f"training {event.version}", event.progress)

    @__call__.register
    def _(self, event: ModelTrained, /) -> None:
        seconds = {name: network.train_s for name, network in event.version.networks.items()}
        self.say(f"{event.version.id} trained: " + ", ".join(f"{name} {s:.0f} s" for name, s in seconds.items()))
        self._doing("loading the new weights")

    @__call__.register
    def _(self, event: Finished, /) -> None:
        self.say(f"[bold]the campaign ends[/]: {escape(event.reason)}")
        self._doing("ending the workers")

    def _note_end(self, standing: Standing) -> None:
        before = self._known.get(standing.id)
        self._known[standing.id] = standing.state
        if not standing.has_ended or before is standing.state:
            return
        if standing.a_ang is None:
            self.say(f"  {standing.id} [yellow]gave up[/]: {escape(standing.reason or '')}")
        elif before is not None:
            found = f"a {standing.a_ang:.3f} A, {standing.steps} steps, {standing.cpu_s:.0f} CPU s"
            self.say(f"  {standing.id} relaxed: {found}")


class TrainWatch(LiveView):
    """Reads the progress file while networks train, and shows network, step, loss parts, samples/s and time left.

    Args:
        console: where to.
        progress: the file that the first worker appends to.
        crystals_in_step: network -> crystals in a step.
    """

    looks_last = True

    def __init__(self, console: Console, progress: Path, crystals_in_step: Callable[[str], int]) -> None:
        self._path, self._size = progress, crystals_in_step
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._shown = len(read_progress(progress))
        super().__init__(console, self._bars, 0.5)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"[dim]{escape(text)}[/]", highlight=False)

    def _look(self) -> None:
        lines = read_progress(self._path)
        if len(lines) < self._shown:  # a new training rewrote the file
            self._shown = 0
        news = lines[self._shown :]
        self._shown += len(news)
        latest = {line["network"]: line for line in news}
        for network, line in latest.items():
            text = describe(line, self._size(network))
            if self._live:
                if network not in self._tasks:
                    self._tasks[network] = self._bars.add_task(network, total=None, text="")
                self._bars.update(self._tasks[network], completed=line["step"], total=line["steps"], text=text)
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
