"""Rows of predicted properties, from four labels worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.judge.properties import Predicted, property_rows

NAN = np.nan
INDEX = PROPERTIES.index("refractive_index")


def table(first, index):
    """[4, 8] with two columns filled."""
    values = np.full((len(first), len(PROPERTIES)), NAN)
    values[:, 0], values[:, INDEX] = first, index
    return values


LABELS = table([-1.0, -2.0, -3.0, NAN], [2.0, 3.0, NAN, 4.0])
MADE = table([-1.1, -2.0, -2.5, -9.0], [2.5, NAN, 9.0, 4.0])  # the second is predicted to be a metal
COUNTS = dict.fromkeys(PROPERTIES, 10)
MEANS = {"formation_energy_per_atom": -1.0, "refractive_index": 2.0}


@pytest.fixture(scope="module")
def rows():
    predicted = Predicted(MADE, MADE - 0.3, MADE + 0.3)
    return {row.key: row for row in property_rows(predicted, LABELS, MEANS, COUNTS)}


def test_the_error_is_over_labels_with_a_prediction(rows):
    row = rows["mae_formation_energy_per_atom"]
    assert row.seed == row.strict == pytest.approx(0.6 / 3)
    assert (row.count, row.failures, row.parts["training labels"]) == (3, 0, 10)


def test_a_label_without_a_prediction_is_free_in_the_paper_and_in_strict_guessed_as_the_mean(rows):
    row = rows["mae_refractive_index"]
    assert (row.seed, row.strict) == pytest.approx((0.5 / 2, (0.5 + 1.0 + 0.0) / 3))
    assert (row.count, row.failures) == (3, 1)


def test_a_missing_interval_is_a_miss_in_strict_alone(rows):
    row = rows["coverage_90"]
    # Within .3: two of three energies; of three indices one, one is off by .5, one has no prediction.
    assert (row.seed, row.strict) == pytest.approx((3 / 5, 3 / 6))
    assert row.parts == pytest.approx({"formation_energy_per_atom": 2 / 3, "refractive_index": 1 / 2})


def test_properties_without_labels_have_no_row(rows):
    assert set(rows) == {"mae_formation_energy_per_atom", "mae_refractive_index", "coverage_90"}


def test_a_property_that_was_never_trained_has_no_row():
    predicted = Predicted(MADE, MADE - 0.3, MADE + 0.3)
    none = {**COUNTS, "refractive_index": 0}
    keys = {row.key for row in property_rows(predicted, LABELS, MEANS, none)}
    assert keys == {"mae_formation_energy_per_atom", "coverage_90"}
