"""Energies above the hull, against hulls that can be drawn by hand."""

import pytest

from crystalloop.dft.energies.hull import HullEntry, energies_above_hull

SCHEME = "pw6.7-k0.45-0000000000"
ELEMENTS = (("Li", -10.0), ("F", -20.0), ("Mg", -30.0))


def entry(name, formula, formation, scheme=SCHEME, imported=False):
    """An entry whose formation energy is given, eV/atom."""
    whole = HullEntry(name, formula, 0.0, scheme)
    energies = dict(ELEMENTS)
    fractions = whole.composition.fractional_composition.get_el_amt_dict()
    mixed = sum(share * energies[element] for element, share in fractions.items())
    return HullEntry(name, formula, mixed + formation, scheme, imported)


REFERENCES = [HullEntry(f"ref-{element}", element, energy, SCHEME) for element, energy in ELEMENTS]


def above(wanted, *others, references=REFERENCES):
    return energies_above_hull([wanted], [*references, *others])[wanted.name]


def test_a_compound_on_a_binary_hull_drawn_by_hand():
    # Li2F lies 2/3 of the way from F to Li: the line from Li (0) to LiF (-3) passes it at -2.
    found = above(entry("a", "Li2F", -1.5), entry("b", "LiF", -3.0))
    assert found.e_above_hull == pytest.approx(0.5)
    assert {(formula, name) for _, formula, name in found.decomposition} == {("LiF", "b"), ("Li", "ref-Li")}
    assert [share for share, *_ in found.decomposition] == pytest.approx([2 / 3, 1 / 3])


def test_an_unstable_compound_is_measured_against_its_elements():
    assert above(entry("a", "Li2F", 0.25), entry("b", "LiF", 1.0)).e_above_hull == pytest.approx(0.25)


def test_the_lowest_energy_is_exactly_the_floor():
    found = energies_above_hull([entry("a", "LiF", -3.0), entry("b", "Li2F", -2.5)], REFERENCES)
    assert [found[name].e_above_hull for name in "ab"] == [0.0, 0.0]


def test_a_metastable_polymorph_of_an_imported_compound_lies_above_it():
    found = above(entry("a", "LiF", -2.4), entry("icsd", "LiF", -3.0, imported=True))
    assert found.e_above_hull == pytest.approx(0.6)
    assert found.decomposition == ((pytest.approx(1.0), "LiF", "icsd"),)


def test_own_polymorphs_alone_make_a_sparse_hull():
    found = above(entry("a", "LiF", -2.4), entry("b", "LiF", -3.0))
    assert found.e_above_hull is None
    assert "sparse hull for F-Li: no competing compound with F, Li" in found.reason


def test_a_missing_element_is_named():
    found = above(entry("a", "LiF", -2.4), entry("b", "Li2F", -1.0), references=REFERENCES[:1])
    assert found.e_above_hull is None
    assert "no reference energy of F" in found.reason


def test_a_ternary_needs_every_element_in_a_competing_compound_but_not_every_pair():
    ternary = entry("a", "LiMgF3", -2.0)
    lif, mgf = entry("b", "LiF", -2.0), entry("c", "MgF2", -1.0)
    assert "no competing compound with Mg" in above(ternary, lif).reason
    found = above(ternary, lif, mgf)
    assert found.e_above_hull == 0.0
    assert found.competing == 2
    # LiF + MgF2 at 2 and 3 of 5 atoms: -0.4 x 2.0 - 0.6 x 1.0 = -1.4
    assert above(entry("d", "LiMgF3", -1.3), lif, mgf).e_above_hull == pytest.approx(0.1)


def test_schemes_are_never_mixed():
    other = "pw7.3-k0.45-1111111111"
    stable_elsewhere = [entry("b", "LiF", -9.0, other, imported=True), entry("c", "Li2F", -9.0, other)]
    assert above(entry("a", "LiF", -3.0), *stable_elsewhere).e_above_hull is None
    assert above(entry("a", "LiF", -3.0), entry("d", "Li2F", 0.5), *stable_elsewhere).e_above_hull == 0.0
    elements_elsewhere = [HullEntry(e.name, e.formula, e.energy_per_atom_ev, other) for e in REFERENCES]
    found = above(entry("a", "LiF", -3.0), entry("d", "Li2F", 0.5), references=elements_elsewhere)
    assert "no reference energy of F, Li" in found.reason


def test_two_crystals_of_one_system_are_each_judged():
    wanted = [entry("a", "LiF", -3.0), entry("b", "MgF2", -4.0)]
    found = energies_above_hull(wanted, [*REFERENCES, entry("c", "Li2F", -0.1)])
    assert found["a"].e_above_hull == 0.0
    assert "sparse hull for F-Mg" in found["b"].reason
