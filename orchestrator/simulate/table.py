"""The table in pw.x's place: records of its rows, a queue that answers at once, energies that it holds. No policy here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from crystalloop.db.ledger.records import Attempt, Candidate, CrystalDoc, OriginKind, Relaxation
from crystalloop.db.ledger.store import Store
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import symbols
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import ABOVE_HULL
from crystalloop.orchestrator.propose.door import forecast_of
from crystalloop.orchestrator.settle.formation import origin_of
from crystalloop.orchestrator.simulate.truth.laboratory import Laboratory, LabRow
from crystalloop.orchestrator.simulate.truth.tidy import crystal_key

LEASE_S = 3600.0
WORKER, WASTED = "laboratory", "wasted"


class RowFinder:
    """Finds the row that a crystal is, as far as the table has it.

    A row that was proposed by itself is found by its name. A crystal from anywhere else is looked up by formula and, up to
    volume and origin, by its arrays; of what is left over, `KnownCrystals` decides, as for the loop's own "is it new?".
    """

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory = laboratory
        self._by_key: dict[object, int] | None = None
        self._by_formula: dict[str, list[int]] = {}

    def listed(self, candidate: Candidate) -> int | None:
        """The row of a candidate, by the name that it was proposed under, else by its crystal."""
        if candidate.origin.kind is OriginKind.LISTED and candidate.origin.bases:
            return self._laboratory.place.get(candidate.origin.bases[0])
        doc = candidate.crystal
        return self.row_of(Crystal.from_structure(doc.to_structure()))

    def row_of(self, crystal: Crystal) -> int | None:
        """The row of a crystal; None where the table has none."""
        if self._by_key is None:
            self._by_key = {}
            for index, row in enumerate(self._laboratory.rows):
                self._by_key.setdefault(crystal_key(row.crystal), index)
                self._by_formula.setdefault(row.formula, []).append(index)
        if (found := self._by_key.get(crystal_key(crystal))) is not None:
            return found
        rows = self._by_formula.get(crystal.formula, ())
        return next((i for i in rows if KnownCrystals([self._laboratory.rows[i].crystal]).knows(crystal)), None)


class TableRecords:
    """Makes the records of candidates: the door's Registry, and the loop's Energetics over a table."""

    def __init__(self, laboratory: Laboratory) -> None:
        self._target = laboratory.target

    def candidate(
        self, proposal: Proposal, campaign: str, round_: int, passed: tuple[str, ...], now: datetime
    ) -> Candidate:
        """The record of a crystal; the same crystal gets the same key."""
        key = proposal_key(proposal)
        return Candidate(
            id=f"{campaign}-{round_}-{key[:16]}",
            campaign=campaign,
            round=round_,
            key=key,
            formula=proposal.formula,
            prototype=proposal.prototype,
            crystal=stored_crystal(proposal.crystal),
            settings={},
            origin=origin_of(proposal),
            passed=passed,
            predicted=dict(proposal.predicted),
            e_f_predicted=proposal.predicted.get(E_F),
            forecast=forecast_of(proposal, self._target),
            arm=proposal.arm,
            created_at=now,
            updated_at=now,
        )

    def references(self, elements: Iterable[str], now: datetime) -> tuple[Candidate, ...]:
        """None: a table's formation energies are known."""
        return ()

    def limited(self, candidate: Candidate, find: Callable[[str], Candidate | None]) -> Candidate:
        """As it is."""
        return candidate

    def formation_energy(
        self, relaxation: Relaxation, find: Callable[[str], Candidate | None]
    ) -> tuple[float | None, str | None]:
        """What the table says, eV/atom."""
        return relaxation.energy_per_atom_ev, None

    def shares_settings(self, candidate: Candidate) -> bool:
        """Always: a table has none."""
        return True

    def formation_energy_without_d2(
        self, relaxation: Relaxation, find: Callable[[str], Candidate | None]
    ) -> float | None:
        """None: a table does not know it."""
        return None


@dataclass(frozen=True)
class NothingLost:
    """What a repair of this queue finds."""

    expired: tuple[str, ...] = ()


