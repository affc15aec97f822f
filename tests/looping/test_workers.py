"""Worker processes: kept alive, ended together, and a hopeless start reported."""

import os
import sys
import time

import pytest

from crystalloop.orchestrator.run.workers import LocalWorkers, WorkersKeepDying

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def pids(workers):
    return [process.pid for process in workers._slots if process is not None]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_dead_worker_is_replaced_and_all_end_together(tmp_path):
    workers = LocalWorkers(SLEEPER, 2, tmp_path)
    workers.ensure()
    first = pids(workers)
    os.kill(first[0], 9)
    workers._slots[0].wait()
    workers.ensure()
    second = pids(workers)
    assert second[0] != first[0]
    assert second[1] == first[1]
    workers.stop()
    assert not any(map(alive, first + second))


def test_workers_that_cannot_start_are_reported_with_their_last_words(tmp_path):
    workers = LocalWorkers([sys.executable, "-c", "raise SystemExit('no such folder')"], 1, tmp_path)
    with pytest.raises(WorkersKeepDying, match="no such folder"):
        for _ in range(10_000):
            workers.ensure()
            time.sleep(0.01)


def ended_once_a_minute(workers, clock):
    """Look after workers whose processes have all ended, one minute later."""
    for process in workers._slots:
        if process is not None:
            process.wait()
    clock[0] += 60.0
    workers.ensure()


def test_workers_that_are_killed_again_and_again_are_reported_however_slowly_it_goes(tmp_path):
    clock = [0.0]
    command = [sys.executable, "-c", "raise SystemExit('Killed')"]
    workers = LocalWorkers(command, 1, tmp_path, clock=lambda: clock[0])
    with pytest.raises(WorkersKeepDying, match=r"6 workers in a row lived less than 5 minutes .*Killed"):
        for _ in range(10):
            ended_once_a_minute(workers, clock)
    assert clock[0] == 7 * 60.0


def test_deaths_hours_apart_are_no_reason_to_end(tmp_path):
    clock = [0.0]
    workers = LocalWorkers([sys.executable, "-c", "pass"], 1, tmp_path, clock=lambda: clock[0])
    for _ in range(9):
        ended_once_a_minute(workers, clock)
        clock[0] += 3600.0
    workers.stop()


def test_workers_that_end_by_themselves_are_replaced_only_where_they_are_to_be_kept(tmp_path):
    workers = LocalWorkers([sys.executable, "-c", "pass"], 2, tmp_path, keep=False)
    assert workers.ensure()
    first = pids(workers)
    for process in workers._slots:
        process.wait()
    assert not workers.ensure()
    assert pids(workers) == first
    workers.stop()
