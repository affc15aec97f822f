"""The shift per element that ties a reference to own energies: known shifts are found, other structures are not."""

import numpy as np
import pytest

from crystalloop.dft.energies.reference_hull import FormationEntry, composition_key
from crystalloop.dft.energies.tie import PRIOR_EV, fit_tie

FORMULAS = [
    "LiF",
    "NaF",
    "MgF2",
    "AlF3",
    "Li2O",
    "MgO",
    "Na2O",
    "Al2O3",
    "LiCl",
    "NaCl",
    "MgCl2",
    "AlCl3",
    "LiAl",
    "NaMg",
    "LiMg2",
]
TRUE = {"O": 0.2, "F": 0.1, "Cl": -0.05}


def shifted(formula):
    amounts = dict(composition_key(formula))
    return sum(TRUE.get(symbol, 0.0) * n for symbol, n in amounts.items()) / sum(amounts.values())


def pairs(noise=0.0, seed=0, formulas=FORMULAS):
    rng = np.random.default_rng(seed)
    reference = {composition_key(formula): float(rng.uniform(-3.5, -0.5)) for formula in formulas}
    own = [
        FormationEntry(f"own-{f}", f, reference[composition_key(f)] + shifted(f) + float(rng.normal(0.0, noise)))
        for f in formulas
    ]
    return own, reference


def test_a_shift_per_element_is_found_and_what_is_left_is_small():
    own, reference = pairs()
    tie = fit_tie(own, reference.get)
    assert (tie.common, tie.left_out) == (len(FORMULAS), 0)
    for symbol in ("O", "F", "Cl", "Li", "Na", "Mg", "Al"):
        assert tie.shift_ev[symbol] == pytest.approx(TRUE.get(symbol, 0.0), abs=0.03)


def test_the_lowest_of_a_formula_counts_and_another_structure_does_not():
    own, reference = pairs()
    others = [
        FormationEntry("B2", "NaCl", own[9].energy_ev_per_atom + 0.4),
        FormationEntry("ZnS", "CaO", -2.0),
        FormationEntry("element", "Li", 0.0),
        FormationEntry("from elsewhere", "LiF", -9.0, imported=True),
    ]
    tie = fit_tie([*own, *others], {**reference, composition_key("CaO"): -3.2, (("Li", 1),): 0.0}.get)
    assert (tie.common, tie.left_out) == (len(FORMULAS), 1)
    assert tie.shift_ev["O"] == pytest.approx(0.2, abs=0.03)


def test_ninety_percent_of_true_differences_lie_within_the_stated_error():
    inside = []
    for seed in range(60):
        own, reference = pairs(noise=0.03, seed=seed)
        tie = fit_tie(own[: 4 + seed % 8], reference.get)
        for entry in own:
            key = composition_key(entry.formula)
            amounts = dict(key)
            moved = reference[key] + sum(tie.shift_ev.get(s, 0.0) * n for s, n in amounts.items()) / sum(
                amounts.values()
            )
            inside.append(abs(entry.energy_ev_per_atom - moved) <= 1.645 * tie.error_ev_per_atom(entry.formula))
    assert 0.85 <= np.mean(inside) <= 1.0


def test_nothing_in_common_is_no_shift_with_the_priors_error():
    tie = fit_tie([], {}.get)
    assert (tie.common, dict(tie.shift_ev)) == (0, {})
    assert tie.error_ev_per_atom("LiF") == pytest.approx(np.hypot(PRIOR_EV * np.sqrt(0.5), tie.scatter_ev))


def test_the_error_is_wider_where_an_element_was_never_compared():
    own, reference = pairs(formulas=["LiF", "NaF", "MgF2", "AlF3", "LiAl"])
    tie = fit_tie(own, reference.get)
    assert tie.error_ev_per_atom("LiF") < tie.error_ev_per_atom("LiO") < 0.1
    assert "O" not in tie.shift_ev
