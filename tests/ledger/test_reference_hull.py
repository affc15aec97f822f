"""A hull of formation energies: against pymatgen, against hulls drawn by hand, and against what is counted in real tables."""

import gzip
import json

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core.composition import Composition

from crystalloop.dft.energies.mixture import lowest_mixture
from crystalloop.dft.energies.reference_hull import FormationEntry, ReferenceHull, composition_key

ELEMENTS = ("Li", "Mg", "Al", "O", "F", "Cl")
PURE = [FormationEntry(symbol, symbol, 0.0, imported=True) for symbol in ELEMENTS]


def listed(*rows):
    return [FormationEntry(f"set-{formula}-{energy}", formula, energy, imported=True) for formula, energy in rows]


def hull_of(*rows):
    return ReferenceHull([*PURE, *listed(*rows)], "in the set")


def random_rows(rng, elements, count):
    found = []
    for _ in range(count):
        chosen = rng.choice(elements, size=int(rng.integers(2, min(4, len(elements)) + 1)), replace=False)
        amounts = {str(symbol): int(rng.integers(1, 6)) for symbol in chosen}
        found.append(("".join(f"{symbol}{number}" for symbol, number in amounts.items()), float(rng.normal(-0.5, 1.0))))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_every_value_is_pymatgens_on_random_chemical_systems(seed):
    rng = np.random.default_rng(seed)
    elements = list(rng.choice(ELEMENTS, size=2 + seed % 4, replace=False))
    rows = random_rows(rng, elements, 4 + 6 * seed)
    entries = [PDEntry(Composition(f), energy * Composition(f).num_atoms) for f, energy in rows]
    diagram = PhaseDiagram([*entries, *(PDEntry(Composition(str(symbol)), 0.0) for symbol in elements)])
    hull = hull_of(*rows)
    asked = [formula for formula, _ in random_rows(rng, elements, 40)] + [formula for formula, _ in rows]
    for formula in asked:
        point = hull.at(formula, even_sparse=True)
        expected = diagram.get_hull_energy_per_atom(Composition(formula))
        assert point.energy_ev_per_atom == pytest.approx(expected, abs=1e-6)
        energies = dict(zip((f"set-{f}-{e}" for f, e in rows), (e for _, e in rows), strict=True))
        assert sum(share for share, *_ in point.decomposition) == pytest.approx(1.0)
        assert sum(share * energies.get(name, 0.0) for share, _, name in point.decomposition) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_a_mixture_is_the_linear_programs_of_scipy(seed):
    from scipy.optimize import linprog  # of the test alone

    rng = np.random.default_rng(seed)
    fractions = rng.dirichlet(np.full(8, 0.4), size=300)
    energies, wanted = rng.normal(-0.3, 1.0, size=300), rng.dirichlet(np.ones(8))
    both = np.vstack([np.eye(8), fractions])
    expected = linprog(np.concatenate([np.zeros(8), energies]), A_eq=both.T, b_eq=wanted).fun
    assert lowest_mixture(fractions, energies, wanted).energy_ev_per_atom == pytest.approx(expected, abs=1e-9)


def test_many_equal_compounds_and_degenerate_compositions_end():
    fractions = np.repeat([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]], 50, axis=0)
    found = lowest_mixture(fractions, np.full(150, -1.0), np.array([0.25, 0.5, 0.25]))
    assert found.energy_ev_per_atom == pytest.approx(-1.0)


def test_a_binary_hull_drawn_by_hand():
    # Li2F lies 2/3 of the way from F to Li: the line from Li (0) to LiF (-3) passes it at -2.
    point = hull_of(("LiF", -3.0), ("LiF", -2.0), ("LiF3", 0.5)).at("Li4F2")
    assert point.energy_ev_per_atom == pytest.approx(-2.0)
    assert [(round(share, 6), formula) for share, formula, _ in point.decomposition] == [
        (0.666667, "LiF"),
        (0.333333, "Li"),
    ]
    assert point.competing == 3


def test_a_formula_that_is_in_the_set_has_its_lowest_energy_or_what_it_decomposes_to():
    hull = hull_of(("LiF", -3.0), ("LiF", -2.5), ("Li2F", -1.0), ("MgF2", 2.0))
    assert hull.energy("LiF") == -3.0
    assert hull.energy("Li2F") == pytest.approx(-2.0)
    assert hull.energy("Li2F2") == hull.at({"F": 0.5, "Li": 0.5}).energy_ev_per_atom == -3.0
    assert hull.energy("MgF2") == 0.0  # never above the elements


def test_an_own_result_joins_but_is_not_judged_against_itself():
    own = [FormationEntry("mine", "LiF", -3.5), FormationEntry("other", "LiF", -3.2)]
    hull = hull_of(("LiF", -3.0)).with_own(own)
    assert hull.energy("LiF") == -3.5
    assert hull.at("LiF", without="mine").energy_ev_per_atom == -3.2
    assert hull_of(("LiF", -3.0)).with_own(own[:1]).at("LiF", without="mine").energy_ev_per_atom == -3.0


