"""Formation energies without a database: elemental references computed once by the recipe of a preset, kept for the user."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymatgen.core.structure import Structure

from crystalloop.dft.alone.folder import claimed
from crystalloop.dft.energies.references import (
    NoReference,
    calculation_key,
    formation_energy_ev_per_atom,
    reference_settings,
    reference_structure,
)
from crystalloop.dft.recipe.pseudo_places import user_data
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.recipe.user_paths import path_from
from crystalloop.dft.recipe.whole_file import whole
from crystalloop.dft.relax.outcome import GaveUp, Relaxed

Compute = Callable[[Structure, PwSettings, Path], Relaxed | GaveUp]
"""Relaxes a reference state in a folder of its own."""


@dataclass(frozen=True)
class Formation:
    """A formation energy, or why there is none."""

    energy_ev_per_atom: float | None = None
    reason: str = ""  # why there is none
    references: dict[str, float] = field(default_factory=dict)  # element -> eV/atom


def reference_folder() -> Path:
    """Where references are kept: in CRYSTALLOOP_REFERENCES, else below CRYSTALLOOP_HOME, else below this user's data.

    Raises:
        BadPlace: a variable of the environment names no path.
    """
    return path_from("CRYSTALLOOP_REFERENCES") or (path_from("CRYSTALLOOP_HOME") or user_data()) / "references"


def formation_energy(
    answer: Relaxed, settings: PwSettings, table: PseudoTable, place: Path, compute: Compute | None = None
) -> Formation:
    """The formation energy of a relaxation against the elements of its own scheme.

    Args:
        answer: computed with `settings`.
        settings: of the preset, without what is asked for one crystal (moments, method, cell).
        table: pseudopotentials.
        place: holds the references, a file for each key of theirs, and the launches that they took.
        compute: makes those that are missing; None to leave them.
    """
    found: dict[str, float] = {}
    missing = []
    for element in sorted(answer.structure.symbol_set):
        try:
            energy = _reference(element, settings, table, answer.pw_version, place, compute)
        except NoReference as error:
            return Formation(reason=str(error).partition(":")[0].partition(";")[0])
        if isinstance(energy, str):
            return Formation(reason=f"the reference of {element} found no result: {energy}")
        if energy is None:
            missing.append(element)
        else:
            found[element] = energy
    if missing:
        return Formation(reason=f"references of {', '.join(missing)} are not computed yet: --references computes them")
    amounts = answer.structure.composition.get_el_amt_dict()
    return Formation(formation_energy_ev_per_atom(answer.energy_ev, amounts, found), "", found)


def _reference(
    element: str, settings: PwSettings, table: PseudoTable, pw_version: str, place: Path, compute: Compute | None
) -> float | str | None:
    """Its energy in eV/atom, why there is none, or None where it was not computed."""
    state, recipe = reference_structure(element), reference_settings(element, settings)
    key = calculation_key(state, recipe, table, pw_version)
    file = place / f"{element}-{key[:16]}.json"
    kept = _kept(file, key)
    if kept is not None or compute is None:
        return kept
    runs = place / "runs" / file.stem
    with claimed(runs, Path(f"{element} (reference)"), state):
        answer = compute(state, recipe, runs)
    if isinstance(answer, GaveUp):
        return answer.reason
    made = calculation_key(state, recipe, table, answer.pw_version)
    record: dict[str, Any] = {
        "element": element,
        "key": made,
        "energy_per_atom_ev": answer.energy_per_atom_ev,
        "pw_version": answer.pw_version,
        "settings": recipe.model_dump(mode="json"),
        "cpu_s": answer.cpu_s,
    }
    with whole(place / f"{element}-{made[:16]}.json") as unfinished:
        unfinished.write_text(json.dumps(record, indent=2))
    if made != key:
        return f"it is of pw.x {answer.pw_version} and the crystal of {pw_version}, which are not subtracted"
    return answer.energy_per_atom_ev


def _kept(file: Path, key: str) -> float | None:
    try:
        record = json.loads(file.read_text())
        return float(record["energy_per_atom_ev"]) if record["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError):  # none, or not one of ours: it is computed
        return None
