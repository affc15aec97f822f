"""Campaign: the whole campaign file as frozen, checked types, and what of it decides the candidates. Its parts: sections."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from crystalloop.dft.recipe.pseudo_places import default_pseudos
from crystalloop.models.crystals.compounds import parse_compound
from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.orchestrator.campaign.choice.laboratory import LaboratorySection
from crystalloop.orchestrator.campaign.choice.sections import (
    AcquireSection,
    Arms,
    HullSection,
    StopSection,
    SurrogateSection,
)
from crystalloop.orchestrator.campaign.digest import digest_of, says_the_same
from crystalloop.orchestrator.campaign.part import Part
from crystalloop.orchestrator.campaign.sections import (
    Budget,
    DatabaseConfig,
    DataFile,
    Dft,
    Filters,
    Generation,
    Networks,
    RayResources,
    Voxels,
)
from crystalloop.orchestrator.campaign.target_section import DEFAULT_TARGET, TargetValue
from crystalloop.orchestrator.campaign.target_words import how_learnt, learnt_from_data
from crystalloop.orchestrator.campaign.wanted.reach import Ground, unreachable


class ConfigError(Exception):
    """A campaign file that cannot be used; the message has a line per problem, with key, value and bound."""

    exit_kind = "usage"


class Campaign(Part):
    """A discovery campaign, as read from its file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="also the name of its folder")
    elements: tuple[str, ...] = Field(
        min_length=1, max_length=120, description="element symbols that candidates may contain"
    )
    prototypes: tuple[Prototype, ...] = Field(
        (), max_length=100, description="structure types; also the anonymous formulas wanted"
    )
    bases: tuple[str, ...] = Field(
        (), max_length=2000, description="base compounds, FORMULA:prototype, e.g. LiF:rocksalt_B1"
    )
    target: TargetValue = Field(
        DEFAULT_TARGET,
        description="the properties that are looked for, and which values of them; default energy_above_hull at most "
        "0.05 eV/atom, the lower the better",
    )
    data: tuple[DataFile, ...] = Field((), max_length=1000, description="files of known crystals to start from")
    voxels: Voxels = Field(Voxels(), description="the grid of the density maps")
    networks: Networks = Field(Networks(), description="sizes and training of the networks")
    ray: RayResources = Field(RayResources(), description="what Ray gives to each piece of work")
    generate: Generation = Field(Generation(), description="how candidates are drawn")
    filters: Filters = Field(Filters(), description="what is left out before DFT")
    dft: Dft = Field(Dft(), description="how and how many candidates are computed")
    hull: HullSection = Field(HullSection(), description="of what the distance to the convex hull is measured")
    surrogate: SurrogateSection = Field(SurrogateSection(), description="what predicts the target before DFT")
    acquire: AcquireSection = Field(AcquireSection(), description="which candidates deserve DFT")
    arms: Arms = Field(Arms(), description="shares of the DFT that baselines get")
    budget: Budget = Field(Budget(), description="what the campaign may use")
    stop: StopSection = Field(StopSection(), description="when enough is found")
    laboratory: LaboratorySection = Field(
        LaboratorySection(), description="the table that `simulate` has in pw.x's place; `run` does not look at it"
    )
    rounds: int = Field(3, ge=1, le=10_000, description="rounds of proposing, computing and training")
    seed: int = Field(0, ge=0, lt=2**31, description="of every draw; the same seed gives the same candidates")
    database: DatabaseConfig = Field(DatabaseConfig(), description="where results are kept")
    folder: Path | None = Field(None, description="where files go; default runs/<name>")

    @field_validator("elements")
    @classmethod
    def _elements_exist(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in value:
            if symbol not in atomic_numbers():
                near = get_close_matches(symbol.capitalize(), atomic_numbers(), 1)
                raise ValueError(
                    f"{symbol!r} is not an element symbol" + (f"; did you mean {near[0]}?" if near else "")
                )
        if len(set(value)) != len(value):
            twice = next(symbol for symbol in value if value.count(symbol) > 1)
            raise ValueError(f"an element is named twice: {twice}")
        return tuple(sorted(value))

    @field_validator("prototypes", "bases")
    @classmethod
    def _named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if twice := next((str(one) for one in value if value.count(one) > 1), None):
            raise ValueError(f"{twice} is named twice; leave one out")
        return value

    @field_validator("bases")
    @classmethod
    def _bases_parse(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for base in value:
            parse_compound(base)
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Campaign:
        if not self.prototypes and not self.bases:
            raise ValueError("give prototypes or bases: nothing says which crystals are wanted")
        if not self.data and (missing := learnt_from_data(self.target, self.dft)):
            raise ValueError(
                f"target: no calculation here teaches the networks {' and '.join(missing)}: its labels must come from data files, "
                f"and `data` is empty; name a file that has them, or target formation_energy_per_atom{how_learnt(missing)}"
            )
        for base in self.bases:
            outside = set(parse_compound(base).elements) - set(self.elements)
            if outside:
                raise ValueError(
                    f"base {base} contains {', '.join(sorted(outside))}, not among elements {list(self.elements)}"
                )
        if wrong := list(unreachable(self.target, self._ground())):
            raise ValueError(f"target: {'; '.join(wrong)}")
        if (least := self.stop.expected_hits) is not None and least > self.dft.per_round:
            raise ValueError(
                f"stop: expected_hits {least:g}: no batch brings more hits than it has candidates, dft.per_round is "
                f"{self.dft.per_round}, so that nothing would be computed after the first networks; a number below 1, such as "
                "0.2, ends the campaign where little is left to find"
            )
        return self

    def _ground(self) -> Ground:
        return Ground(self.elements, self.prototypes, self.bases, bool(self.data))

    @property
    def run_folder(self) -> Path:
        """Folder of this campaign's files."""
        return self.folder or Path("runs") / self.name

    @property
    def pseudo_folder(self) -> Path:
        """Folder of the pseudopotentials: the campaign's, else where they are looked for."""
        return self.dft.pseudos or default_pseudos()

    def spec(self) -> dict[str, Any]:
        """The campaign as plain JSON data, without a database password."""
        spec: dict[str, Any] = self.model_dump(mode="json")
        spec["database"].pop("uri")
        return spec

    def spec_digest(self) -> str:
        """Digest of what decides which candidates come out; budgets, rounds, slots and machines may change on resume."""
        return digest_of(self.spec(), Campaign)

    def goes_on_with(self, spec: Mapping[str, Any]) -> bool:
        """Whether a stored specification decides the same candidates, were its numbers kept as texts or not."""
        return says_the_same(spec, self.spec(), Campaign)
