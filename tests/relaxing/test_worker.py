"""Worker processes: killed, stopped, orphaned; what they held is computed once, by somebody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from database_fixture import new_candidate
from relax_fakes import launches, until

from crystalloop.db.ledger.records import CandidateState
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad

pytestmark = pytest.mark.slow

START_AND_WAIT = """
import os, subprocess, sys
worker = subprocess.Popen([*sys.argv[1:], "--parent-pid", str(os.getpid())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(worker.pid, flush=True)
worker.wait()
"""
SCRIPT = Path(__file__).parents[1] / "fake_worker.py"


@pytest.fixture
def queue(store, mongodb_uri, database_name):
    launchpad = open_launchpad(mongodb_uri, database_name)
    yield RelaxQueue(store, launchpad)
    launchpad.connection.close()


@pytest.fixture
def command(mongodb_uri, database_name, tmp_path, monkeypatch):
    monkeypatch.setenv("CRYSTALLOOP_MONGODB_URI", mongodb_uri)
    command = [sys.executable, str(SCRIPT), "--database", database_name]
    return [*command, "--runs", str(tmp_path), "--pseudos", str(tmp_path), "--category", "first"]


@pytest.fixture
def start(command, tmp_path):
    """Starts worker processes; those still alive at the end are killed."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen:
        with (tmp_path / "worker.log").open("ab") as log:
            processes.append(subprocess.Popen([*command, *arguments], stdout=log, stderr=log))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def queued(store, count=1):
    candidates = [new_candidate(number) for number in range(count)]
    store.add_candidates(candidates)
    store.queue([candidate.id for candidate in candidates], datetime.now(UTC))
    return candidates


def state_of(store, number=0):
    return store.candidate(f"first-{number:04d}").state


def test_a_candidate_of_a_killed_worker_comes_back_and_is_computed_once(store, queue, start, tmp_path):
    queue.submit(queued(store))
    victim = start()
    until(lambda: launches(tmp_path), what="the launch")
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert state_of(store) is CandidateState.RUNNING

    repairs = queue.reconcile(datetime.now(UTC) + timedelta(minutes=5))
    assert (repairs.expired, repairs.rebuilt) == (("first-0000",), ("first-0000",))
    (tmp_path / "gate").touch()
    start()
    until(lambda: state_of(store) is CandidateState.RELAXED, what="the relaxation")
    outcomes = [attempt.outcome for attempt in store.candidate("first-0000").attempts]
    assert outcomes == ["interrupted", "converged"]
    assert launches(tmp_path) == ["first-0000"] * 2  # the one that was killed, and the one that counts


def test_two_workers_share_the_candidates_and_compute_each_once(store, queue, start, tmp_path):
    queue.submit(queued(store, 12))
    (tmp_path / "gate").touch()
    start(), start()
    until(lambda: len(store.candidates(states=[CandidateState.RELAXED])) == 12, what="twelve relaxations")
    assert sorted(launches(tmp_path)) == [f"first-{number:04d}" for number in range(12)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_worker_hands_its_candidate_back(store, queue, start, tmp_path, number):
    queue.submit(queued(store))
    worker = start()
    until(lambda: launches(tmp_path), what="the launch")
    worker.send_signal(number)
    assert worker.wait(timeout=20) == 0
    candidate = store.candidate("first-0000")
    assert (candidate.state, candidate.attempts) == (CandidateState.QUEUED, ())
    assert queue.reconcile(datetime.now(UTC) + timedelta(minutes=1)).rebuilt == ("first-0000",)
    assert {path.name for path in tmp_path.iterdir()} == {"launches", "first-0000", "worker.log"}


def test_an_orphaned_worker_finishes_and_records_its_job_then_ends(store, queue, command, tmp_path):
    queue.submit(queued(store, 2))
    parent = subprocess.Popen([sys.executable, "-c", START_AND_WAIT, *command], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.stdout.close()
    until(lambda: launches(tmp_path), what="the launch")
    parent.kill()
    parent.wait()
    (tmp_path / "gate").touch()
    until(lambda: not Path(f"/proc/{worker}").exists(), what="the end of the worker")
    assert [state_of(store, number) for number in (0, 1)] == [CandidateState.RELAXED, CandidateState.QUEUED]


def test_a_worker_of_a_batch_job_ends_when_there_is_nothing_left_to_do(store, queue, start, tmp_path):
    queue.submit(queued(store))
    (tmp_path / "gate").touch()
    assert start("--idle-exit", "0.5").wait(timeout=30) == 0
    assert state_of(store) is CandidateState.RELAXED
    assert "1 launches: idle nothing to do" in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize("option", ["--slot-seconds", "--slot-ends"])
def test_a_worker_with_little_left_of_its_slot_starts_nothing(store, queue, start, tmp_path, option):
    queue.submit(queued(store))
    (tmp_path / "gate").touch()
    left = 50 if option == "--slot-seconds" else time.time() + 50
    assert start(option, str(left)).wait(timeout=30) == 0
    assert state_of(store) is CandidateState.QUEUED
    assert launches(tmp_path) == []
    assert "s of it are left" in (tmp_path / "worker.log").read_text()


def test_a_worker_whose_scratch_cannot_be_written_says_so(start, tmp_path):
    (tmp_path / "file").touch()
    assert start("--scratch", str(tmp_path / "file" / "x")).wait(timeout=30) == 3
    assert "scratch folder" in (tmp_path / "worker.log").read_text()


def test_a_worker_that_finds_no_pseudopotentials_says_so(store, start, tmp_path):
    worker = start("--pseudos", str(tmp_path / "nowhere"))
    assert worker.wait(timeout=30) == 3
    assert "no pseudopotential folder" in (tmp_path / "worker.log").read_text().splitlines()[-1]
