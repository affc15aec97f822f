"""What a CIF says beside its sites (formula, Z, volume, density, multiplicities), held against the crystal that was read."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray

from crystalloop.models.formats.cif_reader.blocks import NULLS, CifBlock, number
from crystalloop.models.formats.cif_reader.refusal import CifError

_VOLUME_SHARE, _DENSITY_SHARE, _AMOUNT_SHARE, _AMOUNT = 0.01, 0.03, 0.02, 0.06
_GRAMS_PER_CM3 = 1.66053907  # of one dalton in a cubic angstrom
_PART = re.compile(r"([A-Z][a-z]?)\s*(\d+\.?\d*|\.\d+)?(?:\(\d+\))?[\s,]*")


def refuse_volume(block: CifBlock, volume_ang3: float) -> None:
    """The cell and the volume that the block states must be one.

    Raises:
        CifError: they differ by more than 1 %.
    """
    given = block.first("_cell_volume")
    if given is None:
        return
    stated = number(given)
    if not math.isfinite(stated) or stated <= 0:
        raise CifError(f"_cell_volume is {given[:40]!r}, wanted is a number above 0; mend the file")
    if abs(stated / volume_ang3 - 1) > _VOLUME_SHARE:
        raise CifError(
            f"_cell_volume is {given}, and the edges and angles make {volume_ang3:.2f} cubic angstrom; mend the cell"
        )


def stated_formula(block: CifBlock) -> dict[str, float] | None:
    """The formula sum, deuterium and tritium counted as hydrogen; None where there is none that can be read."""
    given = block.first("_chemical_formula_sum")
    if given is None:
        return None
    text, at = given.strip().strip("'\""), 0
    found: defaultdict[str, float] = defaultdict(float)
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or not (gemmi.Element(part[1]).atomic_number or part[1] in "DT"):
            block.note(f"the formula sum {given[:60]!r} cannot be read, and the sites are not compared with it")
            return None
        found["H" if part[1] in "DT" else part[1]] += float(part[2] or 1)
        at = part.end()
    return {symbol: amount for symbol, amount in found.items() if amount > 0} or None


def complaint(block: CifBlock, atoms: Mapping[str, float], volume_ang3: float, daltons: float) -> str | None:
    """What the block states and the atoms in the cell contradict, with the numbers; None where they agree.

    Args:
        block: with the claims.
        atoms: symbol -> atoms in the cell.
        volume_ang3: of the cell.
        daltons: mass of all atoms.
    """
    formula, units = stated_formula(block), _units(block)
    return (
        (_of_formula(formula, units, atoms) if formula else _of_units(units, atoms))
        or _of_weight(block, formula, units, daltons)
        or _of_density(block, daltons / volume_ang3 * _GRAMS_PER_CM3)
    )


def has_amounts(block: CifBlock) -> bool:
    """Whether formula and Z, or the density, say how many atoms there are."""
    counted = stated_formula(block) is not None and block.first("_cell_formula_units_z") is not None
    return counted or block.first("_exptl_crystal_density_diffrn") is not None


def _units(block: CifBlock) -> float | None:
    given = block.first("_cell_formula_units_z")
    if given is None:
        return None
    value = number(given)
    if not 0 < value < 1e5:
        raise CifError(f"_cell_formula_units_Z is {given[:40]!r}, wanted is a number above 0; mend the file")
    return value


def _of_formula(formula: Mapping[str, float], units: float | None, atoms: Mapping[str, float]) -> str | None:
    stated = " ".join(f"{symbol}{amount:g}" for symbol, amount in sorted(formula.items()))
    scale = sum(atoms.values()) / sum(formula.values())
    if not _same(atoms, formula, scale):
        bare = {symbol: amount for symbol, amount in atoms.items() if symbol != "H"}
        rest = {symbol: amount for symbol, amount in formula.items() if symbol != "H"}
        if rest and bare and "H" in formula and _same(bare, rest, scale := sum(bare.values()) / sum(rest.values())):
            return (
                f"hydrogens are missing: the formula sum {stated!r} has {formula['H'] * scale:g} of them in the cell, "
                f"the sites {atoms.get('H', 0):g}; add their sites"
            )
        return f"the sites give {_shown(atoms)} in the cell, the formula sum is {stated!r}; mend what is wrong"
    if units is None:
        return None
    common = _common(formula)
    totals = [units] + ([units / common] if common else [])
    if common and round(common) % units == 0:
        totals.append(1.0)  # a formula sum of the whole cell, as pymatgen writes it
    if any(_same(atoms, formula, total) for total in totals):
        return None
    return (
        f"the sites give {_shown(atoms)} in the cell, {units:g} formula units (_cell_formula_units_Z) of {stated!r} are "
        f"{sum(formula.values()) * units:g} atoms; mend what is wrong, often the space group or its setting"
    )


def _common(formula: Mapping[str, float]) -> int:
    """Greatest common divisor of the amounts; 0 where one is no whole number."""
    whole = [round(amount) for amount in formula.values()]
    return math.gcd(*whole) if all(abs(a - b) < 1e-6 for a, b in zip(whole, formula.values(), strict=True)) else 0


def _same(atoms: Mapping[str, float], formula: Mapping[str, float], scale: float) -> bool:
    return all(
        abs(atoms.get(symbol, 0.0) - formula.get(symbol, 0.0) * scale)
        <= max(_AMOUNT_SHARE * formula.get(symbol, 0.0) * scale, _AMOUNT)
        for symbol in {*atoms, *formula}
    )


def _of_units(units: float | None, atoms: Mapping[str, float]) -> str | None:
    whole = all(abs(amount - round(amount)) < 1e-6 for amount in atoms.values())
    common = math.gcd(*(round(amount) for amount in atoms.values()))
    if units is None or not whole or units != int(units) or common % int(units) == 0:
        return None
    return f"the sites give {_shown(atoms)} in the cell, which are not {units:g} equal formula units (_cell_formula_units_Z)"


def _of_weight(block: CifBlock, formula: Mapping[str, float] | None, units: float | None, daltons: float) -> str | None:
    """The weight is that of the formula sum, where there is one, for the sites have been held against it; else of the sites."""
    given, sum_text = block.first("_chemical_formula_weight"), block.first("_chemical_formula_sum") or ""
    stated = number(given) if given is not None else math.nan
    if not stated > 0 or re.search(r"[DT](?![a-z])", sum_text):  # of deuterium a weight may be either
        return None
    if formula is not None:
        ratio = max(mass_of(formula) / stated, stated / mass_of(formula))
        what = f"the formula sum {sum_text[:60]!r} weighs {mass_of(formula):.1f}"
        agree = abs(ratio / max(1, round(ratio)) - 1) <= _DENSITY_SHARE  # a sum of the whole cell, or reduced
    else:
        fitting = units or max(1, round(daltons / stated))
        what = f"the sites weigh {daltons:.1f}, for {fitting:g} formula units {daltons / fitting:.1f} each"
        agree = abs(stated * fitting / daltons - 1) <= _DENSITY_SHARE
    return None if agree else f"{what}, _chemical_formula_weight is {given}; mend what is wrong"


def _of_density(block: CifBlock, density: float) -> str | None:
    given = block.first("_exptl_crystal_density_diffrn")
    if given is None:
        return None
    stated = number(given)
    if not stated > 0:
        return f"_exptl_crystal_density_diffrn is {given[:40]!r}, wanted is a number above 0"
    if min(abs(stated / density - 1), abs(stated / 1000 / density - 1)) <= _DENSITY_SHARE:
        return None
    return (
        f"the sites and the cell make {density:.3f} g/cm3, _exptl_crystal_density_diffrn is {given}: atoms are missing "
        "or too many, or the cell is wrong"
    )


def _shown(atoms: Mapping[str, float]) -> str:
    return " ".join(f"{symbol}{amount:.4g}" for symbol, amount in sorted(atoms.items()))


def multiplicities_fit(block: CifBlock, found: Sequence[int], order: int) -> bool:
    """Whether the sites have the multiplicities that the block lists, or those as orders of the site's symmetry."""
    given = block.column("_atom_site_symmetry_multiplicity", "_atom_site_site_symmetry_multiplicity")
    if given is None or len(given) != len(found) or any(one in NULLS for one in given):
        return True
    stated = [number(one) for one in given]
    return all(a == b for a, b in zip(stated, found, strict=True)) or all(
        a * b == order for a, b in zip(stated, found, strict=True)
    )


