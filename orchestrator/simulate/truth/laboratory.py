"""Laboratory: a table of crystals whose values are known, and which of its rows are hits. Pure; its file: read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.problems import shown
from crystalloop.models.draw.target import ABOVE_HULL, Direction, Target

BEST = 0.02
"""Share of the rows that are hits where the target has no range and nobody says another."""
NATIVE = frozenset({E_F, "band_gap", ABOVE_HULL})
"""Properties that a calculation's record has a place for; the value of any other stands in for the formation energy."""


class LaboratoryError(Exception):
    """A laboratory in which nothing can be learnt, or a policy that cannot be run there; the message has the next move."""

    exit_kind = "usage"


@dataclass(frozen=True, eq=False)
class LabRow:
    """A row of the table.

    Attributes:
        id: as in the file, or its place where there is none; no other row has it.
        where: file name and line.
        crystal: as in the file; of a table without crystals a stand-in that says nothing.
        formula: reduced formula; the id where there is no crystal.
        values: property -> value. The target's is not there where it is missing.
        prototype: its name, where the file says it and the campaign knows it.
        cost_s: processor seconds of a call, where the table has them; else 0.
        features: of a table without crystals, [f]; else empty.
        hull_ev: energy of the reference hull at its composition, eV/atom; None where no hull plays a part.
    """

    id: str
    where: str
    crystal: Crystal
    formula: str
    values: Mapping[str, float]
    prototype: str | None = None
    cost_s: float = 0.0
    features: tuple[float, ...] = ()
    hull_ev: float | None = None


@dataclass(frozen=True, eq=False)
class Laboratory:
    """The truth that policies are judged by.

    Attributes:
        name: of the file, without its endings.
        rows: each crystal once, in the order of the file.
        target: what the loop in the laboratory looks for: the campaign's target, with the value in the place of a
            property that a calculation has (see `for_table`).
        hits: indices of the rows that meet the campaign's target.
        unit: of the values, for tables and axes; empty where unknown.
        feature_names: columns that describe rows without crystals.
        notes: what was left out and how the file was understood, each a sentence.
    """

    name: str
    rows: tuple[LabRow, ...]
    target: Target
    hits: frozenset[int]
    unit: str = ""
    feature_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def place(self) -> dict[str, int]:
        """Row's id -> its index."""
        return {row.id: index for index, row in enumerate(self.rows)}

    def value(self, row: LabRow) -> float | None:
        """What the table says of the target's property; None where it says nothing."""
        return row.values.get(self.target.property)

    @cached_property
    def digest(self) -> str:
        """Of rows, values and hits."""
        found = hashlib.sha256(repr(self.target).encode())
        for index, row in enumerate(self.rows):
            values = sorted((name, round(value, 9)) for name, value in row.values.items())
            found.update(repr((row.id, row.formula, values, row.cost_s, row.features, index in self.hits)).encode())
            for array in (row.crystal.lattice, row.crystal.frac_coords, row.crystal.numbers):
                found.update(np.round(array, 6).tobytes())
        return found.hexdigest()


def judged(
    name: str,
    rows: Sequence[LabRow],
    target: Target,
    top: float | None,
    notes: Sequence[str] = (),
    *,
    unit: str = "",
    features: tuple[str, ...] = (),
) -> Laboratory:
    """A laboratory of rows whose values are of the target's own property, as the loop sees it.

    Raises:
        LaboratoryError: no row, no value, a target that no row or every row meets, conditions without their columns.
    """
    if not rows:
        raise LaboratoryError(f"{name}: no row is left{_told(notes)}")
    valued = [i for i, row in enumerate(rows) if target.property in row.values]
    if not valued:
        raise LaboratoryError(f"{name}: none of {len(rows):,} rows has a value{_told(notes)}")
    _check_conditions(name, [rows[i] for i in valued], target)
    told = list(notes)
    if top is not None or not target.has_range():
        target, sentence = _with_mark(rows, valued, target, BEST if top is None else top)
        told.append(sentence)
    hits = frozenset(i for i in valued if _meets(rows[i], target))
    _check_hits(name, rows, valued, hits, target)
    wanted, kept = _for_table(rows, target)
    if wanted.property != target.property:
        told.append(
            f"the value stands in the place of the formation energy: a calculation has none of {target.property}"
        )
    return Laboratory(name, kept, wanted, hits, unit, features, tuple(told))


def _meets(row: LabRow, target: Target) -> bool:
    return target.distance(row.values[target.property]) == 0 and target.others_hold(row.values.get)


