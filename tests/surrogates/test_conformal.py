"""Intervals cover what they promise: on exchangeable errors, on errors that drift, in a loop that chooses what it predicts best."""

import numpy as np
import pytest

from crystalloop.models.surrogate.base import Prediction
from crystalloop.models.surrogate.chances.conformal import (
    MISSED,
    NARROWEST,
    Outcomes,
    adapted,
    calibrate,
    weighted_quantiles,
)


def outcomes(mean, sigma, found, round_=1, classes=None):
    n = len(mean)
    return Outcomes(
        np.asarray(mean, float),
        np.broadcast_to(sigma, n).astype(float),
        np.asarray(found, float),
        np.full(n, round_),
        tuple(classes or [""] * n),
    )


def covered(calibration, mean, sigma, found, classes=None):
    ends = calibration.intervals(
        Prediction(mean, np.broadcast_to(sigma, len(mean)).copy()), classes or [""] * len(mean)
    )
    return ((found >= ends[:, 0]) & (found <= ends[:, 1])).mean()


def test_without_any_outcome_the_interval_is_a_wide_gaussian():
    calibration = calibrate(Outcomes.none(), Outcomes.none())
    ends = calibration.intervals(Prediction(np.array([1.0, -2.0]), np.array([0.1, 0.5])), ["", ""])
    # 90 % of a Gaussian lie within 1.645 standard deviations; the prior's are twice the surrogate's.
    assert ends == pytest.approx(np.array([[1 - 0.329, 1 + 0.329], [-2 - 1.645, -2 + 1.645]]), rel=0.01)


@pytest.mark.parametrize("count", [5, 10, 30, 200])
@pytest.mark.parametrize("true_scale", [0.5, 1.0, 3.0])
def test_error_bars_that_are_wrong_by_any_factor_are_mended(count, true_scale):
    rng, shares = np.random.default_rng(count), []
    for _ in range(200):
        past = outcomes(np.zeros(count), 1.0, true_scale * rng.standard_normal(count))
        shares.append(
            covered(calibrate(past, Outcomes.none()), np.zeros(50), 1.0, true_scale * rng.standard_normal(50))
        )
    assert 0.85 < np.mean(shares) < (1.0 if count < 30 else 0.935)


def test_with_five_outcomes_the_interval_is_wider_than_with_five_hundred():
    rng = np.random.default_rng(4)
    widths = [
        np.mean(
            [
                np.ptp(
                    calibrate(outcomes(np.zeros(n), 1.0, rng.standard_normal(n)), Outcomes.none()).intervals(
                        Prediction(np.zeros(1), np.ones(1)), [""]
                    )
                )
                for _ in range(100)
            ]
        )
        for n in (5, 500)
    ]
    assert widths[0] > 1.05 * widths[1]
    assert widths[1] == pytest.approx(2 * 1.645, rel=0.1)


def chosen_best(rng, rounds):
    """Of a hundred equal crystals with noisy forecasts the best ten are taken, again and again: forecasts, found values."""
    means, founds = [], []
    for _ in range(rounds):
        found = rng.standard_normal(100)
        mean = found + rng.standard_normal(100)
        best = np.argsort(mean)[:10]
        means.append(mean[best])
        founds.append(found[best])
    return np.concatenate(means), np.concatenate(founds)


def test_what_is_chosen_for_its_forecast_is_corrected_for_turning_out_worse():
    """The winner's curse; the held-out labels, which nobody chose, do not know of it."""
    rng, shares = np.random.default_rng(5), []
    for _ in range(20):
        whole = rng.standard_normal(100)
        held_out = outcomes(whole + rng.standard_normal(100), 1.0, whole)
        mean, found = chosen_best(rng, 20)
        calibration = calibrate(outcomes(mean, 1.0, found), held_out)
        later, values = chosen_best(rng, 20)
        shares.append(covered(calibration, later, 1.0, values))
    assert ((values - later) > 1.645).mean() > 0.2  # as they stand, the error bars miss on one side
    assert np.mean(shares) == pytest.approx(0.9, abs=0.04)
    (bar,) = calibration.error_bars(np.ones(1))
    assert bar * calibration.points().mean() == pytest.approx((values - later).mean(), abs=0.3)


