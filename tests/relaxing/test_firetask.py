"""One candidate from claim to record: every ending, with pw.x replaced."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from database_fixture import NOON, new_candidate, new_relaxation
from pw_fakes import fake_table
from relax_fakes import FakeRelax, context_of, fake_run, launches, queued, until

from crystalloop.db.ledger.records import Attempt, CandidateState
from crystalloop.db.ledger.store import StoreUnavailable
from crystalloop.dft.pw.run import PwNotFound
from crystalloop.dft.work.candidate_work import MAX_INTERRUPTIONS, Outcome, perform
from crystalloop.dft.work.stored_result import RESULT, StoredResult


@pytest.fixture
def context(store, tmp_path):
    return context_of(store, tmp_path)


def test_a_relaxation_is_computed_and_recorded_with_its_attempt(store, context, tmp_path):
    candidate_id = queued(store)
    assert perform(candidate_id, context()) is Outcome.RELAXED
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.lease) == (CandidateState.RELAXED, None)
    assert (candidate.relaxation.a_ang, candidate.relaxation.reused_from) == (4.06, None)
    assert [(done.number, done.outcome, done.worker) for done in candidate.attempts] == [(1, "converged", "worker-1")]
    assert launches(tmp_path) == [candidate_id]


def test_giving_up_is_a_recorded_outcome(store, context):
    candidate_id = queued(store)
    assert perform(candidate_id, context("gave up")) is Outcome.GAVE_UP
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.reason) == (CandidateState.GAVE_UP, "SCF did not converge")
    assert len(candidate.attempts) == 1


def outcomes_of(candidate_id, store, context):
    """Perform until the candidate is no longer handed back."""
    done = []
    while store.candidate(candidate_id).state is CandidateState.QUEUED:
        done.append(perform(candidate_id, context))
    return done


def test_a_surprise_is_handed_back_a_few_times_and_does_not_stop_the_worker(store, context):
    candidate_id = queued(store)
    done = outcomes_of(candidate_id, store, context(ZeroDivisionError("no volume")))
    assert done == [Outcome.OUR_FAULT, Outcome.OUR_FAULT, Outcome.GAVE_UP]
    candidate = store.candidate(candidate_id)
    assert candidate.reason.startswith(
        "internal error (3 tries): ZeroDivisionError: no volume; an error of this program"
    )
    assert [attempt.outcome for attempt in candidate.attempts] == ["internal_error"] * 3


def test_a_surprise_that_passes_leaves_no_trace_but_its_attempt(store, context):
    candidate_id = queued(store)
    assert perform(candidate_id, context(KeyError("odd"))) is Outcome.OUR_FAULT
    assert perform(candidate_id, context()) is Outcome.RELAXED
    candidate = store.candidate(candidate_id)
    assert [attempt.outcome for attempt in candidate.attempts] == ["internal_error", "converged"]
    assert [attempt.number for attempt in candidate.attempts] == [1, 2]


def test_settings_that_cannot_be_read_are_not_the_crystals_fault(store, context):
    candidate_id = queued(store, settings={"kspacing": 0.1})
    assert outcomes_of(candidate_id, store, context())[0] is Outcome.OUR_FAULT
    assert "kspacing" in store.candidate(candidate_id).reason


def test_a_machine_without_pw_hands_the_candidate_back(store, context):
    candidate_id, told = queued(store), []
    outcome = perform(candidate_id, context(PwNotFound("no pw.x"), report=lambda *facts: told.append(facts)))
    assert outcome is Outcome.ENVIRONMENT
    assert store.candidate(candidate_id).state is CandidateState.QUEUED
    assert told == [(candidate_id, Outcome.ENVIRONMENT, "no pw.x")]


@pytest.mark.parametrize("state", ["proposed", "running", "relaxed", "absent"])
def test_a_candidate_that_is_not_queued_is_left_alone(store, context, tmp_path, state):
    if state != "absent":
        store.add_candidates([new_candidate()])
    if state in {"running", "relaxed"}:
        store.queue(["first-0000"], NOON)
        token = store.claim("first-0000", "other", NOON, 60).lease.token
        if state == "relaxed":
            store.record_relaxation("first-0000", token, new_relaxation(), NOON)
    assert perform("first-0000", context()) is Outcome.NOT_OURS
    assert launches(tmp_path) == []


def test_the_same_calculation_of_another_campaign_is_reused_not_repeated(store, context, tmp_path):
    first = queued(store, 1, key="same", campaign="other")
    perform(first, context())
    second, third = (queued(store, number, key="same", campaign=f"campaign-{number}") for number in (2, 3))
    assert [perform(id_, context()) for id_ in (second, third)] == [Outcome.REUSED, Outcome.REUSED]
    copies = [store.candidate(id_).relaxation for id_ in (second, third)]
    assert [(copy.reused_from, copy.cpu_s, copy.energy_ev) for copy in copies] == [(first, 0.0, -20.0)] * 2
    assert launches(tmp_path) == [first]


def test_of_two_running_twins_the_later_one_waits(store, context, tmp_path):
    older = queued(store, 1, key="same", campaign="other")
    store.claim(older, "worker-9", NOON - timedelta(seconds=1), 60)
    younger = queued(store, 2, key="same")
    assert perform(younger, context()) is Outcome.DEFERRED
    assert store.candidate(younger).state is CandidateState.QUEUED
    assert launches(tmp_path) == []


def test_of_two_twins_that_start_together_exactly_one_computes(store, context, tmp_path):
    ids = [queued(store, number, key="same", campaign=f"campaign-{number}") for number in (1, 2)]
    both_claimed = threading.Barrier(2)

    class Together:
        """Lets nobody look for twins before both have claimed."""

        def __getattr__(self, name):
            return getattr(store, name)

        def with_key(self, key):
            both_claimed.wait(timeout=30)
            return store.with_key(key)

    outcomes = {}
    threads = [
        threading.Thread(target=lambda id_=id_: outcomes.update({id_: perform(id_, context(store=Together()))}))
        for id_ in ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes[ids[0]] is Outcome.RELAXED
    assert outcomes[ids[1]] in {Outcome.DEFERRED, Outcome.REUSED}
    assert launches(tmp_path) == [ids[0]]


def test_a_twin_whose_lease_has_ended_is_not_waited_for(store, context):
    dead = queued(store, 1, key="same", campaign="other")
    store.claim(dead, "worker-9", NOON - timedelta(hours=1), 60)
    assert perform(queued(store, 2, key="same"), context()) is Outcome.RELAXED


def test_an_answer_that_could_not_be_recorded_is_not_computed_again(store, context, tmp_path):
    candidate_id = queued(store)

    class GoesAway:
        """A store that is gone when the answer is there."""

        def __getattr__(self, name):
            if name in {"add_attempt", "record_relaxation"}:
                raise StoreUnavailable("gone")
            return getattr(store, name)

    with pytest.raises(StoreUnavailable):
        perform(candidate_id, context(store=GoesAway(), ttl_s=60.0))
    later = NOON + timedelta(minutes=2)
    assert store.expire_leases(later) == (candidate_id,)
    assert perform(candidate_id, context(worker="worker-2", now=lambda: later)) is Outcome.RECOVERED
    candidate = store.candidate(candidate_id)
    assert candidate.state is CandidateState.RELAXED
    numbered = [(attempt.number, attempt.outcome, attempt.worker) for attempt in candidate.attempts]
    assert numbered == [(1, "interrupted", "worker-1"), (2, "converged", "worker-1")]
    assert launches(tmp_path) == [candidate_id]


@pytest.mark.parametrize("noted", [False, True])
def test_a_launch_that_ended_before_its_worker_was_killed_is_not_repeated(store, context, tmp_path, noted):
    candidate_id = queued(store)

    class Killed(BaseException):
        """Ends the worker right after pw.x, before or after the attempt was noted."""

    class Dies(FakeRelax):
        def __call__(self, *arguments, on_attempt, **options):
            def note(report):
                if noted:
                    on_attempt(report)
                raise Killed

            return super().__call__(*arguments, on_attempt=note, **options)

    with pytest.raises(Killed):
        perform(candidate_id, context(relax=Dies(), ttl_s=60.0))
    later = NOON + timedelta(minutes=2)
    store.expire_leases(later)
    assert perform(candidate_id, context(worker="worker-2", now=lambda: later)) is Outcome.RELAXED
    attempts = store.candidate(candidate_id).attempts
    assert sorted(attempt.outcome for attempt in attempts) == ["converged", "interrupted"]
    assert [attempt.folder for attempt in attempts if attempt.folder] == ["attempt-1"]
    assert launches(tmp_path) == [candidate_id]


def test_a_launch_that_was_cut_off_is_made_again(store, context, tmp_path):
    candidate_id = queued(store)
    folder = tmp_path / candidate_id / "attempt-1"
    folder.mkdir(parents=True)
    (folder / "pw.in").write_text("input")
    assert perform(candidate_id, context()) is Outcome.RELAXED
    assert [attempt.folder for attempt in store.candidate(candidate_id).attempts] == ["attempt-2"]
    assert launches(tmp_path) == [candidate_id]


@pytest.mark.parametrize("text", ["", "{", '{"key": "another"}'])
def test_a_waiting_answer_that_is_not_this_one_is_ignored(store, context, tmp_path, text):
    candidate_id = queued(store)
    (tmp_path / candidate_id).mkdir()
    (tmp_path / candidate_id / RESULT).write_text(text)
    assert perform(candidate_id, context()) is Outcome.RELAXED


def test_a_stored_result_survives_its_file(tmp_path):
    attempt = Attempt(number=1, started_at=NOON, outcome="converged")
    result = StoredResult(key="key", attempts=(attempt,), relaxation=new_relaxation(), reason=None)
    result.write(tmp_path)
    assert StoredResult.read(tmp_path, "key") == result
    assert [path.name for path in tmp_path.iterdir()] == [RESULT]


def test_a_worker_that_stops_ends_pw_and_hands_back(store, context, tmp_path):
    (tmp_path / "gate").unlink()
    candidate_id, stop, outcome = queued(store), threading.Event(), []
    thread = threading.Thread(target=lambda: outcome.append(perform(candidate_id, context(stop=stop))))
    thread.start()
    until(lambda: launches(tmp_path), what="the launch")
    stop.set()
    thread.join()
    assert outcome == [Outcome.RELEASED]
    assert store.candidate(candidate_id).state is CandidateState.QUEUED


def test_a_worker_whose_lease_was_given_away_stops_computing_and_writes_nothing(store, context, tmp_path):
    (tmp_path / "gate").unlink()
    candidate_id, outcome = queued(store), []
    thread = threading.Thread(target=lambda: outcome.append(perform(candidate_id, context(ttl_s=0.2))))
    thread.start()
    until(lambda: launches(tmp_path), what="the launch")
    store.expire_leases(NOON + timedelta(hours=1))
    newer = store.claim(candidate_id, "worker-2", NOON + timedelta(hours=1), 600)
    thread.join()
    assert outcome == [Outcome.LEASE_LOST]
    assert store.candidate(candidate_id) == newer


def test_the_heartbeat_goes_on_after_the_database_was_away(store, context, tmp_path):
    (tmp_path / "gate").unlink()
    beats, outcome = [], []

    class Hiccups:
        """A store that is away for the first heartbeats."""

        def __getattr__(self, name):
            return getattr(store, name)

        def heartbeat(self, *arguments):
            beats.append(arguments)
            if len(beats) < 3:
                raise StoreUnavailable("away")
            return store.heartbeat(*arguments)

    candidate_id = queued(store)
    target = lambda: outcome.append(perform(candidate_id, context(store=Hiccups(), ttl_s=0.2)))  # noqa: E731
    thread = threading.Thread(target=target)
    thread.start()
    until(lambda: len(beats) > 4, what="heartbeats")
    (tmp_path / "gate").touch()
    thread.join()
    assert outcome == [Outcome.RELAXED]


def test_a_candidate_that_always_takes_its_worker_with_it_is_given_up(store, context, tmp_path):
    candidate_id = queued(store)
    for hours in range(MAX_INTERRUPTIONS):
        store.claim(candidate_id, "victim", NOON + timedelta(hours=hours), 60)
        store.expire_leases(NOON + timedelta(hours=hours + 1))
    assert perform(candidate_id, context()) is Outcome.GAVE_UP
    assert "interrupted 20 times" in store.candidate(candidate_id).reason
    assert launches(tmp_path) == []


def test_the_command_is_filled_in_for_each_launch(store, context, tmp_path):
    seen = []

    def run(text, folder, options):
        seen.append(options.command)
        return fake_run(text, folder, options)

    candidate_id = queued(store)
    table = fake_table(tmp_path / "pseudos")
    command = "box --bind {folder},{pseudos} pw.x"
    assert perform(candidate_id, context(run=run, table=table, command=command)) is Outcome.RELAXED
    assert seen == [f"box --bind {tmp_path / candidate_id / 'attempt-1'},{tmp_path / 'pseudos'} pw.x"]
