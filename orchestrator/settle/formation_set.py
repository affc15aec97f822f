"""Formation energies from elsewhere, of which hulls are drawn: files of a campaign's `hull` and imported sets, each row checked.

A row has a formula and a formation energy per atom, or a total energy and its scheme, then beside elements of the same
scheme. What is done with them: hull_energies. Sets that `hull --import` takes up: reference_set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystalloop.db.ledger.records import ReferenceEnergy
from crystalloop.dft.energies.reference_hull import FormationEntry, Key, composition_key, fractions_of
from crystalloop.models.crystals.quantities import LABEL_UNITS
from crystalloop.models.data.files import DataError
from crystalloop.models.data.problems import ROW_ERRORS, SKIP, number_of, sentence_of, shown
from crystalloop.models.data.tables import TABLE_FORMATS, Fields, is_table, table_rows
from crystalloop.orchestrator.campaign.choice.sections import HullFile, HullSection
from crystalloop.orchestrator.settle.reference_set import FORMATION_EV, SAME_ELEMENT_EV

FORMULA_FIELDS = ("formula", "formula_pretty", "pretty_formula", "reduced_formula")
ENERGY_FIELDS = ("formation_energy_per_atom", "e_form", "e_f", "formation_energy")
_LABORATORY = ("heat_all", "heat_ref", "cpu_s", "cost_s")
"""Columns of tables that stand in pw.x's place: heats relative to competing phases, what a call costs."""
_KNOWN = {name.lower(): name for name in ("PBE", "MP2020", "MP-legacy", "OQMD")}
_MOST_NAMED = 10
_TOTAL_MEDIAN_EV = -5.0
"""A set whose compounds lie lower than this in the middle holds total energies: no compound forms with so much."""


@dataclass(frozen=True)
class FormationSet:
    """What files gave, each energy in the scheme of its row.

    Attributes:
        entries: the lowest energy of each composition and scheme.
        name: of the files, for sentences.
        notes: what was read and left out.
    """

    entries: tuple[FormationEntry, ...]
    name: str
    notes: tuple[str, ...] = ()


