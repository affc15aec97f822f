"""A finished calculation as documents of the database, and as the file in which it waits to be recorded."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Self

from crystalloop.db.ledger.records import Attempt, Candidate, CrystalDoc, Record, Relaxation, RungRecord
from crystalloop.dft.recipe.settings import CODE_VERSION
from crystalloop.dft.relax.relax import AttemptReport, GaveUp, Relaxed

RESULT = "result.json"


class StoredResult(Record):
    """What is to be recorded about a candidate: a relaxation, or the reason why there is none."""

    key: str
    attempts: tuple[Attempt, ...] = ()
    relaxation: Relaxation | None = None
    reason: str | None = None

    @classmethod
    def of(cls, key: str, answer: Relaxed | GaveUp, attempts: tuple[Attempt, ...]) -> Self:
        """The answer of dft.relax.relax."""
        if isinstance(answer, GaveUp):
            return cls(key=key, attempts=attempts, reason=answer.reason)
        return cls(key=key, attempts=attempts, relaxation=_relaxation(answer))

    @classmethod
    def copied_from(cls, twin: Candidate, relaxation: Relaxation) -> Self:
        """The result of another candidate with the same key; its pw.x time is not counted twice."""
        source = relaxation.reused_from or twin.id
        return cls(
            key=twin.key,
            relaxation=relaxation.model_copy(update={"reused_from": source, "cpu_s": 0.0, "wall_s": 0.0}),
        )

    @classmethod
    def read(cls, folder: Path, key: str) -> Self | None:
        """The result that waits in the folder, if it is of this very calculation."""
        try:
            result = cls.model_validate_json((folder / RESULT).read_text())
        except (OSError, ValueError):  # none, or of another version: compute it again
            return None
        return result if result.key == key else None

    def write(self, folder: Path) -> None:
        """Durably: the whole file or none."""
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{RESULT}.{os.getpid()}"
        with unfinished.open("w") as file:
            file.write(self.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(folder / RESULT)


def attempt_of(report: AttemptReport, number: int, worker: str) -> Attempt:
    """A launch as it is stored; `number` counts over all workers that had the candidate."""
    return Attempt(
        number=number,
        started_at=report.started_at,
        outcome=report.outcome,
        detail=report.detail,
        correction=report.correction,
        cpu_s=report.cpu_s,
        wall_s=report.wall_s,
        folder=report.folder,
        worker=worker,
    )


def _relaxation(relaxed: Relaxed) -> Relaxation:
    curve = relaxed.equation
    return Relaxation(
        crystal=CrystalDoc.from_structure(relaxed.structure),
        conventional=CrystalDoc.from_structure(relaxed.conventional),
        energy_ev=relaxed.energy_ev,
        energy_per_atom_ev=relaxed.energy_per_atom_ev,
        a_ang=relaxed.a_ang,
        spacegroup=relaxed.spacegroup,
        volume_per_atom_ang3=relaxed.structure.volume / len(relaxed.structure),
        pressure_kbar=relaxed.pressure_kbar,
        fmax_ev_ang=relaxed.fmax_ev_ang,
        steps=relaxed.steps,
        bond_change_percent=relaxed.bond_change_percent,
        cell_change_percent=relaxed.cell_change_percent,
        cpu_s=relaxed.cpu_s,
        wall_s=relaxed.wall_s,
        pw_version=relaxed.pw_version,
        pseudos=dict(relaxed.pseudos),
        code_version=CODE_VERSION,
        magnetization_bohr=relaxed.magnetization_bohr,
        absolute_magnetization_bohr=relaxed.absolute_magnetization_bohr,
        energy_without_d2_ev=_without(relaxed.energy_ev, relaxed.dispersion_ev),
        volume_change_percent=relaxed.volume_change_percent,
        spacegroup_before=relaxed.spacegroup_before,
        generated_pressure_kbar=relaxed.generated_pressure_kbar,
        bulk_modulus_gpa=curve and curve.bulk_modulus_gpa,
        bulk_modulus_prime=curve and curve.bulk_modulus_prime,
        fit_rms_mev_per_atom=curve and curve.rms_mev_per_atom,
        rungs=tuple(RungRecord(**asdict(rung)) for rung in relaxed.rungs),
    )


def _without(energy_ev: float, dispersion_ev: float | None) -> float | None:
    """D2 is added after the SCF and does not change it, so one calculation gives both energies of its cell."""
    return None if dispersion_ev is None else energy_ev - dispersion_ev
