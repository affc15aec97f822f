"""Formation energies of data files on the scale of plain PBE, which is pw.x's: what their scheme added is taken off. No hull.

The corrected energies of the Materials Project lie up to .5 eV/atom below those that pw.x finds with plain PBE: a network that
learns both as they are learns the difference of two conventions (docs/science/dft.md, section 3).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from pymatgen.analysis.structure_analyzer import oxide_type, sulfide_type
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.composition import Composition
from pymatgen.core.structure import Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedEntry

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.files import DataError, KnownCrystal

PLAIN, AS_GIVEN = "PBE", "as_given"
MP2020, MP_LEGACY, OQMD = "MP2020", "MP-legacy", "OQMD"
SCHEMES = (PLAIN, MP2020, MP_LEGACY, OQMD)
"""Schemes that a label may name, whatever its capitals."""
FEWEST_COMMON, FEWEST_OF_AN_ELEMENT = 8, 3
"""Compounds that a fitted shift needs in all, and with each element that it shifts."""
_U_EV = {"Co": 3.32, "Cr": 3.7, "Fe": 5.3, "Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "V": 3.25, "W": 6.2}
# U of the Materials Project's oxides and fluorides (pymatgen, MPRelaxSet).
_LEGACY_OXIDE_EV, _LEGACY_SULFIDE_EV = -0.70229 + 0.687, -0.66346 + 0.503
# pymatgen's MPCompatibility.yaml less its MP2020Compatibility.yaml, per O and per S.
_O_O_BOND_ANG = 1.7
_OQMD_FITTED = frozenset(["H", "N", "O", "F", "P", "S", "Cl", "Se", "Br", "Te", "I"])
# Elements whose references OQMD fits to experiments, or may (doi:10.1038/npjcompumats.2015.10).
_ANIONS = frozenset(["H", "N", "O", "F", "Si", "S", "Cl", "Se", "Br", "Sb", "Te", "I"])
# Elements that MP2020 corrects; but for O and S, where their oxidation states are negative.
_LEFT_EV = {
    MP2020: "pw.x finds those of 13 oxides, halides, nitrides and alloys within .016 eV/atom on average, .048 at most",
    MP_LEGACY: "with MP2020's tables, oxygen's and sulfur's values changed; 16 compounds of both schemes agree within .04",
    OQMD: "71 compounds of metals, of both schemes, agree within .012 eV/atom with MP2020's without its corrections",
}


@dataclass(frozen=True)
class Scaled:
    """Known crystals with formation energies of plain PBE, and what was done to them, as sentences."""

    crystals: tuple[KnownCrystal, ...]
    notes: tuple[str, ...] = ()


Shift = Callable[[KnownCrystal], float | None]
"""What is added to a crystal's label, eV/atom; None where that is not known."""


def on_plain_scale(crystals: Sequence[KnownCrystal]) -> Scaled:
    """The crystals with their formation energies moved to the scale of plain PBE.

    Labels of the Materials Project lose the corrections of its scheme, by pymatgen's tables; those that make totals with and
    without U comparable stay. Labels of another scheme are moved by a shift per element, fitted on the crystals that have a
    plain label, too. A label that cannot be moved is left out; its crystal stays.

    Args:
        crystals: of all data files of a campaign; `scheme` is one of SCHEMES, AS_GIVEN, "" where nothing is said, or a
            name of its own.

    Raises:
        DataError: a scheme of its own with too few crystals in common to fit a shift.
    """
    labelled: dict[str, list[int]] = {}
    for index, crystal in enumerate(crystals):
        if E_F in crystal.labels:
            labelled.setdefault(scheme_named(crystal.scheme), []).append(index)
    moved, notes, plain = list(crystals), list[str](), _PlainLabels()
    for scheme in sorted(labelled, key=lambda name: (name not in (PLAIN, MP2020), name)):
        rows = labelled[scheme]
        shift, how = _shift_of(scheme, [crystals[index] for index in rows], plain)
        shifts = [shift(crystals[index]) for index in rows]
        for index, by_ev in zip(rows, shifts, strict=True):
            moved[index] = _moved(crystals[index], by_ev)
            if scheme in (PLAIN, MP2020):
                plain.add(moved[index])
        notes.append(_told(scheme, shifts, how))
    return Scaled(tuple(moved), tuple(notes))


def scheme_named(given: str) -> str:
    """The scheme that a user means: capitals do not matter, and a few other names are known."""
    names = {name.lower(): name for name in (*SCHEMES, AS_GIVEN)}
    others = {"mp": MP2020, "materialsproject2020": MP2020, "gga": PLAIN, "raw": PLAIN, "uncorrected": PLAIN}
    return (names | others).get(given.strip().lower(), given.strip())


def mp2020_correction_ev_per_atom(crystal: KnownCrystal) -> float:
    """What the Materials Project's scheme of 2020 adds for anions to a total energy, eV/atom; zero or below for most.

    Its corrections between totals with and without U are no part of it: they bring totals with U to the scale of plain PBE.

    Source: doi:10.1038/s41598-021-94550-5; rule and table are pymatgen's MaterialsProject2020Compatibility.
    """
    return sum(_anion_corrections_ev(crystal).values()) / len(crystal.structure)


