"""Reference sets: total energies from elsewhere as JSONL or CSV, each row checked before it may lie on a hull.

A row has `formula`, `energy_per_atom` (E0, total, eV/atom) and `scheme` as `crystalloop hull FILE` prints it; `id` is
optional. Whether the energies are of that scheme cannot be seen in them, so two things are compared with the
database: elements with its own references, and compounds with what formation energies can be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pymatgen.core.composition import Composition

from crystalloop.db.ledger.records import ReferenceEnergy
from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.data.files import DataError, read_each
from crystalloop.models.data.problems import number_of
from crystalloop.models.data.tables import TABLE_FORMATS, is_table, table_rows

SAME_ELEMENT_EV = 0.02
"""Two calculations of an element in one scheme agree to this, eV/atom; k points and phases allow for some of it."""
FORMATION_EV = (-8.0, 5.0)
"""Formation energies outside, eV/atom, are of another scheme, of another unit or of the whole cell."""


@dataclass(frozen=True)
class ReferenceSet:
    """What a file gave: energies, and a sentence for every row left out."""

    energies: tuple[ReferenceEnergy, ...]
    left_out: tuple[str, ...] = ()


def read_reference_set(
    path: Path,
    schemes: Collection[str],
    elements: Mapping[str, Mapping[str, float]],
    now: datetime,
    *,
    skip_bad: bool = False,
) -> ReferenceSet:
    """Read and check a reference set.

    Args:
        path: .jsonl, .jsonl.gz or .csv.
        schemes: those that the campaign's energies have; rows of another are bad rows.
        elements: scheme -> element -> the database's own energy, eV/atom.
        now: noted in the records.
        skip_bad: leave bad rows out and say so, instead of stopping at the first.

    Raises:
        DataError: missing file, unknown format, a bad row (unless skip_bad), or no row at all.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    if not is_table(path):
        raise DataError(
            f"{path}: a reference set is {', '.join(TABLE_FORMATS)}, with formula, energy_per_atom and scheme"
        )
    read: dict[str, ReferenceEnergy] = {}

    def take(row: Mapping[str, Any], place: str) -> None:
        energy = _energy(path.name, schemes, elements, now, row)
        _is_new(energy, read)
        read[energy.id] = energy

    _, left_out = read_each(table_rows(path), take, "skip" if skip_bad else "stop")
    if not read:
        raise DataError(f"{path}: no usable row ({len(left_out)} left out{': ' + left_out[0] if left_out else ''})")
    return ReferenceSet(tuple(read.values()), tuple(left_out))


def write_reference_set(path: Path, rows: Collection[Mapping[str, Any]]) -> None:
    """Write rows of id, formula, energy_per_atom and scheme as JSONL, to be imported elsewhere."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), encoding="utf-8")
    draft.replace(path)


def _energy(
    source: str,
    schemes: Collection[str],
    elements: Mapping[str, Mapping[str, float]],
    now: datetime,
    row: Mapping[str, Any],
) -> ReferenceEnergy:
    formula, scheme = _formula(row["formula"]), str(row["scheme"] or "").strip()
    energy_ev = _number(row["energy_per_atom"])
    if scheme not in schemes:
        raise ValueError(f"scheme {scheme!r} is not this campaign's ({' or '.join(sorted(schemes))})")
    _check_scheme(formula, energy_ev, elements.get(scheme, {}))
    name = str(row.get("id") or "").strip() or f"{formula}-{_digest(energy_ev)}"
    return ReferenceEnergy(
        id=f"{scheme}/{name}",
        name=name,
        formula=formula,
        energy_per_atom_ev=energy_ev,
        scheme=scheme,
        source=source,
        created_at=now,
    )


def _is_new(energy: ReferenceEnergy, read: Mapping[str, ReferenceEnergy]) -> None:
    if energy.id in read and energy != read[energy.id]:
        raise ValueError(f"id {energy.name!r} has another energy in an earlier row")


def _formula(given: Any) -> str:  # noqa: ANN401  (of a JSON row)
    text = str(given or "").strip()
    try:
        composition = Composition(text)
    except (ValueError, KeyError) as error:
        raise ValueError(f"formula {text!r} cannot be read ({error})") from error
    amounts = composition.get_el_amt_dict()
    unknown = sorted(set(amounts) - set(atomic_numbers()))
    if not amounts or unknown or any(amount != int(amount) for amount in amounts.values()):
        raise ValueError(f"formula {text!r} is no formula of whole numbers of elements")
    return str(composition.reduced_formula)


def _number(given: Any) -> float:  # noqa: ANN401
    try:
        return number_of(given)
    except ValueError as error:
        raise ValueError(f"energy_per_atom {error}") from None


def _check_scheme(formula: str, energy_ev: float, elements: Mapping[str, float]) -> None:
    """Compare with the database's own elements, as far as they are known."""
    shares = Composition(formula).fractional_composition.get_el_amt_dict()
    if set(shares) - set(elements):
        return
    formation = energy_ev - sum(share * elements[element] for element, share in shares.items())
    if len(shares) == 1 and abs(formation) > SAME_ELEMENT_EV:
        raise ValueError(
            f"{formula} has {energy_ev:.4f} eV/atom and this database's own reference {energy_ev - formation:.4f}: "
            f"{1000 * abs(formation):.0f} meV apart, over {1000 * SAME_ELEMENT_EV:.0f}: not the same scheme"
        )
    low, high = FORMATION_EV
    if not low <= formation <= high:
        raise ValueError(
            f"{formula} at {energy_ev:.4f} eV/atom would form with {formation:.2f} eV/atom, outside {low:g} to {high:g}: "
            "another scheme, a formation energy, another unit, or the energy of a whole cell"
        )


def _digest(energy_ev: float) -> str:
    return hashlib.sha256(f"{energy_ev:.6f}".encode()).hexdigest()[:8]
