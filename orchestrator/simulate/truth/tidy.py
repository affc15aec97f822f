"""Which rows of a laboratory's file stay: each crystal once, of the campaign's elements, with a value, judged by the hull."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.draw.target import ABOVE_HULL
from crystalloop.orchestrator.campaign.choice.laboratory import LaboratorySection
from crystalloop.orchestrator.simulate.truth.laboratory import LaboratoryError, LabRow

HullAt = Callable[[str], float | None]
"""Reduced formula -> energy of the convex hull there, eV/atom; None where the reference says too little."""


def of_elements(rows: list[LabRow], elements: Sequence[str], notes: list[str]) -> list[LabRow]:
    """Rows whose elements are all among these; what was left out is told in notes."""
    allowed = set(elements)
    kept = [row for row in rows if allowed.issuperset(row.crystal.composition)]
    if len(kept) < len(rows):
        others = sorted({symbol for row in rows for symbol in row.crystal.composition} - allowed)
        some = f"{', '.join(others[:8])}{', ...' if len(others) > 8 else ''}"
        notes.append(f"{len(rows) - len(kept):,} rows have elements that the campaign's `elements` leave out ({some})")
    return kept


def each_once(rows: list[LabRow], name: str, notes: list[str]) -> list[LabRow]:
    """Each crystal once, up to its volume: of several rows the first with a value. Sets in notes what was left out."""
    first: dict[Any, LabRow] = {}
    again: list[tuple[LabRow, LabRow]] = []
    for row in rows:
        key = crystal_key(row.crystal)
        if (one := first.setdefault(key, row)) is row:
            continue
        if name not in one.values and name in row.values:
            first[key], row, one = row, one, row
        again.append((one, row))
    if again:
        one, other = max(again, key=lambda pair: _apart(pair[0], pair[1], name))
        differs = f", and differ by {gap:.3g} at most" if (gap := _apart(one, other, name)) > 0 else ""
        notes.append(
            f"{len(again):,} rows are crystals of earlier rows and left out{differs} ({one.where} and {other.where}: {one.formula})"
        )
    kept = {id(row) for row in first.values()}
    return [row for row in rows if id(row) in kept]


def averaged(rows: list[LabRow], name: str, notes: list[str]) -> list[LabRow]:
    """Rows of equal features as one, with the mean of their values: one experiment, done several times. Told in notes."""
    groups: dict[tuple[float, ...], list[LabRow]] = {}
    for row in rows:
        groups.setdefault(row.features, []).append(row)
    if len(groups) == len(rows):
        return rows
    made = []
    for group in groups.values():
        values = [row.values[name] for row in group if name in row.values]
        made.append(replace(group[0], values={name: float(np.mean(values))} if values else {}))
    notes.append(
        f"{len(rows):,} rows have {len(made):,} different features: of equal ones the mean of the values counts"
    )
    return made


def _apart(one: LabRow, other: LabRow, name: str) -> float:
    return abs(one.values[name] - other.values[name]) if name in one.values and name in other.values else 0.0


def crystal_key(crystal: Crystal) -> tuple[bytes, bytes]:
    """Equal for cells that are the same crystal up to volume and origin, as the tables of one database write them."""
    made = canonical_origin(crystal)
    shape = made.lattice @ made.lattice.T / made.volume_ang3 ** (2 / 3)
    return made.numbers.tobytes(), (np.round(made.frac_coords, 2) % 1.0).tobytes() + np.round(shape, 1).tobytes()


def valued(rows: list[LabRow], name: str, column: str, section: LaboratorySection, notes: list[str]) -> list[LabRow]:
    """Rows with a value of the property, or all, as the section wants it; told in notes, with the column's name."""
    without = [row for row in rows if name not in row.values]
    if not without:
        return rows
    first = f"the first: {without[0].where}, {without[0].formula}"
    if section.missing == "waste":
        notes.append(f"{len(without):,} rows have no {column} ({first}): a call on one is wasted, and counted")
        return rows
    notes.append(
        f"{len(without):,} rows have no {column} ({first}) and are left out; --missing waste keeps them as wasted calls"
    )
    return [row for row in rows if name in row.values]


def above_hull_rows(
    rows: list[LabRow], hull_at: HullAt | None, section: LaboratorySection, notes: list[str]
) -> list[LabRow]:
    """Rows with their distance to the hull; those it says nothing of, or that lie far below, left out and counted."""
    if hull_at is None:
        raise LaboratoryError(
            "above_hull: no hull is given; name its file as `hull: {reference: FILE}` in the campaign"
        )
    kept, unjudged, doubtful = list[LabRow](), list[LabRow](), list[LabRow]()
    energies = {formula: hull_at(formula) for formula in dict.fromkeys(row.formula for row in rows)}
    for row in rows:
        hull_ev = energies[row.formula]
        if E_F not in row.values:
            kept.append(replace(row, hull_ev=hull_ev))
        elif hull_ev is None:
            unjudged.append(row)
        elif row.values[E_F] - hull_ev < section.quarantine:
            doubtful.append(row)
        else:
            above_ev = row.values[E_F] - hull_ev
            kept.append(replace(row, values={**row.values, ABOVE_HULL: above_ev}, hull_ev=hull_ev))
    if unjudged:
        notes.append(f"{len(unjudged):,} rows are left out: the hull says nothing there (first: {unjudged[0].formula})")
    if doubtful:
        notes.append(
            f"{len(doubtful):,} rows lie more than {-section.quarantine:g} eV/atom below the hull and are left out as "
            f"doubtful (first: {doubtful[0].where}, {doubtful[0].formula})"
        )
    return kept
