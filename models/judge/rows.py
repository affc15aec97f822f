"""The rows of the evaluation, with the definitions of both columns (rows.yaml). Nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

Better = Literal["low", "high", "near", "none"]
NEAR = 0.02
"""How far from its bound a value may be that has to be near it."""
FILE = Path(__file__).with_name("rows.yaml")
FUNNEL_STAGES = ("valid", "formula", "new", "energy", "unique")
NAN = float("nan")


@dataclass(frozen=True)
class Definition:
    """A row before it is measured.

    Attributes:
        key: name in the JSON.
        section: part of the table.
        title: as shown.
        unit: of both columns; "share" is shown in per cent.
        seed: the definition of the paper's column.
        strict: the definition of ours.
        paper: what Court et al. 2020 report (or who else), as text.
        reach: the bound that this project wants to keep in the strict column.
        better: which side of the bound is good.
    """

    key: str
    section: str
    title: str
    unit: str
    seed: str
    strict: str
    paper: str = ""
    reach: float | None = None
    better: Better = "none"


@dataclass(frozen=True)
class Row:
    """A measured row.

    Attributes:
        key: of its definition.
        seed, strict: the two values; NaN where there is none.
        count: crystals, draws or labels that it is about.
        failures: of these, how many gave nothing (no crystal, no prediction).
        parts: further numbers: each cell edge, near misses, intervals of each property, ...
        note: what is special about this measurement.
    """

    key: str
    seed: float
    strict: float
    count: int
    failures: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def definition(self) -> Definition:
        """What the columns mean."""
        return definitions()[self.key]

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept in the strict column; None without a bound or a value."""
        bound = self.definition.reach
        if bound is None or not math.isfinite(self.strict):
            return None
        match self.definition.better:
            case "low":
                return self.strict <= bound
            case "near":
                return abs(self.strict - bound) <= NEAR
            case _:
                return self.strict >= bound

    def as_json(self) -> dict[str, Any]:
        """The row and its definition as plain values, null where there is no number."""
        d = self.definition
        return {
            "key": self.key,
            "section": d.section,
            "title": d.title,
            "unit": d.unit,
            "seed": plain(self.seed),
            "strict": plain(self.strict),
            "paper": d.paper or None,
            "reach": d.reach,
            "better": d.better,
            "met": self.met,
            "count": self.count,
            "failures": self.failures,
            "parts": {name: plain(value) for name, value in self.parts.items()},
            "note": self.note or None,
            "definition": {"seed": d.seed, "strict": d.strict},
        }


@cache
def definitions() -> Mapping[str, Definition]:
    """Every row by key, in the order of the table."""
    sections = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {
        key: Definition(key, section, **_both(row)) for section, rows in sections.items() for key, row in rows.items()
    }


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order of the table."""
    found = {row.key: row for row in rows}
    return [found[key] for key in definitions() if key in found]


def plain(value: float) -> float | None:
    """A finite number, or None."""
    return float(value) if math.isfinite(value) else None


def _both(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "strict": row["seed"] if row["strict"] == "same" else row["strict"]}
