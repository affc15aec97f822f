"""Waiting for Ray: values in order, a failure at once, a deadline that holds, and a sentence where it takes long."""

from __future__ import annotations

import signal
import threading
from threading import Event

import pytest

from crystalloop.orchestrator.cluster import waiting
from crystalloop.orchestrator.cluster.waiting import SAY_AFTER_S, RayDeadline, wait_for, wait_for_thread


class PretendRay:
    """Calls are numbers; the calls named in `slow` end after so many looks."""

    def __init__(self, slow):
        self.looks_left, self.cancelled = dict(slow), []

    def wait(self, calls, **_):
        for call in calls:
            self.looks_left[call] = self.looks_left.get(call, 0) - 1
        ended = [call for call in calls if self.looks_left[call] < 0][:1]
        return ended, [call for call in calls if call not in ended]

    def get(self, calls):
        for call in calls:
            if call == "bad":
                raise ValueError("a call failed")
        return [f"value of {call}" for call in calls]

    def cancel(self, call, recursive):
        self.cancelled.append(call)

    def cluster_resources(self):
        return {"CPU": 2.0}

    def available_resources(self):
        return {"CPU": 0.5}


@pytest.fixture
def pretend(monkeypatch):
    def make(**slow):
        ray = PretendRay(slow)
        monkeypatch.setattr(waiting, "ray", ray)
        return ray

    return make


@pytest.fixture
def clock():
    """Half a minute goes by between two looks."""
    seconds = iter(range(0, 1_000_000, 30))
    return lambda: float(next(seconds))


def test_values_come_in_the_order_of_the_calls(pretend, clock):
    pretend(first=3)
    assert wait_for(["first", "second"], "two calls", clock=clock) == ["value of first", "value of second"]


def test_nothing_to_wait_for_is_nothing(pretend):
    pretend()
    assert wait_for([], "nothing") == []


def test_a_failure_is_heard_while_others_are_still_at_work(pretend, clock):
    pretend(slow=10**6)
    with pytest.raises(ValueError, match="a call failed"):
        wait_for(["slow", "bad"], "two calls", clock=clock)


def test_a_wait_ends_at_its_deadline_and_what_had_not_ended_is_cancelled(pretend, clock):
    ray = pretend(slow=10**6)
    with pytest.raises(RayDeadline, match="the time is up for two calls: 1 of 2 calls had not ended"):
        wait_for(["slow", "fast"], "two calls", deadline=600.0, clock=clock)
    assert ray.cancelled == ["slow"]


def test_after_two_minutes_without_progress_a_sentence_says_what_is_waited_for(pretend, clock):
    pretend(slow=11)
    said = []
    wait_for(["slow"], "64 draws by 2 generators", tell=said.append, clock=clock)
    assert len(said) == 11 * 30 // SAY_AFTER_S
    assert said[0] == (
        "waiting for Ray: 64 draws by 2 generators, 1 of 1 calls, nothing ended for 2 min; 0.5 of 2 CPUs are free"
    )


def test_work_in_a_thread_gives_its_value_or_its_error():
    assert wait_for_thread(lambda: 7, "a sum", lambda: 0) == 7
    with pytest.raises(TimeoutError, match="of the work itself"):
        wait_for_thread(_fail, "a sum", lambda: 0)


def _fail():
    raise TimeoutError("of the work itself")


def test_work_in_a_thread_that_shows_no_progress_is_spoken_of(pretend, clock, monkeypatch):
    pretend()
    said, go_on = [], Event()
    monkeypatch.setattr(waiting, "LOOK_S", 0.001)

    def hear(sentence):
        said.append(sentence)
        if len(said) == 2:
            go_on.set()

    wait_for_thread(go_on.wait, "the training in v1", lambda: 0, hear, clock)
    assert said[0].startswith("waiting for Ray: the training in v1, 1 of 1 calls, nothing ended for 2 min")


def test_progress_of_the_work_is_no_silence(pretend, clock, monkeypatch):
    pretend()
    bytes_, go_on = iter(range(1000)), Event()
    monkeypatch.setattr(waiting, "LOOK_S", 0.001)

    def size():
        seen = next(bytes_)
        if seen == 20:
            go_on.set()
        return seen

    wait_for_thread(go_on.wait, "the training in v1", size, pytest.fail, clock)


def test_an_alarm_comes_through_while_the_work_goes_on():
    """Ray Train takes Ctrl-C for itself in the main thread, and keeps it: the program then ended with code 0."""
    go_on = Event()
    left = signal.signal(signal.SIGINT, signal.default_int_handler)  # by Ray Train, where tests of it ran before
    try:
        threading.Timer(0.05, lambda: signal.raise_signal(signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            wait_for_thread(go_on.wait, "the training in v1", lambda: 0)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        go_on.set()
        signal.signal(signal.SIGINT, left)
