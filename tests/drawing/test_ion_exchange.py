"""Ion exchange: likely exchanges first, as pymatgen weighs them; neutral formulas, scaled cells, the same for the same seed."""

from itertools import islice
from math import exp

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.proposal import Base, Kind
from crystalloop.models.generate.ion_exchange import charged, exchanges, ion_exchanged, mean_radius_ratio

SALT = Base("NaCl:rocksalt_B1", decorated(Prototype.ROCKSALT, ("Na", "Cl")))
PEROVSKITE = Base("SrTiO3:perovskite_E21", decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O")))
ALLOY = Base("AlNi:CsCl_B2", decorated(Prototype.CSCL, ("Ni", "Al")))


def counts(**atoms):
    return tuple(sorted(atoms.items()))


def made(parents, elements, **more):
    return list(ion_exchanged(parents, elements, **more))


def test_probabilities_are_those_of_pymatgen():
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

    table = SubstitutionProbability()
    found = exchanges(counts(Na=1, Cl=1), frozenset({"Na", "Li", "K", "F", "Cl", "Mg", "O"}))
    for numbers, charges, logarithm in zip(found.numbers, found.charges, found.log_probability, strict=True):
        symbols = {atomic_number(s): s for s in ("Na", "Li", "K", "F", "Cl", "Mg", "O")}
        new = [
            f"{symbols[int(n)]}{abs(q) if abs(q) > 1 else ''}{'+' if q > 0 else '-'}"
            for n, q in zip(numbers, charges, strict=True)
        ]
        assert exp(logarithm) == pytest.approx(table.cond_prob_list(new, ["Cl-", "Na+"]), rel=1e-9)
    assert len(found.numbers) == 6  # LiCl, KCl, NaF; LiF, KF, MgO


@pytest.mark.parametrize(
    ("atoms", "ions"),
    [
        ({"Na": 1, "Cl": 1}, {"Na": 1, "Cl": -1}),
        ({"Sr": 1, "Ti": 1, "O": 3}, {"Sr": 2, "Ti": 4, "O": -2}),
        ({"La": 1, "Mn": 1, "O": 3}, {"La": 3, "Mn": 3, "O": -2}),
        ({"Ti": 1, "N": 1}, {"Ti": 3, "N": -3}),
        ({"Ni": 1, "Al": 1}, None),
        ({"Fe": 3, "O": 4}, None),
        ({"Na": 4}, None),
    ],
)
def test_charges_are_those_of_the_commonest_ions(atoms, ions):
    found = charged(counts(**atoms))
    assert (found and dict(found)) == ions


def test_the_likeliest_exchange_comes_first_and_a_crystal_once():
    found = made([SALT], ["Na", "Li", "K", "Cl", "F"])
    assert {one.formula for one in found} == {"NaF", "KCl", "LiCl", "KF", "LiF"}
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)
    assert all(one.kind is Kind.SUBSTITUTED and one.bases == (SALT.name,) for one in found)
    twice = made([SALT, Base("again", SALT.crystal)], ["Na", "Li", "K", "Cl", "F"])
    assert len(twice) == len(found)


def test_two_ions_may_change_their_charges_together_and_one_alone_may_not():
    formulas = {one.formula for one in made([SALT], ["Na", "Cl", "Mg", "O"])}
    assert formulas == {"MgO"}  # not NaO, not MgCl
    assert "LaAlO3" in {one.formula for one in made([PEROVSKITE], ["Sr", "Ti", "La", "Al", "O"])}


def test_no_element_but_the_allowed_ones_is_left_where_the_parent_has_others():
    found = made([PEROVSKITE], ["Ba", "Zr", "O"])
    assert {one.formula for one in found} == {"BaZrO3"}  # Ba for Sr and Zr for Ti, or the other way round
    assert found[0].crystal.numbers.tolist() == [56, 40, 8, 8, 8]
    assert made([PEROVSKITE], ["Ba", "O"]) == []


