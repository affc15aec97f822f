"""What of a candidate can be asked for, under which name, in which unit. Reading a condition: language."""

from __future__ import annotations

import re
from difflib import get_close_matches

from crystalloop.db.query.language import Field, UnknownField

FIELDS: dict[str, Field] = {
    "id": Field("_id", str),
    "campaign": Field("campaign", str),
    "kind": Field("kind", str),
    "round": Field("round", int),
    "formula": Field("formula", str),
    "element": Field("crystal.species", str),
    "prototype": Field("prototype", str),
    "state": Field("state", str),
    "reason": Field("reason", str),
    "origin": Field("origin.kind", str),
    "base": Field("origin.bases", str),
    "model_version": Field("origin.model_version", str),
    "score": Field("score", float),
    "e_f": Field("e_f", float, "eV/atom"),
    "e_f_without_d2": Field("e_f_without_d2", float, "eV/atom"),
    "e_above_hull": Field("e_above_hull", float, "eV/atom"),
    "hull_reason": Field("hull_reason", str),
    "e_f_predicted": Field("e_f_predicted", float, "eV/atom"),
    "energy_per_atom": Field("relaxation.energy_per_atom_ev", float, "eV/atom"),
    "a": Field("relaxation.a_ang", float, "ang"),
    "spacegroup": Field("relaxation.spacegroup", int),
    "volume_per_atom": Field("relaxation.volume_per_atom_ang3", float, "ang3/atom"),
    "pressure": Field("relaxation.pressure_kbar", float, "kbar"),
    "fmax": Field("relaxation.fmax_ev_ang", float, "eV/ang"),
    "bond_change": Field("relaxation.bond_change_percent", float, "%"),
    "cell_change": Field("relaxation.cell_change_percent", float, "%"),
    "volume_change": Field("relaxation.volume_change_percent", float, "%"),
    "bulk_modulus": Field("relaxation.bulk_modulus_gpa", float, "GPa"),
    "steps": Field("relaxation.steps", int),
    "cpu": Field("relaxation.cpu_s", float, "s"),
    "wall": Field("relaxation.wall_s", float, "s"),
}
PREDICTED = "predicted."  # predicted.<property> is the networks' value before DFT, whatever properties they have


def ledger_field(name: str) -> Field:
    """The candidate's field of this name.

    Raises:
        UnknownField: there is none; the sentence has the nearest name, or all.
    """
    if name in FIELDS:
        return FIELDS[name]
    if re.fullmatch(re.escape(PREDICTED) + r"\w+", name):
        return Field(name, float)
    near = get_close_matches(name, FIELDS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(FIELDS)}, {PREDICTED}<property>"
    raise UnknownField(f"unknown field; {hint}")
