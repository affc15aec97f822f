"""What the database or the machine does wrong is never written down as the fault of a crystal."""

from __future__ import annotations

import errno
import random
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from database_fixture import NOON, new_candidate, new_relaxation
from embedded_process import ServerProcess
from pymongo.errors import (
    BulkWriteError,
    CursorNotFound,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    WriteConcernError,
)
from relax_fakes import context_of, launches, queued, until

from crystalloop.db.ledger.access.connection import connect
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.records import Attempt, CandidateState
from crystalloop.db.ledger.store import StoreRefused, StoreUnavailable
from crystalloop.dft.work.candidate_work import Outcome, perform
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad
from crystalloop.dft.work.stored_result import StoredResult

SCRIPT = Path(__file__).parents[1] / "fake_worker.py"
REFUSALS = [
    (OperationFailure("not authorized on crystals", 13), "code 13.*readWrite|code 13.*read and write"),
    (OperationFailure("Authentication failed.", 18), "code 18"),
    (ExecutionTimeout("operation exceeded time limit", 50), "code 50"),
    (OperationFailure("stepped down", 189), "code 189"),
    (OperationFailure("not primary", 10107), "code 10107"),
    (OperationFailure("interrupted at shutdown", 11600), "code 11600"),
    (OperationFailure("interrupted by a change of state", 11602), "code 11602"),
    (OperationFailure("operation was interrupted", 11601), "code 11601"),
    (WriteConcernError("waiting for replication timed out", 64), "code 64"),
    (OperationFailure("nothing was changed: data.sqlite could not be written (disk is full)", 14031), "free space"),
    (OperationFailure("quota exceeded", 12501), "free space"),
    (OperationFailure("you are over your space quota", 8000), "code 8000"),
    (OperationFailure("nothing was changed: disk I/O error", 8), "code 8"),
    (DuplicateKeyError("E11000 duplicate key", 11000), "code 11000"),
    (DocumentTooLarge("BSON document too large"), "DocumentTooLarge"),
    (CursorNotFound("cursor id 1 not found", 43), "code 43"),
    (OperationFailure("BSONObj size is invalid", 10334), "code 10334"),
    (OverflowError("MongoDB can only handle up to 8-byte ints"), "OverflowError"),
]
COMMANDS = ["find_one_and_update", "update_one", "find"]


class Failing:
    """A collection one of whose commands fails while `failing` is set."""

    def __init__(self, collection, command, error):
        self._collection, self._command, self._error = collection, command, error
        self.failing = False

    def __getattr__(self, name):
        if self.failing and name == self._command:
            raise self._error
        return getattr(self._collection, name)


@pytest.fixture
def context(store, tmp_path):
    return context_of(store, tmp_path)


@pytest.mark.parametrize(
    ("error", "said"), REFUSALS, ids=lambda value: getattr(value, "code", None) or type(value).__name__
)
def test_an_error_of_the_database_while_an_attempt_is_noted_hands_the_candidate_back(
    store, context, tmp_path, error, said
):
    candidate_id = queued(store)
    real = store._candidates
    store._candidates = Failing(real, "find_one_and_update", error)
    store._retry._sleep = lambda _: None
    noted = store.add_attempt

    def add_attempt(*arguments):
        store._candidates.failing = True
        return noted(*arguments)

    store.add_attempt = add_attempt
    with pytest.raises(StoreRefused, match=said) as caught:
        perform(candidate_id, context(ttl_s=600.0))
    assert str(caught.value).count("\n") == 0
    store._candidates, store.add_attempt = real, noted
    candidate = store.candidate(candidate_id)
    assert (candidate.reason, candidate.state) == (None, CandidateState.RUNNING)  # it refused the release, too
    store.release(candidate_id, candidate.lease.token, NOON)
    assert perform(candidate_id, context()) is Outcome.RELAXED
    assert launches(tmp_path) == [candidate_id]  # what pw.x had computed was gone on from


