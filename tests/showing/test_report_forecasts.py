"""The report on forecasts: a section with figure and table where there are some, and no word of them where there are none."""

import pytest
from example_campaign import at, campaign, candidate, example_store, record, rounds, store_of

from crystalloop.db.ledger.forecast import Forecast
from crystalloop.models.surrogate.chances.reliability import Bin
from crystalloop.orchestrator.account.calibration import calibration_rows, judged
from crystalloop.orchestrator.show.chances.calibration_figure import calibration_alt, calibration_figure
from crystalloop.orchestrator.show.page import LIGHT
from crystalloop.orchestrator.show.report_page import write_report

pytestmark = pytest.mark.slow
E_F = "formation_energy_per_atom"


def store(error, **said):
    """A campaign whose thirty forecasts are off by so much."""
    some = [
        candidate(
            f"{n}",
            1 + n // 10,
            ["Li", "F"],
            -2.6 + error,
            -2.6,
            forecast=Forecast(
                **({"property": E_F, "mean": -2.6, "sigma": 0.1, "low": -2.8, "high": -2.4, "hit": 0.7} | said)
            ),
        )
        for n in range(30)
    ]
    turns = [one.model_copy(update={"chosen": tuple(c.id for c in some if c.round == one.number)}) for one in rounds()]
    return store_of(record(), some, turns)


def page(folder, *args, **said):
    return write_report(store(*args, **said), campaign(), folder, at(400)).read_text(encoding="utf-8")


def test_a_campaign_without_forecasts_has_no_section_of_them(tmp_path):
    text = write_report(example_store(), campaign(), tmp_path, at(400)).read_text(encoding="utf-8")
    assert "forecasts came true" not in text
    assert not (tmp_path / "figures" / "calibration.png").exists()


def test_forecasts_that_come_true_are_shown_without_alarm(tmp_path):
    text = page(tmp_path, 0.02)
    assert "How far the forecasts came true" in text
    assert "No drift was noticed" in text
    assert "100.0 %" in text
    assert (tmp_path / "figures" / "calibration.png").stat().st_size > 1000


def test_intervals_that_miss_are_an_alarm_in_words(tmp_path):
    text = page(tmp_path, 0.5)
    assert "<strong>Alarm:</strong> the 90 % intervals no longer cover what is found" in text


def test_forecasts_with_a_mean_alone_are_no_error(tmp_path):
    text = page(tmp_path, 0.1, sigma=None, low=None, high=None, hit=None)
    assert "How far the forecasts came true" in text
    assert not (tmp_path / "figures" / "calibration.png").exists()


def test_each_panel_stands_alone_and_nothing_gives_no_figure():
    rows = calibration_rows(judged(store(0.0).candidates("first"), ()))
    bins = (Bin(0.2, 0.1, 10), Bin(0.9, 1.0, 3))
    assert len(calibration_figure(rows, (), LIGHT).axes) == len(calibration_figure((), bins, LIGHT).axes) == 1
    assert len(calibration_figure(rows, bins, LIGHT).axes) == 2
    assert calibration_figure((), (), LIGHT) is None
    assert "round 2: 100% of 10 values" in calibration_alt(rows)
