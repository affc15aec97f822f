"""The page of a study: what stands on it, that nothing is cut off by a phone, and that nothing in it runs."""

import dataclasses
import re
from datetime import UTC, datetime

import pytest
from laboratories import Separable, campaign, laboratory, policy
from rich.console import Console

from crystalloop.orchestrator.show.simulation.study_page import reach_text, spread_out, study_html, write_study_page
from crystalloop.orchestrator.show.simulation.study_progress import StudyProgress, show_study
from crystalloop.orchestrator.simulate.policies import Policy
from crystalloop.orchestrator.simulate.scores import Mean, Reach
from crystalloop.orchestrator.simulate.study import run_study

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    file = tmp_path_factory.mktemp("study") / "trials.jsonl"
    return run_study(laboratory(), [policy(), Policy("random", campaign(), None)], range(3), file, Separable)


def test_the_page_has_every_policy_every_score_and_three_figures(study, tmp_path):
    html = write_study_page(study, tmp_path / "new" / "page.html", NOW).read_text(encoding="utf-8")
    assert html.count("<picture>") == 3
    for scores in study.scores:
        assert f"{scores.hits.mean:.1f} \N{PLUS-MINUS SIGN}" in html
    assert "60 crystals whose values are known, 10 of them hits" in html
    for word in ("Enhancement factor", "Acceleration factor", "standard error", "Coverage"):
        assert word in html


def test_the_page_runs_nothing_and_wide_tables_scroll_by_themselves(study):
    html = study_html(study, NOW)
    assert "<script" not in html and "default-src 'none'" in html
    assert html.count("<table") == html.count('class="scroll"')


def test_a_name_is_text_on_the_page_and_in_the_terminal(study):
    odd = "<b>[red]bold"
    trials = tuple(dataclasses.replace(trial, policy=odd) for trial in study.trials[:3])
    made = dataclasses.replace(study, trials=trials)
    html = study_html(made, NOW)
    assert odd not in html and "&lt;b&gt;[red]bold" in html
    console = Console(record=True, width=140)
    show_study(console, made)
    assert odd in console.export_text()


def test_one_seed_has_no_error_and_a_policy_without_forecasts_no_figure_of_them(study, tmp_path):
    random = Policy("random", campaign(), None)
    alone = run_study(laboratory(), [random], [0], tmp_path / "t.jsonl", Separable)
    html = study_html(alone, NOW)
    assert html.count("<picture>") == 2
    assert re.search(r"1 seed[^s]", html)


def test_rounds_are_spread_over_all_of_them():
    assert spread_out(tuple(range(30)), 4) == (0, 10, 19, 29)
    assert spread_out(tuple(range(3)), 4) == (0, 1, 2)


def test_seeds_that_did_not_get_there_are_told():
    assert reach_text(Reach(0.5, 5, Mean(12.0, 1.0, 2), 2, 3, None)) == "12 \N{PLUS-MINUS SIGN} 1 (2 of 3 seeds)"
    assert reach_text(Reach(0.5, 5, None, 0, 3, None)) == "not reached"


def test_progress_says_each_finished_trial_and_nothing_where_it_is_quiet(study):
    console = Console(record=True, width=140)
    with StudyProgress(console, 24) as progress:
        progress.started("campaign", 0, 1, 6)
        progress.called(10)
        progress.finished(study.trials[0])
    assert f"campaign, seed 0: {study.trials[0].hits} hits in 24 calls" in console.export_text()
    silent = Console(record=True)
    with StudyProgress(silent, 24, quiet=True) as progress:
        progress.finished(study.trials[0])
    assert silent.export_text() == ""
