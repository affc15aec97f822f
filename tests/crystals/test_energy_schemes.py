"""Formation energies of files on the scale of pw.x: what each scheme added is taken off, and said."""

import dataclasses

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.contradictions import contradicting_labels
from crystalloop.models.data.energy_schemes import mp2020_correction_ev_per_atom, on_plain_scale
from crystalloop.models.data.files import DataError, KnownCrystal

B1 = [[0, 0, 0], [0.5, 0.5, 0.5]]


def salt(cation, anion, label, scheme="", a=4.2):
    fcc = Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]])
    structure = Structure(fcc, [cation, anion], B1)
    return KnownCrystal(f"{cation}{anion}", "d.jsonl line 1", structure, {E_F: label, "band_gap": 1.0}, scheme)


def of(structure, label, scheme):
    return KnownCrystal("x", "d.jsonl line 1", structure, {E_F: label}, scheme)


def moved(*crystals):
    scaled = on_plain_scale(crystals)
    return [one.labels.get(E_F) for one in scaled.crystals], " | ".join(scaled.notes)


# Labels of the Materials Project (MP2020), and the plain PBE of the same cells by pw.x and SSSP, measured: bench/energy_scale.py.
BY_PW = [
    ("Li", "F", -3.166, -2.952),
    ("Na", "F", -2.937, -2.707),
    ("Na", "Cl", -2.110, -1.843),
    ("Mg", "O", -3.054, -2.705),
]


@pytest.mark.parametrize(("cation", "anion", "label", "by_pw_x"), [*BY_PW, ("Ca", "O", -3.306, -2.955)])
def test_labels_of_the_materials_project_come_to_what_pw_x_finds(cation, anion, label, by_pw_x):
    (value,), said = moved(salt(cation, anion, label, "MP2020"))
    assert abs(label - by_pw_x) > 0.2 and value == pytest.approx(by_pw_x, abs=0.05)
    assert "scheme MP2020 put on the scale of plain PBE" in said and "1 moved by" in said


def test_a_perovskite_loses_the_correction_of_its_three_oxygens():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cell = Structure(Lattice.cubic(4.036), ["Ba", "Ti", "O", "O", "O"], sites)
    (value,), _ = moved(of(cell, -3.478, "mp2020"))
    assert value == pytest.approx(-3.478 + 3 * 0.687 / 5) == pytest.approx(-3.066, abs=1e-3)


def test_peroxides_have_a_correction_of_their_own():
    oxygens = [[0.5, 0.5, 0.39], [0.5, 0.5, 0.61]]  # 1.5 angstrom apart
    cell = Structure(Lattice.tetragonal(4.0, 6.8), ["Ca", "O", "O"], [[0, 0, 0], *oxygens])
    assert mp2020_correction_ev_per_atom(of(cell, 0, "MP2020")) == pytest.approx(-2 * 0.465 / 3)


@pytest.mark.parametrize(("cation", "anion"), [("Al", "Ni"), ("Ti", "Al"), ("Cu", "Zn")])
def test_alloys_have_nothing_to_lose(cation, anion):
    (value,), _ = moved(salt(cation, anion, -0.3, "MP2020"))
    assert value == -0.3


def test_what_makes_totals_with_u_comparable_stays():
    (value,), _ = moved(salt("Fe", "O", -1.0, "MP2020"))
    assert value == pytest.approx(-1.0 + 0.687 / 2)


def test_plain_and_as_given_labels_stay_and_each_is_said():
    values, said = moved(salt("Li", "F", -3.0, "PBE"), salt("Na", "F", -2.0, "as_given"), salt("K", "F", -2.5))
    assert values == [-3.0, -2.0, -2.5]
    assert "1 formation energies of scheme PBE" in said and "as `scheme: as_given` says" in said
    assert "do not say their scheme" in said and "give `scheme:`" in said


def test_other_labels_stay_what_they_are():
    (crystal,) = on_plain_scale([salt("Li", "F", -3.166, "MP2020")]).crystals
    assert crystal.labels["band_gap"] == 1.0


def test_the_older_scheme_of_the_materials_project_had_a_larger_correction_of_sulfides():
    values, _ = moved(salt("Ca", "S", -2.48, "MP-legacy"), salt("Ca", "S", -2.40, "MP2020"))
    assert values[0] == pytest.approx(values[1], abs=0.01)


def many(scheme, shift_ev, count=12):
    """Pairs of labels: of the scheme, and plain ones that lie lower by the mean of the elements' shifts."""
    rng = np.random.default_rng(3)
    cations, anions = ("Li", "Na", "K", "Mg"), ("F", "Cl", "Br")
    pairs = []
    for cation, anion in [(one, other) for one in cations for other in anions][:count]:
        plain = salt(cation, anion, float(rng.uniform(-3, -1)), "PBE")
        label = plain.labels[E_F] - shift_ev.get(cation, 0) / 2 - shift_ev.get(anion, 0) / 2
        pairs += [plain, dataclasses.replace(plain, labels={E_F: label}, scheme=scheme)]
    return pairs


def test_a_scheme_of_its_own_is_fitted_on_common_crystals():
    shifts = {"F": 0.46, "Cl": 0.61, "Na": -0.05}
    other_structure = Structure(Lattice.cubic(3.4), ["K", "F"], B1)
    values, said = moved(*many("home", shifts), of(other_structure, -2.0 - 0.23, "home"))
    plain, others = values[:-1:2], values[1:-1:2]
    assert others == pytest.approx(plain, abs=0.01) and values[-1] == pytest.approx(-2.0, abs=0.01)
    assert "fitted on 12 compounds" in said


def test_a_label_with_an_element_that_no_common_compound_has_is_left_out_and_counted():
    values, said = moved(*many("home", {"F": 0.46}), salt("Ca", "I", -2.0, "home"))
    assert values[-1] is None and "1 left out for want of a shift" in said


def test_an_unknown_scheme_without_common_crystals_is_refused_with_the_way_out():
    with pytest.raises(DataError, match=r"d\.jsonl line 1: formation_energy_scheme 'home' is not known.*as_given"):
        moved(salt("Li", "F", -3.0, "home"))


def test_labels_of_oqmd_stay_for_metals_and_go_for_anions_whose_references_it_fits():
    values, said = moved(salt("Al", "Ni", -0.6, "OQMD"), salt("Mg", "O", -2.9, "OQMD"))
    assert values == [-0.6, None] and "1 left out" in said


def test_equal_crystals_with_labels_far_apart_are_told_and_polymorphs_are_not():
    twice = [salt("Na", "Cl", -2.2), salt("Na", "Cl", -0.2, a=4.21)]
    assert "1 pairs of equal crystals have formation energies more than 0.1 eV/atom apart" in contradicting_labels(
        twice
    )
    assert "d.jsonl line 1 with -2.200" in contradicting_labels(twice)
    assert contradicting_labels([salt("Na", "Cl", -2.2), salt("Na", "Cl", -2.15)]) is None
    volume = twice[0].structure.volume / 2
    other_structure = Structure(Lattice.cubic((2 * volume) ** (1 / 3)), ["Na", "Cl"], B1)
    assert contradicting_labels([twice[0], of(other_structure, -0.2, "")]) is None
