"""The policy as a table of situations and actions."""

import dataclasses

import pytest

from crystalloop.orchestrator.loop.nets import is_far, shortage, wider
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


def at(number=1, open=0, unsettled=0, closed=False, chosen=6, note="", **changes):
    return dataclasses.replace(START, current=RoundView(number, open, unsettled, closed, chosen, note), **changes)


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
        (at(closed=True, labelled=6, wall_minutes=16.0), Finish("the budget of 15 minutes is used")),
        (at(open=2, stopping=True), Finish("stopped on request", completed=False)),
    ],
)
def test_the_situation_decides_the_action(snapshot, action):
    assert decide(snapshot, RULES) == action


REFERENCE = "the elemental reference O2 (ref-O-1) gave up: SCF"


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (at(open=2, wall_minutes=16.0), "2 relaxations of round 1 cut off"),
        (at(unsettled=2, references_open=1, wall_minutes=16.0), "1 elemental references cut off"),
        (at(closed=True, cut="the training after round 1"), "the training after round 1 cut off"),
        (dataclasses.replace(START, cut="the first training"), "the first training cut off"),
        (dataclasses.replace(START, wall_minutes=16.0), "the budget of 15 minutes is used"),
    ],
)
def test_the_clock_ends_every_phase_and_says_which(snapshot, words):
    action = decide(snapshot, RULES)
    assert isinstance(action, Finish)
    assert not action.failed
    assert action.reason.startswith("the budget of 15 minutes is used")
    assert words in action.reason
    assert ("raised" in action.reason) is ("cut off" in action.reason)


def test_a_round_that_found_nobody_ends_the_campaign_and_never_as_if_all_rounds_were_done():
    met, unknown, missed = (
        decide(at(number=3, closed=True, chosen=0, note="all is computed", is_met=is_met, best=best), RULES)
        for is_met, best in ((True, "LiF with e_f -3.1"), (None, ""), (False, "LiF with e_f -3.1"))
    )
    assert met == Finish("nothing is left to compute after 2 rounds: all is computed; best known: LiF with e_f -3.1")
    assert missed.failed and unknown.failed
    assert missed.reason.startswith("target out of reach: all is computed; best known: LiF with e_f -3.1; ask for less")
    assert unknown.reason.startswith("nothing is left to compute: all is computed; nothing is known")


def test_rounds_that_are_done_without_a_hit_are_done_and_say_so():
    done = at(number=3, closed=True, labelled=18, model_round=2, best="LiF with e_f -3.1")
    assert decide(dataclasses.replace(done, is_met=True), RULES) == Finish("all 3 rounds are done")
    assert decide(dataclasses.replace(done, is_met=False), RULES) == Finish(
        "all 3 rounds are done; nothing met the target, best known: LiF with e_f -3.1"
    )


def test_a_round_that_chose_nobody_before_enumeration_was_tried_is_proposed_again():
    assert decide(at(number=2, closed=True, chosen=0, labelled=6, model_round=1), RULES) == Propose(2, with_model=True)
    assert decide(at(number=3, closed=True, chosen=0, labelled=6, model_round=1), RULES) == Retrain(2)


def test_a_reference_that_gave_up_ends_the_campaign_once_the_work_under_way_is_done():
    gave_up = {"references_gave_up": (REFERENCE,)}
    assert decide(at(open=1, **gave_up), RULES) == Wait()
    assert decide(at(unsettled=1, **gave_up), RULES) == Settle()
    for snapshot in (at(closed=True, **gave_up), dataclasses.replace(START, **gave_up)):
        action = decide(snapshot, RULES)
        assert action.failed
        assert REFERENCE in action.reason


def test_wider_nets_are_cast_until_there_are_enough():
    assert [wider(0, 6, 6, False), wider(0, 5, 6, False), wider(1, 0, 6, False), wider(2, 0, 6, False)] == [
        None,
        1,
        2,
        None,
    ]
    assert [wider(0, 0, 6, True), wider(1, 0, 6, True)] == [1, None]


def test_a_target_is_far_where_it_lies_further_from_everything_known_than_that_spans():
    assert is_far([47.0, 48.0, 50.0, 51.0])
    assert not is_far([0.5, 1.0, 2.0, 3.5])
    assert not is_far([47.0, 48.0])  # too few to say


def test_a_shortage_says_why():
    assert shortage(6, 6, True) == ""
    assert "no crystals that these elements and prototypes make are predicted within 3" in shortage(0, 6, True)
    assert "gave up" in shortage(2, 6, False)


def test_work_under_way_is_finished_before_the_cpu_budget_ends_the_campaign():
    assert decide(at(open=1, cpu_hours=2.0), RULES) == Wait()
    assert decide(at(closed=True, labelled=6, cpu_hours=2.0), RULES) == Finish(
        "the budget of 1 CPU-hours is used (2.00)"
    )


def test_a_round_never_asks_for_more_than_the_budget_has_left():
    assert affordable(6, at(relaxations=17), RULES) == 3
    assert affordable(6, at(relaxations=20), RULES) == 0
    assert affordable(6, at(), Rules(rounds=1, minimum_labels=1)) == 6
