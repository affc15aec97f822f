"""The sections of a campaign file: every key with its type, bound, default and a description with its unit. The whole: spec."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    field_validator,
    model_validator,
)

from crystalloop.db.query.to_predicate import FieldTest, Wanted, row_test, values_test
from crystalloop.dft.recipe.user_paths import path_from
from crystalloop.orchestrator.campaign.part import Part, first_not_finite
from crystalloop.orchestrator.campaign.places import command_from, user_command


def _checked_where(value: object) -> object:
    """The text of a condition as it is, once it can be read; else fields with a value, or a list of them, each."""
    if isinstance(value, str):
        row_test(value)
        return value
    if not isinstance(value, Mapping):
        raise ValueError("write fields with their values, e.g. {class: binary_AB}, or a condition in quotes")
    for name, wanted in value.items():
        if not all(isinstance(one, str | bool | int | float | None) for one in _several(wanted)):
            raise ValueError(f"{name}: write a text, a number, true or false, or a list of such")
        if wanted in ([], ()):
            raise ValueError(f"{name}: no value would do; the list is empty")
        if first_not_finite(_several(wanted)) is not None:
            raise ValueError(f"{name}: no row has such a number")
    return dict(value)


def _several(wanted: object) -> Sequence[object]:
    return wanted if isinstance(wanted, list | tuple) else [wanted]


if TYPE_CHECKING:
    WhereValue = dict[str, Wanted | list[Wanted]] | str
else:
    WhereValue = Annotated[
        dict[str, Any],
        PlainValidator(_checked_where, json_schema_input_type=dict[str, Wanted | list[Wanted]] | str),
        PlainSerializer(lambda value: value),
    ]


RowKept = FieldTest
"""The test of a row that a `where` is."""


def test_of(where: WhereValue) -> FieldTest | None:
    """A checked `where` as the readers of data files take it: the test of a row; None keeps all."""
    if not where:
        return None
    return row_test(where) if isinstance(where, str) else values_test(where)


class DataFile(Part):
    """A file or folder of known crystals to start from."""

    path: Path = Field(
        description="JSONL (also .gz), CSV, one CIF or a folder of CIF files; relative to the campaign file"
    )
    limit: int | None = Field(
        None, ge=1, le=1_000_000_000, description="use at most this many crystals, drawn with the campaign's seed"
    )
    bad_rows: Literal["stop", "skip"] = Field("stop", description="stop at an unreadable row, or skip and count it")
    units: dict[str, str] = Field(
        default_factory=dict,
        description="labels that are in another unit than their own, e.g. {formation_energy_per_atom: meV, "
        "bulk_modulus: kbar}; energies: eV, meV, kJ/mol, kcal/mol, Ry, Ha; moduli: GPa, MPa, kbar, Mbar, eV/A^3",
    )
    scheme: Literal["PBE", "MP2020", "MP-legacy", "OQMD", "as_given"] | None = Field(
        None,
        description="of the file's formation energies, where its rows do not say it in formation_energy_scheme: they are put "
        "on the scale of plain PBE, which is pw.x's; as_given takes them as they are, whatever the rows say",
    )
    where: WhereValue = Field(
        default_factory=dict,
        description="keep rows whose field has this value, or one of several, e.g. {class: [binary_AB, perovskite], "
        "stable: true}; or a condition as in `results --where` on the rows' own fields, e.g. "
        "'class = binary_AB and band_gap > 1'",
    )

    @property
    def keep(self) -> FieldTest | None:
        """`where` as the readers of data files take it: the test of a row; None keeps all."""
        return test_of(self.where)


class Voxels(Part):
    """The maps' grid."""

    n: Literal[16, 24, 32, 48, 64] = Field(16, description="voxels per cell edge; the paper has 32")
    width_scale: float = Field(
        1.0,
        gt=0.2,
        le=2.0,
        description="Gaussian width of an atom as a multiple of its ionic radius; 1 is the paper's",
    )


class Networks(Part):
    """Sizes and training of the three networks; a section overrides single fields of the preset."""

    preset: Literal["compact", "paper"] = Field(
        "compact", description="sizes and steps: compact for a machine without a GPU, or those of the paper"
    )
    unet: dict[str, Any] = Field(default_factory=dict, description="fields of UNetConfig")
    vae: dict[str, Any] = Field(default_factory=dict, description="fields of VAEConfig")
    cgcnn: dict[str, Any] = Field(default_factory=dict, description="fields of CGCNNConfig")
    steps: dict[Literal["unet", "vae", "cgcnn"], Annotated[int, Field(ge=1, le=1_000_000_000)]] = Field(
        default_factory=dict, description="optimiser steps of a training from scratch"
    )
    warm_share: float = Field(0.5, gt=0, le=1, description="share of those steps when continuing from the last version")
    minimum_labels: int = Field(
        4, ge=1, le=1_000_000_000, description="computed crystals needed before the first training"
    )


