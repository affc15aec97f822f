"""The policy as a table of situations and actions."""

import dataclasses

import pytest

from crystalloop.orchestrator.loop.policy import (
    CloseRound,
    Finish,
    Propose,
    Retrain,
    RoundView,
    Rules,
    Settle,
    Snapshot,
    Wait,
    affordable,
    decide,
)

RULES = Rules(rounds=3, minimum_labels=4, relaxations=20, cpu_hours=1.0, wall_minutes=15)
START = Snapshot(
    current=None, references_open=0, labelled=0, model_round=None, relaxations=0, cpu_hours=0.0, wall_minutes=0.0
)


def at(number=1, open=0, unsettled=0, closed=False, **changes):
    return dataclasses.replace(START, current=RoundView(number, open, unsettled, closed), **changes)


@pytest.mark.parametrize(
    ("snapshot", "action"),
    [
        (START, Propose(1, with_model=False)),
        (dataclasses.replace(START, labelled=50), Retrain(0)),
        (dataclasses.replace(START, labelled=50, model_round=0), Propose(1, with_model=True)),
        (at(open=3), Wait()),
        (at(unsettled=2, references_open=1), Wait()),
        (at(unsettled=2), Settle()),
        (at(), CloseRound(1)),
        (at(closed=True, labelled=6), Retrain(1)),
        (at(closed=True, labelled=6, model_round=0), Retrain(1)),
        (at(closed=True, labelled=6, model_round=1), Propose(2, with_model=True)),
        (at(closed=True, labelled=1), Propose(2, with_model=False)),
        (at(number=3, closed=True, labelled=18, model_round=2), Finish("all 3 rounds are done")),
        (at(closed=True, labelled=6, relaxations=20), Finish("the budget of 20 relaxations is used")),
        (at(open=2, wall_minutes=16.0), Finish("the budget of 15 minutes is used")),
        (at(open=2, stopping=True), Finish("stopped on request", completed=False)),
    ],
)
def test_the_situation_decides_the_action(snapshot, action):
    assert decide(snapshot, RULES) == action


def test_work_under_way_is_finished_before_the_cpu_budget_ends_the_campaign():
    assert decide(at(open=1, cpu_hours=2.0), RULES) == Wait()
    assert decide(at(closed=True, labelled=6, cpu_hours=2.0), RULES) == Finish(
        "the budget of 1 CPU-hours is used (2.00)"
    )


def test_a_round_never_asks_for_more_than_the_budget_has_left():
    assert affordable(6, at(relaxations=17), RULES) == 3
    assert affordable(6, at(relaxations=20), RULES) == 0
    assert affordable(6, at(), Rules(rounds=1, minimum_labels=1)) == 6
