"""Near a compound, without an element: the distance of compositions, against other people's tables and methods."""

from itertools import product

import numpy as np
import pytest
from pymatgen.core.periodic_table import Element
from scipy.stats import wasserstein_distance

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.vicinity import Vicinity, amounts, distance, nearest_possible, scale
from crystalloop.models.generate.funnel import wanted_composition


def test_the_scale_is_pettifors_as_pymatgen_has_it():
    assert scale() == {symbol: int(Element(symbol).mendeleev_no) for symbol in scale()}
    assert len(scale()) == 103


def test_the_distance_is_the_least_work_of_carrying_one_composition_onto_the_other():
    rng = np.random.default_rng(0)
    symbols = np.array(list(scale()))
    for _ in range(50):
        one, other = (
            dict(zip(rng.choice(symbols, 4, replace=False), rng.integers(1, 9, 4), strict=True)) for _ in "ab"
        )
        places = [[scale()[symbol] for symbol in each] for each in (one, other)]
        expected = wasserstein_distance(*places, list(one.values()), list(other.values()))
        assert distance(one, other) == pytest.approx(expected, abs=1e-9)
        assert distance(one, other) == pytest.approx(distance(other, one))


@pytest.mark.parametrize(
    ("compound", "places"), [("NaF", 0.5), ("LiCl", 1.5), ("NaCl", 2.0), ("CaO", 2.5), ("MgO", 31)]
)
def test_what_a_chemist_calls_near_lithium_fluoride_is_near(compound, places):
    # By hand: Li 12, Na 11, Ca 16, Mg 73, Cl 99, O 101, F 102; half of the atoms each.
    assert distance(amounts("LiF"), amounts(compound)) == pytest.approx(places)


def test_only_shares_of_atoms_count():
    assert distance(amounts("Li2F2"), amounts("LiF")) == 0
    assert distance(amounts("LiFePO4"), amounts("NaFePO4")) == pytest.approx(1 / 7)


def test_no_composition_of_the_elements_lies_nearer_than_the_bound():
    elements = ("Na", "Mg", "O", "Cl")
    bound = nearest_possible("LiFePO4", elements)
    tried = [
        distance(amounts("LiFePO4"), dict(zip(elements, counts, strict=True)))
        for counts in product(range(8), repeat=4)
        if sum(counts)
    ]
    assert bound == pytest.approx(min(tried))  # Na Mg O4 with P on Mg: 7 atoms can reach it
    assert nearest_possible("LiF", ("Li", "F", "K")) == 0


def test_a_crystal_is_near_one_of_the_compounds_and_has_none_of_the_elements():
    place = Vicinity(("LiF", "MgO"), 1.0, ("Cl",))
    assert [place.holds(amounts(one)) for one in ("NaF", "MgO", "NaCl", "LiCl")] == [True, True, False, False]
    assert Vicinity(without=("Cl",)).holds(amounts("UO2"))
    assert not Vicinity(("LiF",)).holds({"Rf": 1.0})


def test_a_named_prototype_counts_too():
    place = Vicinity(("LiF:rocksalt_B1",), 1.0)
    assert place.holds(amounts("NaF"), "rocksalt_B1")
    assert not place.holds(amounts("NaF"), "CsCl_B2")
    assert not place.holds(amounts("NaF"))


@pytest.mark.parametrize(
    ("near", "within", "without", "says"),
    [
        (("LiF",), 0.0, (), "ask for more than 0"),
        (("LiF",), -1.0, (), "ask for more than 0"),
        (("LiF",), float("nan"), (), "ask for more than 0"),
        (("Foo",), 1.0, (), "not a formula"),
        (("LiXx",), 1.0, (), "'Xx' is not an element symbol"),
        (("RfO",), 1.0, (), "no place on Pettifor's scale"),
        (("LiF:B1",), 1.0, (), "unknown prototype"),
        (("Li0",), 1.0, (), "no atoms"),
        ((), 1.0, ("Xx",), "not an element symbol"),
    ],
)
def test_what_is_no_place_is_told_why(near, within, without, says):
    with pytest.raises(ValueError, match=says):
        Vicinity(near, within, without)


def salt(a, b, kind=Kind.DECORATED, prototype=None, at=0.25):
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    coords = np.concatenate([sites, sites + (0.5 if prototype is None and at == 0.5 else at)]) % 1.0
    return Proposal(Crystal(np.eye(3) * 5.0, np.array([a] * 4 + [b] * 4), coords), kind, prototype)


def test_the_funnel_keeps_compositions_that_are_wanted_and_looks_at_the_structure_of_those_drawn():
    near = [salt(3, 9), salt(11, 9), salt(11, 17), salt(12, 8)]
    stage = wanted_composition(Vicinity(("LiF",), 1.0))
    assert stage.keep(near) == near[:2]
    rocksalt, zincblende = salt(11, 9, Kind.RANDOM, at=0.5), salt(11, 9, Kind.RANDOM, at=0.25)
    assert wanted_composition(Vicinity(("LiF:rocksalt_B1",), 1.0)).keep([rocksalt, zincblende]) == [rocksalt]
