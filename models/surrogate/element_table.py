"""Twelve numbers for every element, from pymatgen's tables: what composition and site features are made of. No crystal here."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import covalent_radii_ang, ionic_radii_ang, symbols

NAMES = (
    "electronegativity",  # Pauling; 0 where none is known
    "row",
    "group",  # lanthanides and actinides stand in group 3
    "mendeleev",  # Pettifor's chemical scale (Solid State Commun. 51, 31, 1984)
    "covalent_radius",  # angstrom
    "ionic_radius",  # angstrom, mean over the oxidation states
    "ionisation",  # eV, the first
    "affinity",  # eV
    "melting",  # 1000 K
    "molar_volume",  # 10 cm3/mol
    "s_p_electrons",  # outside the noble-gas core
    "d_f_electrons",  # of the open shells
)


@cache
def element_table() -> NDArray[np.float64]:
    """Return the numbers of NAMES for every element, indexed by atomic number; row 0 is 0. [119, 12].

    A number that is not known is the mean of the elements before and after it in its row of the table's order.
    """
    from pymatgen.core.periodic_table import Element  # half a second, paid where a surrogate is fitted

    table = np.full((len(symbols()), len(NAMES)), np.nan)
    table[0] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # pymatgen says of each missing number that it is missing; it is filled in below
        for number, symbol in enumerate(symbols()):
            if number:
                table[number] = _facts(Element(symbol), number)
    for column in table.T:
        known = np.isfinite(column)
        column[~known] = np.interp(np.flatnonzero(~known), np.flatnonzero(known), column[known])
    table.setflags(write=False)
    return table


@cache
def common_oxidation_states() -> tuple[tuple[int, ...], ...]:
    """Return pymatgen's common oxidation states of every element, all known ones where none is common, else 0."""
    from pymatgen.core.periodic_table import Element  # half a second, paid where a surrogate is fitted

    found: list[tuple[int, ...]] = [(0,)]
    for symbol in symbols()[1:]:
        element = Element(symbol)
        found.append(tuple(element.common_oxidation_states or element.oxidation_states or (0,)))
    return tuple(found)


def _facts(element: object, number: int) -> list[float]:
    read = [_number(element, name) for name in ("X", "row", "group", "mendeleev_no")]
    read[0] = 0.0 if np.isnan(read[0]) else read[0]
    later = [
        _number(element, name) for name in ("ionization_energy", "electron_affinity", "melting_point", "molar_volume")
    ]
    later[2], later[3] = later[2] / 1000, later[3] / 10
    return [*read, covalent_radii_ang()[number], ionic_radii_ang()[number], *later, *_electrons(number, round(read[2]))]


def _electrons(number: int, group: int) -> tuple[float, float]:
    """Outer s and p electrons, and those of the open d and f shells, as the periodic table counts them."""
    f_shell = next((number - first for first in (57, 89) if first < number < first + 15), 0)
    if f_shell:
        return 2.0, f_shell + 1.0
    if 3 <= group <= 12:
        return 2.0, group - 2.0
    return float(group if group <= 2 else group - 10), 0.0


def _number(element: object, name: str) -> float:
    try:
        value = getattr(element, name)
    except (ValueError, AttributeError, KeyError):
        return float("nan")
    return float("nan") if value is None else float(value)
