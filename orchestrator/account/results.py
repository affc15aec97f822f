"""Results as plain JSON data: one row per candidate, and the whole chain behind one of them. Pure but for reading the store.

Printing them is the command line's work; the chain as text is in orchestrator.show.trace.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from itertools import product
from typing import Any

from pydantic import BaseModel

from crystalloop.db.ledger.leases import AFRESH, TAKEN_BACK
from crystalloop.db.ledger.records import REFERENCES, Candidate, CandidateState, ModelVersion, Relaxation
from crystalloop.db.ledger.store import Store

ResultRow = dict[str, Any]
Chain = dict[str, Any]
LARGEST_EXPONENT = 100
SAME_ENERGY = 1e-6
"""eV/atom: references that give the stored formation energy again to this are the ones it was made with."""


class UnknownCandidate(Exception):
    """There is no candidate of this id; the message names those with the nearest ids."""

    exit_kind = "usage"


def result_rows(candidates: Sequence[Candidate]) -> list[ResultRow]:
    """One row per crystal, ordered by (round, id); elemental references are left out.

    Energies are in eV/atom, `a` (edge of the relaxed conventional cell) in angstrom, `volume_per_atom` in cubic
    angstrom, `cpu_s` in seconds over all attempts, moduli in GPa, gaps in eV. None where there is no value, never NaN. Quantities
    have the names of targets and conditions; `e_f` and `e_above_hull` are older names of two of them.
    """
    crystals = [candidate for candidate in candidates if candidate.kind == "crystal"]
    return [_row(candidate) for candidate in sorted(crystals, key=lambda c: (c.round, c.id))]


def _row(candidate: Candidate) -> ResultRow:
    relaxation, origin = candidate.relaxation, candidate.origin
    row = {
        "id": candidate.id,
        "formula": candidate.formula,
        "prototype": candidate.prototype,
        "round": candidate.round,
        "model_version": origin.model_version,
        "status": candidate.state,
        "e_f_predicted": candidate.e_f_predicted,
        "e_f": candidate.e_f,
        "a": relaxation and relaxation.a_ang,
        "attempts": sum(attempt.outcome not in {TAKEN_BACK, AFRESH} for attempt in candidate.attempts),
        "cpu_s": sum(attempt.cpu_s for attempt in candidate.attempts),
        "spacegroup": relaxation and relaxation.spacegroup,
        "volume_per_atom": relaxation and relaxation.volume_per_atom_ang3,
        "bond_change_percent": relaxation and relaxation.bond_change_percent,
        "cell_change_percent": relaxation and relaxation.cell_change_percent,
        "origin": origin.kind,
        "bases": origin.bases,
        "reason": candidate.reason,
        "reused_from": relaxation and relaxation.reused_from,
        "e_above_hull": candidate.e_above_hull,
        "hull_reason": candidate.hull_reason,
        "hull_source": candidate.hull_source,
        "hull_error": candidate.hull_error,
        "e_f_without_d2": candidate.e_f_without_d2,
        "bulk_modulus": relaxation and relaxation.bulk_modulus_gpa,
        "band_gap": relaxation and relaxation.band_gap,
        "formation_energy_per_atom": candidate.e_f,
        "energy_above_hull": candidate.e_above_hull,
        "energy_per_atom": relaxation and relaxation.energy_per_atom_ev,
        "predicted": {
            name.removeprefix("log10_"): _in_unit(name, value) for name, value in candidate.predicted.items()
        },
    }
    return {name: plain(value) for name, value in row.items()}


def _in_unit(name: str, value: float | None) -> float | None:
    """A prediction in the property's unit: the networks hold moduli and the dielectric constant as logarithms."""
    return 10.0**value if value is not None and name.startswith("log10_") and abs(value) < LARGEST_EXPONENT else value


