"""The whole product, with nothing faked: a campaign is killed in the middle of a relaxation and repeated to its end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from relax_fakes import until

CAMPAIGN = """
name: small
seed: 3
elements: [Li, F]
prototypes: [rocksalt_B1, CsCl_B2, zincblende_B3]
target: {direction: minimise}
rounds: 2
voxels: {n: 16}
generate: {per_round: 96, scale: 0.6}
networks:
  minimum_labels: 2
  steps: {unet: 120, vae: 300, cgcnn: 60}
dft: {preset: test, slots: 2, per_round: 2, lease_s: 10}
"""
COMMAND = [str(Path(sys.executable).parent / "crystalloop")]


@pytest.fixture(scope="module")
def place(tmp_path_factory, pw_command, pseudo_folder):
    """A folder of its own with the campaign file; its embedded database is ended afterwards."""
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "small.yaml").write_text(CAMPAIGN)
    environment = {
        **os.environ,
        "CRYSTALLOOP_HOME": str(folder / "home"),
        "CRYSTALLOOP_PSEUDOS": str(pseudo_folder.resolve()),
        "CRYSTALLOOP_PW": pw_command,
        "CRYSTALLOOP_MONGODB_URI": "",
    }
    yield folder, environment
    from crystalloop.db.serving.server import ensure_server

    ensure_server(None, folder / "home" / "db").stop()


def call(place, *arguments, ok=True):
    folder, environment = place
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done


def rows(place):
    return json.loads(call(place, "results", "small.yaml", "--json").stdout)


@pytest.mark.pw
@pytest.mark.slow
def test_a_campaign_killed_in_a_relaxation_ends_with_none_repeated_and_none_lost(place):
    folder, environment = place
    first = subprocess.Popen(
        [*COMMAND, "run", "small.yaml"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    running = folder / "runs" / "small" / "relaxations"
    until(lambda: list(running.glob("small-1-*/attempt-1/**/pw.out")), 300, "the first relaxation")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    summary = json.loads(call(place, "run", "small.yaml", "--json").stdout)
    assert summary["completed"]
    table = rows(place)
    assert {row["round"] for row in table} == {1, 2}
    assert all(row["status"] in ("relaxed", "gave_up") for row in table)
    # Whoever was computed was computed to the end once: a second launch may only follow an interrupted one.
    for row in table:
        chain = json.loads(call(place, "trace", row["id"], "--json").stdout)
        ends = [attempt["outcome"] for attempt in chain["attempts"]]
        assert ends.count("converged") == (1 if row["status"] == "relaxed" else 0), ends


@pytest.mark.pw
@pytest.mark.slow
def test_the_second_round_was_proposed_by_a_model_trained_on_the_first(place):
    table = rows(place)
    second = [row for row in table if row["round"] == 2]
    assert second
    for row in second:
        chain = json.loads(call(place, "trace", row["id"], "--json").stdout)
        model = chain["proposed_by"]["model"]
        assert model["id"] == row["model_version"]
        relaxed_before = {other["id"] for other in table if other["round"] == 1 and other["e_f"] is not None}
        assert set(model["trained_on"]) == relaxed_before
        assert chain["proposed_by"]["kind"] == "decorated" or len(chain["proposed_by"]["latent"]) > 0


@pytest.mark.pw
@pytest.mark.slow
def test_repeating_a_finished_campaign_computes_nothing_and_says_so(place):
    before = rows(place)
    summary = json.loads(call(place, "run", "small.yaml", "--json").stdout)
    assert summary["completed"]
    assert rows(place) == before
    assert (place[0] / summary["report"]).read_text().startswith("<!doctype html>")
