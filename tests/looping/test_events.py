"""What the loop tells: terminal and log hear every event, and nothing is told that nobody can hear."""

import io
import logging
from typing import get_args

import pytest
from database_fixture import new_candidate, new_relaxation
from example_campaign import version
from rich.console import Console

from crystalloop.db.ledger.records import CandidateState
from crystalloop.db.ledger.standing import Standing
from crystalloop.orchestrator.loop import events
from crystalloop.orchestrator.show.progress import Progress

RUNNING = new_candidate(1, state=CandidateState.RUNNING)
RELAXED = RUNNING.model_copy(update={"state": CandidateState.RELAXED, "relaxation": new_relaxation()})
FAILED = new_candidate(2, state=CandidateState.GAVE_UP, reason="SCF [slow]")
EXAMPLES = [
    (events.Note("[bold] is escaped"), "[bold] is escaped"),
    (events.Preparing("reading data"), "reading data"),
    (events.Proposing(2, "first-v1"), "round 2: proposing from model first-v1"),
    (events.Redrawing(2, 1, 6, "drawn again, wider"), "round 2: 1 of 6 candidates; drawn again, wider"),
    (events.RoundProposed(2, (), (RUNNING,), "nothing [else]"), "no more than these: nothing [else]"),
    (events.Stalled("pw.x on LiF", 240.0), "no news for 4 minutes; waiting for pw.x on LiF"),
    (events.RoundProposed(2, (("generated", 9), ("unique", 4)), (RUNNING,)), "9 generated > 4 unique > 1 chosen"),
    (events.Waiting(2, (Standing.of(RUNNING),), ()), "round 2: 0/1 relaxations done; pw.x on LiF"),
    (events.LeasesExpired(("first-0001",)), "handed back, since their worker is gone: first-0001"),
    (events.EnergySettled(RELAXED, -3.25, None), "first-0001 formation energy -3.250 eV/atom"),
    (events.EnergySettled(RELAXED, None, "no reference for [F]"), "no formation energy: no reference for [F]"),
    (events.RoundClosed(2, (Standing.of(FAILED),)), "first-0002 gave up: SCF [slow]"),
    (events.Training("first-v1", 5, 40), "training first-v1 on 5 labelled and 40 unlabelled crystals"),
    (events.ModelTrained(version(1, 1, ["a"])), "first-v1 trained: unet 18 s, vae 18 s, cgcnn 18 s"),
    (events.Finished("all 2 rounds are done", completed=True), "the campaign ends: all 2 rounds are done"),
]


@pytest.fixture
def shown():
    return Console(file=io.StringIO(), width=200, force_terminal=False)


def test_every_event_has_an_example_here():
    assert {type(event) for event, _ in EXAMPLES} == set(get_args(events.Event))


@pytest.mark.parametrize(("event", "words"), EXAMPLES, ids=[type(event).__name__ for event, _ in EXAMPLES])
def test_the_terminal_shows_every_event(shown, event, words):
    progress = Progress(shown)
    progress(event)
    progress._look()
    assert words in shown.file.getvalue()


def test_the_end_of_a_relaxation_is_said_once(shown):
    progress = Progress(shown)
    for candidate in (RUNNING, RELAXED, RELAXED):
        progress(events.Waiting(1, (Standing.of(candidate),), ()))
    progress(events.RoundClosed(1, (Standing.of(RELAXED),)))
    assert shown.file.getvalue().count("first-0001 relaxed: a 4.060 A, 4 steps, 0 CPU s") == 1


def test_nothing_is_shown_of_what_is_no_event(shown):
    with pytest.raises(TypeError, match="str is no event"):
        Progress(shown)("waiting")


def test_the_log_has_a_line_for_every_event_and_every_listener_hears_it(caplog):
    heard = []
    caplog.set_level(logging.DEBUG, logger=events.__name__)
    tell = events.to_all(events.to_log, heard.append)
    for event, _ in EXAMPLES:
        tell(event)
    assert heard == [event for event, _ in EXAMPLES]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [type(e).__name__ for e in heard]
    assert "Finished: reason=all 2 rounds are done, completed=True" in caplog.text
    assert "chosen=first-0001" in caplog.text
    assert {r.levelname for r in caplog.records if r.getMessage().startswith("Waiting")} == {"DEBUG"}
