"""A crystal as numbers for forests and processes: what they depend on, and what not."""

import numpy as np
import pytest

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.surrogate.base import Prediction
from crystalloop.models.surrogate.blend import Sayings, blended, networks_share
from crystalloop.models.surrogate.element_table import NAMES, common_oxidation_states, element_table
from crystalloop.models.surrogate.features import BLOCKS, CHARGES, DENSE, crystal_features, feature_names, features
from crystalloop.models.surrogate.growth import settled


def made(prototype, *elements, a=None):
    return Crystal.from_structure(decorate(prototype, elements, a))


def column(row, name):
    return row[feature_names().index(name)]


def test_facts_of_elements_are_those_of_the_tables():
    table = element_table()
    assert np.isfinite(table).all() and table.shape == (119, len(NAMES))
    facts = dict(zip(NAMES, table[26], strict=True))  # iron
    assert facts["electronegativity"] == 1.83 and facts["row"] == 4 and facts["group"] == 8
    assert facts["melting"] == pytest.approx(1.811) and facts["ionisation"] == pytest.approx(7.9025, abs=1e-3)
    assert (facts["s_p_electrons"], facts["d_f_electrons"]) == (2.0, 6.0)
    assert table[8, NAMES.index("s_p_electrons")] == 6.0  # oxygen
    assert 3 in common_oxidation_states()[13] and common_oxidation_states()[0] == (0,)


def test_neither_the_cell_nor_the_volume_nor_the_order_of_atoms_changes_the_features():
    small = made(Prototype.PEROVSKITE, "Sr", "Ti", "O", a=3.9)
    large = made(Prototype.PEROVSKITE, "Sr", "Ti", "O", a=4.4)
    order = np.array([3, 0, 4, 1, 2])
    shuffled = Crystal(small.lattice, small.numbers[order], small.frac_coords[order] + 0.25)
    doubled = Crystal.from_structure(small.to_structure().make_supercell((2, 1, 1), in_place=False))
    for other in (large, shuffled, doubled):
        np.testing.assert_allclose(crystal_features(other), crystal_features(small), rtol=2e-3, atol=1e-2)


def test_which_element_sits_where_changes_the_features():
    one = crystal_features(made(Prototype.PEROVSKITE, "Sr", "Ti", "O"))
    other = crystal_features(made(Prototype.PEROVSKITE, "Ti", "Sr", "O"))
    assert column(one, "loosest electronegativity") == pytest.approx(0.95)  # Sr, with twelve neighbours
    assert column(other, "loosest electronegativity") == pytest.approx(1.54)
    np.testing.assert_allclose(one[: BLOCKS[0]], other[: BLOCKS[0]])  # the composition is the same


def test_full_and_inverse_heuslers_differ_in_their_neighbours():
    full = made(Prototype.HEUSLER, "Co", "Mn", "Si")
    numbers = full.numbers.copy()
    first_x, first_y = int(np.flatnonzero(numbers == 27)[0]), int(np.flatnonzero(numbers == 25)[0])
    numbers[[first_x, first_y]] = numbers[[first_y, first_x]]
    swapped = Crystal(full.lattice, numbers, full.frac_coords)
    name = "neighbours differ in electronegativity"
    assert column(crystal_features(full), name) != pytest.approx(column(crystal_features(swapped), name), abs=1e-3)


def test_charges_that_balance_and_those_that_do_not():
    salt, alloy, odd = (
        crystal_features(made(Prototype.ROCKSALT, *pair)) for pair in (("Na", "Cl"), ("Li", "Mg"), ("Mg", "F"))
    )
    assert column(salt, "neutral") == 1.0 and column(salt, "charge left") == 0.0
    assert column(odd, "neutral") == 0.0 and column(odd, "charge left") == 0.5  # Mg2+ F-
    assert column(salt, "polarity") == pytest.approx(0.25 * (3.16 - 0.93) ** 2)
    assert column(alloy, "polarity") < 0.1


def test_rows_are_named_and_finite_for_every_element_and_for_no_crystal():
    crystals = [made(Prototype.CSCL, symbol, "O") for symbol in ("H", "He", "Xe", "Yb", "U", "Pu") if symbol != "O"]
    rows = features(crystals)
    assert rows.shape == (6, len(feature_names())) and np.isfinite(rows).all()
    assert len(set(feature_names())) == len(feature_names()) and sum(BLOCKS) == DENSE and len(CHARGES) == 4
    assert features([]).shape == (0, len(feature_names()))


def test_something_costly_is_found_again_whenever_labels_have_grown_by_a_tenth():
    found = [settled(count) for count in range(1, 1000)]
    assert found[:12] == list(range(1, 13))
    assert all(settled(count) <= count < 1.1 * settled(count) + 1 for count in range(12, 1000))
    assert found == sorted(found) and len(set(found[100:])) < 30


def test_networks_count_by_their_labels_until_they_are_tested():
    none = Sayings(np.zeros(0), np.zeros(0), np.zeros(0))
    assert networks_share(6, none) < 0.01
    assert networks_share(2_000, none) == 0.5
    assert networks_share(40_000, none) > 0.95


def test_networks_that_were_right_are_believed_and_those_that_were_not_are_not():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    right, wrong = truth + 0.01 * rng.normal(size=200), truth + rng.normal(size=200)
    assert networks_share(50, Sayings(wrong, right, truth)) > 0.85
    assert networks_share(40_000, Sayings(right, wrong, truth)) < 0.15


def test_both_together_hold_their_distance_in_the_error_bar_and_silence_counts_nothing():
    own = Prediction(np.array([0.0, 0.0]), np.array([0.1, 0.1]))
    networks = Prediction(np.array([1.0, np.nan]), np.array([0.1, np.nan]))
    both = blended(own, networks, 0.5)
    assert both.mean.tolist() == [0.5, 0.0]
    assert both.sigma == pytest.approx([np.sqrt(0.01 + 0.25), 0.1])
