"""What the terminal shows: tables, the live progress of a campaign, its summary. Rendering only."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.models.learn.engine import read_progress

WIDE = 100
"""Columns of a terminal that holds every column of a table; narrower ones get the main columns."""
HULL_REASONS = 3
"""So many reasons for missing hulls are written below a table; --json has every one."""
LINE_S = 15.0
"""Without a terminal to redraw, a line this often says that work goes on."""


def _number(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))


def show_rows(console: Console, rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """A plain table of dictionaries with the same keys."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
    for key in rows[0] if rows else ("nothing",):
        table.add_column(str(key), no_wrap=True)
    for row in rows:
        table.add_row(*[_number(value) for value in row.values()])
    console.print(table)


def show_results(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Candidates, predictions beside what pw.x found."""
    if not rows:
        console.print("no candidates (yet)")
        return
    columns = {
        "id": "id",
        "prototype": "prototype",
        "model": "model_version",
        "status": "status",
        "predicted": "e_f_predicted",
        "e_f": "e_f",
        "above hull": "e_above_hull",
        "a": "a",
        "tries": "attempts",
        "cpu_s": "cpu_s",
    }
    if console.width < WIDE:
        for column in ("model", "tries", "cpu_s"):
            del columns[column]
    show_rows(console, [{title: row[column] for title, column in columns.items()} for row in rows])
    console.print(
        "[dim]predicted, e_f: formation energy, eV/atom; a: conventional cell edge, angstrom; cpu_s: in pw.x[/]"
    )
    for reason, count in Counter(row["hull_reason"] for row in rows if row["hull_reason"]).most_common(HULL_REASONS):
        console.print(f"[dim]{count} without a value above hull: {escape(reason)}[/]", soft_wrap=True)


def show_plan(console: Console, plan: Mapping[str, Any]) -> None:
    """What `run` would do."""
    console.print(f"[bold]{escape(plan['name'])}[/]: {escape(plan['start'])}")
    console.print(f"  target: {escape(plan['target'])}")
    console.print(f"  rounds: {plan['rounds']} of {plan['per_round']} relaxations, {plan['slots']} at a time")
    console.print(f"  elemental references: {', '.join(plan['references'])} (computed once per database and settings)")
    console.print(
        f"  estimate, to a factor of two: {plan['cpu_hours']:.2f} CPU-hours, "
        f"of these {plan['cpu_hours_first_round']:.2f} in the first round with the references"
    )
    if plan["first_batch"]:
        show_rows(console, plan["first_batch"], title="first batch")
    for note in plan["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}")


def show_status(console: Console, status: Mapping[str, Any]) -> None:
    """How far a campaign is."""
    console.print(
        f"[bold]{escape(status['campaign'])}[/]: {escape(status['state'])} {escape(status.get('outcome') or '')}"
    )
    if status["rounds"]:
        show_rows(console, status["rounds"])


def watch_status(console: Console, look: Callable[[], Mapping[str, Any]]) -> None:
    """Redraw the status until the campaign ends."""
    while True:
        status = look()
        console.clear()
        show_status(console, status)
        if status["state"] != "active":
            return
        time.sleep(2.0)


def show_summary(console: Console, summary: Mapping[str, Any]) -> None:
    """The end of `run`."""
    console.print(f"[bold]{escape(summary['campaign'])}[/]: {escape(summary['outcome'])}")
    if summary["rounds"]:
        show_rows(console, summary["rounds"])
    for line in summary["lines"]:
        console.print(escape(line), highlight=False)


class Progress:
    """Hears what the loop does and shows it: a live line on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._started = time.monotonic()
        self._now = "starting"
        self._file: Path | None = None
        self._known: dict[str, CandidateState] = {}
        self._spinner = Spinner("dots", text="starting")
        self._live = None if quiet or not console.is_terminal else Live(self._spinner, console=console, transient=True)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="progress", daemon=True)

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
        if self._live:
            self._live.stop()

    def __call__(self, event: str, **facts: object) -> None:
        """See parts.Tell."""
        handler = getattr(self, "_on_" + event.replace(" ", "_"), None)
        if handler is not None:
            handler(**facts)

    def say(self, line: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._console.print(f"[dim]{self._clock()}[/] {line}", highlight=False)

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def _refresh(self) -> None:
        """Redraw, or write a line, until the end."""
        wait, last = (0.25, "") if self._live else (LINE_S, "")
        while not self._end.wait(wait):
            text = self._describe()
            if self._live:
                self._spinner.update(text=f"{self._clock()} {text}")
            elif text != last:
                self.say(text)
                last = text

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

    def _on_note(self, text: str) -> None:
        self.say(escape(text))

    def _on_preparing(self, what: str) -> None:
        self._doing(escape(what))

    def _on_proposing(self, round: int, model: str | None) -> None:
        source = f"model {model}" if model else "decorated prototypes"
        self._doing(f"round {round}: proposing from {source}")

    def _on_proposed(self, round: int, counts: Sequence[tuple[str, int]], chosen: Sequence[Candidate]) -> None:
        funnel = " > ".join(f"{count} {name}" for name, count in counts)
        self.say(f"[bold]round {round}[/] proposed: {funnel} > {len(chosen)} chosen")
        for candidate in chosen:
            predicted = "" if candidate.e_f_predicted is None else f", predicted {candidate.e_f_predicted:+.3f} eV/atom"
            self.say(f"  {candidate.id} ({candidate.prototype or 'no known prototype'}{predicted})")

    def _on_waiting(self, round: int, candidates: Sequence[Candidate], references: Sequence[Candidate]) -> None:
        both = [*references, *candidates]
        for candidate in both:
            self._note_end(candidate)
        ended = sum(_has_ended(candidate) for candidate in candidates)
        missing = sum(not _has_ended(reference) for reference in references)
        running = ", ".join(c.formula for c in both if c.state is CandidateState.RUNNING)
        extra = f", {missing} elemental references to go" if missing else ""
        now = f"; pw.x on {running}" if running else ""
        self._doing(f"round {round}: {ended}/{len(candidates)} relaxations done{extra}{now}")

    def _on_leases_expired(self, candidates: Sequence[str]) -> None:
        self.say(f"  handed back, since their worker is gone: {', '.join(candidates)}")

    def _note_end(self, candidate: Candidate) -> None:
        before = self._known.get(candidate.id)
        self._known[candidate.id] = candidate.state
        if not _has_ended(candidate) or before is candidate.state:
            return
        cpu = sum(attempt.cpu_s for attempt in candidate.attempts)
        relaxation = candidate.relaxation
        if relaxation is None:
            self.say(f"  {candidate.id} [yellow]gave up[/]: {escape(candidate.reason or '')}")
        elif before is not None:
            self.say(f"  {candidate.id} relaxed: a {relaxation.a_ang:.3f} A, {relaxation.steps} steps, {cpu:.0f} CPU s")

    def _on_round_closed(self, round: int, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            self._note_end(candidate)
        self._doing(f"round {round}: done")

    def _on_settled(self, candidate: Candidate, e_f: float | None, reason: str | None) -> None:
        predicted = candidate.e_f_predicted
        beside = f" (predicted {predicted:+.3f})" if predicted is not None else ""
        text = f"formation energy {e_f:+.3f} eV/atom{beside}" if e_f is not None else f"no formation energy: {reason}"
        self.say(f"  {candidate.id} {escape(text)}")

    def _on_training(self, version: str, labelled: int, unlabelled: int, progress: Path | None = None) -> None:
        self.say(f"[bold]training {version}[/] on {labelled} labelled and {unlabelled} unlabelled crystals")
        self._doing(f"training {version}", progress)

    def _on_trained(self, version: Any) -> None:  # noqa: ANN401
        seconds = {name: network.train_s for name, network in version.networks.items()}
        self.say(f"{version.id} trained: " + ", ".join(f"{name} {s:.0f} s" for name, s in seconds.items()))
        self._doing("loading the new weights")


def _has_ended(candidate: Candidate) -> bool:
    return candidate.state in (CandidateState.RELAXED, CandidateState.GAVE_UP)
