"""What the terminal shows of an evaluation, row by row. Rendering only; how numbers are written is in number_text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crystalloop.models.judge.rows import Definition, Row
from crystalloop.orchestrator.show.number_text import unit_text, value_text
from crystalloop.orchestrator.show.tables import plain_table

if TYPE_CHECKING:
    from crystalloop.models.judge.evaluate import Evaluation


def reach_text(definition: Definition) -> str:
    """The bound with its direction."""
    if definition.reach is None:
        return ""
    sign = {"low": "≤", "high": "≥", "near": "≈"}[definition.better]
    return f"{sign} {value_text(definition.reach, definition.unit)}"


def count_text(row: Row) -> str:
    """How many the row is about, and how many of them failed."""
    return f"{row.count:,}" + (f" ({row.failures:,} failed)" if row.failures else "")


def show_evaluation(console: Console, found: Evaluation) -> None:
    """The table, section by section, then the notes."""
    s = found.settings
    console.print(
        f"[bold]{escape(str(s.folder))}[/] on the {s.split} part of {escape(', '.join(p.name for p in s.data))}"
    )
    for section in dict.fromkeys(row.definition.section for row in found.rows):
        console.print(_table(section, [row for row in found.rows if row.definition.section == section]))
    for note in found.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    if found.failures:
        console.print("not read: " + ", ".join(f"{escape(why)} {count}" for why, count in found.failures.items()))
    console.print(
        "[dim]seed: the paper's definition; strict: failures, extra atoms and wrong elements count. "
        "Definitions: --json, --html or docs/networks.md[/]"
    )


def _table(section: str, rows: Sequence[Row]) -> Table:
    table = plain_table(section)
    for name in ("row", "seed", "strict", "unit", "reach", "paper", "count"):
        table.add_column(name, justify="right" if name in ("seed", "strict", "reach") else "left")
    for row in rows:
        d = row.definition
        strict = value_text(row.strict, d.unit)
        if row.met is not None:
            strict = f"[{'green' if row.met else 'red'}]{strict}[/]"
        cells = [d.title, value_text(row.seed, d.unit), strict, unit_text(d.unit), reach_text(d), d.paper]
        table.add_row(*cells, count_text(row))
        if row.parts:
            table.add_row(f"[dim]  {escape(parts_text(row))}[/]")
    return table


def parts_text(row: Row) -> str:
    """The parts of a row with their values, each in the row's unit but for counts."""
    return ", ".join(f"{name} {value_text(value, _part_unit(row, name))}" for name, value in row.parts.items())


def _part_unit(row: Row, name: str) -> str:
    if name in ("training labels", "dimensions") or name.endswith("left per base"):
        return "sites"
    return "share" if row.key == "decile_same_noise" else row.definition.unit
