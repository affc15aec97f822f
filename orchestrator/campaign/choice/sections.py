"""The sections that say how candidates are judged and chosen: every key with its type, bound, default and description."""

from __future__ import annotations

from math import isclose
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from crystalloop.db.query.to_predicate import FieldTest, row_test, values_test
from crystalloop.models.crystals.quantities import LABEL_UNITS
from crystalloop.orchestrator.campaign.part import Part
from crystalloop.orchestrator.campaign.sections import WhereValue

PolicyName = Literal["greedy", "ucb", "hit_probability", "expected_improvement", "thompson", "hull", "random"]
ModelName = Literal["stack", "trees", "gaussian_process", "networks"]
ArmName = Literal["loop", "random", "ion_exchange", "no_feedback", "trees_ucb"]


EnergyScheme = Literal["PBE", "MP2020", "MP-legacy", "OQMD", "as_given"]


class HullFile(Part):
    """Formation energies that a hull is drawn from."""

    path: Path = Field(
        description="JSON, JSONL or CSV (also .gz) with formula and formation_energy_per_atom, relative to the campaign file; a "
        "bare name without an ending is that of a set which `hull --import` took up"
    )
    scheme: EnergyScheme | None = Field(
        None,
        description="of its formation energies: rows that say another are left out; needed where rows say none. They are put on "
        "the scale of plain PBE, which is pw.x's; as_given takes all as they are",
    )
    where: WhereValue = Field(
        default_factory=dict, description="keep these rows alone, as in `data`, e.g. {source: materials_project}"
    )
    bad_rows: Literal["stop", "skip"] = Field(
        "stop", description="stop at rows that cannot be used, or skip and count them"
    )
    unit: str = Field("eV/atom", description="of its formation energies: eV/atom, meV/atom, kJ/mol, kcal/mol, Ry/atom")

    @field_validator("unit")
    @classmethod
    def _is_a_unit(cls, value: str) -> str:
        if value not in LABEL_UNITS["eV/atom"]:
            raise ValueError(f"no unit of a formation energy; there are {', '.join(LABEL_UNITS['eV/atom'])}")
        return value

    @property
    def is_file(self) -> bool:
        """Whether it names a file, not an imported set of the database."""
        return self.path.suffix != "" or len(self.path.parts) != 1 or self.path.name.startswith(".")

    @property
    def keep(self) -> FieldTest | None:
        """`where` as a test of a row; None keeps all."""
        if not self.where:
            return None
        return row_test(self.where) if isinstance(self.where, str) else values_test(self.where)


class HullSection(Part):
    """Of what the distance to the convex hull is measured."""

    reference: tuple[HullFile, ...] = Field(
        (),
        max_length=100,
        description="path of a file of formation energies, or a list of paths and tables; none: the hull is of pw.x energies alone",
    )
    scheme: EnergyScheme | None = Field(None, description="of the files that do not say their own")
    common: int = Field(
        6,
        ge=0,
        le=10_000,
        description="compounds that both the reference and pw.x have computed, before a shift per element ties them; until then "
        "the hull is that of pw.x energies alone",
    )

    @field_validator("reference", mode="before", json_schema_input_type=HullFile | str | list[HullFile | str] | None)
    @classmethod
    def _several(cls, value: object) -> object:
        """One file or a list of them, each a path or a table."""
        files = value if isinstance(value, list | tuple) else [] if value is None else [value]
        return [{"path": one} if isinstance(one, str | Path) else one for one in files]

    @model_validator(mode="after")
    def _is_of_something(self) -> HullSection:
        if self.scheme is not None and not self.reference:
            raise ValueError(
                f"scheme {self.scheme} says nothing without `reference`; name the file whose energies are of it"
            )
        return self

    def placed(self, folder: Path) -> HullSection:
        """With paths that are relative to the campaign file's folder."""
        files = [one.model_copy(update={"path": folder / one.path}) if one.is_file else one for one in self.reference]
        return self.model_copy(update={"reference": tuple(files)})


class SurrogateSection(Part):
    """What predicts the target's property of a candidate before DFT."""

    model: ModelName = Field(
        "stack",
        description="trees or gaussian_process on composition and sites, the networks' own word, or a stack of them chosen by "
        "grouped cross-validation in each round",
    )
    trees: int = Field(80, ge=10, le=5_000, description="trees of a forest")
    failures: bool = Field(True, description="learn from candidates that gave up how likely the next one ends well")
    pause_at_drift: bool = Field(
        False, description="pause the campaign when the predictions no longer cover what is found"
    )


class AcquireSection(Part):
    """Which candidates deserve DFT."""

    policy: PolicyName = Field(
        "hit_probability",
        description="how value and uncertainty of a candidate become its score: the expected merit (greedy), an optimistic one "
        "(ucb), the chance of a hit or of a gain, one believed sample (thompson), the lowering of the convex hull, or a lot",
    )
    kappa: float = Field(1.0, ge=0, le=100, description="standard deviations of optimism in ucb")
    diversity: float = Field(
        0.3,
        ge=0,
        le=100,
        description="what a candidate loses that is just like one chosen before it in the batch, as a share of the way from the "
        "middle score to the best one; half as much more with the same formula",
    )
    explore: float = Field(0.0, ge=0, le=1, description="share of each batch that is chosen for its uncertainty alone")
    per_cost: bool = Field(False, description="divide a score's gain by the predicted processor time")
    success: bool = Field(
        True, description="multiply a score's gain by the chance that the calculation ends with a value"
    )
    repeats: bool = Field(
        True, description="a formula computed more than three times counts less, from six times on nothing"
    )
    compounds: bool = Field(True, description="single elements come last")


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
