"""What the ledger says of forecasts: rows by round, the alarms, and silence where nothing was forecast. Counted by hand."""

import json
import re

import numpy as np
import pytest
from example_campaign import candidate, candidates, example_store

from crystalloop.db.ledger.forecast import Forecast
from crystalloop.orchestrator.account.calibration import (
    calibration_line,
    calibration_rows,
    calibration_summary,
    diagram,
    drift_of,
    judged,
    pause_reason,
)
from crystalloop.orchestrator.account.status import campaign_status

E_F = "formation_energy_per_atom"


def forecast(mean=-2.0, low=-2.5, high=-1.5, hit=0.5, sigma=0.2, name=E_F):
    return Forecast(property=name, mean=mean, sigma=sigma, low=low, high=high, hit=hit)


def seen(number, round_, e_f, arm="loop", **said):
    return candidate(f"{number:03}", round_, ["Li", "F"], e_f, -2.0, forecast=forecast(**said), arm=arm)


def test_campaigns_without_forecasts_have_nothing_to_show():
    old = judged(candidates(), ())
    assert old == calibration_rows(old) == diagram(old) == ()
    assert calibration_summary(old) == {}
    assert calibration_line(old) == drift_of(old).alarm == drift_of(old).notice == ""
    status = campaign_status(example_store(), "first")
    assert status["forecasts"] == {}
    assert not [line for line in status["lines"] if line.startswith("forecasts")]


def test_coverage_width_and_chances_of_each_round():
    some = [
        seen(0, 2, -2.0),
        seen(1, 2, -2.6, hit=0.5),
        seen(2, 3, -1.9, low=-2.0, high=-1.8, hit=0.95),
        seen(3, 3, -1.0, low=None, high=None, hit=None),
    ]
    second, third = calibration_rows(judged(some, {"first-2-001", "first-3-002"}))
    assert (second.round, second.forecasts, second.intervals) == (2, 2, 2)
    assert (second.covered, second.width) == (0.5, pytest.approx(1.0))
    assert (second.expected_hits, second.hits) == (pytest.approx(1.0), 1)
    assert second.ece_so_far == pytest.approx(0.0)  # half of those with a chance of one half
    assert (third.forecasts, third.intervals, third.covered, third.width) == (2, 1, 1.0, pytest.approx(0.2))
    assert third.covered_so_far == pytest.approx(2 / 3)
    assert third.ece_so_far == pytest.approx(0.05 / 3)
    assert third.brier_so_far == pytest.approx((0.25 + 0.25 + 0.0025) / 3)


def test_the_order_of_the_ledger_does_not_matter():
    some = [seen(number, 1 + number // 10, -2.0 + 0.1 * (number % 7)) for number in range(30)]
    assert calibration_rows(judged(some[::-1], ())) == calibration_rows(judged(some, ()))


def test_what_gave_up_is_open_of_another_arm_or_has_no_computed_value_is_not_judged():
    bulk = forecast(name="log10_bulk_modulus")
    predicted = candidate("9", 1, ["Li", "F"], -2.0, predicted=-2.0, forecast=bulk)
    predicted = predicted.model_copy(update={"predicted": {"log10_bulk_modulus": 1.7}})
    assert judged([seen(0, 1, None), seen(1, 1, -2.0, arm="random"), predicted], ()) == ()
    measured = predicted.relaxation.model_copy(update={"bulk_modulus_gpa": 100.0})
    (one,) = judged([predicted.model_copy(update={"relaxation": measured})], ())
    assert one.found == pytest.approx(2.0)


def test_intervals_that_stop_covering_raise_an_alarm_with_numbers():
    rng = np.random.default_rng(0)
    good = [seen(n, 1 + n // 10, -2.0 + 0.3 * rng.standard_normal()) for n in range(50)]
    assert drift_of(judged(good, ())).alarm == ""
    bad = [seen(50 + n, 6 + n // 10, -1.2 + 0.3 * rng.standard_normal()) for n in range(60)]
    account = drift_of(judged([*good, *bad], ()))
    assert "no longer cover" in account.alarm
    assert re.search(r"of (90|100|110) values up to round (9|10|11) lie outside", account.alarm)
    assert "no longer cover" in calibration_line(judged([*good, *bad], ()))
    assert pause_reason(good) == pause_reason([]) == ""
    assert "pause_at_drift: false" in pause_reason([*good, *bad])


def test_errors_that_change_within_wide_intervals_are_noticed_and_are_no_alarm():
    rng = np.random.default_rng(1)
    errors = 0.05 * rng.standard_normal(80)
    errors[50:] += 0.2
    account = drift_of(judged([seen(n, 1 + n // 10, -2.0 + error) for n, error in enumerate(errors)], ()))
    assert account.alarm == ""
    assert "since round" in account.notice


def test_without_intervals_a_change_of_the_errors_is_the_alarm():
    rng = np.random.default_rng(2)
    errors = 0.2 * rng.standard_normal(90)
    errors[60:] += 0.4  # two standard deviations
    some = [seen(n, 1 + n // 10, -2.0 + error, low=None, high=None) for n, error in enumerate(errors)]
    account = drift_of(judged(some, ()))
    assert "no intervals" in account.alarm
    assert 60 <= account.changed.first_above() < 90


def test_forecasts_without_error_bars_or_with_equal_ends_are_no_error():
    odd = [seen(0, 1, -2.0, sigma=None, low=None, high=None), seen(1, 1, -2.0, sigma=0.0, low=-2.0, high=-2.0)]
    rows = calibration_rows(judged(odd, ()))
    assert (rows[0].forecasts, rows[0].changed) == (2, 1.0)
    assert drift_of(judged(odd, ())).alarm == ""


def test_the_summary_is_plain_json():
    some = [seen(number, 1 + number // 10, -2.0) for number in range(20)]
    told = calibration_summary(judged(some, ()))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert [row["round"] for row in told["rounds"]] == [1, 2]
    assert calibration_line(judged(some, ())).startswith(
        "forecasts: 100 % of 20 values lie in their 90 % intervals; chances"
    )