def _anion_corrections_ev(crystal: KnownCrystal) -> dict[str, float]:
    """Name of each anion correction ("oxide", "S", ...) and its sum over the cell."""
    return _corrections_ev(crystal.structure.composition, _bonded_anions(crystal.structure))


def _corrections_ev(composition: Composition, bonded: dict[str, str]) -> dict[str, float]:
    symbols = set(composition.get_el_amt_dict())
    has_u = {symbol: _U_EV[symbol] for symbol in symbols if symbol in _U_EV} if {"O", "F"} & symbols else {}
    parameters = {"run_type": "GGA+U" if has_u else "GGA", "hubbards": has_u}
    data: dict[str, Any] = dict(bonded)
    if not symbols & _ANIONS - {"O", "S"}:
        data["oxidation_states"] = {"O": -2.0}  # not asked for: guessing them takes far longer than all else
    entry = ComputedEntry(composition, 0.0, parameters=parameters, data=data)
    with warnings.catch_warnings():
        # No oxidation states that balance: then the most electronegative element is the anion, as for published entries.
        warnings.filterwarnings("ignore", message="Failed to guess oxidation states")
        # Of a formula alone, peroxides are those in pymatgen's list, such as Li2O2.
        warnings.filterwarnings("ignore", message="No structure or oxide_type parameter present")
        found = _tables().get_adjustments(entry)
    return {one.name.partition("(")[2].rstrip(")"): float(one.value) for one in found if "anion correction" in one.name}


def plain_shift_of_formula(formula: str, scheme: str) -> float | None:
    """What is added to a formation energy of a scheme to have it on the scale of plain PBE, known its formula alone, eV/atom.

    As `on_plain_scale` does for crystals, but that peroxides are told by their formulas, and that no shift can be fitted:
    None for schemes of their own and for compounds of OQMD with an element whose reference it fits.
    """
    composition = Composition(formula)
    symbols = set(composition.get_el_amt_dict())
    if scheme in (PLAIN, AS_GIVEN) or len(symbols) == 1:
        return 0.0
    if scheme == OQMD:
        return None if symbols & _OQMD_FITTED else 0.0
    if scheme not in (MP2020, MP_LEGACY):
        return None
    if not symbols & _ANIONS:
        return 0.0
    found = _corrections_ev(composition, {})
    return -(sum(found.values()) + (_legacy_more_ev(composition, found) if scheme == MP_LEGACY else 0.0)) / float(
        composition.num_atoms
    )


def _bonded_anions(structure: Structure) -> dict[str, str]:
    """What pymatgen finds of O-O and S-S bonds; nothing of oxides without near oxygens, which are most, and much faster."""
    found = {}
    oxygens = [index for index, site in enumerate(structure) if site.specie.symbol == "O"]
    if oxygens:
        distances = structure.distance_matrix[np.ix_(oxygens, oxygens)]
        is_bonded = (distances + 9 * np.eye(len(oxygens)) < _O_O_BOND_ANG).any()
        found["oxide_type"] = str(oxide_type(structure, 1.05)) if is_bonded else "oxide"
    if "S" in structure.symbol_set:
        found["sulfide_type"] = str(sulfide_type(structure))  # type: ignore[no-untyped-call]
    return found


@cache
def _tables() -> MaterialsProject2020Compatibility:
    return MaterialsProject2020Compatibility(check_potcar=False)


def _shift_of(scheme: str, rows: Sequence[KnownCrystal], plain: _PlainLabels) -> tuple[Shift, str]:
    """What is added to the labels of a scheme, and how that is known."""
    if scheme == MP2020:
        return _without_mp2020, _LEFT_EV[MP2020]
    if scheme == MP_LEGACY:
        return _without_legacy, _LEFT_EV[MP_LEGACY]
    if scheme == PLAIN:
        return _as_it_is, "the scheme of pw.x here"
    if scheme == AS_GIVEN:
        return _as_it_is, "as `scheme: as_given` says"
    if not scheme:
        return _as_it_is, (
            "though they do not say their scheme; if they hold corrections (as the Materials Project's do, up to .5 eV/atom), "
            f"give `scheme:` beside `path:`, or a column formation_energy_scheme: {', '.join(SCHEMES)}, as_given"
        )
    fit = _fitted(rows, plain, _OQMD_FITTED if scheme == OQMD else None)
    if fit is not None:
        by_element, error_ev, common = fit
        return partial(_by_element, by_element, scheme), (
            f"a shift per element, fitted on {common} compounds with plain labels, leaves {error_ev:.3f} eV/atom"
        )
    if scheme == OQMD:
        return partial(_by_element, {}, OQMD), _LEFT_EV[OQMD]
    raise DataError(
        f"{rows[0].where}: formation_energy_scheme {scheme!r} is not known ({len(rows):,} labels, fewer than {FEWEST_COMMON} "
        f"of them of crystals with a plain label); write one of {', '.join(SCHEMES)}, or `scheme: as_given` beside `path:`"
    )


