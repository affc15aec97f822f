"""What the terminal shows of an evaluation, and how its numbers are written everywhere. Rendering only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crystalloop.models.judge.rows import Definition, Row

if TYPE_CHECKING:
    from crystalloop.models.judge.evaluate import Evaluation


NONE = "–"
UNITS = {"A": "Å", "A^2": "Å²", "(e/A^3)^2": "(e/Å³)²"}


def value_text(value: float | None, unit: str) -> str:
    """A value as shown: shares in per cent, three significant digits."""
    if value is None or not math.isfinite(value):
        return NONE
    if unit == "share":
        return f"{100 * value:.1f} %"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value)) if unit in ("dimensions", "sites") else f"{value:.3g}"
    return f"{value:.3f}" if 0.1 <= abs(value) < 10 else f"{value:.3g}"


def unit_text(unit: str) -> str:
    """The unit as shown; none for a share, whose values carry their sign."""
    return "" if unit == "share" else UNITS.get(unit, unit)


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
    table = Table(title=section, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
    for name in ("row", "seed", "strict", "unit", "reach", "paper", "count"):
        table.add_column(name, justify="right" if name in ("seed", "strict", "reach") else "left")
    for row in rows:
        d = row.definition
        colour = {True: "green", False: "red", None: "none"}[row.met]
        strict = (
            f"[{colour}]{value_text(row.strict, d.unit)}[/]" if row.met is not None else value_text(row.strict, d.unit)
        )
        cells = [d.title, value_text(row.seed, d.unit), strict, unit_text(d.unit), reach_text(d), d.paper]
        table.add_row(*cells, count_text(row))
        if row.parts:
            parts = ", ".join(f"{name} {value_text(value, part_unit(row, name))}" for name, value in row.parts.items())
            table.add_row(f"[dim]  {escape(parts)}[/]")
    return table


def part_unit(row: Row, name: str) -> str:
    """The unit of a part: the row's, but for counts."""
    return "sites" if name in ("training labels", "dimensions") or name.endswith("left per base") else _share_or(row)


def _share_or(row: Row) -> str:
    return "share" if row.key == "decile_same_noise" else row.definition.unit
