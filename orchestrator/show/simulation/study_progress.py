"""What the terminal shows of a study: a live line while it runs, a line for each finished trial, a table at the end."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from crystalloop.orchestrator.show.number_text import NONE
from crystalloop.orchestrator.show.progress import LiveView
from crystalloop.orchestrator.show.simulation.study_page import mean_text, reach_text
from crystalloop.orchestrator.simulate.scores import FIRST_JUDGED, ceiling, random_hits
from crystalloop.orchestrator.simulate.study import Study
from crystalloop.orchestrator.simulate.trials import Trial


class StudyProgress(LiveView):
    """Hears how a study goes on; see study.Watcher."""

    def __init__(self, console: Console, calls: int, *, quiet: bool = False) -> None:
        self._calls, self._began = calls, time.monotonic()
        self._now, self._shown = "starting", ""
        self._line = Spinner("dots", text="starting")
        super().__init__(console, Live(self._line, console=console, transient=True), 0.25, quiet=quiet)

    def started(self, policy: str, seed: int, number: int, of: int) -> None:
        """See Watcher."""
        self._trial = f"{number} of {of}: {escape(policy)}, seed {seed}"
        self._now = self._trial

    def called(self, calls: int) -> None:
        """See Watcher."""
        self._now = f"{self._trial}, {calls:,} of {self._calls:,} calls"

    def finished(self, trial: Trial) -> None:
        """See Watcher."""
        wasted = sum(call.wasted for call in trial.calls)
        spent = sum((trial.seconds or {}).values())
        lost = f", {wasted} wasted" if wasted else ""
        self.say(
            f"[bold]{escape(trial.policy)}[/], seed {trial.seed}: {trial.hits} hits in {len(trial.calls):,} calls{lost}"
            f" ({spent:.1f} CPU s)"
        )

    def say(self, line: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._console.print(f"[dim]{self._clock()}[/] {line}", highlight=False)

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def _look(self) -> None:
        if self._live:
            self._line.update(text=f"{self._clock()} {self._now}")
        elif self._now != self._shown:
            self.say(self._now)
            self._shown = self._now


def show_study(console: Console, study: Study) -> None:
    """The scores as a table."""
    rows, hits = len(study.laboratory), len(study.laboratory.hits)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("policy")
    for name in ("hits", "EF", "to 50 %", "to 80 %", "to 90 %", "wasted", "coverage", "ECE"):
        table.add_column(name, justify="right")
    for one in study.scores:
        late = [found for found in one.rounds if found.number >= FIRST_JUDGED]
        table.add_row(
            escape(one.policy),
            mean_text(one.hits),
            mean_text(one.ef, 2),
            *(reach_text(reach) for reach in one.reach),
            mean_text(one.wasted),
            _mean([found.coverage for found in late]),
            _mean([found.ece_so_far for found in late[-1:]]),
        )
    console.print(table)
    for note in study.short:
        console.print(escape(note), highlight=False, soft_wrap=True)
    console.print(
        f"{study.laboratory.name}: {rows:,} rows, {hits:,} hits; {study.calls:,} calls at random find "
        f"{random_hits(study.calls, rows, hits):.1f}, and no policy has an EF above {ceiling(study.calls, rows, hits):.1f}. "
        "Coverage is the mean of the rounds from the third, ECE that of all their calls together.",
        highlight=False,
        soft_wrap=True,
    )


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else NONE
