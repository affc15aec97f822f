"""The alarms: how often they cry wolf, and how soon they go off. Simulated, with seeds."""

import numpy as np
import pytest

from crystalloop.models.surrogate.chances.drift import ALARM, drift, jumper, ranks, uncovered


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
    missed, rounds = np.array([True, False, True]), np.arange(4)
    after = [uncovered(np.append(missed, last), rounds).last for last in (True, False)]
    assert 0.1 * after[0] + 0.9 * after[1] == pytest.approx(uncovered(missed, rounds[:3]).last)


def test_equal_errors_are_no_drift():
    assert drift(np.zeros(300)).highest < ALARM
    assert drift(np.zeros(0)).highest == 1.0
    assert drift(np.zeros(0)).first_above() is None


def test_the_capital_is_a_fold():
    errors = np.random.default_rng(3).standard_normal(50)
    assert drift(errors[:30]).capital == pytest.approx(drift(errors).capital[:30])
    assert drift(errors).capital == pytest.approx(drift(errors).capital)


TENS = np.arange(300) // 10
"""Rounds of ten."""


@pytest.mark.parametrize("alike", [1, 10], ids=["independent", "all of a round alike"])
def test_intervals_that_cover_as_promised_raise_no_alarm_however_alike_the_crystals_of_a_round_are(alike):
    rng = np.random.default_rng(4)
    alarms = [uncovered(np.repeat(rng.random(300 // alike) < 0.1, alike), TENS).first_above() for _ in range(400)]
    assert np.mean([alarm is not None for alarm in alarms]) <= 0.01
    assert uncovered(np.zeros(300, bool), TENS).highest == 1.0


def test_intervals_that_miss_most_raise_it_within_five_rounds():
    """A shift of two standard deviations leaves 64 % of the values outside: 1 - Phi(1.645 - 2)."""
    rng, seen = np.random.default_rng(5), []
    for _ in range(200):
        missed = rng.random(300) < np.where(TENS < 10, 0.1, 0.64)
        first = uncovered(missed, TENS).first_above()
        seen.append(first is not None and 10 <= first < 15)
    assert np.mean(seen) > 0.5
    assert uncovered(np.ones(30, bool), TENS[:30]).first_above() == 2


def test_before_the_first_outcome_nothing_is_staked():
    nothing = uncovered(np.zeros(0, bool), np.zeros(0, int))
    assert nothing.last == nothing.highest == 1.0