def _with_mark(rows: Sequence[LabRow], valued: Sequence[int], target: Target, top: float) -> tuple[Target, str]:
    """The target with a range that the best share of the rows meets, and a sentence that says so."""
    merit = {Direction.MINIMISE: -1.0, Direction.MAXIMISE: 1.0, None: 0.0}[target.direction]
    if not merit:
        raise LaboratoryError(
            f"top: {top:g} of the rows are to be hits, and the target says no direction; add `direction: minimise` or "
            "maximise to it, or leave top out"
        )
    values = sorted((rows[i].values[target.property] for i in valued), key=lambda value: -merit * value)
    mark = values[max(1, round(top * len(rows))) - 1]
    low, high = (None, mark) if merit < 0 else (mark, None)
    sign = "at most" if merit < 0 else "at least"
    return replace(
        target, minimum=low, maximum=high
    ), f"hits are the best {100 * top:g} % of the rows: {sign} {mark:.4g}"


def _check_conditions(name: str, rows: Sequence[LabRow], target: Target) -> None:
    for one in target.also:
        if not any(one.property in row.values for row in rows):
            raise LaboratoryError(
                f"{name}: the target wants {one}, and no row has a value of {one.property}; add the column, or leave that "
                "condition out of the target"
            )


def _check_hits(name: str, rows: Sequence[LabRow], valued: Sequence[int], hits: frozenset[int], target: Target) -> None:
    """Refuse what teaches nothing: no row is a hit, or every one is."""
    if hits and len(hits) < len(valued):
        return
    best = sorted((rows[i] for i in valued), key=lambda row: _worst_last(row.values[target.property], target))
    fitting = best[max(1, round(BEST * len(best))) - 1]
    if best[0].values[target.property] == best[-1].values[target.property]:
        raise LaboratoryError(
            f"{name}: all {len(valued):,} rows with a value have the same one ({best[0].values[target.property]:.4g}, "
            f"{best[0].where}): no policy can be told from another; name another column with --value"
        )
    near = f"{best[0].formula} with {best[0].values[target.property]:.4g} is the best ({best[0].where})"
    which = "none" if not hits else "every one"
    raise LaboratoryError(
        f"{name}: {which} of {len(valued):,} rows with a value meets the target ({target.as_range()}); {near}, and "
        f"{fitting.values[target.property]:.4g} as the end of the range would make about {100 * BEST:g} % of them hits"
    )


def _worst_last(value: float, target: Target) -> float:
    """Smaller for what is wanted more: along the direction, else towards the end of the range that is given."""
    if target.direction is not None:
        return -value if target.direction is Direction.MAXIMISE else value
    if target.minimum is not None and target.maximum is not None:
        return abs(value - 0.5 * (target.minimum + target.maximum))
    return value if target.minimum is None else -value


def _for_table(rows: Sequence[LabRow], target: Target) -> tuple[Target, tuple[LabRow, ...]]:
    """Target and rows as a calculation's record can hold them; see NATIVE."""
    has_energies = all(E_F in row.values for row in rows if target.property in row.values)
    if NATIVE.issuperset(target.properties()) and has_energies:
        return target, tuple(rows)
    if target.also:
        raise LaboratoryError(
            f"the target has several conditions ({', '.join(target.properties())}): each needs its column, the formation energy "
            "too, and none but formation energy, band gap and distance to the hull can stand together; ask for one"
        )
    moved = [
        replace(row, values={E_F: row.values[target.property]} if target.property in row.values else {}) for row in rows
    ]
    return replace(target, property=E_F), tuple(moved)


def _told(notes: Sequence[str]) -> str:
    return "".join(f"; {note}" for note in notes) or "; check the file and its `where`"


def check_calls(laboratory: Laboratory, calls: int) -> None:
    """Refuse as many calls as rows, or more: the end of every policy would be the same.

    Raises:
        LaboratoryError: with numbers that would fit.
    """
    if calls >= len(laboratory):
        fits = max(1, len(laboratory) // 3)
        start = max(1, fits // 5)
        raise LaboratoryError(
            f"calls: {calls:,} calls, and {laboratory.name} has {len(laboratory):,} rows: every policy would find all "
            f"{len(laboratory.hits):,} hits; --calls {fits} --start {start} --batch {max(1, (fits - start) // 4)} would do"
        )


def row_names(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Ids of rows, given with their places: what two rows share is told apart by the place."""
    seen: set[str] = set()
    names = []
    for name, where in rows:
        made = name if name and name not in seen else f"{shown(name)} ({where})" if name else where
        seen.add(made)
        names.append(made)
    return names
