"""FireWorks itself on the database: adding, launching, finding what was lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fireworks import Firework, FWAction, FWorker, LaunchPad, Workflow
from fireworks.core.firework import FiretaskBase
from fireworks.core.rocket_launcher import rapidfire
from fireworks.utilities.fw_utilities import explicit_serialize


@explicit_serialize
class Note(FiretaskBase):
    """A task that passes a number on. Explicit: FireWorks looks a bare name up by importing all of its own tests."""

    def run_task(self, fw_spec):
        return FWAction(stored_data={"seen": fw_spec["n"]}, update_spec={"n": fw_spec["n"] + 1})


@pytest.fixture
def launchpad(mongodb_uri, database_name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # FireWorks changes into its launch folders
    pad = LaunchPad(host=mongodb_uri, uri_mode=True, name=database_name, strm_lvl="CRITICAL")
    pad.reset("", require_password=False)
    yield pad
    pad.connection.close()


def three(number):
    """A parent with two children."""
    parent = Firework([Note()], {"n": number}, name="parent")
    children = [Firework([Note()], {"n": number}, name=name, parents=[parent]) for name in ("left", "right")]
    return Workflow([parent, *children], name=f"wf{number}")


def test_two_workflows_are_added_and_run_to_the_end(launchpad):
    launchpad.add_wf(three(1))
    launchpad.bulk_add_wfs([three(2)])
    assert launchpad.get_fw_ids({"state": "READY"}, count_only=True) == 2
    rapidfire(launchpad, FWorker(), nlaunches=0, strm_lvl="CRITICAL")
    assert [document["state"] for document in launchpad.fireworks.find()] == ["COMPLETED"] * 6
    assert [document["state"] for document in launchpad.workflows.find()] == ["COMPLETED"] * 2
    assert sorted(launchpad.launches.distinct("action.stored_data.seen")) == [1, 2, 3]
    assert len(launchpad.launches.distinct("launch_id")) == 6
    assert launchpad.get_fw_ids({}, sort=[("created_on", -1)], limit=1)
    assert len(launchpad.get_fw_ids_in_wfs({"name": "wf2"}, {"state": "COMPLETED"})) == 3


def test_a_lost_run_is_found_and_run_again(launchpad, tmp_path):
    launchpad.add_wf(three(1))
    firework, launch_id = launchpad.checkout_fw(FWorker(), str(tmp_path))
    assert launchpad.detect_lostruns(expiration_secs=3600) == ([], [], [])
    lost = launchpad.detect_lostruns(expiration_secs=-1, rerun=True)
    assert lost[:2] == ([launch_id], [firework.fw_id])
    assert launchpad.get_fw_dict_by_id(firework.fw_id)["state"] == "READY"


def test_a_firework_left_running_by_a_finished_launch_is_found(launchpad, tmp_path):
    launchpad.add_wf(three(1))
    firework, launch_id = launchpad.checkout_fw(FWorker(), str(tmp_path))
    launchpad.complete_launch(launch_id, FWAction())
    launchpad.fireworks.update_one({"fw_id": firework.fw_id}, {"$set": {"state": "RUNNING"}})
    assert launchpad.detect_lostruns(refresh=True)[2] == [firework.fw_id]
    assert launchpad.get_fw_dict_by_id(firework.fw_id)["state"] == "COMPLETED"


def test_identifiers_are_given_out_once(launchpad):
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: launchpad.get_new_fw_id(), range(200)))
    assert len(set(numbers)) == 200
