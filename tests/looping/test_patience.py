"""Where nothing moves it is said what is waited for, and the alarm at the wall cuts work off as Ctrl-C would."""

import signal
import threading
from pathlib import Path

import pytest
from database_fixture import new_candidate

from crystalloop.db.ledger.records import CandidateState
from crystalloop.db.ledger.standing import Standing
from crystalloop.orchestrator.loop.contracts import TimeIsUp
from crystalloop.orchestrator.loop.events import Note, Preparing, Proposing, Stalled, Training, Waiting
from crystalloop.orchestrator.loop.patience import Patience, waits_for
from crystalloop.orchestrator.run.clock import asked_often, within

QUEUED = Standing.of(new_candidate(1, state=CandidateState.QUEUED))
RUNNING = Standing.of(new_candidate(2, state=CandidateState.RUNNING))


@pytest.fixture
def watch():
    return Watch()


class Watch:
    """A Patience with a clock, and a progress file, that the test sets."""

    def __init__(self):
        self.at, self.written, self.heard = 0.0, 0, []
        self.patience = Patience(self.heard.append, lambda: self.at, lambda path: self.written)

    def stalls_at(self, seconds):
        self.at, before = seconds, len(self.heard)
        self.patience.check()
        return [event.waits_for for event in self.heard[before:] if isinstance(event, Stalled)]


def test_two_minutes_without_news_are_said_and_then_four(watch):
    watch.patience(Preparing("reading data"))
    found = [watch.stalls_at(seconds) for seconds in (119, 121, 180, 241, 300, 481)]
    assert found == [[], ["reading data"], [], ["reading data"], [], ["reading data"]]
    watch.patience(Note("read"))
    assert watch.stalls_at(500) == []


def test_a_look_in_which_nothing_moved_is_no_news(watch):
    for at in range(0, 121, 10):
        watch.at = at
        watch.patience(Waiting(1, (QUEUED, RUNNING), ()))
    assert watch.stalls_at(121) == [f"pw.x on {RUNNING.formula}, 1 more in the queue"]
    watch.patience(Waiting(1, (RUNNING, RUNNING), ()))
    assert watch.stalls_at(240) == []


def test_a_training_whose_steps_go_on_is_not_stalled(watch):
    watch.patience(Training("v1", 4, 0, Path("progress.jsonl")))
    for at in range(60, 600, 60):
        watch.written += 1
        assert watch.stalls_at(at) == []
    (found,) = watch.stalls_at(720)
    assert "training v1" in found


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Waiting(1, (QUEUED,), ()), "a worker to take one of the 1 crystals"),
        (Waiting(1, (), (RUNNING,)), RUNNING.formula),
        (Proposing(2, "first-v1"), "Ray to start"),
        (Proposing(1, None), "decorations"),
        (Note("hello"), ""),
    ],
)
def test_what_is_waited_for_is_said_in_words(event, words):
    found = waits_for(event)
    assert words in found
    assert bool(words) is bool(found)


def test_the_alarm_cuts_off_what_takes_too_long_and_nothing_afterwards():
    handler = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeIsUp), within(0.01):
        signal.pause()
    with within(60.0):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is handler


def test_a_ctrl_c_before_the_alarm_stays_one():
    with pytest.raises(KeyboardInterrupt), within(60.0):
        raise KeyboardInterrupt


def test_without_a_limit_there_is_no_alarm():
    with within(None):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_watch_asks_from_a_thread_of_its_own_until_the_end():
    asked = threading.Event()
    with asked_often(asked.set, every_s=0.001):
        assert asked.wait(10)
    assert "patience" not in {thread.name for thread in threading.enumerate()}
