"""The documents of the database: what a campaign writes down. Pure types; no database access lives here."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from crystalloop.db.ledger.campaigns import ModelVersion as ModelVersion  # users know it by this place
from crystalloop.db.ledger.forecast import Forecast
from crystalloop.db.ledger.names import Id
from crystalloop.db.ledger.record import Record

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

Vector = tuple[float, float, float]
REFERENCES = "references"  # the shared campaign that owns the elemental reference calculations


class CrystalDoc(Record):
    """A periodic crystal: lattice rows in angstrom, species symbols, fractional coordinates."""

    lattice: tuple[Vector, Vector, Vector]
    species: tuple[str, ...]
    frac_coords: tuple[Vector, ...]

    @classmethod
    def from_structure(cls, structure: Structure) -> CrystalDoc:
        """From a pymatgen Structure without partial occupancies."""
        return cls(
            lattice=tuple(tuple(float(x) for x in row) for row in structure.lattice.matrix),
            species=tuple(str(site.specie.symbol) for site in structure),
            frac_coords=tuple(tuple(float(x) for x in row) for row in structure.frac_coords),
        )

    def to_structure(self) -> Structure:
        """As a pymatgen Structure."""
        from pymatgen.core.structure import Structure  # records are read without pymatgen

        return Structure(self.lattice, self.species, self.frac_coords)


class CandidateState(StrEnum):
    """Where a candidate stands. The moves are those of db.ledger.leases, each one compare-and-set."""

    PROPOSED = "proposed"  # passed every filter, not chosen for DFT (yet)
    QUEUED = "queued"  # chosen; a workflow exists or will be made by the reconciler
    RUNNING = "running"  # a worker holds the lease
    RELAXED = "relaxed"  # finished with an accepted relaxation
    GAVE_UP = "gave_up"  # finished without one; `reason` says why


class OriginKind(StrEnum):
    """How a candidate came to be proposed."""

    DECORATED = "decorated"  # a known prototype with the campaign's elements; ranked by a model at most
    RANDOM = "random"  # latent drawn from the prior
    AROUND = "around"  # latent drawn around a base compound
    BETWEEN = "between"  # latent on the line between two base compounds
    ELEMENT = "element"  # an elemental reference
    SUBSTITUTED = "substituted"  # a known crystal, an element exchanged for a similar one
    LISTED = "listed"  # a row of a laboratory's table


class Origin(Record):
    """Where a candidate comes from: enough to generate it again."""

    kind: OriginKind
    model_version: str | None = None
    bases: tuple[str, ...] = ()  # formulas of the base compounds
    latent: tuple[float, ...] | None = None
    condition: tuple[float, ...] | None = None
    seed: int | None = None


class Lease(Record):
    """The right of one worker to write a candidate's results; a write with another token matches nothing."""

    token: str
    worker: str
    started_at: datetime
    expires_at: datetime


class Attempt(Record):
    """One launch of pw.x (or one that was refused before the launch)."""

    number: int
    started_at: datetime
    outcome: str  # "converged", a name of db.ledger.leases, or that of a failure of dft.heal.failures
    detail: str = ""  # what was seen, in a sentence
    correction: str = ""  # what the next attempt changes
    cpu_s: float = 0.0
    wall_s: float = 0.0
    folder: str = ""
    worker: str = ""


class RungRecord(Record):
    """What one of two rungs found: coarse k points first, then the ones asked for."""

    name: str  # cheap or accurate
    kspacing_inv_ang: float
    energy_per_atom_ev: float
    volume_per_atom_ang3: float
    pressure_kbar: float
    cpu_s: float