def test_a_lease_is_released_where_the_database_still_takes_that(store, context):
    candidate_id = queued(store)

    class Refuses:
        def __getattr__(self, name):
            if name == "add_attempt":
                raise StoreRefused("full")
            return getattr(store, name)

    with pytest.raises(StoreRefused):
        perform(candidate_id, context(store=Refuses()))
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.lease, candidate.attempts) == (CandidateState.QUEUED, None, ())


def test_errors_that_pass_are_waited_for(store):
    pauses = []
    store._retry._sleep = pauses.append
    left = [OperationFailure("stepped down", 189), NotPrimaryError("not primary"), ExecutionTimeout("slow", 50)]

    def find():
        if left:
            raise left.pop()
        return "found"

    assert store._retry(find) == "found"
    assert len(pauses) == 3


@pytest.mark.parametrize(
    "details",
    [
        {"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}]},
        {"writeErrors": [{"code": 14031, "errmsg": "disk is full"}]},
        {"writeErrors": [{"code": 11000, "errmsg": "E11000"}, {"code": 13, "errmsg": "not authorized"}]},
    ],
)
def test_candidates_that_were_not_written_durably_are_no_success(store, details):
    class Refuses(Failing):
        failing = True

    store._candidates = Refuses(store._candidates, "insert_many", BulkWriteError(details))
    store._candidates.failing = True
    store._retry._sleep = lambda _: None
    with pytest.raises(StoreRefused):
        store.add_candidates([new_candidate()])


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/runs/first-0000/attempt-1/pw.in"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        PermissionError(errno.EACCES, "Permission denied", "/runs"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EROFS, "Read-only file system"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EFBIG, "File too large"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        MemoryError(),
    ],
    ids=lambda error: getattr(error, "strerror", None) or type(error).__name__,
)
def test_what_the_machine_lacks_hands_the_candidate_back_and_ends_the_worker(store, context, error):
    candidate_id, told = queued(store), []
    assert perform(candidate_id, context(error, report=lambda *facts: told.append(facts))) is Outcome.ENVIRONMENT
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.lease, candidate.reason) == (CandidateState.QUEUED, None, None)
    assert re.search("disk space|memory", told[0][2])


def test_a_stored_answer_of_an_earlier_release_that_blames_the_crystal_for_our_error_is_not_believed(
    store, context, tmp_path
):
    candidate_id = queued(store)
    StoredResult(key="key-0000", reason="internal error: OperationFailure: disk is full").write(tmp_path / candidate_id)
    assert perform(candidate_id, context()) is Outcome.RELAXED


def test_what_was_given_up_is_taken_back_once_and_gone_on_from_or_computed_afresh(store, context, tmp_path):
    candidate_id = queued(store)
    assert perform(candidate_id, context("gave up")) is Outcome.GAVE_UP
    before = store.candidate(candidate_id)
    assert store.take_back(before, NOON, afresh=True)
    assert not store.take_back(before, NOON, afresh=True)
    assert (store.candidate(candidate_id).state, store.candidate(candidate_id).reason) == (CandidateState.QUEUED, None)
    (tmp_path / candidate_id / "gate").touch()
    assert perform(candidate_id, context()) is Outcome.RELAXED
    attempts = store.candidate(candidate_id).attempts
    assert [attempt.outcome for attempt in attempts] == ["scf_not_converged", "taken_back_afresh", "converged"]
    assert [attempt.folder for attempt in attempts] == ["attempt-1", "", "again-1/attempt-1"]
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert "SCF did not converge" in attempts[1].detail


def test_interruptions_and_surprises_are_counted_anew_after_a_taking_back(store, context):
    candidate_id = queued(store)
    for _ in range(3):
        perform(candidate_id, context(KeyError("odd")))
    assert store.candidate(candidate_id).state is CandidateState.GAVE_UP
    store.take_back(store.candidate(candidate_id), NOON)
    assert perform(candidate_id, context(KeyError("odd"))) is Outcome.OUR_FAULT
    assert perform(candidate_id, context()) is Outcome.RELAXED


