"""The queue: submitted once, repaired in both directions, references first."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from database_fixture import new_candidate, new_relaxation
from relax_fakes import context_of, launches

from crystalloop.db.ledger.records import REFERENCES, CandidateState
from crystalloop.dft.work.firetask import working
from crystalloop.dft.work.queued_work import is_ours, launch_next
from crystalloop.dft.work.relax_queue import RelaxQueue, Repairs, open_launchpad

LATER = timedelta(minutes=2)


def now():
    return datetime.now(UTC)  # FireWorks stamps with its own clock, so the tests cannot pass another


@pytest.fixture
def launchpad(mongodb_uri, database_name):
    launchpad = open_launchpad(mongodb_uri, database_name)
    yield launchpad
    for thread in threading.enumerate():
        if "ping_launch" in thread.name:  # FireWorks pings once more after the end of a launch
            thread.join(timeout=30)
    launchpad.connection.close()


@pytest.fixture
def queue(store, launchpad):
    return RelaxQueue(store, launchpad)


@pytest.fixture
def launch(store, launchpad, tmp_path, monkeypatch):
    """Launches the next firework in this process; False when there is none."""
    monkeypatch.chdir(tmp_path)
    context = context_of(store, tmp_path)(now=now)

    def launch_one(*categories):
        with working(context):
            return launch_next("worker-1", launchpad, list(categories) or ["first", REFERENCES])

    return launch_one


def queued(store, *numbers, **changes):
    candidates = [new_candidate(number, **changes) for number in numbers]
    store.add_candidates(candidates)
    store.queue([candidate.id for candidate in candidates], now())
    return candidates


def states(launchpad):
    return {document["_id"]: document["state"] for document in launchpad.fireworks.find()}


def test_each_candidate_gets_one_workflow_however_often_it_is_submitted(store, queue, launchpad):
    candidates = queued(store, 0, 1, 2)
    assert queue.submit(candidates[:2]) == ("first-0000", "first-0001")
    assert queue.submit(candidates) == ("first-0002",)
    assert queue.submit(candidates) == ()
    assert queue.counts() == {"READY": 3}
    assert launchpad.workflows.count_documents({}) == 3


def test_many_submitters_at_once_make_one_workflow_each(store, launchpad):
    candidates = queued(store, *range(12))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: RelaxQueue(store, launchpad).submit(candidates), range(6)))
    numbers = {document["_id"]: document["fw_id"] for document in launchpad.fireworks.find()}
    nodes = {document["_id"]: document["nodes"][0] for document in launchpad.workflows.find()}
    assert numbers == nodes
    assert (len(numbers), len(set(numbers.values()))) == (12, 12)


def test_a_submission_cut_off_between_workflow_and_firework_is_completed(store, queue, launchpad):
    candidates = queued(store, 0)
    queue.submit(candidates)
    launchpad.fireworks.delete_many({})
    assert queue.submit(candidates) == ("first-0000",)
    assert launchpad.fireworks.find_one()["fw_id"] == launchpad.workflows.find_one()["nodes"][0]


def test_preparing_again_changes_nothing(store, queue, launchpad):
    queue.submit(queued(store, 0))
    before = launchpad.fw_id_assigner.find_one()
    RelaxQueue(store, launchpad).prepare()
    assert launchpad.fw_id_assigner.find_one() == before
    assert launchpad.fw_id_assigner.count_documents({}) == 1
    assert queue.counts() == {"READY": 1}


def test_references_come_first_then_the_order_given(store, queue, launch, tmp_path):
    crystals = queued(store, 3, 1, 2)
    queue.submit(crystals)
    queue.submit(queued(store, 8, campaign=REFERENCES, kind="reference"))
    while launch():
        pass
    assert launches(tmp_path) == ["first-0008", "first-0003", "first-0001", "first-0002"]


def test_a_launch_records_the_relaxation_and_completes_the_firework(store, queue, launch):
    queue.submit(queued(store, 0))
    assert launch()
    assert store.candidate("first-0000").state is CandidateState.RELAXED
    assert queue.counts() == {"COMPLETED": 1}
    assert not launch()
    assert not queue.reconcile(now() + LATER)


def test_a_worker_takes_its_own_campaigns_only(store, queue, launch, tmp_path):
    queue.submit(queued(store, 0, campaign="other"))
    assert not launch("first", REFERENCES)
    assert launch("other")


def test_a_firework_whose_candidate_is_done_ends_quietly(store, queue, launch, tmp_path):
    queue.submit(queued(store, 0))
    token = store.claim("first-0000", "other", now(), 60).lease.token
    store.record_relaxation("first-0000", token, new_relaxation(), now())
    assert launch()
    assert queue.counts() == {"COMPLETED": 1}
    assert launches(tmp_path) == []


def test_a_queued_candidate_without_workflow_gets_one(store, queue, launch):
    queued(store, 0, 1)
    assert queue.reconcile(now()) == Repairs(submitted=("first-0000", "first-0001"))
    assert queue.reconcile(now() + LATER) == Repairs()
    assert launch()


@pytest.mark.parametrize("state", ["RESERVED", "RUNNING"])
def test_a_firework_left_by_a_dead_worker_is_rebuilt_when_it_is_old(store, queue, launchpad, launch, state):
    queue.submit(queued(store, 0))
    launchpad.fireworks.update_one({}, {"$set": {"state": state}})
    assert queue.reconcile(now()) == Repairs()  # somebody may be about to claim
    assert queue.reconcile(now() + LATER) == Repairs(rebuilt=("first-0000",))
    assert launch()
    assert store.candidate("first-0000").state is CandidateState.RELAXED


@pytest.mark.parametrize("state", ["COMPLETED", "FIZZLED", "WAITING"])
def test_a_candidate_handed_back_is_offered_again(store, queue, launchpad, launch, state):
    queue.submit(queued(store, 0))
    launchpad.fireworks.update_one({}, {"$set": {"state": state}})
    assert queue.reconcile(now() + timedelta(seconds=20)) == Repairs(rebuilt=("first-0000",))
    assert launch()


@pytest.mark.parametrize("state", ["PAUSED", "DEFUSED"])
def test_what_was_held_by_hand_stays_held(store, queue, launchpad, state):
    queue.submit(queued(store, 0))
    launchpad.fireworks.update_one({}, {"$set": {"state": state}})
    assert queue.reconcile(now() + LATER) == Repairs()


def test_a_firework_without_workflow_is_rebuilt(store, queue, launchpad, launch):
    queue.submit(queued(store, 0))
    launchpad.workflows.delete_many({})
    assert queue.reconcile(now() + LATER) == Repairs(rebuilt=("first-0000",))
    assert launch()


def test_a_locked_workflow_is_unlocked_when_the_lock_is_old(store, queue, launchpad, launch):
    queue.submit(queued(store, 0))
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    assert queue.reconcile(now()) == Repairs()
    assert queue.reconcile(now() + LATER) == Repairs(unlocked=("first-0000",))
    assert launch()
    assert queue.counts() == {"COMPLETED": 1}


@pytest.mark.parametrize("state", ["READY", "RESERVED", "RUNNING"])
def test_a_finished_candidate_closes_its_locked_firework(store, queue, launchpad, state):
    queue.submit(queued(store, 0))
    token = store.claim("first-0000", "dead", now(), 60).lease.token
    store.record_relaxation("first-0000", token, new_relaxation(), now())
    launchpad.fireworks.update_one({}, {"$set": {"state": state}})
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    assert queue.reconcile(now() + LATER) == Repairs(closed=("first-0000",))
    workflow = launchpad.workflows.find_one()
    assert (workflow["state"], "locked" in workflow, queue.counts()) == ("COMPLETED", False, {"COMPLETED": 1})
    assert queue.reconcile(now() + LATER) == Repairs()


def test_an_ended_lease_brings_the_candidate_back_to_a_worker(store, queue, launch, launchpad):
    queue.submit(queued(store, 0))
    launchpad.fireworks.update_one({}, {"$set": {"state": "RUNNING"}})
    store.claim("first-0000", "dead", now(), 10)
    repairs = queue.reconcile(now() + LATER)
    assert (repairs.expired, repairs.rebuilt) == (("first-0000",), ("first-0000",))
    assert launch()
    assert [attempt.outcome for attempt in store.candidate("first-0000").attempts] == ["interrupted", "converged"]


def test_a_candidate_that_came_back_since_it_was_taken_is_offered_at_once(store, queue, launchpad):
    queue.submit(queued(store, 0))
    launchpad.fireworks.update_one({}, {"$set": {"state": "RUNNING"}})
    claimed_at = now() + timedelta(seconds=1)
    token = store.claim("first-0000", "stopped", claimed_at, 60).lease.token
    assert queue.reconcile(claimed_at) == Repairs()
    store.release("first-0000", token, claimed_at)
    assert queue.reconcile(claimed_at) == Repairs(rebuilt=("first-0000",))


def test_a_running_candidate_is_not_disturbed(store, queue, launchpad):
    queue.submit(queued(store, 0))
    launchpad.fireworks.update_one({}, {"$set": {"state": "RUNNING"}})
    store.claim("first-0000", "alive", now(), 3600)
    assert queue.reconcile(now() + LATER) == Repairs()
    assert states(launchpad) == {"first-0000": "RUNNING"}


def test_one_document_that_cannot_be_repaired_does_not_stop_the_others(store, queue, launchpad):
    queue.submit(queued(store, 0, 1))
    launchpad.fireworks.update_many({}, {"$set": {"state": "RUNNING"}})
    launchpad.fireworks.update_one({"_id": "first-0000"}, {"$set": {"updated_on": "no date"}})
    assert queue.reconcile(now() + LATER) == Repairs(rebuilt=("first-0001",), failed=("first-0000",))


@pytest.mark.parametrize(
    "planted",
    [
        {"spec._tasks": [{"_fw_name": "PyTask", "func": "builtins.exec", "args": ["1"]}]},
        {"spec._tasks": [{"_fw_name": "{{os.system}}"}]},
        {"spec._background_tasks": [{"_fw_name": "{{os.system}}"}]},
        {"spec.key": {"@module": "os", "@class": "system"}},
        {"spec._launch_dir": "/etc"},
        {"spec._dupefinder": {"_fw_name": "{{os.system}}"}},
    ],
)
def test_a_firework_that_is_not_ours_is_not_even_loaded(store, queue, launchpad, launch, planted):
    queue.submit(queued(store, 0, 1))
    launchpad.fireworks.update_one({"_id": "first-0000"}, {"$set": planted})
    assert not is_ours(launchpad.fireworks.find_one({"_id": "first-0000"}))
    assert launch()
    assert not launch()
    assert states(launchpad) == {"first-0000": "READY", "first-0001": "COMPLETED"}


def test_two_workers_that_look_at_the_same_firework_launch_it_once(store, queue, launch, tmp_path):
    queue.submit(queued(store, 0))
    with ThreadPoolExecutor(4) as pool:
        launched = list(pool.map(lambda _: launch(), range(4)))
    assert sorted(launched) == [False, False, False, True]
    assert launches(tmp_path) == ["first-0000"]


def test_fireworks_own_tools_can_read_the_queue(queue, store, launchpad, mongodb_uri, database_name, tmp_path):
    """lpad and qlaunch are processes that have imported nothing of ours; the name in the queue must lead them to the task."""
    queue.submit(queued(store, 1))
    (fw_id,) = launchpad.get_fw_ids()
    pad = {"host": mongodb_uri, "name": f"{database_name}_fireworks", "uri_mode": True, "strm_lvl": "CRITICAL"}
    (tmp_path / "my_launchpad.yaml").write_text(json.dumps(pad), encoding="utf-8")  # JSON is YAML
    lpad = "import sys; from fireworks.scripts.lpad_run import lpad; lpad(sys.argv[1:])"
    exists = "import sys; from fireworks import LaunchPad; sys.exit(not LaunchPad.from_file(sys.argv[2]).run_exists())"
    for program, command in (  # qlaunch submits a job where `run_exists` says so
        (exists, ""),
        (lpad, "get_fws -d all"),
        (lpad, f"defuse_fws -i {fw_id}"),
        (lpad, f"reignite_fws -i {fw_id}"),
    ):
        arguments = [sys.executable, "-P", "-c", program, "-l", "my_launchpad.yaml", *command.split()]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert list(states(launchpad).values()) == ["READY"]
