"""The alarms: how often they cry wolf, and how soon they go off. Simulated, with seeds."""

import numpy as np
import pytest

from crystalloop.models.surrogate.drift import ALARM, drift, jumper, ranks, uncovered


def test_on_exchangeable_errors_one_alarm_in_a_hundred_at_most():
    rng = np.random.default_rng(0)
    alarms = [drift(rng.standard_normal(100)).first_above() is not None for _ in range(400)]
    assert np.mean(alarms) <= 0.01


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_a_shift_of_two_sigma_is_noticed_within_thirty_outcomes(shift):
    rng, seen = np.random.default_rng(1), []
    for _ in range(100):
        errors = rng.standard_normal(90)
        errors[60:] += shift
        first = drift(errors).first_above()
        seen.append(first is not None and first >= 60)
    assert np.mean(seen) >= 0.95


def test_p_values_without_drift_are_uniform_and_independent():
    rng = np.random.default_rng(2)
    p_values = np.array([ranks(rng.standard_normal(40), rng.random(40))[-2:] for _ in range(2000)])
    tenths = np.quantile(p_values, [0.1, 0.5, 0.9], axis=0)
    assert (np.abs(tenths.T - [0.1, 0.5, 0.9]) < 0.04).all()
    assert abs(np.corrcoef(p_values.T)[0, 1]) < 0.06


def test_a_step_of_the_gamblers_is_fair():
    """The mean over all p-values of what the capital becomes is the capital."""
    steps = (np.arange(1000) + 0.5) / 1000
    assert np.mean([jumper(np.array([0.9, 0.8, p]))[-1] for p in steps]) == pytest.approx(
        jumper(np.array([0.9, 0.8]))[-1]
    )
    missed = np.array([True, False, True])
    after = [uncovered(np.append(missed, last)).capital[-1] for last in (True, False)]
    assert 0.1 * after[0] + 0.9 * after[1] == pytest.approx(uncovered(missed).capital[-1])


def test_equal_errors_are_no_drift():
    assert drift(np.zeros(300)).highest < ALARM
    assert drift(np.zeros(0)).highest == 1.0
    assert drift(np.zeros(0)).first_above() is None


def test_the_capital_is_a_fold():
    errors = np.random.default_rng(3).standard_normal(50)
    assert drift(errors[:30]).capital == pytest.approx(drift(errors).capital[:30])
    assert drift(errors).capital == pytest.approx(drift(errors).capital)


def test_intervals_that_cover_as_promised_raise_no_alarm_even_where_errors_change():
    rng = np.random.default_rng(4)
    alarms = [uncovered(rng.random(200) < 0.1).first_above() is not None for _ in range(400)]
    assert np.mean(alarms) <= 0.01
    assert uncovered(np.zeros(500, bool)).highest == pytest.approx(1.0)


def test_intervals_that_miss_half_raise_it_within_thirty_outcomes():
    rng = np.random.default_rng(5)
    seen = [uncovered(np.append(rng.random(60) < 0.1, rng.random(30) < 0.5)).first_above() for _ in range(200)]
    assert np.mean([first is not None for first in seen]) >= 0.85
