"""Grimme's D2 dispersion: for which elements it can be asked. What it adds to an energy is read in `crystalloop.dft.pw_output`."""

from __future__ import annotations

from collections.abc import Iterable

from crystalloop.dft.pseudos import LANTHANIDES
from crystalloop.dft.pw_input import InputError

LAST_WITH_D2 = 86
"""Radon: pw.x 6.7 has no C6 beyond it and stops with `init_london (1)` (seen with Fr, Ra, Th and U)."""


def require_d2(elements: Iterable[str]) -> None:
    """Refuse elements that D2 has no parameters for.

    Raises:
        InputError: names them.
    """
    from pymatgen.core.periodic_table import Element

    without = sorted(symbol for symbol in set(elements) if Element(symbol).Z > LAST_WITH_D2)
    if without:
        raise InputError(
            f"D2 has no parameters for {', '.join(without)} (nothing beyond Rn, Z = {LAST_WITH_D2}): "
            "set dft.settings.d2 to false, or leave the element out"
        )


def lanthanide_note(elements: Iterable[str], d2: bool) -> str | None:
    """What to know about the energies of lanthanides among the elements; None where there are none."""
    odd = sorted(set(elements) & LANTHANIDES)
    if not odd:
        return None
    note = f"{', '.join(odd)}: SSSP lanthanides keep f electrons in valence; energies differ from frozen-f data"
    if d2:
        note += ", and D2 has one C6 for all of them (Ce: -2.26 eV/atom, not physical): look at e_f_without_d2"
    return note
