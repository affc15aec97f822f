"""Where in the space of compositions crystals are wanted: near a compound, without an element. No property is looked at here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.compounds import parse_compound
from crystalloop.models.crystals.elements import atomic_numbers

WITHIN = 5.0
"""How far is near, where nobody says it: most of the atoms exchanged for their neighbours of the scale, at equal stoichiometry."""
_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
# Pettifor, Solid State Commun. 51, 31 (1984): the order of the Mendeleev numbers 1 to 103; elements that stand in for
# each other in structures stand side by side.
_PETTIFOR = """
He Ne Ar Kr Xe Rn Fr Cs Rb K Na Li Ra Ba Sr Ca Yb Eu Sc Lu Tm Er Ho Dy Y Tb Gd Sm Pm Nd Pr Ce La Lr No Md Fm Es Cf Bk
Cm Am Pu Np U Pa Th Ac Zr Hf Ti Ta Nb V W Mo Cr Re Tc Mn Fe Ru Os Co Rh Ir Ni Pt Pd Au Ag Cu Mg Hg Cd Zn Be Tl In Al Ga
Pb Sn Ge Si B Bi Sb As P Po Te Se S C At I Br Cl N O F H
"""


@dataclass(frozen=True)
class Vicinity:
    """What a crystal's composition must be like.

    Attributes:
        near: FORMULA or FORMULA:prototype; a crystal lies near one of them, and in its prototype where one is named.
        within: how far near is, in places of Pettifor's scale per atom; see `distance`.
        without: element symbols that do not occur.

    Raises:
        ValueError: a formula or symbol that is none, or a distance that is not positive.
    """

    near: tuple[str, ...] = ()
    within: float = WITHIN
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in self.near:
            _amounts_of(text)
        if not self.within > 0:
            raise ValueError(
                f"within {self.within:g}: nothing but the compound itself lies so near; ask for more than 0 (NaF lies "
                "0.5 from LiF), or for the compound as a base: `bases: [FORMULA:prototype]`"
            )
        if unknown := [one for one in self.without if one not in atomic_numbers()]:
            raise ValueError(f"without {unknown[0]!r}: not an element symbol")

    def holds(self, composition: Mapping[str, float], prototype: str | None = None) -> bool:
        """Whether a crystal of these amounts of elements, in this prototype or in none that is known, is wanted."""
        if set(composition) & set(self.without):
            return False
        places = [one for one in self.near if _prototype_of(one) in ("", prototype or "")]
        return not self.near or self._is_near(places, composition)

    def near_some(self, composition: Mapping[str, float]) -> bool:
        """Whether a composition lies near one of the compounds, whatever the prototype."""
        return self._is_near(self.near, composition)

    def _is_near(self, places: Iterable[str], composition: Mapping[str, float]) -> bool:
        if set(composition) - set(scale()):
            return False
        return any(distance(amounts(one), composition) <= self.within for one in places)

    @property
    def names_prototypes(self) -> bool:
        """Whether a prototype must be known, too."""
        return any(_prototype_of(one) for one in self.near)

    def __str__(self) -> str:
        near = f"near {' or '.join(self.near)} within {self.within:g}" if self.near else ""
        without = f"without {', '.join(self.without)}" if self.without else ""
        return " and ".join(part for part in (near, without) if part)


def distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The earth mover's distance of two compositions, in places of Pettifor's scale per atom.

    Both are shares of atoms on the scale, and the least work is how far how much must be carried: ElMD, Hargreaves et
    al., Chem. Mater. 32, 10610 (2020), on Pettifor's order. On a line it is the area between the cumulated shares.

    Args:
        one: element -> amount; only the shares count. NaF lies 0.5 from LiF, CaO 2.5, MgO 31.
        other: likewise.

    Raises:
        ValueError: an element that the scale does not have (beyond Lr).
    """
    return float(np.abs(np.cumsum(_on_scale(one) - _on_scale(other))).sum())


def nearest_possible(wanted: str, elements: Iterable[str]) -> float:
    """No composition of these elements lies nearer to a compound: each share carried to the nearest of them. inf for none."""
    places = np.array([scale()[one] for one in elements if one in scale()])
    if not len(places):
        return float("inf")
    given = amounts(wanted)
    moved = {symbol: np.abs(places - _place(symbol)).min() for symbol in given}
    return float(sum(moved[symbol] * amount for symbol, amount in given.items()) / sum(given.values()))


@cache
def scale() -> dict[str, int]:
    """Symbol -> Mendeleev number, He 1 to H 103."""
    return {symbol: number for number, symbol in enumerate(_PETTIFOR.split(), 1)}


def amounts(compound: str) -> dict[str, float]:
    """Element -> amount of FORMULA or FORMULA:prototype.

    Raises:
        ValueError: no formula, an unknown element, or a prototype that is unknown or does not fit.
    """
    return dict(_amounts_of(compound))


@cache
def _amounts_of(compound: str) -> tuple[tuple[str, float], ...]:
    if _prototype_of(compound):
        parse_compound(compound)
    formula = compound.partition(":")[0]
    tokens = _TOKEN.findall(formula)
    if not tokens or "".join(symbol + number for symbol, number in tokens) != formula:
        raise ValueError(f"near {compound!r}: not a formula; write e.g. LiFePO4 or LiF:rocksalt_B1")
    found: dict[str, float] = {}
    for symbol, number in tokens:
        _place(symbol)
        found[symbol] = found.get(symbol, 0.0) + float(number or 1)
    if not sum(found.values()) > 0:
        raise ValueError(f"near {compound!r}: no atoms")
    return tuple(found.items())


def _prototype_of(compound: str) -> str:
    return compound.partition(":")[2]


def _place(symbol: str) -> int:
    if symbol not in atomic_numbers():
        raise ValueError(f"{symbol!r} is not an element symbol")
    if symbol not in scale():
        raise ValueError(f"{symbol} has no place on Pettifor's scale, which ends with Lr: no distance to it is known")
    return scale()[symbol]


def _on_scale(composition: Mapping[str, float]) -> NDArray[np.float64]:
    """Shares of the atoms by Mendeleev number, [103]."""
    row = np.zeros(len(scale()))
    for symbol, amount in composition.items():
        row[_place(symbol) - 1] += amount
    made: NDArray[np.float64] = row / row.sum()
    return made
