"""P(hit) says how often: against shares that are known, and by the definitions of its measures, worked out by hand."""

import numpy as np
import pytest
from scipy.stats import norm

from crystalloop.models.surrogate.base import Prediction
from crystalloop.models.surrogate.chances.conformal import Outcomes, calibrate
from crystalloop.models.surrogate.chances.reliability import (
    brier,
    chances,
    expected_calibration_error,
    perfect_error,
    recalibrate,
    reliability,
)


def at_most(value):
    return lambda values: values <= value


def gaussian(count=2000, scale=1.0):
    """A calibration on exact quantiles of Gaussian errors."""
    errors = scale * norm.ppf((np.arange(count) + 0.5) / count)
    np.random.default_rng(0).shuffle(errors)
    return calibrate(
        Outcomes(np.zeros(count), np.ones(count), errors, np.ones(count, int), ("",) * count), Outcomes.none()
    )


def test_the_chance_is_that_of_the_errors_seen():
    mean = np.array([-1.5, -0.5, 0.0, 0.5, 1.5])
    found = chances(gaussian(scale=0.5), Prediction(mean, np.ones(5)), [""] * 5, at_most(0.0))
    assert found == pytest.approx(norm.cdf(-mean / 0.5), abs=0.05)


def test_a_range_and_anything_that_can_be_asked_of_values_will_do():
    prediction = Prediction(np.zeros(1), np.ones(1))
    found = chances(gaussian(), prediction, [""], lambda values: (values >= -1) & (values <= 1))
    assert found == pytest.approx([0.683], abs=0.06)


def test_no_crystal_is_certain_and_none_has_no_chance():
    found = chances(gaussian(), Prediction(np.array([-1e6, 1e6]), np.ones(2)), ["", ""], at_most(0.0))
    assert 0 < found[1] < 0.01 < 0.99 < found[0] < 1
    assert chances(gaussian(), Prediction(np.zeros(0), np.zeros(0)), [], at_most(0.0)).shape == (0,)


def test_chances_that_are_too_bold_are_brought_back():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, 4000)
    hits = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    fitted = recalibrate(1 / (1 + np.exp(-logits)), hits)
    assert (fitted.shift, fitted.slope) == (pytest.approx(-1, abs=0.15), pytest.approx(0.5, abs=0.15))
    error = expected_calibration_error(fitted(1 / (1 + np.exp(-logits))), hits)
    assert error is not None and error < 0.03


def test_a_few_outcomes_change_little_and_none_change_nothing():
    chance = np.array([0.1, 0.5, 0.9])
    assert recalibrate(np.zeros(0), np.zeros(0, bool))(chance) == pytest.approx(chance)
    after = recalibrate(np.array([0.9, 0.8]), np.array([False, False]))(chance)
    assert after[2] < chance[2]
    assert after == pytest.approx(chance, abs=0.1)


@pytest.mark.parametrize("came", [True, False])
def test_outcomes_of_one_kind_give_finite_chances(came):
    fitted = recalibrate(np.full(500, 0.5), np.full(500, came))
    assert 0 < fitted(np.array([0.5]))[0] < 1
    assert (fitted(np.array([0.5]))[0] > 0.7) == came


def test_the_error_of_calibration_by_hand():
    forecast, hits = np.array([0.05, 0.15, 0.15, 0.95, 1.0]), np.array([False, True, False, True, True])
    # bins 0: |.05 - 0| x 1, 1: |.15 - .5| x 2, 9: |.975 - 1| x 2; of 5
    assert expected_calibration_error(forecast, hits) == pytest.approx((0.05 + 0.70 + 0.05) / 5)
    assert [(one.count, one.share) for one in reliability(forecast, hits)] == [(1, 0.0), (2, 0.5), (2, 1.0)]
    assert brier(forecast, hits) == pytest.approx((0.0025 + 0.7225 + 0.0225 + 0.0025 + 0) / 5)


def test_of_nothing_there_is_no_measure():
    nothing = np.zeros(0)
    assert expected_calibration_error(nothing, nothing.astype(bool)) is None
    assert brier(nothing, nothing.astype(bool)) is None
    assert perfect_error(nothing) is None
    assert reliability(nothing, nothing.astype(bool)) == ()


def test_a_perfect_forecast_of_few_outcomes_has_an_error_too_and_it_is_told():
    few, many = perfect_error(np.full(10, 0.5)), perfect_error(np.full(10_000, 0.5))
    # E|X/10 - 1/2| of a binomial of ten is 10!/(5! 5!) / 2^11 = .1230; it falls with the root of the count
    assert few == pytest.approx(0.123, abs=0.015)
    assert many == pytest.approx(0.00399, abs=0.001)