def mass_of(symbols: Mapping[str, float]) -> float:
    """Daltons of atoms by symbol, D and T among them."""
    return sum(3.016 * n if symbol == "T" else gemmi.Element(symbol).weight * n for symbol, n in symbols.items())


_SYSTEMS = (
    ("triclinic", 2),
    ("monoclinic", 5),
    ("orthorhombic", 8),
    ("tetragonal", 15),
    ("trigonal", 20),
    ("hexagonal", 27),
)
# Crystal systems by the last of their point groups, in spglib's numbers; cubic beyond.


def note_system(block: CifBlock, rotations: NDArray[np.int64]) -> None:
    """Say where the crystal system that the block names is not that of its operations, which are what is used."""
    given = block.first("_space_group_crystal_system", "_symmetry_cell_setting")
    word = (given or "").strip().strip("'\"").lower()
    if word not in {"cubic", "rhombohedral", *(name for name, _ in _SYSTEMS)}:
        return
    found = spglib.get_pointgroup(np.unique(rotations, axis=0))
    system = next((name for name, last in _SYSTEMS if found[1] <= last), "cubic")
    same = {"rhombohedral": "trigonal"}.get(word, word)
    if same != system and {same, system} != {"trigonal", "hexagonal"}:
        block.note(f"names the crystal system {word}, its operations are {system}: the operations are used")
