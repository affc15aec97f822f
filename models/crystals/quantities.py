"""The one vocabulary of quantities: name, short and older names, unit, other units. No grammar here.

A quantity has one name and one unit, whoever asks: a campaign's `target`, `generate --target`, `results --where`, the
columns of `results --json`. The networks hold some as decimal logarithms, under older names that begin with `log10_`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import log10

# CODATA 2018 (NIST SP 961).
_RYDBERG_EV = 13.605693122994
_KJ_PER_MOL_EV = 96.48533212331
_GPA_PER_EV_ANG3 = 160.2176634
_BOHR_ANG = 0.529177210903

ENERGY: Mapping[str, float] = {"meV": 1e-3, "eV": 1.0, "Ry": _RYDBERG_EV, "Ha": 2 * _RYDBERG_EV}
MOLAR: Mapping[str, float] = {"kJ/mol": 1 / _KJ_PER_MOL_EV, "kcal/mol": 4.184 / _KJ_PER_MOL_EV}
"""Per mole of atoms."""
PER_ATOM: Mapping[str, float] = {**ENERGY, **{f"{unit}/atom": factor for unit, factor in ENERGY.items()}, **MOLAR}
PRESSURE: Mapping[str, float] = {
    "GPa": 1.0,
    "MPa": 1e-3,
    "TPa": 1e3,
    "kbar": 0.1,
    "Mbar": 100.0,
    "eV/ang3": _GPA_PER_EV_ANG3,
}
_LABEL_ENERGY: Mapping[str, float] = {
    unit: {**ENERGY, **MOLAR}[unit] for unit in ("eV", "meV", "kJ/mol", "kcal/mol", "Ry", "Ha")
}
LABEL_UNITS: Mapping[str, Mapping[str, float]] = {
    "eV/atom": {**_LABEL_ENERGY, **{f"{unit}/atom": factor for unit, factor in _LABEL_ENERGY.items()}},
    "eV": _LABEL_ENERGY,
    "GPa": {
        **{unit: PRESSURE[unit] for unit in ("GPa", "MPa", "kbar", "Mbar", "TPa")},
        **dict.fromkeys(("eV/A^3", "eV/ang3", "eV/ang^3"), _GPA_PER_EV_ANG3),
        "Ry/bohr^3": _GPA_PER_EV_ANG3 * _RYDBERG_EV / _BOHR_ANG**3,
    },
}
"""Unit of a property -> units that labels of data files may be declared in, and what one of each is in the first."""
LENGTH: Mapping[str, float] = {
    "ang": 1.0,
    "angstrom": 1.0,
    "A": 1.0,
    "\u00c5": 1.0,
    "nm": 10.0,
    "pm": 0.01,
    "bohr": _BOHR_ANG,
}
TIME: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
LOGARITHM = "log10_"


@dataclass(frozen=True)
class Quantity:
    """What can be wanted of a crystal, or asked of it.

    Attributes:
        name: the one name.
        unit: of values, empty for plain numbers.
        aliases: short and older names.
        units: other units that are understood, with their value in `unit`.
        network: the networks' name of it, empty for what they do not predict.
        stored: a candidate's field that has it as computed, empty for what pw.x does not compute here.
        lowest, highest: what a value can be; outside, the unit is wrong.
    """

    name: str
    unit: str
    aliases: tuple[str, ...]
    lowest: float
    highest: float
    units: Mapping[str, float] = field(default_factory=dict)
    network: str = ""
    stored: str = ""

    @property
    def is_logarithm(self) -> bool:
        """Whether the networks hold its decimal logarithm."""
        return self.network.startswith(LOGARITHM)

    def to_network(self, value: float) -> float:
        """The networks' number for a value in `unit`.

        Raises:
            ValueError: not positive, where they hold the logarithm.
        """
        if not self.is_logarithm:
            return value
        if value <= 0:
            raise ValueError(f"{value:g} is not positive")
        return log10(value)

    def from_network(self, value: float) -> float:
        """The value in `unit` for the networks' number."""
        return 10.0**value if self.is_logarithm else value


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        name="formation_energy_per_atom",
        unit="eV/atom",
        aliases=("e_f", "formation_energy", "e_form"),
        lowest=-8.0,
        highest=8.0,
        units=PER_ATOM,
        network="formation_energy_per_atom",
        stored="e_f",
    ),
    Quantity(
        name="energy_above_hull",
        unit="eV/atom",
        aliases=("e_above_hull", "ehull", "e_hull", "hull_distance"),
        lowest=-8.0,
        highest=16.0,
        units=PER_ATOM,
        stored="e_above_hull",
    ),
    Quantity(
        name="energy_per_atom",
        unit="eV/atom",
        aliases=("energy",),
        lowest=-10_000.0,
        highest=5.0,
        units=PER_ATOM,
        network="energy_per_atom",
        stored="relaxation.energy_per_atom_ev",
    ),
    Quantity(
        name="band_gap",
        unit="eV",
        aliases=("gap", "bandgap", "eg"),
        lowest=0.0,
        highest=30.0,
        units=ENERGY,
        network="band_gap",
        stored="relaxation.band_gap",
    ),
    Quantity(
        name="bulk_modulus",
        unit="GPa",
        aliases=("K", "bulk"),
        lowest=0.01,
        highest=1584.893,
        units=PRESSURE,
        network="log10_bulk_modulus",
        stored="relaxation.bulk_modulus_gpa",
    ),
    Quantity("shear_modulus", "GPa", ("G", "shear"), 0.01, 1584.893, PRESSURE, network="log10_shear_modulus"),
    Quantity("poisson_ratio", "", ("poisson",), -1.0, 0.5, network="poisson_ratio"),
    Quantity("refractive_index", "", ("n",), 1.0, 100.0, network="refractive_index"),
    Quantity("dielectric", "", ("eps", "dielectric_constant"), 1.0, 1e5, network="log10_dielectric"),
)

_BY_NAME = {name: one for one in QUANTITIES for name in (one.name, *one.aliases, one.network) if name}


def quantity(name: str) -> Quantity | None:
    """The quantity of a name, a short or older name, or the networks' name."""
    return _BY_NAME.get(name)


def is_older_name(name: str) -> bool:
    """Whether a name means the logarithm that the networks hold, and so its values, too."""
    return name.startswith(LOGARITHM)


def note_on(name: str) -> str:
    """What to say to somebody who uses an older name; empty for the others."""
    one = quantity(name)
    if one is None or not is_older_name(name):
        return ""
    return f"{name} is the older name of {one.name}, its decimal logarithm; `{one.name}` takes {one.unit or 'the value itself'}"


def names() -> tuple[str, ...]:
    """Every name and short name; older ones are understood but not offered."""
    return tuple(name for one in QUANTITIES for name in (one.name, *one.aliases))


Convert = Callable[[float], float]


def to_stored(one: Quantity, name: str) -> Convert | None:
    """What turns a value as written into that of the candidate's computed field; None for no change."""
    return one.from_network if is_older_name(name) else None


def to_predicted(one: Quantity, name: str) -> Convert | None:
    """What turns a value as written into that of the networks; None for no change."""
    return one.to_network if one.is_logarithm and not is_older_name(name) else None