class TableQueue:
    """Answers every candidate at once, as a worker would: claimed, computed, recorded. Its workers have nothing to do.

    Args:
        store: the ledger.
        laboratory: the truth.
        finder: finds its rows.
        now: the clock.
    """

    def __init__(self, store: Store, laboratory: Laboratory, finder: RowFinder, now: Callable[[], datetime]) -> None:
        self._store, self._laboratory, self._finder, self._now = store, laboratory, finder, now

    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Compute them."""
        for candidate in candidates:
            self._compute(candidate)

    def reconcile(self, now: datetime) -> NothingLost:
        """Nothing is ever lost."""
        return NothingLost()

    def ensure(self) -> None:
        """See contracts.Workers."""

    def stop(self) -> None:
        """See contracts.Workers."""

    def _compute(self, candidate: Candidate) -> None:
        claimed = self._store.claim(candidate.id, WORKER, self._now(), LEASE_S)
        if claimed is None or claimed.lease is None:
            return
        token, index = claimed.lease.token, self._finder.listed(candidate)
        row = None if index is None else self._laboratory.rows[index]
        value = None if row is None else self._laboratory.value(row)
        cost_s = 0.0 if row is None else row.cost_s
        said = "outside the table" if row is None else f"{row.id} has no value" if value is None else "converged"
        attempt = Attempt(
            number=1, started_at=self._now(), outcome="converged" if value is not None else WASTED, detail=said
        )
        self._store.add_attempt(candidate.id, token, attempt.model_copy(update={"cpu_s": cost_s}), self._now())
        if row is None or value is None:
            self._store.record_failure(candidate.id, token, f"a wasted call: {said}", self._now())
            return
        self._store.record_relaxation(candidate.id, token, relaxation_of(row, candidate), self._now())
        if (above_ev := row.values.get(ABOVE_HULL)) is not None:
            self._store.set_above_hull(candidate.id, above_ev, None)


def relaxation_of(row: LabRow, candidate: Candidate) -> Relaxation:
    """What a calculation of this row would leave in the ledger: its crystal, energy zero at the elements, its gap."""
    crystal, e_f_ev = row.crystal, row.values[E_F]
    doc = candidate.crystal if candidate.origin.kind is OriginKind.LISTED else stored_crystal(crystal)
    return Relaxation(
        crystal=doc,
        conventional=doc,
        energy_ev=e_f_ev * len(crystal),
        energy_per_atom_ev=e_f_ev,
        a_ang=float(crystal.lengths_ang[0]),
        spacegroup=1,
        volume_per_atom_ang3=crystal.volume_ang3 / len(crystal),
        pressure_kbar=0.0,
        fmax_ev_ang=0.0,
        steps=0,
        bond_change_percent=None,
        cell_change_percent=None,
        cpu_s=row.cost_s,
        wall_s=row.cost_s,
        pw_version="table",
        pseudos={},
        band_gap=row.values.get("band_gap"),
    )


def listed_proposals(laboratory: Laboratory, seed: int) -> tuple[Proposal, ...]:
    """Every row as a proposal that bears its name; without a prediction. [rows]."""
    return tuple(
        Proposal(row.crystal, Kind.LISTED, row.prototype, bases=(row.id,), seed=seed) for row in laboratory.rows
    )


def proposal_key(proposal: Proposal) -> str:
    """Key of a proposal: of a row its name's digest, of another crystal that of its arrays up to volume and origin."""
    if proposal.kind is Kind.LISTED:
        return hashlib.sha256(f"row {proposal.bases[0]}".encode()).hexdigest()
    return hashlib.sha256(b"".join(crystal_key(proposal.crystal))).hexdigest()


def stored_crystal(crystal: Crystal) -> CrystalDoc:
    """As the ledger keeps it."""
    lattice = tuple((float(x), float(y), float(z)) for x, y, z in crystal.lattice)
    names = symbols()
    return CrystalDoc(
        lattice=(lattice[0], lattice[1], lattice[2]),
        species=tuple(names[number] for number in crystal.numbers),
        frac_coords=tuple((float(x), float(y), float(z)) for x, y, z in crystal.frac_coords),
    )