@pytest.mark.parametrize("link", ["", "attempt-1", "result.json"])
def test_a_link_out_of_the_runs_folder_is_not_followed(store, context, tmp_path, link):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    runs = tmp_path / "runs"
    runs.mkdir()
    candidate_id = queued(store)
    (runs / candidate_id / link).parent.mkdir(exist_ok=True)
    (runs / candidate_id / link).symlink_to(elsewhere)
    assert perform(candidate_id, context(runs=runs)) is Outcome.ENVIRONMENT
    assert [path.name for path in elsewhere.iterdir()] == ["kept"]
    assert store.candidate(candidate_id).state is CandidateState.QUEUED


@pytest.mark.slow
def test_a_full_disk_of_the_database_gives_nobody_up(tmp_path, monkeypatch):
    """A real server whose files may not grow, real worker processes; then the same data on a disk with space."""
    data, runs = tmp_path / "d", tmp_path / "runs"
    runs.mkdir()
    (runs / "gate").touch()
    ids = [f"first-{number:04d}" for number in range(8)]
    with ServerProcess(data) as server:
        store, queue = opened(server)
        candidates = [new_candidate(number) for number in range(8)]
        store.add_candidates(candidates)
        store.queue(ids, datetime.now(UTC))
        queue.submit(candidates)
        close(store, queue)
        server.terminate()
    size = max(path.stat().st_size for path in data.iterdir())
    with ServerProcess(data, max_file_blocks=size // 512 + 24) as server:
        done = [work_once(server, runs, monkeypatch)]
        store = MongoStore(connect(server.uri)["full"], sleep=lambda _: None)
        with pytest.raises(StoreUnavailable, match="does not do what it is asked"):
            for number in range(100, 400):
                store.add_candidates([new_candidate(number, settings={"x": "x" * 4000})])
        done.append(work_once(server, runs, monkeypatch))
        states = {one.id: (one.state, one.reason) for one in store.candidates("first") if one.id in ids}
        assert CandidateState.GAVE_UP not in {state for state, _ in states.values()}
        store.close()
    assert 4 in {code for code, _ in done}
    for code, log in done:
        assert code in {0, 4}
        assert "Traceback" not in log
        assert code == 0 or log.splitlines()[-1].count("does not do what it is asked") == 1
    with ServerProcess(data) as server:
        store, queue = opened(server)
        queue.reconcile(datetime(2126, 1, 1, tzinfo=UTC))
        code, _ = work_once(server, runs, monkeypatch)
        assert code == 0
        assert {store.candidate(id_).state for id_ in ids} == {CandidateState.RELAXED}
        close(store, queue)


@pytest.mark.slow
def test_a_database_killed_again_and_again_loses_nothing_and_blames_nobody(tmp_path, monkeypatch):
    """SIGKILL at random moments while two workers compute: every candidate is recorded once, none is given up."""
    data, runs, count, rng = tmp_path / "d", tmp_path / "runs", 24, random.Random(5)
    runs.mkdir()
    (runs / "gate").touch()
    candidates = [new_candidate(number) for number in range(count)]
    server = ServerProcess(data)
    store, queue = opened(server)
    store.add_candidates(candidates)
    store.queue([one.id for one in candidates], datetime.now(UTC))
    queue.submit(candidates)
    monkeypatch.setenv("CRYSTALLOOP_MONGODB_URI", server.uri)
    command = [sys.executable, str(SCRIPT), "--database", "full", "--runs", str(runs), "--pseudos", str(runs)]
    command += ["--category", "first", "--ttl", "2"]
    workers = [subprocess.Popen([*command, "--name", f"w{n}"], stderr=subprocess.PIPE, text=True) for n in range(2)]
    until(lambda: launches(runs), what="the first launch")
    for _ in range(3):
        more = len(launches(runs)) + rng.randrange(1, 5)
        until(lambda: len(launches(runs)) >= more, what="more launches")  # noqa: B023
        server.kill()
        server = ServerProcess(data)
    later = lambda: datetime.now(UTC) + timedelta(minutes=2)  # noqa: E731  (past every lease and every grace)
    relaxed = lambda: queue.reconcile(later()) or store.candidates(states=[CandidateState.RELAXED])  # noqa: E731
    until(lambda: len(store.candidates(states=[CandidateState.RELAXED])) == count or not relaxed(), 90, "the end")
    for worker in workers:
        worker.terminate()
        assert worker.wait(timeout=60) == 0
        assert "Traceback" not in worker.stderr.read()
        worker.stderr.close()
    for one in store.candidates("first"):
        assert one.state is CandidateState.RELAXED, one.reason
        assert [attempt.outcome for attempt in one.attempts].count("converged") == 1
    close(store, queue)
    server.terminate()


@pytest.mark.slow
@pytest.mark.parametrize(
    "lack", ["a full disk", "a file in the way of the runs folder", "a file in the way of the candidate"]
)
def test_a_worker_whose_runs_folder_fails_says_so_and_gives_nobody_up(
    store, mongodb_uri, database_name, tmp_path, monkeypatch, lack
):
    runs = tmp_path / "runs"
    runs.touch() if "runs" in lack else runs.mkdir()
    queue = RelaxQueue(store, open_launchpad(mongodb_uri, database_name))
    queue.submit([store.candidate(queued(store))])
    if "candidate" in lack:
        (runs / "first-0000").touch()
    monkeypatch.setenv("CRYSTALLOOP_MONGODB_URI", mongodb_uri)
    command = [
        sys.executable,
        str(SCRIPT),
        "--database",
        database_name,
        "--runs",
        str(runs),
        "--pseudos",
        str(tmp_path),
    ]
    command += ["--category", "first", "--idle-exit", "5"]
    if "disk" in lack:
        command = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "environment" in done.stderr.splitlines()[-1]
    assert (store.candidate("first-0000").state, store.candidate("first-0000").reason) == (CandidateState.QUEUED, None)
    queue._launchpad.connection.close()


def test_a_clock_that_jumps_gives_a_candidate_to_nobody_twice(store, context, tmp_path):
    """The reconciler's clock is a day ahead: the lease is given away, and the first worker records nothing."""
    (tmp_path / "gate").unlink()
    candidate_id, outcome = queued(store), []
    thread = threading.Thread(target=lambda: outcome.append(perform(candidate_id, context(ttl_s=0.2))))
    thread.start()
    until(lambda: launches(tmp_path), what="the launch")
    assert store.expire_leases(NOON + timedelta(days=1)) == (candidate_id,)
    back = store.claim(candidate_id, "worker-2", NOON - timedelta(days=1), 600)  # this one's is a day behind
    (tmp_path / "gate").touch()
    thread.join()
    assert outcome == [Outcome.LEASE_LOST]
    assert store.record_relaxation(candidate_id, back.lease.token, new_relaxation(), NOON)


def opened(server):
    store = MongoStore.open(server.uri, "full")
    return store, RelaxQueue(store, open_launchpad(server.uri, "full"))


def close(store, queue):
    store.close()
    queue._launchpad.connection.close()


def work_once(server, runs, monkeypatch):
    """A worker until there is nothing left to do, or it cannot go on: its exit code and what it said."""
    monkeypatch.setenv("CRYSTALLOOP_MONGODB_URI", server.uri)
    command = [sys.executable, str(SCRIPT), "--database", "full", "--runs", str(runs), "--pseudos", str(runs)]
    done = subprocess.run(
        [*command, "--category", "first", "--idle-exit", "0.2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


def test_an_attempt_is_never_noted_twice_where_only_the_confirmation_was_lost(store):
    candidate_id = queued(store)
    token = store.claim(candidate_id, "w", NOON, 60).lease.token
    real, calls = store._candidates, []

    class Unconfirmed(Failing):
        def __getattr__(self, name):
            command = getattr(real, name)
            if name != "find_one_and_update" or calls:
                return command

            def done_but_unconfirmed(*arguments, **named):
                calls.append(command(*arguments, **named))
                raise WriteConcernError("waiting for replication timed out", 64)

            return done_but_unconfirmed

    store._candidates, store._retry._sleep = Unconfirmed(real, "", None), lambda _: None
    assert store.add_attempt(candidate_id, token, Attempt(number=1, started_at=NOON, outcome="converged"), NOON)
    store._candidates = real
    assert len(store.candidate(candidate_id).attempts) == 1