class RayResources(Part):
    """What Ray gives to each piece of work."""

    train_workers: int = Field(1, ge=1, le=256, description="Ray Train workers that share each training")
    cpus_per_train_worker: float | None = Field(
        None, gt=0, le=4096, description="CPU cores of each of them; default 2, or as many as the cluster has room for"
    )
    use_gpu: bool = Field(False, description="one GPU for each training worker")
    generator_actors: int = Field(1, ge=1, le=256, description="processes that decode latents into crystals")
    screen_actors: int = Field(1, ge=1, le=256, description="processes that predict properties")
    gpus_per_generator: float = Field(
        0, ge=0, le=64, description="GPUs of each process that decodes; a share such as 0.5 will do"
    )
    address: str | None = Field(
        None, description="auto, or host:6379 of a running Ray cluster; none starts one on this machine"
    )


class Generation(Part):
    """How candidates are drawn."""

    per_round: int = Field(64, ge=1, le=1_000_000, description="latent vectors decoded in each round")
    random: float = Field(0.2, ge=0, le=1_000_000, description="share drawn from the prior")
    around: float = Field(0.5, ge=0, le=1_000_000, description="share drawn around base compounds")
    between: float = Field(0.3, ge=0, le=1_000_000, description="share drawn on lines between base compounds")
    scale: float = Field(
        0.5,
        gt=0,
        le=5,
        description="spread round a base, in standard deviations of its part of the prior",
    )
    max_atoms: int = Field(40, ge=1, le=200, description="atoms of the largest conventional cell kept")

    @model_validator(mode="after")
    def _shares(self) -> Generation:
        if self.random + self.around + self.between <= 0:
            raise ValueError("random, around and between are all 0: nothing would be generated")
        return self


class Filters(Part):
    """Filters between drawing and DFT that are chemistry, and may be turned off."""

    charge_balance: bool = Field(
        True, description="leave out ionic crystals whose charges known oxidation states cannot balance"
    )


class Dft(Part):
    """The DFT side of the campaign."""

    preset: Literal["test", "fast", "paper"] = Field(
        "fast", description="k points, thresholds, dispersion: test is rough, fast for screening, paper as published"
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="single fields of PwSettings over the preset")
    slots: int = Field(2, ge=0, le=10_000, description="relaxations at a time on this machine, one core each")
    pw_command: str = Field(
        default_factory=lambda: command_from("CRYSTALLOOP_PW", "pw.x"),
        description="command that starts pw.x, e.g. mpirun -np 4 pw.x; default CRYSTALLOOP_PW, else pw.x",
    )
    scratch: Path | None = Field(
        default_factory=lambda: path_from("CRYSTALLOOP_SCRATCH"),
        description="fast local folder for wave functions; default beside the other files of a relaxation",
    )
    pseudos: Path | None = Field(
        None, description="folder of UPF files; default CRYSTALLOOP_PSEUDOS, else the user's, else .crystalloop/pseudos"
    )
    per_round: int = Field(6, ge=1, le=10_000, description="candidates computed in each round")
    reject_above_e_f: float | None = Field(
        None,
        ge=-5,
        le=10,
        description="eV/atom; crystals above it with coarse k points are not computed on; turns cheap_first on",
    )
    band_gap: Literal["scf", "nscf"] | None = Field(
        None,
        description="compute the gap too: scf (or true) from the states on the mesh, an upper bound; nscf on one twice as dense",
    )
    lease_s: float = Field(
        30.0, ge=2, le=1_000_000, description="seconds; a worker silent for this long has lost its candidate"
    )

    @field_validator("band_gap", mode="before")
    @classmethod
    def _yes_is_scf(cls, value: object) -> object:
        return {True: "scf", False: None}[value] if isinstance(value, bool) else value

    @field_validator("pw_command")
    @classmethod
    def _finds_home(cls, value: str) -> str:
        return user_command(value)


class Budget(Part):
    """What the campaign may use; it ends cleanly at the first limit."""

    relaxations: int | None = Field(
        None, ge=1, le=1_000_000_000, description="candidates computed in all rounds; no limit by default"
    )
    cpu_hours: float | None = Field(
        None, gt=0, le=1_000_000_000, description="processor time of pw.x on candidates, hours; no limit by default"
    )
    wall_minutes: float | None = Field(
        None, gt=0, le=100_000_000, description="time by the clock, minutes; no limit by default"
    )


class DatabaseConfig(Part):
    """Where results are kept."""

    uri: str | None = Field(
        default_factory=lambda: os.environ.get("CRYSTALLOOP_MONGODB_URI"),
        description="mongodb://... of a server; default CRYSTALLOOP_MONGODB_URI, else a server on this machine",
    )
    name: str = Field("crystalloop", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="name of the database on the server")