def test_own_results_of_the_same_composition_do_not_make_a_sparse_hull_a_hull():
    own = [FormationEntry("mine", "LiF", -3.5), FormationEntry("other", "LiF", -3.2)]
    hull = hull_of(("MgO", -3.0)).with_own(own)
    assert "sparse hull for F-Li: no competing compound with F, Li is known in the set" in hull.at("LiF", "mine").reason
    assert hull.energy("LiF") is None
    assert hull.at("LiF", "mine", even_sparse=True).energy_ev_per_atom == -3.2
    assert hull.with_own([*own, FormationEntry("third", "Li2F", -0.1)]).energy("LiF") == -3.5


def test_an_element_that_the_set_does_not_list_is_missing_unless_it_lists_none():
    hull = hull_of(("YbO", -3.0), ("LiF", -3.0))
    assert hull.at("Yb2O3").reason == "no hull for O-Yb: no reference energy of Yb in the set"
    assert "Yb" not in hull.elements()
    assert ReferenceHull(listed(("YbO", -3.0))).energy("Yb2O3") == pytest.approx(-2.4)


def test_an_element_is_on_no_hull():
    assert hull_of(("LiF", -3.0)).at("Li4").reason == "no hull: an element"


def test_a_shift_moves_the_sets_compounds_and_neither_elements_nor_own_results():
    hull = hull_of(("LiF", -3.0), ("MgO", -3.0)).with_own([FormationEntry("mine", "Mg2O", -1.0)], {"F": 0.4, "O": 2.0})
    assert hull.energy("LiF") == pytest.approx(-2.8)
    assert hull.energy("Mg2O") == pytest.approx(-4.0 / 3)  # of MgO at -2, two atoms of three
    assert hull_of(("LiF", -3.0)).with_own((), {"F": 8.0}).energy("LiF") == 0.0


def test_what_cannot_be_moved_is_left_out_and_systems_that_nobody_asks_for_are_never_moved():
    asked = []

    def move(entry):
        asked.append(entry.formula)
        return None if entry.formula == "LiF3" else 0.25

    hull = ReferenceHull([*PURE, *listed(("LiF", -3.0), ("LiF3", -9.0), ("MgO", -3.0))], "in the set", move)
    assert hull.energy("Li2F") == pytest.approx(-2.75 * 2 / 3)
    assert hull.with_own(()).energy("LiF") == -2.75
    assert asked == ["LiF", "LiF3"]
    assert hull.listed(composition_key("Li2F2")) == -2.75
    assert hull.listed(composition_key("LiF3")) is None


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        ("Xx2O", "is no element"),
        ("", "cannot be read|no composition"),
        ("li2o", "."),
        ("LiD", "D"),
        ("Li(F", "."),
        ("12", "."),
    ],
)
def test_what_is_no_formula_is_refused(formula, sentence):
    with pytest.raises(ValueError, match=sentence):
        hull_of(("LiF", -3.0)).at(formula)
    with pytest.raises(ValueError, match="finite"):
        hull_of(("LiF", float("nan")))
    with pytest.raises(ValueError, match="no composition"):
        hull_of(("LiF", -3.0)).at({"Li": -1.0, "F": 1.0})


def test_formulas_with_brackets_and_parts_are_compositions():
    assert composition_key("Ca(NO3)2") == composition_key("CaN2O6") == (("Ca", 1), ("N", 2), ("O", 6))
    assert composition_key("Li0.5F0.5") == (("F", 0.5), ("Li", 0.5))
    assert composition_key("HOH") == composition_key("H2O")


def rows_of(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


@pytest.fixture(scope="module")
def judged(shared_data):
    """Energy above the merged hull of the shared tables, of every OQMD and WBM crystal that has one."""
    with gzip.open(shared_data / "mp_formation_energies.json.gz") as file:
        lowest = {row["formula"]: row["e_form"] for row in json.load(file).values()}
    names = ("cubic_three_classes", "half_heusler", "properties")
    rows = {name: list(rows_of(shared_data / f"{name}.jsonl.gz")) for name in names}
    for row in (row for name in names for row in rows[name]):
        energy = row.get("formation_energy_per_atom")
        if energy is not None and (row["source"], row["formation_energy_scheme"]) == ("materials_project", "MP2020"):
            lowest[row["formula"]] = min(energy, lowest.get(row["formula"], energy))
    hull = ReferenceHull(FormationEntry(formula, formula, energy, True) for formula, energy in lowest.items())
    asked = [row for row in rows["cubic_three_classes"] if row["source"] in ("oqmd", "wbm")]
    points = [(hull.at(row["formula"], even_sparse=True), row["formation_energy_per_atom"]) for row in asked]
    return len(lowest), [energy - at.energy_ev_per_atom for at, energy in points if at.energy_ev_per_atom is not None]


def test_counts_on_the_merged_hull_are_those_that_the_shared_data_state(judged):
    formulas, above = judged
    assert (formulas, len(above)) == (47_591, 3_975)
    assert [sum(one <= limit for one in above) for limit in (0.0, 0.025, 0.05, 0.1)] == [119, 210, 339, 675]
    kept = [one for one in above if one >= -0.05]
    assert (len(kept), sum(one <= 0 for one in kept)) == (3_940, 84)