class Relaxation(Record):
    """An accepted relaxation. Energies are E0 = F + TS/2, raw, without corrections."""

    crystal: CrystalDoc  # as relaxed, in the cell that pw.x saw
    conventional: CrystalDoc  # symmetrised conventional cell
    energy_ev: float
    energy_per_atom_ev: float
    a_ang: float  # edge a of the conventional cell
    spacegroup: int
    volume_per_atom_ang3: float
    pressure_kbar: float
    fmax_ev_ang: float
    steps: int
    bond_change_percent: float | None  # mean over nearest-neighbour bonds, against the generated crystal
    cell_change_percent: float | None  # mean over a, b, c of the conventional cells
    cpu_s: float
    wall_s: float
    pw_version: str
    pseudos: dict[str, str]  # element -> md5
    code_version: int = 1  # of dft.recipe.settings, when it was computed
    magnetization_bohr: float | None = None  # of the cell; None where it was computed without spin
    absolute_magnetization_bohr: float | None = None
    energy_without_d2_ev: float | None = None  # of the same cell, where D2 was on
    volume_change_percent: float | None = None  # of the volume per atom, against the generated crystal
    spacegroup_before: int | None = None  # of the generated crystal
    generated_pressure_kbar: float | None = None  # in the generated cell
    bulk_modulus_gpa: float | None = None  # this and the next two where an equation of state was asked for
    bulk_modulus_prime: float | None = None
    fit_rms_mev_per_atom: float | None = None
    band_gap: float | None = None  # eV, of the states computed: an upper bound; None where it was not asked for
    rungs: tuple[RungRecord, ...] = ()  # in order; empty where there was one
    reused_from: str | None = None  # id of the candidate that was computed, where this result is a copy


class Candidate(Record):
    """One crystal of one campaign, from proposal to result; the source of truth about it."""

    id: Id
    campaign: Id
    kind: Literal["crystal", "reference"] = "crystal"
    round: int
    key: Id  # digest of cell, species and DFT settings: equal keys are the same calculation
    formula: str
    prototype: str | None
    crystal: CrystalDoc  # as proposed
    settings: dict[str, Any]  # DFT settings as stored by the campaign
    origin: Origin
    passed: tuple[str, ...] = ()  # names of the filters passed, in order
    predicted: dict[str, float | None] = Field(default_factory=dict)  # the eight properties, before DFT
    e_f_predicted: float | None = None  # eV/atom
    score: float | None = None  # acquisition value when chosen
    forecast: Forecast | None = None  # what the surrogate expected when it was chosen
    arm: str = "loop"  # who asked for it: the loop, or a baseline that it is compared with
    state: CandidateState = CandidateState.PROPOSED
    lease: Lease | None = None
    attempts: tuple[Attempt, ...] = ()
    relaxation: Relaxation | None = None
    e_f: float | None = None  # eV/atom, relative to this database's own elemental references
    e_f_without_d2: float | None = None  # eV/atom, where D2 was on for crystal and references: the same without it
    e_above_hull: float | None = None  # eV/atom, as last settled: the hull grows with the database
    hull_reason: str | None = None  # why e_above_hull is missing
    hull_source: str | None = None  # which energies that hull is made of: a reference tied to pw.x, or pw.x alone
    hull_error: float | None = None  # eV/atom, standard error of a reference's hull on the scale of pw.x
    reason: str | None = None  # why GAVE_UP, or why e_f is missing
    created_at: datetime
    updated_at: datetime

    @property
    def is_labelled(self) -> bool:
        """Whether it has a formation energy from pw.x."""
        return self.state is CandidateState.RELAXED and self.e_f is not None

    def value(self, name: str) -> float | None:
        """A property of a finished candidate: computed where pw.x computes it, else as predicted."""
        if name == "formation_energy_per_atom":
            return self.e_f
        found = self.relaxation
        computed = {} if found is None else {"energy_per_atom": found.energy_per_atom_ev, "band_gap": found.band_gap}
        return self.predicted.get(name) if computed.get(name) is None else computed[name]


class ReferenceEnergy(Record):
    """An imported total energy, for convex hulls; never a label and never an elemental reference of formation energies."""

    id: str  # "<scheme>/<name>"
    name: str
    formula: str
    energy_per_atom_ev: float
    scheme: str  # as dft.energies.references.energy_scheme names it
    source: str  # the file's name
    created_at: datetime
