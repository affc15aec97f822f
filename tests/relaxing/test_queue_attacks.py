"""Whoever can write to the queue's database: nothing but RelaxTask ever runs, and nothing that a document names is imported."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bson.errors import InvalidDocument
from database_fixture import NOON, new_candidate
from pydantic import ValidationError
from relax_fakes import context_of, launches

from crystalloop.db.ledger.access.connection import connect
from crystalloop.db.ledger.records import CandidateState
from crystalloop.dft.work.firetask import RelaxTask, working
from crystalloop.dft.work.queued_work import is_ours, launch_next
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad

SCRIPT = Path(__file__).parents[1] / "fake_worker.py"


@pytest.fixture
def launchpad(mongodb_uri, database_name):
    launchpad = open_launchpad(mongodb_uri, database_name)
    yield launchpad
    launchpad.connection.close()


@pytest.fixture
def queue(store, launchpad):
    return RelaxQueue(store, launchpad)


def submitted(store, queue, count=1):
    candidates = [new_candidate(number) for number in range(count)]
    store.add_candidates(candidates)
    store.queue([candidate.id for candidate in candidates], datetime.now(UTC))
    queue.submit(candidates)
    return candidates


def test_a_client_that_swaps_the_tasks_all_the_time_runs_nothing(
    store, queue, launchpad, mongodb_uri, database_name, tmp_path, monkeypatch
):
    """What was looked at is what is claimed, and what runs is in this program; the swap used to win within seconds."""
    monkeypatch.chdir(tmp_path)
    marker, count = tmp_path / "owned", 20
    submitted(store, queue, count)
    evil = [{"_fw_name": "PyTask", "func": "os.system", "args": [f"touch {marker}"]}]
    ended = threading.Event()

    def swap():
        with connect(mongodb_uri) as client:
            fireworks = client[f"{database_name}_fireworks"].fireworks
            while not ended.is_set():
                for tasks in (evil, [RelaxTask().to_dict()]):
                    fireworks.update_many({}, {"$set": {"spec._tasks": tasks}})

    attacker = threading.Thread(target=swap)
    attacker.start()
    deadline = datetime.now(UTC).timestamp() + 60
    try:
        with working(context_of(store, tmp_path)(now=lambda: datetime.now(UTC))):
            while launchpad.fireworks.count_documents({"state": "READY"}) and datetime.now(UTC).timestamp() < deadline:
                launch_next("worker-1", launchpad, ["first"])
    finally:
        ended.set()
        attacker.join()
    assert not marker.exists()
    assert len(launches(tmp_path)) == len(set(launches(tmp_path))) == count
    assert {one.state for one in store.candidates("first")} == {CandidateState.RELAXED}


MODULE = {"@module": "planted_module", "@class": "Planted", "@version": "1"}
NAMED = {"_fw_name": "{{planted_module.Planted}}"}
PLACES = {
    "a task": ("fireworks", {"spec._tasks": [NAMED]}),
    "a task beside ours": ("fireworks", {"spec._tasks": [{"_fw_name": "{{dft.firetask.RelaxTask}}"}, NAMED]}),
    "a field of our task": ("fireworks", {"spec._tasks": [{"_fw_name": "{{dft.firetask.RelaxTask}}", "x": MODULE}]}),
    "the spec": ("fireworks", {"spec.key": MODULE}),
    "a new field of the spec": ("fireworks", {"spec.more": MODULE}),
    "the priority": ("fireworks", {"spec._priority": MODULE}),
    "background tasks": ("fireworks", {"spec._background_tasks": [NAMED]}),
    "a duplicate finder": ("fireworks", {"spec._dupefinder": NAMED}),
    "the firework itself": ("fireworks", {"@module": "planted_module", "@class": "Planted"}),
    "the name": ("fireworks", {"name": MODULE}),
    "launches": ("fireworks", {"launches": [MODULE]}),
    "archived launches": ("fireworks", {"archived_launches": [MODULE]}),
    "the workflow": ("workflows", {"@module": "planted_module", "@class": "Planted"}),
    "the workflow's metadata": ("workflows", {"metadata": MODULE}),
    "links": ("workflows", {"links.1": MODULE}),
    "parent links": ("workflows", {"parent_links": MODULE}),
    "states of the workflow": ("workflows", {"fw_states.1": MODULE}),
    "a launch": ("launches", {"action": MODULE, "fworker": MODULE, "trackers": [MODULE]}),
    "the history of a launch": ("launches", {"state_history": [MODULE]}),
}


@pytest.mark.slow
def test_no_module_that_a_document_names_is_imported_by_a_worker(
    store, queue, launchpad, mongodb_uri, database_name, tmp_path, monkeypatch
):
    """Every place at once, one candidate each, in a process that has imported nothing else."""
    submitted(store, queue, len(PLACES))
    for number, (collection, planted) in enumerate(PLACES.values()):
        document = launchpad.fireworks.find_one({"_id": f"first-{number:04d}"})
        if collection == "launches":
            launchpad.launches.insert_one({"launch_id": number, "fw_id": document["fw_id"], **planted})
            launchpad.fireworks.update_one({"_id": document["_id"]}, {"$set": {"launches": [number]}})
        else:
            launchpad.db[collection].update_one({"_id": document["_id"]}, {"$set": planted})
    marker = tmp_path / "imported"
    (tmp_path / "planted_module.py").write_text(f"open({str(marker)!r}, 'a').close()\nclass Planted:\n    pass\n")
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "gate").touch()
    monkeypatch.setenv("CRYSTALLOOP_MONGODB_URI", mongodb_uri)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2] / 'src'}")
    command = [sys.executable, str(SCRIPT), "--database", database_name, "--runs", str(runs), "--pseudos", str(runs)]
    done = subprocess.run(
        [*command, "--category", "first", "--idle-exit", "0.3"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, marker.exists()) == (0, False), done.stderr
    assert "Traceback" not in done.stderr
    queue.reconcile(datetime.now(UTC))
    assert not marker.exists()
    states = dict(zip(PLACES, (store.candidate(f"first-{n:04d}").state for n in range(len(PLACES))), strict=True))
    harmless = {place for place, (collection, planted) in PLACES.items() if not any("spec" in name for name in planted)}
    assert {place for place, state in states.items() if state is CandidateState.RELAXED} == harmless


@pytest.mark.parametrize(
    "candidate_id",
    [
        "../../x",
        "/etc/x",
        "a/b",
        ".",
        "..",
        ".hidden",
        "",
        "a\0b",
        "a\nb",
        "x" * 300,
        "ä" * 150,
        "a\\b",
        "-rf",
        "a b",
        "$x",
    ],
)
def test_an_id_that_could_lead_elsewhere_is_refused_at_the_door_and_by_the_worker(
    store, launchpad, queue, tmp_path, monkeypatch, candidate_id
):
    with pytest.raises(ValidationError, match="is no id"):
        new_candidate(id=candidate_id)
    monkeypatch.chdir(tmp_path)
    queue.prepare()
    document = {**new_candidate(state=CandidateState.QUEUED).to_document(), "_id": candidate_id}
    spec = {"_tasks": [RelaxTask().to_dict()], "_category": "first", "_priority": 1.0, "candidate_id": candidate_id}
    firework = {"_id": candidate_id, "fw_id": 1, "state": "READY", "spec": spec, "launches": []}
    try:
        store.database["candidates"].insert_one(document)
        launchpad.fireworks.insert_one(firework)
    except InvalidDocument:
        pass  # not even BSON
    assert not is_ours(firework)
    with working(context_of(store, tmp_path)()):
        assert not launch_next("worker-1", launchpad, ["first"])
    queue.reconcile(datetime.now(UTC))
    assert launches(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {"gate"}
    assert store.claim(candidate_id, "worker-1", NOON, 60) is None


@pytest.mark.parametrize(
    "candidate_id",
    ["first-1-LiF-1a2b3c4d", "ref-Ba-0a1b2c3d", "a_b-12-Ba(FeAs)2-deadbeef", "x-1-Li0.5F-00000000", "0-1-MgO-1a2b3c4d"],
)
def test_ids_of_earlier_releases_are_ids(candidate_id):
    assert new_candidate(id=candidate_id).id == candidate_id


def test_documents_of_the_queue_that_make_no_sense_end_nothing(store, queue, launchpad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submitted(store, queue, 3)
    for number, odd in enumerate((None, [], {"_tasks": 5}, "text", {}, {"_tasks": [None], "_category": "first"})):
        odd_one = {"_id": f"odd-{number}", "fw_id": 100 + number, "state": "READY", "spec": odd}
        launchpad.fireworks.insert_one(odd_one)
    launchpad.fireworks.insert_one({"state": "RUNNING", "spec": {"_category": "first"}})
    launchpad.fireworks.insert_one({"_id": {"a": 1}, "fw_id": 300, "state": "READY", "spec": {"_category": "first"}})
    launchpad.workflows.update_one({"_id": "first-0001"}, {"$unset": {"nodes": ""}})
    launchpad.fireworks.delete_one({"_id": "first-0001"})
    launchpad.fw_id_assigner.update_one({}, {"$set": {"next_launch_id": "x"}})
    launchpad.fw_id_assigner.update_one({}, {"$unset": {"next_launch_id": ""}})
    queue.reconcile(datetime.now(UTC))
    with working(context_of(store, tmp_path)(now=lambda: datetime.now(UTC))):
        while launch_next("worker-1", launchpad, ["first"]):
            pass
    assert sorted(launches(tmp_path)) == ["first-0000", "first-0002"]


def test_foreign_fireworks_at_the_top_of_the_queue_hide_nothing(store, queue, launchpad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submitted(store, queue, 2)
    foreign = {"_tasks": [{"_fw_name": "ScriptTask"}], "_category": "first", "_priority": 1e12}
    launchpad.fireworks.insert_many({"fw_id": 1000 + n, "state": "READY", "spec": foreign} for n in range(150))
    with working(context_of(store, tmp_path)(now=lambda: datetime.now(UTC))):
        assert [launch_next("worker-1", launchpad, ["first"]) for _ in range(3)] == [True, True, False]


def test_fireworks_own_classes_read_what_a_worker_noted(store, queue, launchpad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (candidate,) = submitted(store, queue)
    with working(context_of(store, tmp_path)(now=lambda: datetime.now(UTC))):
        assert launch_next("worker-1", launchpad, ["first"])
    (number,) = launchpad.get_fw_ids()
    firework, workflow = launchpad.get_fw_by_id(number), launchpad.get_wf_by_fw_id(number)
    assert (firework.state, workflow.state) == ("COMPLETED", "COMPLETED")
    (launch,) = firework.launches
    assert (launch.state, launch.fworker.name) == ("COMPLETED", "worker-1")
    assert launch.action.stored_data == {"outcome": "relaxed", "worker": "worker-1"}
    assert launchpad.fireworks.find_one()["_id"] == candidate.id
