"""What of a candidate can be asked for, under which name, in which unit. Reading a condition: language."""

from __future__ import annotations

from typing import get_args

from crystalloop.db.ledger.records import Candidate, CandidateState, OriginKind
from crystalloop.db.query.conditions import Field, UnknownField
from crystalloop.db.query.nearest import nearest
from crystalloop.models.crystals.elements import symbols
from crystalloop.models.crystals.quantities import (
    LENGTH,
    PER_ATOM,
    PRESSURE,
    TIME,
    Quantity,
    names,
    note_on,
    quantity,
    to_predicted,
    to_stored,
)

FIELDS: dict[str, Field] = {
    "id": Field("_id", str),
    "campaign": Field("campaign", str),
    "kind": Field("kind", str, values=get_args(Candidate.model_fields["kind"].annotation)),
    "round": Field("round", int),
    "formula": Field("formula", str),
    "element": Field("crystal.species", str, values=symbols()[1:]),
    "prototype": Field("prototype", str),
    "state": Field("state", str, values=tuple(CandidateState)),
    "reason": Field("reason", str),
    "origin": Field("origin.kind", str, values=tuple(OriginKind)),
    "base": Field("origin.bases", str),
    "model_version": Field("origin.model_version", str),
    "score": Field("score", float),
    "e_f_without_d2": Field("e_f_without_d2", float, "eV/atom", PER_ATOM),
    "hull_reason": Field("hull_reason", str),
    "hull_source": Field("hull_source", str),
    "hull_error": Field("hull_error", float, "eV/atom", PER_ATOM),
    "e_f_predicted": Field("e_f_predicted", float, "eV/atom", PER_ATOM),
    "a": Field("relaxation.a_ang", float, "ang", LENGTH),
    "spacegroup": Field("relaxation.spacegroup", int),
    "volume_per_atom": Field("relaxation.volume_per_atom_ang3", float, "ang3/atom"),
    "pressure": Field("relaxation.pressure_kbar", float, "kbar", {unit: 10 * gpa for unit, gpa in PRESSURE.items()}),
    "fmax": Field("relaxation.fmax_ev_ang", float, "eV/ang"),
    "bond_change": Field("relaxation.bond_change_percent", float, "%"),
    "cell_change": Field("relaxation.cell_change_percent", float, "%"),
    "volume_change": Field("relaxation.volume_change_percent", float, "%"),
    "steps": Field("relaxation.steps", int),
    "cpu": Field("relaxation.cpu_s", float, "s", TIME),
    "wall": Field("relaxation.wall_s", float, "s", TIME),
}
COLUMN_NAMES = {
    "status": "state",
    "bases": "base",
    "bond_change_percent": "bond_change",
    "cell_change_percent": "cell_change",
    "volume_change_percent": "volume_change",
    "cpu_s": "cpu",
    "wall_s": "wall",
    "space_group": "spacegroup",
}
"""Names of columns, and the fields they show."""
PREDICTED = "predicted."
"""predicted.<quantity> is the networks' value before DFT."""


def ledger_field(name: str) -> Field:
    """The candidate's field of this name; a quantity is as pw.x computed it, or as predicted where pw.x never does.

    Raises:
        UnknownField: there is none; the sentence has the nearest names, or all.
    """
    if (found := FIELDS.get(COLUMN_NAMES.get(name, name))) is not None:
        return found
    if (one := quantity(name)) is not None:
        return _computed(one, name) if one.stored else _predicted(one, name)
    if name.startswith(PREDICTED) and (one := quantity(name.removeprefix(PREDICTED))) is not None and one.network:
        return _predicted(one, name.removeprefix(PREDICTED))
    known = (*FIELDS, *COLUMN_NAMES, *names(), *(f"{PREDICTED}{other}" for other in names()))
    all_of_them = f"known are {', '.join((*FIELDS, *names()))}, {PREDICTED}<property>"
    raise UnknownField(f"unknown field; {nearest(name, known) or all_of_them}")


def _computed(one: Quantity, name: str) -> Field:
    return Field(one.stored, float, one.unit, one.units, to_stored(one, name), note=note_on(name))


def _predicted(one: Quantity, name: str) -> Field:
    note = note_on(name) or (
        ""
        if one.stored
        else f"{one.name} is not computed by pw.x here: it is the networks' value, as in {PREDICTED}{one.name}"
    )
    return Field(f"{PREDICTED}{one.network}", float, one.unit, one.units, to_predicted(one, name), note=note)
