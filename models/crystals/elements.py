"""The chemical elements as tables of facts: symbols, ionic and covalent radii. No pymatgen needed, no chemistry decided."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The paper's value where pymatgen lists no ionic radius (hydrogen, noble gases, Z > 98).
DEFAULT_IONIC_RADIUS_ANG = 1.20

# symbol, ionic radius, covalent radius (angstrom), in the order of Z = 1, 2, ...
# Ionic: mean over the oxidation states of pymatgen's `Element.ionic_radii` (Shannon, Acta Cryst. A32, 751, 1976);
# "-" where it lists none.
# Covalent: Cordero et al., Dalton Trans. 2832 (2008), as in `ase.data.covalent_radii`, with its 2.00 for "unknown".
_FACTS = """
H - 0.31, He - 0.28, Li 0.9 1.28, Be 0.59 0.96, B 0.41 0.84, C 0.3 0.76, N 0.63 0.71, O 1.26 0.66, F 0.705 0.57,
Ne - 0.58, Na 1.16 1.66, Mg 0.86 1.41, Al 0.675 1.21, Si 0.54 1.11, P 0.55 1.07, S 0.88 1.05, Cl 0.78 1.02,
Ar - 1.06, K 1.52 2.03, Ca 1.14 1.76, Sc 0.885 1.70, Ti 0.8517 1.60, V 0.7775 1.53, Cr 0.94 1.39, Mn 0.8775 1.39,
Fe 0.8525 1.32, Co 0.7683 1.26, Ni 0.74 1.24, Cu 0.82 1.32, Zn 0.88 1.22, Ga 0.76 1.22, Ge 0.77 1.20,
As 0.66 1.19, Se 1.0133 1.20, Br 0.8825 1.20, Kr - 1.16, Rb 1.66 2.20, Sr 1.32 1.95, Y 1.04 1.90, Zr 0.86 1.75,
Nb 0.82 1.64, Mo 0.775 1.54, Tc 0.7417 1.47, Ru 0.661 1.46, Rh 0.745 1.42, Pd 0.8462 1.39, Ag 1.0867 1.45,
Cd 1.09 1.44, In 0.94 1.42, Sn 0.83 1.39, Sb 0.83 1.39, Te 1.2933 1.38, I 1.2733 1.39, Xe 0.62 1.40,
Cs 1.81 2.44, Ba 1.49 2.15, La 1.172 2.07, Ce 1.08 2.04, Pr 1.06 2.03, Nd 1.2765 2.01, Pm 1.11 1.99,
Sm 1.229 1.98, Eu 1.1985 1.98, Gd 1.075 1.96, Tb 0.9815 1.94, Dy 1.131 1.92, Ho 1.041 1.92, Er 1.03 1.89,
Tm 1.095 1.90, Yb 1.084 1.87, Lu 1.001 1.87, Hf 0.85 1.75, Ta 0.82 1.70, W 0.7667 1.62, Re 0.7125 1.51,
Os 0.673 1.44, Ir 0.765 1.41, Pt 0.805 1.36, Au 1.07 1.36, Hg 1.245 1.32, Tl 1.3325 1.45, Pb 1.1225 1.46,
Bi 1.035 1.48, Po 0.945 1.40, At 0.76 1.50, Rn - 1.50, Fr 1.94 2.60, Ra 1.62 2.21, Ac 1.26 2.15, Th 1.08 2.06,
Pa 1.04 2.00, U 0.9913 1.96, Np 1 1.90, Pu 0.9675 1.87, Am 1.1683 1.80, Cm 1.05 1.69, Bk 1.035 2.00,
Cf 1.0255 2.00, Es - 2.00, Fm - 2.00, Md - 2.00, No - 2.00, Lr - 2.00, Rf - 2.00, Db - 2.00, Sg - 2.00,
Bh - 2.00, Hs - 2.00, Mt - 2.00, Ds - 2.00, Rg - 2.00, Cn - 2.00, Nh - 2.00, Fl - 2.00, Mc - 2.00, Lv - 2.00,
Ts - 2.00, Og - 2.00
"""


class UnknownElement(ValueError):
    """A symbol or an atomic number that is not in the periodic table."""

    exit_kind = "usage"


@cache
def symbols() -> tuple[str, ...]:
    """Return the element symbols indexed by atomic number; index 0 is "X", the background."""
    return ("X", *(entry.split()[0] for entry in _FACTS.split(",")))


@cache
def atomic_numbers() -> dict[str, int]:
    """Return the atomic number of every element symbol."""
    return {symbol: number for number, symbol in enumerate(symbols()) if number}


@cache
def ionic_radii_ang() -> NDArray[np.float64]:
    """Return ionic radii in angstrom indexed by atomic number, 1.20 where none is listed; index 0 is 0."""
    column = (entry.split()[1] for entry in _FACTS.split(","))
    return _read_only([0.0, *(DEFAULT_IONIC_RADIUS_ANG if entry == "-" else float(entry) for entry in column)])


@cache
def covalent_radii_ang() -> NDArray[np.float64]:
    """Return covalent radii in angstrom indexed by atomic number; index 0 is 0."""
    return _read_only([0.0, *(float(entry.split()[2]) for entry in _FACTS.split(","))])


def atomic_number(symbol: str) -> int:
    """Return the atomic number of an element symbol.

    Raises:
        UnknownElement: the symbol is not an element's.
    """
    try:
        return atomic_numbers()[symbol]
    except KeyError:
        raise UnknownElement(f"{symbol!r} is not an element symbol; write it as in 'Na', without a charge") from None


def symbol_of(number: int) -> str:
    """Return the symbol of an atomic number.

    Raises:
        UnknownElement: the number is outside 1 to 118.
    """
    if not 0 < number < len(symbols()):
        raise UnknownElement(f"{number} is not an atomic number; expected 1 to {len(symbols()) - 1}")
    return symbols()[number]


def _read_only(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    array.setflags(write=False)
    return array
