"""The labels of a row: which fields are labels, in which units, and which values are none. Crystals of rows: row_crystal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from crystalloop.models.crystals.properties import TABLE
from crystalloop.models.crystals.quantities import LABEL_UNITS
from crystalloop.models.data.problems import DataError, number_of, sentence_of, shown


@dataclass(frozen=True)
class Column:
    """A field of data files that is a label.

    Attributes:
        property: its name in models.crystals.properties.
        unit: of the field, where no other is declared.
        lowest, highest: bounds in that unit, outside which a label is refused as an error of units.
        is_log: the property is the decimal logarithm of the field.
    """

    property: str
    unit: str
    lowest: float
    highest: float
    is_log: bool


_LOGARITHMS = {
    "log10_bulk_modulus": "bulk_modulus",
    "log10_shear_modulus": "shear_modulus",
    "log10_dielectric": "dielectric_total",
}
COLUMNS: Mapping[str, Column] = {
    _LOGARITHMS.get(row.name, row.name): Column(
        row.name,
        row.unit,
        *((10**row.lowest, 10**row.highest) if row.name in _LOGARITHMS else (row.lowest, row.highest)),
        row.name in _LOGARITHMS,
    )
    for row in TABLE
}
Units = Mapping[str, str]
"""Field -> the unit that a file has it in, one of models.crystals.quantities.LABEL_UNITS."""
_MEANT = {
    "e_f": "formation_energy_per_atom",
    "formation_energy": "formation_energy_per_atom",
    "form_energy_per_atom": "formation_energy_per_atom",
    "formation_energy_peratom": "formation_energy_per_atom",
    "delta_e": "formation_energy_per_atom",
    "gap": "band_gap",
    "bandgap": "band_gap",
    "k_vrh": "bulk_modulus",
    "bulk_modulus_vrh": "bulk_modulus",
    "g_vrh": "shear_modulus",
    "shear_modulus_vrh": "shear_modulus",
    "dielectric": "dielectric_total",
    "dielectric_constant": "dielectric_total",
}  # fmt: skip


def check_units(units: Units) -> None:
    """Refuse units that are declared for no label, or that are none of its quantity.

    Raises:
        DataError: with the labels, or the units, that there are.
    """
    for name, unit in units.items():
        allowed = units_of(name)
        if unit not in allowed:
            raise DataError(f"units: {name}: {shown(unit)!r} is no unit of it; there are {', '.join(allowed)}")


def parse_units(declared: Sequence[str]) -> dict[str, str]:
    """Units from texts such as `formation_energy_per_atom=meV`.

    Raises:
        DataError: another form, no label with a unit, no unit of it, or a label twice.
    """
    units: dict[str, str] = {}
    for text in declared:
        name, sign, unit = (part.strip() for part in text.partition("="))
        if not sign or name in units:
            raise DataError(f"units: {shown(text)!r}; write each label once, e.g. formation_energy_per_atom=meV")
        units[name] = unit
    check_units(units)
    return units


def units_of(name: str) -> Mapping[str, float]:
    """The units that a label may be given in, and what one of each is in the label's own.

    Raises:
        DataError: no label has this name, or it has no unit.
    """
    with_unit = [label for label, column in COLUMNS.items() if column.unit]
    if name not in with_unit:
        raise DataError(f"units: {shown(name)!r} is no label with a unit; there are {', '.join(with_unit)}")
    return LABEL_UNITS[COLUMNS[name].unit]


def labels_of(row: Mapping[str, Any], units: Units | None = None) -> tuple[dict[str, float], tuple[str, ...]]:
    """The row's labels by property, each within its bounds, and a sentence for each that cannot be used.

    Args:
        row: fields; null and an empty cell are no labels.
        units: of the fields that are in another unit than their own.
    """
    labels: dict[str, float] = {}
    bad: list[str] = []
    for name, column in COLUMNS.items():
        given = row.get(name)
        if given is None or given == "" or (isinstance(given, Mapping) and given.get("vrh", "") is None):
            continue
        if type(given) is float and not units and column.lowest <= given <= column.highest:  # most of all rows
            labels[column.property] = math.log10(given) if column.is_log else given
            continue
        try:
            labels[column.property] = _value(name, column, given, (units or {}).get(name, column.unit))
        except ValueError as error:
            bad.append(sentence_of(error))
    return labels, tuple(bad)


def _value(name: str, column: Column, given: object, unit: str) -> float:
    """A label in the unit of its property."""
    factor = LABEL_UNITS[column.unit][unit] if unit != column.unit else 1.0
    bounds = f"{column.lowest / factor:.4g}..{column.highest / factor:.4g} {unit}".strip()
    if isinstance(given, Mapping) and "vrh" in given:  # as the Materials Project writes averages of moduli
        given = given["vrh"]
    try:
        value = number_of(given) * factor
    except ValueError as error:
        raise ValueError(f"{name} = {error}; bounds are {bounds}") from error
    if not column.lowest <= value <= column.highest:
        what = f"{name} = {shown(given)} {unit}".strip()
        raise ValueError(f"{what} is outside {bounds}: {'wrong unit?' if column.unit else 'wrong quantity?'}")
    return math.log10(value) if column.is_log else value


def unread(fields: Iterable[str]) -> tuple[str, ...]:
    """Sentences on fields that look like labels under another name."""
    told = []
    for name in fields:
        plain = str(name).lower().strip().replace(" ", "_").split("(")[0].strip("_")
        meant = _MEANT.get(plain) or next(iter(get_close_matches(plain, COLUMNS, 1, cutoff=0.9)), None)
        if meant and name not in COLUMNS and name not in _OWN:
            told.append(f"field {shown(name)!r} is not read; if it is a label, name it {meant}")
    return tuple(told)


_OWN = {"formation_energy_scheme", "formation_energy_source"}