def mark_hits(rows: Iterable[ResultRow], hits: Mapping[str, Sequence[str]]) -> None:
    """Write into each row whether it is a hit, and the properties in which that rests on a prediction.

    Args:
        rows: of `result_rows`.
        hits: id of a hit -> the properties of the target that pw.x did not compute for it.
    """
    for row in rows:
        row["hit"] = row["id"] in hits
        row["hit_predicted_in"] = [name.removeprefix("log10_") for name in hits.get(row["id"], ())]


def trace_chain(store: Store, candidate_id: str) -> Chain:
    """Everything behind one candidate and everything that came of it, as JSON data.

    Returns:
        `candidate`, `proposed_by` (latent, condition and the model with what it was trained on), `filters` with the
        round's funnel, `predicted`, `attempts`, `relaxation`, `formation_energy` with its references, and `used_by`,
        the model versions that learned from this candidate.

    Raises:
        UnknownCandidate: no candidate has this id; the nearest ids are named.
    """
    candidate = store.candidate(candidate_id)
    if candidate is None:
        raise UnknownCandidate(_unknown(store, candidate_id))
    versions = {version.id: version for version in store.model_versions(candidate.campaign)}
    chain = {
        "candidate": _identity(candidate),
        "proposed_by": _proposed_by(candidate, versions),
        "filters": _filters(store, candidate),
        "predicted": candidate.predicted,
        "attempts": [_without_schema(attempt) for attempt in candidate.attempts],
        "relaxation": candidate.relaxation and _without_schema(candidate.relaxation),
        "formation_energy": _formation_energy(store, candidate),
        "used_by": _used_by(store, candidate, versions.values()),
    }
    return {name: plain(value) for name, value in chain.items()}