def test_an_alloy_is_exchanged_by_the_likeness_of_its_elements():
    found = made([ALLOY], ["Ni", "Al", "Pd", "Ga", "Cs"])
    assert found[0].formula in ("GaNi", "AlPd")  # next in Pettifor's order; caesium is far from both
    assert all("Cs" not in one.crystal.composition for one in found[:3])


def test_sites_of_unlike_elements_can_be_exchanged_with_each_other():
    heusler = Base("LiMgSb", decorated(Prototype.HALF_HEUSLER, ("Li", "Mg", "Sb")))
    swapped = [one for one in made([heusler], ["Li", "Mg", "Sb"]) if one.formula == "LiMgSb"]
    assert {tuple(one.crystal.numbers[::4]) for one in swapped} - {tuple(heusler.crystal.numbers[::4])}


def test_the_cell_is_scaled_by_the_radii_of_the_ions():
    # Shannon, six-fold: Na+ 1.16, Cl- 1.67, K+ 1.52, F- 1.19 angstrom.
    ratio = mean_radius_ratio({"Na": 4, "Cl": 4}, (("Cl", -1), ("Na", 1)), (("F", -1), ("K", 1)))
    assert ratio == pytest.approx((1.52 + 1.19) / (1.16 + 1.67), abs=0.01)
    fluoride = next(
        one
        for one in made(
            [Base("NaCl", Crystal(np.eye(3) * 5.64, SALT.crystal.numbers, SALT.crystal.frac_coords))], ["Na", "F"]
        )
    )
    assert fluoride.crystal.lengths_ang[0] == pytest.approx(4.63, abs=0.12)  # measured: 4.63


def test_only_wanted_kinds_of_formula_are_made():
    assert {
        len(one.crystal.composition)
        for one in made([SALT, PEROVSKITE], ["Na", "K", "Cl", "Ba", "Sr", "Ti", "O"], formulas={"ABC3"})
    } == {3}


def test_the_same_seed_gives_the_same_order_and_ties_are_broken_by_it():
    alloys = [
        Base(f"a{i}", decorated(Prototype.CSCL, pair))
        for i, pair in enumerate([("Ni", "Al"), ("Pd", "Ga"), ("Co", "Al")])
    ]
    elements = ["Ni", "Al", "Pd", "Ga", "Co", "Fe", "Cu", "Zn"]

    def order(seed):
        return [(one.formula, one.bases) for one in ion_exchanged(alloys, elements, seed=seed)]

    assert order(1) == order(1)
    assert {order(seed)[0] for seed in range(6)} <= set(order(1))
    assert len({tuple(order(seed)) for seed in range(6)}) > 1


def test_nothing_comes_of_nothing():
    assert made([], ["Na", "Cl"]) == []
    assert made([SALT], []) == []
    assert made([Base("Na", decorated(Prototype.CSCL, ("Na", "Cl")))], ["Cs"]) == []


def test_crystals_are_made_one_by_one_as_they_are_asked_for():
    parents = [Base(str(i), SALT.crystal) for i in range(3)]
    assert len(list(islice(ion_exchanged(parents, ["Na", "K", "Rb", "Cs", "F", "Cl", "Br", "I"]), 2))) == 2


def test_a_formula_of_many_elements_is_exchanged_by_likeness_and_in_no_time():
    many = counts(Cr=1, Mn=1, Fe=1, Co=1, Ni=1, Mo=1, Re=1, O=7)
    assert charged(many) is None


def test_noble_gases_and_elements_beyond_the_tables_are_no_error():
    odd = Base("KrXe", decorated(Prototype.CSCL, ("Kr", "Xe")))
    heavy = Base("Og", Crystal(np.eye(3) * 4, [118, 11], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert all(set(one.crystal.composition) <= {"Na", "Cl", "Ne"} for one in made([odd, heavy], ["Na", "Cl", "Ne"]))
