"""One candidate from claim to record: every ending, with pw.x replaced."""

from __future__ import annotations

import re
import signal
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from database_fixture import NOON, new_candidate, new_relaxation
from pw_fakes import fake_table
from relax_fakes import FakeRelax, fake_run, launches, until

from db.records import Attempt, CandidateState, CrystalDoc
from db.store import StoreUnavailable
from dft.cells import primitive_cell
from dft.firetask import LEAST_LEFT_S, MAX_INTERRUPTIONS, Outcome, WorkContext, perform
from dft.ground_states import ground_state
from dft.pseudos import PseudoTable
from dft.pw_input import time_limit
from dft.pw_run import PwNotFound, PwRun, run_pw
from dft.relax import relax
from dft.replay import was_cut_off
from dft.restart import has_scratch
from dft.scratch import on_scratch, require_scratch
from dft.settings import preset
from dft.stored_result import RESULT, StoredResult


@pytest.fixture
def context(store, tmp_path):
    """Builds the context of a worker whose pw.x ends at once."""
    (tmp_path / "gate").touch()

    def build(answer="relaxed", **changes):
        fields = {"store": store, "table": None, "runs": tmp_path, "worker": "worker-1", "ttl_s": 600.0}
        fields |= {"relax": FakeRelax(answer), "run": fake_run, "now": lambda: NOON}
        return WorkContext(**(fields | changes))

    return build


def queued(store, number=0, **changes):
    candidate = new_candidate(number, **changes)
    store.add_candidates([candidate])
    store.queue([candidate.id], NOON)
    return candidate.id


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


def test_a_surprise_is_recorded_and_does_not_stop_the_worker(store, context):
    candidate_id = queued(store)
    assert perform(candidate_id, context(ZeroDivisionError("no volume"))) is Outcome.GAVE_UP
    assert store.candidate(candidate_id).reason == "internal error: ZeroDivisionError: no volume"


def test_settings_that_cannot_be_read_are_a_recorded_outcome(store, context):
    candidate_id = queued(store, settings={"kspacing": 0.1})
    assert perform(candidate_id, context()) is Outcome.GAVE_UP
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

    def run(text, folder, *, command, **named):
        seen.append(command)
        return fake_run(text, folder, command=command, **named)

    candidate_id = queued(store)
    table = fake_table(tmp_path / "pseudos")
    command = "box --bind {folder},{pseudos} pw.x"
    assert perform(candidate_id, context(run=run, table=table, pw_command=command)) is Outcome.RELAXED
    assert seen == [f"box --bind {tmp_path / candidate_id / 'attempt-1'},{tmp_path / 'pseudos'} pw.x"]


def test_a_launch_gets_no_more_time_than_is_left_of_the_slot(store, context, tmp_path):
    given = []

    class Timed(FakeRelax):
        def __call__(self, structure, settings, table, folder, *, run, **named):
            def limited(_text, *arguments, **options):
                return run("&CONTROL\n  max_seconds = 3600\n/", *arguments, **options)

            return super().__call__(structure, settings, table, folder, run=limited, **named)

    def run(text, folder, **named):
        given.append(time_limit(text))
        return fake_run(text, folder, **named)

    for number, left in enumerate((100.0, 86400.0, None)):
        ends_at = left and time.monotonic() + left
        candidate_id = queued(store, number)
        assert perform(candidate_id, context(relax=Timed(), run=run, ends_at=ends_at)) is Outcome.RELAXED
    assert 60 <= given[0] <= 70 and given[1:] == [3600, 3600]
    assert store.candidate(candidate_id).settings == {}


def test_a_slot_with_little_left_hands_back_between_launches(store, context, tmp_path):
    candidate_id = queued(store)
    ends_at = time.monotonic() + LEAST_LEFT_S - 1
    assert perform(candidate_id, context(ends_at=ends_at)) is Outcome.RELEASED
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.attempts) == (CandidateState.QUEUED, ())
    assert launches(tmp_path) == []


def test_pw_killed_with_the_rest_of_its_job_is_no_attempt_of_the_candidate(store, context, tmp_path):
    stop = threading.Event()

    def run(text, folder, **named):
        fake_run(text, folder, **named)
        threading.Timer(0.2, stop.set).start()  # the batch system's signal arrives here a moment later
        return PwRun(-signal.SIGTERM, "", "", None, 1.0, 1.0, False, folder)

    candidate_id = queued(store)
    assert perform(candidate_id, context(run=run, stop=stop)) is Outcome.RELEASED
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.attempts) == (CandidateState.QUEUED, ())


def test_a_stop_in_the_fresh_cell_is_no_attempt_of_the_candidate(store, context, tmp_path):
    stop = threading.Event()

    def run(text, folder, **named):
        ran = fake_run(text, folder, **named)
        stop.set()
        said = "Final scf calculation at the relaxed structure.\nProgram stopped by user request\nJOB DONE."
        return replace(ran, returncode=255, stdout=said)

    candidate_id = queued(store)
    assert perform(candidate_id, context(run=run, stop=stop)) is Outcome.RELEASED
    assert store.candidate(candidate_id).attempts == ()
    assert was_cut_off(tmp_path / candidate_id)


@pytest.mark.pw
def test_a_stopped_worker_leaves_what_the_next_one_goes_on_from(store, context, tmp_path, pw_command, pseudo_folder):
    """The real pw.x, stopped in its second SCF cycle on scratch; a worker without scratch goes on with that cycle."""
    cell = primitive_cell(ground_state("Li"))
    cell.scale_lattice(1.05 * cell.volume)
    settings = preset("test").model_copy(update={"kspacing_inv_ang": 0.55, "method": "vc-relax"})
    candidate_id = queued(store, settings=settings.model_dump(), crystal=CrystalDoc.from_structure(cell))
    stop, real = threading.Event(), {"relax": relax, "table": PseudoTable.load(pseudo_folder)}
    launch = on_scratch(run_pw, require_scratch(tmp_path / "scratch"))

    def stopped_early(text, folder, *, on_progress, **named):
        def look(progress):
            if progress.n_scf:
                stop.set()
            on_progress(progress)

        return launch(text, folder, on_progress=look, **named)

    first = context(run=stopped_early, stop=stop, pw_command=pw_command, **real)
    assert perform(candidate_id, first) is Outcome.RELEASED
    waiting = store.candidate(candidate_id)
    assert (waiting.state, waiting.attempts) == (CandidateState.QUEUED, ())
    folder = tmp_path / candidate_id
    assert "Program stopped by user request" in (folder / "attempt-1" / "pw.out").read_text()
    assert list(tmp_path.rglob("*.EXIT")) == []
    assert has_scratch(folder / "attempt-1")

    second = context(run=run_pw, worker="worker-2", pw_command=pw_command, ends_at=time.monotonic() + 300, **real)
    assert perform(candidate_id, second) is Outcome.RELAXED
    (attempt, *_) = store.candidate(candidate_id).attempts
    assert "continued 1 x" in attempt.detail
    before, after = (folder / at / "pw.out" for at in ("attempt-1", "attempt-2/continued-1"))
    moves = re.findall(r"number of scf cycles    = +(\d+)", before.read_text() + after.read_text())
    assert moves == [str(number) for number in range(1, len(moves) + 1)]  # none of its steps was made twice
    assert time_limit((after.parent / "pw.in").read_text()) < settings.max_seconds
    assert not any((tmp_path / "scratch").iterdir())
