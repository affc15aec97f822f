"""What the terminal shows once: tables, a plan, a status, a summary. What changes while one looks is in progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDE = 100
"""Columns of a terminal that holds every column of a table; narrower ones get the main columns."""
HULL_REASONS = 3
"""So many reasons for missing hulls are written below a table; --json has every one."""


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