def _as_it_is(_: KnownCrystal) -> float:
    return 0.0


def _without_mp2020(crystal: KnownCrystal) -> float:
    return -mp2020_correction_ev_per_atom(crystal)


def _without_legacy(crystal: KnownCrystal) -> float:
    found = _anion_corrections_ev(crystal)
    return -(sum(found.values()) + _legacy_more_ev(crystal.structure.composition, found)) / len(crystal.structure)


def _legacy_more_ev(counts: Composition, found: dict[str, float]) -> float:
    return float(
        _LEGACY_OXIDE_EV * counts["O"] * ("oxide" in found) + _LEGACY_SULFIDE_EV * counts["S"] * ("S" in found)
    )


def _by_element(shift_ev: dict[str, float], scheme: str, crystal: KnownCrystal) -> float | None:
    """The mean of the elements' shifts; None where one of them is not known, which OQMD's need not be for metals."""
    fractions = crystal.structure.composition.fractional_composition.get_el_amt_dict()
    needed = set(fractions) & _OQMD_FITTED if scheme == OQMD else set(fractions)
    if needed - set(shift_ev):
        return None
    return float(sum(fraction * shift_ev.get(element, 0.0) for element, fraction in fractions.items()))


def _fitted(
    rows: Sequence[KnownCrystal], plain: _PlainLabels, free: frozenset[str] | None
) -> tuple[dict[str, float], float, int] | None:
    """Shifts per element by least squares, the mean absolute difference that they leave out of sample, and of how many.

    Args:
        rows: labelled crystals of the scheme.
        plain: labels to compare with.
        free: the elements that may have a shift; all, where None.
    """
    pairs = [(row, found) for row in rows if (found := plain.of(row)) is not None]
    counts = Counter(symbol for row, _ in pairs for symbol in row.structure.symbol_set)
    elements = sorted(
        symbol for symbol, n in counts.items() if n >= FEWEST_OF_AN_ELEMENT and (free is None or symbol in free)
    )
    pairs = [
        pair for pair in pairs if any(symbol in pair[0].structure.symbol_set for symbol in elements)
        and (free is not None or set(pair[0].structure.symbol_set) <= set(elements))
    ]  # fmt: skip
    if len(pairs) < FEWEST_COMMON:
        return None
    fractions = np.array([[row.structure.composition.get_atomic_fraction(one) for one in elements] for row, _ in pairs])
    wanted_ev = np.array([found - row.labels[E_F] for row, found in pairs])
    # A trace of ridge: an element that stands beside one other alone has no shift of its own, and half is each one's.
    inverse = np.linalg.inv(fractions.T @ fractions + 1e-6 * np.eye(len(elements))) @ fractions.T
    shifts_ev = inverse @ wanted_ev
    hat = np.einsum("pe,ep->p", fractions, inverse)
    left_ev = np.abs(wanted_ev - fractions @ shifts_ev) / np.maximum(1.0 - hat, 1e-3)
    return dict(zip(elements, shifts_ev.tolist(), strict=True)), float(left_ev.mean()), len(pairs)


class _PlainLabels:
    """Formation energies of plain PBE that can be asked for by crystal."""

    def __init__(self) -> None:
        self._by_formula: dict[str, list[KnownCrystal]] = {}
        self._matcher = StructureMatcher()

    def add(self, crystal: KnownCrystal) -> None:
        self._by_formula.setdefault(crystal.structure.composition.reduced_formula, []).append(crystal)

    def of(self, crystal: KnownCrystal) -> float | None:
        """The label of the same crystal, as StructureMatcher knows it; None where there is none."""
        same = self._by_formula.get(crystal.structure.composition.reduced_formula, ())
        return next((one.labels[E_F] for one in same if self._matcher.fit(one.structure, crystal.structure)), None)


def _moved(crystal: KnownCrystal, by_ev: float | None) -> KnownCrystal:
    if by_ev is None:
        return replace(crystal, labels={name: value for name, value in crystal.labels.items() if name != E_F})
    return replace(crystal, labels={**crystal.labels, E_F: crystal.labels[E_F] + by_ev})


def _told(scheme: str, shifts: Sequence[float | None], how: str) -> str:
    """One sentence: how many labels of which scheme were moved by how much, and how well that is known."""
    known = np.array([shift for shift in shifts if shift is not None])
    left_out = len(shifts) - len(known)
    moved = known[known != 0]
    name = f"of scheme {scheme}" if scheme not in ("", AS_GIVEN) else "as they are"
    told = f"{len(shifts):,} formation energies {name}"
    if scheme not in ("", PLAIN, AS_GIVEN):
        told += f" put on the scale of plain PBE: {len(moved):,} moved"
        told += f" by {moved.min():+.3f} to {moved.max():+.3f} eV/atom" if len(moved) else ""
        told += f", {left_out:,} left out for want of a shift of one of their elements" if left_out else ""
        return f"{told}; {how}"
    return f"{told}, {how}"
