"""The sections that say how candidates are judged and chosen: every key with its type, bound, default and description."""

from __future__ import annotations

from math import isclose
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from crystalloop.orchestrator.campaign.part import Part

PolicyName = Literal[
    "greedy", "hit_probability", "expected_improvement", "ucb", "thompson", "hull", "cost_aware", "random"
]
ModelName = Literal["stack", "trees", "gaussian_process", "networks"]
ArmName = Literal["loop", "random", "ion_exchange", "no_feedback", "trees_ucb"]


class HullSection(Part):
    """Of what the distance to the convex hull is measured."""

    reference: Path | str | None = Field(
        None,
        description="file of formation energies (JSON, JSONL, CSV; also .gz) or name of an imported set; none builds the hull "
        "of pw.x energies alone",
    )
    scheme: Literal["PBE", "MP2020", "MP-legacy", "OQMD", "as_given"] | None = Field(
        None, description="of the reference's formation energies, where its rows do not say it"
    )
    common: int = Field(
        6,
        ge=0,
        le=10_000,
        description="compounds that both the reference and pw.x have computed, before a shift per element ties them",
    )


class SurrogateSection(Part):
    """What predicts the target's property of a candidate before DFT."""

    model: ModelName = Field(
        "stack",
        description="trees or gaussian_process on composition and sites, the networks' own word, or a stack of them chosen by "
        "grouped cross-validation in each round",
    )
    trees: int = Field(150, ge=10, le=5_000, description="trees of a forest")
    failures: bool = Field(True, description="learn from candidates that gave up how likely the next one ends well")
    pause_at_drift: bool = Field(
        False, description="pause the campaign when the predictions no longer cover what is found"
    )


class AcquireSection(Part):
    """Which candidates deserve DFT."""

    policy: PolicyName = Field("greedy", description="how value and uncertainty of a candidate become its score")
    kappa: float = Field(1.0, ge=0, le=100, description="weight of the standard deviation in ucb and greedy")
    diversity: float = Field(
        0.3, ge=0, le=100, description="worth of being unlike those chosen before in the batch, eV/atom"
    )
    explore: float = Field(0.0, ge=0, le=1, description="share of each batch that is chosen for its uncertainty alone")
    per_cost: bool = Field(False, description="divide the score's gain by the predicted CPU-hours of the calculation")


class Arms(Part):
    """Shares of the relaxations that baselines get, to be compared with the loop; they add up to 1."""

    loop: float = Field(1.0, ge=0, le=1, description="the networks, the surrogate and the acquisition")
    random: float = Field(0.0, ge=0, le=1, description="drawn at random from what passed the screen")
    ion_exchange: float = Field(
        0.0, ge=0, le=1, description="known compounds with an ion exchanged for one that often stands in its place"
    )
    no_feedback: float = Field(0.0, ge=0, le=1, description="the loop's first networks, never retrained")
    trees_ucb: float = Field(0.0, ge=0, le=1, description="trees on composition and sites, upper confidence bound")

    @model_validator(mode="after")
    def _adds_up(self) -> Arms:
        total = sum(self.shares().values())
        if not isclose(total, 1.0, abs_tol=1e-6):
            given = ", ".join(f"{name}: {share:g}" for name, share in self._given())
            others = total - self.loop
            fitting = (
                {"loop": max(0.0, 1 - others)}
                if others <= 1
                else {n: s / others for n, s in self._given() if n != "loop"}
            )
            would = ", ".join(f"{name}: {share:.3g}" for name, share in fitting.items())
            raise ValueError(
                f"the shares add up to {total:g} ({given or 'all are 0'}), not to 1; {would} would do"
                + (" with loop: 0" if others > 1 else "")
            )
        return self

    def shares(self) -> dict[str, float]:
        """Arm -> its share of the DFT."""
        return {name: float(getattr(self, name)) for name in type(self).model_fields}

    def _given(self) -> list[tuple[str, float]]:
        return [(name, share) for name, share in self.shares().items() if share]

    @property
    def need_networks(self) -> bool:
        """Whether any arm is ranked by networks; a campaign of the other baselines alone trains none."""
        return self.loop > 0 or self.no_feedback > 0


class StopSection(Part):
    """When a campaign has found enough, or is not going to."""

    hits: int | None = Field(None, ge=1, le=1_000_000_000, description="end after so many hits; no limit by default")
    expected_hits: float | None = Field(
        None, gt=0, le=1e6, description="end when the next batch is expected to bring fewer hits; no limit by default"
    )