def plain(value: Any) -> Any:  # noqa: ANN401
    """The value as JSON has it: no NaN or infinity, no tuples, datetimes in ISO 8601."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, StrEnum) else value


def _without_schema(record: BaseModel) -> dict[str, Any]:
    return {name: value for name, value in record.model_dump().items() if name != "schema_version"} | (
        {name: _without_schema(getattr(record, name)) for name in ("crystal", "conventional")}
        if isinstance(record, Relaxation)
        else {}
    )


def _unknown(store: Store, candidate_id: str) -> str:
    ids = [candidate.id for candidate in store.candidates()]
    if not ids:
        return f"no candidate {candidate_id!r}: the database has none yet; `crystalloop run FILE` makes some"
    folded = candidate_id.casefold()
    parts = [known for known in ids if folded and folded in known.casefold()]
    near = list(dict.fromkeys(parts[:5] + get_close_matches(candidate_id, ids, 3, cutoff=0.4)))
    hint = f"nearest: {', '.join(near[:5])}" if near else "`crystalloop results FILE` lists them"
    return f"no candidate {candidate_id!r} among {len(ids)}; {hint}"


def _identity(candidate: Candidate) -> dict[str, Any]:
    names = ("id", "campaign", "kind", "round", "formula", "prototype", "state", "reason", "key", "settings")
    return {name: getattr(candidate, name) for name in names} | {
        "crystal": _without_schema(candidate.crystal),
        "created_at": candidate.created_at,
        "updated_at": candidate.updated_at,
    }


def _proposed_by(candidate: Candidate, versions: Mapping[str, ModelVersion]) -> dict[str, Any]:
    origin = _without_schema(candidate.origin)
    version = versions.get(candidate.origin.model_version or "")
    return origin | {"model": version and _model(version, versions)}


def _model(version: ModelVersion, versions: Mapping[str, ModelVersion]) -> dict[str, Any]:
    fields = _without_schema(version)
    fields["networks"] = {name: _without_schema(network) for name, network in version.networks.items()}
    parents: list[dict[str, Any]] = []
    parent = versions.get(version.parent or "")
    while parent is not None and len(parents) < len(versions):  # a damaged chain may run in a circle
        parents.append({"id": parent.id, "number": parent.number, "round": parent.round})
        parent = versions.get(parent.parent or "")
    return fields | {"parents": parents}


def _filters(store: Store, candidate: Candidate) -> dict[str, Any]:
    rounds = [round_ for round_ in store.rounds(candidate.campaign) if round_.number == candidate.round]
    funnel = [{"stage": stage, "left": left} for round_ in rounds for stage, left in round_.funnel]
    chosen = any(candidate.id in round_.chosen for round_ in rounds)
    return {"passed": candidate.passed, "funnel": funnel, "score": candidate.score, "chosen_for_dft": chosen}


def _used_by(store: Store, candidate: Candidate, versions: Iterable[ModelVersion]) -> list[dict[str, Any]]:
    rounds = store.rounds(candidate.campaign)
    return [
        {
            "id": version.id,
            "number": version.number,
            "round": version.round,
            "proposed_rounds": [round_.number for round_ in rounds if round_.model_version == version.id],
        }
        for version in versions
        if candidate.id in version.trained_on
    ]


def _formation_energy(store: Store, candidate: Candidate) -> dict[str, Any]:
    relaxation = candidate.relaxation
    names = (
        "e_f",
        "e_f_predicted",
        "reason",
        "e_f_without_d2",
        "e_above_hull",
        "hull_reason",
        "hull_source",
        "hull_error",
    )
    found: dict[str, Any] = {name: getattr(candidate, name) for name in names}
    if relaxation is None or candidate.kind == "reference":
        return found | {"references": [], "follows_from_references": None}
    counts = Counter(relaxation.crystal.species)
    references = used_references(candidate, store.candidates(REFERENCES, states=[CandidateState.RELAXED]))
    rows = [
        {
            "element": element,
            "id": reference.id,
            "energy_per_atom_ev": reference.relaxation and reference.relaxation.energy_per_atom_ev,
            "fraction": counts[element] / counts.total(),
        }
        for element, reference in references.items()
    ]
    return found | {"references": rows, "follows_from_references": _follows(candidate, references)}


def used_references(candidate: Candidate, references: Iterable[Candidate]) -> dict[str, Candidate]:
    """The elemental references that a formation energy was made with, by element.

    Several may exist for an element, one per group of DFT settings. Those with the same pseudopotential are considered,
    nearest settings first; the first choice that gives the stored formation energy again is the one. Where none does
    (or there is no formation energy), the nearest settings are returned.
    """
    if candidate.relaxation is None:
        return {}
    relaxed = [reference for reference in references if reference.relaxation is not None]
    choices: dict[str, list[Candidate]] = {}
    for element in sorted(set(candidate.relaxation.crystal.species)):
        same = [reference for reference in relaxed if _is_reference(reference, element, candidate.relaxation)]
        if same:
            choices[element] = sorted(same, key=lambda r: (-_equal_settings(r, candidate), r.id))
    picks = [dict(zip(choices, pick, strict=True)) for pick in product(*choices.values())]
    return next((pick for pick in picks if _follows(candidate, pick)), picks[0])


def _is_reference(reference: Candidate, element: str, relaxation: Relaxation) -> bool:
    pseudos = reference.relaxation.pseudos if reference.relaxation else {}
    return set(reference.crystal.species) == {element} and pseudos.get(element) == relaxation.pseudos.get(element)


def _equal_settings(reference: Candidate, candidate: Candidate) -> int:
    return sum(reference.settings.get(name) == value for name, value in candidate.settings.items())


def _follows(candidate: Candidate, references: Mapping[str, Candidate]) -> bool | None:
    """Whether energy minus references is the stored formation energy; None where that cannot be said."""
    relaxation = candidate.relaxation
    if relaxation is None or candidate.e_f is None or set(references) != set(relaxation.crystal.species):
        return None
    energies = {e: r.relaxation.energy_per_atom_ev for e, r in references.items() if r.relaxation is not None}
    species = relaxation.crystal.species
    e_f = (relaxation.energy_ev - sum(energies[element] for element in species)) / len(species)
    return abs(e_f - candidate.e_f) < SAME_ENERGY
