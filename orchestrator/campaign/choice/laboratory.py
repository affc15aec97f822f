"""The section `laboratory` of a campaign file: a table of crystals whose values are known, in pw.x's place. Read in simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from crystalloop.orchestrator.campaign.part import Part
from crystalloop.orchestrator.campaign.sections import RowKept, WhereValue, test_of


class LaboratorySection(Part):
    """A table of crystals with known values, in which `simulate` runs the loop."""

    file: Path | None = Field(
        None,
        description="JSONL, JSON or CSV (also .gz) with a crystal and a value a row, relative to the file that names it; a row "
        "without atoms is built of its `formula` and `prototype`",
    )
    value: str | None = Field(
        None, description="column that stands in for the target's property, e.g. heat_all; default the property's own"
    )
    where: WhereValue = Field(
        default_factory=dict,
        description="keep rows of which this holds, as `where` of a data file, e.g. {source: [oqmd, wbm]} or a condition",
    )
    missing: Literal["drop", "waste"] = Field(
        "drop", description="rows without a value: leave them out, or let a call on one be wasted"
    )
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="rows that are the crystal of an earlier row, up to its volume: leave them out, or keep all"
    )
    bad_rows: Literal["stop", "skip"] = Field("stop", description="stop at a row that cannot be used, or leave it out")
    above_hull: bool = Field(
        False,
        description="the value is a formation energy; what counts is its distance to the hull of the campaign's `hull.reference`",
    )
    quarantine: float = Field(
        -0.05, le=0, description="with above_hull: rows further below the hull are left out as doubtful, eV/atom"
    )
    top: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="the best share of rows are the hits, e.g. 0.02, where the target has no range; default 0.02 there",
    )
    cost: str | None = Field(None, description="column with the processor seconds of a call, e.g. cpu_s")
    features: tuple[str, ...] = Field(
        (), max_length=1000, description="columns of numbers that describe a row of a table without crystals"
    )
    start: int = Field(20, ge=1, le=1_000_000, description="calls of the first round, drawn at random")
    batch: int = Field(10, ge=1, le=1_000_000, description="calls of each later round")
    calls: int = Field(500, ge=1, le=10_000_000, description="calls in all")

    def placed(self, folder: Path) -> LaboratorySection:
        """With its file taken from the folder of the file that names it."""
        return self if self.file is None else self.model_copy(update={"file": folder / self.file})

    @property
    def keep(self) -> RowKept | None:
        """`where` as the test of a row; None keeps all."""
        return test_of(self.where)

    @model_validator(mode="after")
    def _fits(self) -> LaboratorySection:
        if self.start > self.calls:
            raise ValueError(
                f"start: {self.start} calls at random are more than all {self.calls} calls; "
                f"start: {max(1, self.calls // 5)} would do"
            )
        if self.calls > self.start and self.batch > self.calls - self.start:
            raise ValueError(
                f"batch: {self.batch} calls a round, and {self.calls - self.start} are left after the {self.start} at the start; "
                f"batch: {max(1, (self.calls - self.start) // 5)} would do"
            )
        if twice := next((name for name in self.features if self.features.count(name) > 1), None):
            raise ValueError(f"features: {twice!r} is named twice; name each column once")
        if self.features and self.above_hull:
            raise ValueError("above_hull: rows described by `features` have no crystal, and so no hull; leave one out")
        return self