def test_a_class_with_many_outcomes_has_intervals_of_its_own():
    rng = np.random.default_rng(6)
    names = ["perovskite", "heusler"] * 300
    scale = np.where(np.array(names) == "perovskite", 0.2, 2.0)
    calibration = calibrate(
        outcomes(np.zeros(600), 1.0, scale * rng.standard_normal(600), classes=names), Outcomes.none()
    )
    for name, size in (("perovskite", 0.2), ("heusler", 2.0)):
        share = covered(calibration, np.zeros(2000), 1.0, size * rng.standard_normal(2000), [name] * 2000)
        assert share == pytest.approx(0.9, abs=0.05)


def test_a_class_that_was_never_seen_has_the_intervals_of_all():
    rng = np.random.default_rng(7)
    names = ["a", "b"] * 50
    calibration = calibrate(outcomes(np.zeros(100), 1.0, rng.standard_normal(100), classes=names), Outcomes.none())
    assert covered(calibration, np.zeros(2000), 1.0, rng.standard_normal(2000), ["c"] * 2000) > 0.85


def test_late_outcomes_count_more_than_early_ones():
    early, late = np.random.default_rng(8).standard_normal((2, 200))
    calibration = calibrate(outcomes(np.zeros(400), 1.0, np.concatenate([early, late + 3.0])), Outcomes.none())
    (bar,) = calibration.error_bars(np.ones(1))
    assert bar * np.median(calibration.points()) == pytest.approx(3.0, abs=0.5)


def test_the_level_follows_what_was_missed_until_the_long_run_is_right():
    """Errors that grow by five percent in each round: a fixed level misses far more than it may."""
    shares = {}
    for adaptive in (True, False):
        rng, history, mean, found = np.random.default_rng(9), [], np.zeros(0), np.zeros(0)
        for number in range(60):
            level = adapted(history) if adaptive else MISSED
            calibration = calibrate(outcomes(mean, 1.0, found), Outcomes.none(), level)
            values = 1.05**number * rng.standard_normal(10)
            held = round(10 * covered(calibration, np.zeros(10), 1.0, values))
            history.append((held, 10))
            mean, found = np.append(mean, np.zeros(10)), np.append(found, values)
        shares[adaptive] = sum(held for held, _ in history) / 600
    assert shares[True] > shares[False]
    assert 0.86 < shares[True] < 0.93


def test_the_level_stays_between_its_bounds_and_rounds_without_outcome_move_nothing():
    assert adapted([]) == adapted([(0, 0)]) == MISSED
    assert adapted([(10, 10)] * 1000) == NARROWEST
    assert 0 < adapted([(0, 10)] * 1000) < MISSED


def test_quantiles_weigh_their_values():
    values, levels = np.array([3.0, 1.0, 2.0]), np.array([0.5])
    assert weighted_quantiles(values, np.ones(3), levels) == pytest.approx([2.0])
    # weight 8 of 10 lies at 1.0, whose middle is at 4 of 10; that of 2.0 is at 8.5 of 10
    assert weighted_quantiles(values, np.array([1.0, 8.0, 1.0]), levels) == pytest.approx([1.0 + 1 / 4.5])


def test_errors_of_zero_and_error_bars_of_zero_are_no_error():
    calibration = calibrate(outcomes(np.ones(5), 0.0, np.ones(5)), Outcomes.none())
    ends = calibration.intervals(Prediction(np.ones(2), np.zeros(2)), ["", ""])
    assert np.isfinite(ends).all()


def test_no_candidate_gives_no_interval():
    assert calibrate(Outcomes.none(), Outcomes.none()).intervals(Prediction(np.zeros(0), np.zeros(0)), []).shape == (
        0,
        2,
    )


@pytest.mark.parametrize(
    ("mean", "sigma", "found"),
    [([np.nan], 1.0, [0.0]), ([0.0], -1.0, [0.0]), ([0.0], 1.0, [np.inf]), ([0.0, 1.0], 1.0, [0.0])],
)
def test_outcomes_that_are_none_are_refused(mean, sigma, found):
    with pytest.raises(ValueError, match=r"finite|length"):
        outcomes(mean, sigma, found)
