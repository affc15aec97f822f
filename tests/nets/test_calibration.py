"""A sigma is as large as the errors on crystals that were not trained on."""

from __future__ import annotations

import numpy as np
import pytest

from crystalloop.models.nets.cgcnn import FEWEST, NORMAL_90, calibrate


@pytest.mark.parametrize("draw", ["normal", "laplace", "standard_cauchy"])
def test_nine_tenths_of_new_errors_are_inside_whatever_their_distribution(draw):
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 2.0, 8000)
    errors = getattr(rng, draw)(size=8000) * (0.3 + spread)
    floor, factor = calibrate(errors[:4000], spread[:4000])
    half = NORMAL_90 * factor * np.sqrt(spread[4000:] ** 2 + floor**2)
    assert (np.abs(errors[4000:]) <= half).mean() == pytest.approx(0.9, abs=0.02)


def test_normal_errors_without_spread_have_their_standard_deviation():
    errors = np.random.default_rng(1).normal(0.0, 0.3, 20_000)
    floor, factor = calibrate(errors, np.zeros(20_000))
    assert floor * factor == pytest.approx(0.3, rel=0.03)


def test_few_errors_give_their_root_mean_square():
    errors = np.full(FEWEST - 1, -0.2)
    assert calibrate(errors, np.ones(len(errors))) == (pytest.approx(0.2), 1.0)
    assert calibrate(np.zeros(0), np.zeros(0)) == (0.0, 1.0)


def test_perfect_predictions_do_not_divide_by_zero():
    assert calibrate(np.zeros(50), np.zeros(50)) == (0.0, 0.0)