@dataclass
class _Reading:
    """One file as it is read."""

    name: str
    rows: list[tuple[Key, FormationEntry]] = field(default_factory=list)
    totals: list[tuple[Key, FormationEntry]] = field(default_factory=list)
    by_id: dict[str, tuple[Key, float, str]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    turned_away: int = 0
    total_scheme: str = ""


def read_formation_set(
    hull: HullSection, imported: Iterable[ReferenceEnergy] = (), *, with_d2: bool = False
) -> FormationSet:
    """Read every file and imported set that a campaign's hull names.

    Args:
        hull: what it says.
        imported: every imported energy of the database.
        with_d2: whether the campaign's pw.x energies hold the dispersion.

    Raises:
        DataError: a file that is missing, none of formation energies, or a laboratory; rows that cannot be used (unless
            skipped), each named; a scheme that nobody says.
    """
    readings = [
        _read_file(one, one.scheme or hull.scheme, with_d2=with_d2)
        if one.is_file
        else _read_imported(one.path.name, imported, with_d2=with_d2)
        for one in hull.reference
    ]
    lowest: dict[tuple[Key, str], FormationEntry] = {}
    for key, entry in (row for reading in readings for row in reading.rows):
        at = (key, entry.scheme)
        if at not in lowest or entry.energy_ev_per_atom < lowest[at].energy_ev_per_atom:
            lowest[at] = entry
    notes = [note for reading in readings for note in _notes(reading)]
    return FormationSet(tuple(lowest.values()), " and ".join(reading.name for reading in readings), tuple(notes))


def _read_file(file: HullFile, scheme: str | None, *, with_d2: bool) -> _Reading:
    if not file.path.exists():
        raise DataError(f"hull.reference: {file.path}: no such file; paths are relative to the campaign file")
    if not file.path.is_file() or not is_table(file.path):
        raise DataError(
            f"hull.reference: {file.path}: no table; give {', '.join(TABLE_FORMATS)} with formula and formation_energy_per_atom"
        )
    reading, keep = _Reading(file.path.name), file.keep
    for place, row in table_rows(file.path):
        try:
            if isinstance(row, Exception):
                raise row
            if keep is not None and not keep(row):
                reading.turned_away += 1
                continue
            _take(reading, row, place, scheme, file.unit)
        except ROW_ERRORS as error:
            reading.bad.append(f"{place}: {sentence_of(error)}")
    _formed_from_own_elements(reading, {}, with_d2=with_d2)
    return _checked(reading, file)


def _take(reading: _Reading, row: Fields, place: str, scheme: str | None, unit: str) -> None:
    """Check one row and keep it.

    Raises:
        ValueError: it cannot be used.
        DataError: no row of this file can.
    """
    if not reading.rows and (named := [name for name in _LABORATORY if name in row]):
        raise DataError(
            f"hull.reference: {place} has {' and '.join(named)}: a laboratory, not a reference (a table of what single calls "
            "give, not of what is stable); name a file of formation energies of known compounds"
        )
    formula = str(_first(row, FORMULA_FIELDS, "formula")).strip()
    key = composition_key(formula)
    if any(amount != int(amount) for _, amount in key):
        raise ValueError(f"formula {shown(formula)} is no formula of whole numbers")
    given = next((name for name in ENERGY_FIELDS if row.get(name) not in (None, "")), None)
    if given is None and row.get("energy_per_atom") not in (None, "") and str(row.get("scheme") or "").startswith("pw"):
        _take_total(reading, key, formula, row, place)
        return
    if given is None:
        raise ValueError(_missing(row))
    energy_ev = number_of(row[given]) * LABEL_UNITS["eV/atom"][unit]
    own = _scheme(str(row.get("formation_energy_scheme") or row.get("scheme") or "").strip())
    if own and scheme not in (None, "as_given", own):
        reading.other[own] += 1
        return
    if (used := scheme or own) is None or used == "":
        raise DataError(
            f"hull.reference: {place} does not say the scheme of its formation energy, and neither does the campaign: energies "
            "of two schemes differ by up to .5 eV/atom; write `hull: {scheme: MP2020}`, or PBE, MP-legacy, OQMD, as_given"
        )
    if used not in (*_KNOWN.values(), "as_given"):
        raise ValueError(
            f"scheme {shown(used)} of the formation energy is not known; there are {', '.join(_KNOWN.values())}"
        )
    _check_energy(key, formula, energy_ev, unit)
    name = _id(reading, row, key, energy_ev, place)
    reading.rows.append((key, FormationEntry(name, formula, energy_ev, True, used)))


def _first(row: Fields, names: Sequence[str], what: str) -> Any:  # noqa: ANN401  (of a row)
    for name in names:
        if row.get(name) not in (None, ""):
            return row[name]
    raise ValueError(f"no {what}: none of {', '.join(names)} has a value")


def _missing(row: Fields) -> str:
    if row.get("energy_per_atom") not in (None, ""):
        return "a total energy without a scheme of pw.x, as `crystalloop hull FILE` prints it, and no formation energy"
    return f"no formation energy: {', '.join(ENERGY_FIELDS[:3])} have no value (columns: {', '.join(map(shown, list(row)[:8]))})"


def _scheme(given: str) -> str:
    """The scheme by its own capitals; what pw.x forms from its own elements is plain PBE."""
    if given.startswith("pw"):
        return "PBE"
    return _KNOWN.get(given.lower(), given)


def _check_energy(key: Key, formula: str, energy_ev: float, unit: str) -> None:
    low, high = FORMATION_EV
    if not low <= energy_ev <= high:
        raise ValueError(
            f"{formula} would form with {energy_ev:.4g} eV/atom, outside {low:g} to {high:g}: another unit than {unit} "
            "(say it with `unit:`), a total energy, or that of a whole cell"
        )
    if len(key) == 1 and energy_ev < -SAME_ELEMENT_EV:
        raise ValueError(
            f"the element {formula} lies at {energy_ev:.4g} eV/atom, and formation energies have it at 0: total energies, or "
            "relative to something else"
        )


def _id(reading: _Reading, row: Fields, key: Key, energy_ev: float, place: str) -> str:
    """The row's id, once for one energy.

    Raises:
        ValueError: an earlier row has it for another one.
    """
    name = str(row.get("id") or row.get("material_id") or "").strip()
    if not name:
        return place
    earlier = reading.by_id.setdefault(name, (key, energy_ev, place))
    if (earlier[0], round(earlier[1], 6)) != (key, round(energy_ev, 6)):
        raise ValueError(f"id {shown(name)} has {energy_ev:.6g} eV/atom here and {earlier[1]:.6g} in {earlier[2]}")
    return name


def _take_total(reading: _Reading, key: Key, formula: str, row: Fields, place: str) -> None:
    scheme, energy_ev = str(row["scheme"]).strip(), number_of(row["energy_per_atom"])
    reading.total_scheme = reading.total_scheme or scheme
    if scheme != reading.total_scheme:
        raise ValueError(
            f"scheme {shown(scheme)}, and earlier rows are of {shown(reading.total_scheme)}: never mixed in one set"
        )
    name = _id(reading, row, key, energy_ev, place)
    reading.totals.append((key, FormationEntry(name, formula, energy_ev, True, scheme)))


def _formed_from_own_elements(reading: _Reading, elements: Mapping[str, float], *, with_d2: bool) -> None:
    """Total energies made formation energies, which of one scheme are those of plain PBE, whatever its cutoffs are."""
    if not reading.totals:
        return
    if ("-d2-" in reading.total_scheme) != with_d2:
        raise DataError(
            f"hull.reference: {reading.name} is of scheme {reading.total_scheme}, and the campaign computes "
            f"{'with' if with_d2 else 'without'} D2: their energies are not compared"
        )
    zero = dict(elements)
    for key, entry in reading.totals:
        if len(key) == 1:
            zero[key[0][0]] = min(entry.energy_ev_per_atom, zero.get(key[0][0], entry.energy_ev_per_atom))
    for key, entry in reading.totals:
        symbols = tuple(symbol for symbol, _ in key)
        if absent := [symbol for symbol in symbols if symbol not in zero]:
            reading.bad.append(
                f"{entry.name}: no energy of {', '.join(absent)} in this scheme to form {entry.formula} from"
            )
            continue
        shares = fractions_of(key, symbols)
        formed_ev = entry.energy_ev_per_atom - sum(s * zero[one] for s, one in zip(shares, symbols, strict=True))
        low, high = FORMATION_EV
        if low <= formed_ev <= high:
            reading.rows.append((key, FormationEntry(entry.name, entry.formula, formed_ev, True, "PBE")))
        else:
            reading.bad.append(
                f"{entry.name}: {entry.formula} would form with {formed_ev:.4g} eV/atom: no such total energy"
            )


def _read_imported(name: str, imported: Iterable[ReferenceEnergy], *, with_d2: bool) -> _Reading:
    """An imported set of the database, by the name of the file that it came from."""
    energies = list(imported)
    mine = [one for one in energies if name in (one.source, one.source.partition(".")[0])]
    if not mine:
        known = sorted({one.source.partition(".")[0] for one in energies})
        raise DataError(
            f"hull.reference: no imported set is named {name!r}; the database has {', '.join(known) or 'none'}; a file is named "
            "with its ending, such as .json.gz"
        )
    reading = _Reading(name)
    for one in mine:
        row = {"formula": one.formula, "energy_per_atom": one.energy_per_atom_ev, "scheme": one.scheme}
        _take_total(reading, composition_key(one.formula), one.formula, row | {"id": one.name}, one.id)
    _formed_from_own_elements(reading, {}, with_d2=with_d2)
    return _checked(reading, HullFile(path=Path(name), bad_rows="skip"))


def _checked(reading: _Reading, file: HullFile) -> _Reading:
    """The file as a whole: bad rows, an empty set, total energies that are called formation energies."""
    if reading.bad and (file.bad_rows == "stop" or not reading.rows):
        more = len(reading.bad) - _MOST_NAMED
        named = [*reading.bad[:_MOST_NAMED], *([f"and {more:,} more"] if more > 0 else [])]
        raise DataError("\n".join(["hull.reference: rows that cannot be used:", *named, SKIP]))
    compounds = sorted(entry.energy_ev_per_atom for key, entry in reading.rows if len(key) > 1)
    if not compounds:
        others = ", ".join(f"{count:,} of {name}" for name, count in reading.other.items())
        why = f"; rows left out for their scheme: {others}" if others else ""
        why += f"; `where` turned {reading.turned_away:,} away" if reading.turned_away else ""
        raise DataError(
            f"hull.reference: {reading.name} gives no compound{why}; "
            "name a file that has compounds of the campaign's elements, or leave hull.reference out"
        )
    if (median := compounds[len(compounds) // 2]) < _TOTAL_MEDIAN_EV:
        raise DataError(
            f"hull.reference: half of the compounds of {reading.name} lie below {median:.3g} eV/atom: these are total energies, "
            "not energies of formation"
        )
    return reading


def _notes(reading: _Reading) -> list[str]:
    notes = [f"hull: {reading.name}: {len(reading.rows):,} energies"]
    if reading.other:
        others = ", ".join(f"{count:,} of {name}" for name, count in reading.other.most_common())
        notes.append(f"hull: {reading.name}: left out for their scheme: {others}")
    if reading.bad:
        notes.append(f"hull: {reading.name}: {len(reading.bad):,} rows left out, the first: {reading.bad[0]}")
    return notes
