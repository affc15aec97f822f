"""A finished calculation as documents of the database, and as the file in which it waits to be recorded."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

from crystalloop.db.ledger.leases import INTERNAL, INTERRUPTED
from crystalloop.db.ledger.record import Record
from crystalloop.db.ledger.records import Attempt, Candidate, CrystalDoc, Relaxation
from crystalloop.dft.recipe.settings import CODE_VERSION
from crystalloop.dft.recipe.whole_file import whole
from crystalloop.dft.relax.attempt import AttemptReport
from crystalloop.dft.relax.equation_of_state import EquationOfState
from crystalloop.dft.relax.outcome import GaveUp, Relaxed

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
        """The result that waits in the folder, if it is of this very calculation and says something of the crystal."""
        try:
            result = cls.model_validate_json((folder / RESULT).read_text())
        except (OSError, ValueError):  # none, or of another version: compute it again
            return None
        blames_us = (result.reason or "").startswith((INTERNAL, INTERRUPTED))  # earlier releases wrote such answers
        return None if result.key != key or blames_us else result

    def write(self, folder: Path) -> None:
        """Durably: the whole file or none."""
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / RESULT) as path:
            path.write_text(self.model_dump_json())


def attempt_of(report: AttemptReport, number: int, worker: str) -> Attempt:
    """A launch as it is stored; `number` counts over all workers that had the candidate."""
    return Attempt.model_validate(asdict(report) | {"number": number, "worker": worker})


def _relaxation(relaxed: Relaxed) -> Relaxation:
    """Field by field of the same name; what is named or shaped otherwise there is said here."""
    curve, cell = relaxed.equation, relaxed.structure
    return Relaxation.model_validate(
        {
            **_of_same_name(relaxed),
            **({} if curve is None else _of_same_name(curve)),
            "fit_rms_mev_per_atom": curve and curve.rms_mev_per_atom,
            "crystal": CrystalDoc.from_structure(cell),
            "conventional": CrystalDoc.from_structure(relaxed.conventional),
            "rungs": tuple(asdict(rung) for rung in relaxed.rungs),
            "volume_per_atom_ang3": cell.volume / len(cell),
            "band_gap": relaxed.band_gap,
            "energy_without_d2_ev": _without(relaxed.energy_ev, relaxed.dispersion_ev),
            "code_version": CODE_VERSION,
        }
    )


def _of_same_name(found: Relaxed | EquationOfState) -> dict[str, Any]:
    names = {field.name for field in fields(found)} & set(Relaxation.model_fields)
    return {name: getattr(found, name) for name in names - {"volume_per_atom_ang3"}}


def _without(energy_ev: float, dispersion_ev: float | None) -> float | None:
    """D2 is added after the SCF and does not change it, so one calculation gives both energies of its cell."""
    return None if dispersion_ev is None else energy_ev - dispersion_ev
