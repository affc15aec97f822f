"""The one call of a ranking, in a closed loop on a landscape made here: greedy choice, error bars that are half as wide as true."""

import numpy as np
import pytest

from crystalloop.models.surrogate.base import Prediction
from crystalloop.models.surrogate.chances.calibrated import calibrated, covered_by_round
from crystalloop.models.surrogate.chances.conformal import Outcomes
from crystalloop.models.surrogate.chances.reliability import expected_calibration_error

BATCH, ROUNDS, HIT = 10, 30, -1.5


def at_most(values):
    return values <= HIT


def played(seed):
    """A loop over 2,000 values whose forecasts get better by the round; of each chosen one: round, end, end, chance, found."""
    rng = np.random.default_rng(seed)
    values, free = rng.standard_normal(2000), np.ones(2000, dtype=bool)
    rows = np.zeros((0, 7))
    for round_ in range(1, ROUNDS + 1):
        scale = 0.2 + 1 / np.sqrt(round_)
        mean = values + scale * rng.standard_normal(2000)
        chosen = np.argsort(np.where(free, mean, np.inf))[:BATCH]
        free[chosen] = False
        kind, past_mean, past_sigma, low, high, _, found = rows.T
        told = calibrated(
            Prediction(mean[chosen], np.full(BATCH, scale / 2)),
            [""] * BATCH,
            at_most,
            Outcomes(past_mean, past_sigma, found, kind.astype(int), ("",) * len(rows)),
            Outcomes.none(),
            covered_by_round(kind.astype(int), low, high, found),
        )
        new = [
            np.full(BATCH, round_),
            mean[chosen],
            np.full(BATCH, scale / 2),
            *told.intervals.T,
            told.chances,
            values[chosen],
        ]
        rows = np.vstack([rows, np.column_stack(new)])
    return rows


def test_a_greedy_loop_is_covered_from_the_third_round_on_and_its_chances_become_true():
    rows = np.vstack([played(seed) for seed in range(8)])
    later = rows[rows[:, 0] >= 3]
    low, high, chance, found = later[:, 3:].T
    assert 0.87 <= np.mean((found >= low) & (found <= high)) <= 0.94
    assert 0.87 <= np.mean(((found >= low) & (found <= high))[later[:, 0] >= 10]) <= 0.94
    for some, most in (
        (later[:, 0] < 10, 0.12),
        (later[:, 0] >= 10, 0.06),
    ):  # at first a few outcomes of worse forecasts
        assert expected_calibration_error(chance[some], at_most(found[some])) <= most


def test_the_same_past_gives_the_same_word():
    assert played(3) == pytest.approx(played(3), abs=0)


def test_coverage_is_counted_by_round_and_only_where_there_were_intervals():
    rounds, nan = np.array([1, 1, 2, 2, 3]), np.nan
    low, high = np.array([0.0, nan, 0.0, 0.0, nan]), np.array([1.0, nan, 1.0, 1.0, nan])
    assert covered_by_round(rounds, low, high, np.array([0.5, 0.5, 2.0, 1.0, 0.0])) == ((1, 1), (1, 2))
    assert covered_by_round(np.zeros(0, int), np.zeros(0), np.zeros(0), np.zeros(0)) == ()


def told_after(found, sigma=0.1, count=2):
    past = Outcomes(
        np.zeros(len(found)), np.full(len(found), sigma), np.array(found), np.arange(len(found)), ("",) * len(found)
    )
    asked = Prediction(np.zeros(count), np.full(count, sigma))
    return calibrated(asked, [""] * count, at_most, past, Outcomes.none())


@pytest.mark.parametrize("sigma", [0.0, 1e-300])
def test_error_bars_of_zero_give_finite_intervals(sigma):
    told = told_after([0.0, 0.0, 0.0, 1.0, 1.0], sigma)
    assert np.isfinite(told.intervals).all()
    assert np.isfinite(told.chances).all()


def test_one_absurd_value_widens_the_side_on_which_it_lay_alone():
    low, high = told_after([0.0, 0.1, -0.1, 0.05, -0.05, 0.0, 0.1, -0.1, 0.0, 1e6]).intervals[0]
    assert -1 < low < -0.1
    assert high > 1


def test_candidates_without_a_class_each_are_refused():
    with pytest.raises(ValueError, match="1 classes for 2 candidates"):
        calibrated(Prediction(np.zeros(2), np.ones(2)), [""], at_most, Outcomes.none(), Outcomes.none())


def test_no_candidate_and_no_past_is_no_error():
    told = calibrated(Prediction(np.zeros(0), np.zeros(0)), [], at_most, Outcomes.none(), Outcomes.none())
    assert (told.intervals.shape, told.chances.shape) == ((0, 2), (0,))
