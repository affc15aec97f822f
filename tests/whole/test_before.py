"""What version 0.1 wrote, before the packages moved into one, still works: its database, its queue, its networks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pw_fakes import fake_table
from relax_fakes import context_of, launches
from tiny_networks import VOXELS, N, e_f_labels, salts
from typer.testing import CliRunner

from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.records import CandidateState
from crystalloop.db.serving.server import ensure_server
from crystalloop.dft.energies.references import calculation_key
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad
from crystalloop.dft.work.worker import work
from crystalloop.models.crystals.crystal import canonical_origin
from crystalloop.models.data.corpus_file import NAME as CORPUS
from crystalloop.models.data.corpus_file import load_corpus
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.nets.cgcnn import CGCNN, predict_properties
from crystalloop.models.nets.checkpoint import load, read_card
from crystalloop.models.nets.keras_import import ops
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE
from crystalloop.orchestrator.account.results import plain, result_rows, trace_chain
from crystalloop.orchestrator.account.status import campaign_status
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.cli.app import app

pytestmark = pytest.mark.slow

BEFORE = Path(__file__).parents[1] / "fixtures" / "before_0_2"
EXPECTED = json.loads((BEFORE / "expected.json").read_text(encoding="utf-8"))
SAID = EXPECTED["database"]
CAMPAIGN, WAITING = SAID["campaign"]["id"], SAID["queued"]
CLOSE = {"rtol": 1e-5, "atol": 2e-4}


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(BEFORE / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


# The database


@pytest.fixture
def home(monkeypatch):
    """A user's home of then, with its database in `db`."""
    folder = Path(tempfile.mkdtemp(prefix="cl-old-", dir="/tmp"))  # short: a socket's path has at most 107 characters
    monkeypatch.setenv("CRYSTALLOOP_HOME", str(folder))
    monkeypatch.delenv("CRYSTALLOOP_MONGODB_URI", raising=False)
    yield unpacked("database", folder)
    shutil.rmtree(folder)


@pytest.fixture
def server(home):
    server = ensure_server(None, home / "db")
    yield server
    server.stop()


@pytest.fixture
def store(server):
    store = MongoStore.open(server.uri, "crystalloop")
    yield store
    store.close()


@pytest.fixture
def launchpad(server):
    launchpad = open_launchpad(server.uri, "crystalloop")
    yield launchpad
    for thread in threading.enumerate():
        if "ping_launch" in thread.name:  # FireWorks pings once more after the end of a launch
            thread.join(timeout=30)
    launchpad.connection.close()


def as_then(now, then):
    """Without the keys that came later, at any depth of tables; what was said then is all there."""
    if not isinstance(then, dict):
        return now
    return {key: as_then(now[key], then[key]) for key in then}


def test_a_campaign_of_then_is_read_as_it_was(server, store):
    assert server.kind == "embedded"
    assert [candidate.id for candidate in store.candidates()] == SAID["ids"]
    assert as_then(campaign_status(store, CAMPAIGN), SAID["status"]) == SAID["status"]
    rows = result_rows(store.candidates(CAMPAIGN))
    assert [{name: row[name] for name in said} for row, said in zip(rows, SAID["results"], strict=True)] == SAID[
        "results"
    ]
    assert trace_chain(store, SAID["trace"]["candidate"]["id"]) == SAID["trace"]
    assert [plain(energy.model_dump()) for energy in store.imported_energies()] == SAID["imported"]


def test_the_commands_say_of_it_what_they_said(server, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = store.campaign(CAMPAIGN).spec
    fields = {name: spec[name] for name in ("name", "elements", "prototypes", "target")}
    (tmp_path / "first.yaml").write_text(json.dumps(fields))  # JSON is YAML
    for arguments, expected in (
        (("status", "first.yaml", "--json"), SAID["status"]),
        (("trace", SAID["trace"]["candidate"]["id"], "--json"), SAID["trace"]),
    ):
        done = CliRunner().invoke(app, list(arguments))
        assert (done.exit_code, as_then(json.loads(done.stdout), expected)) == (0, expected)


def test_a_campaign_of_then_is_taken_up_and_not_taken_for_another(store, tmp_path):
    stored = store.campaign(CAMPAIGN)
    again = Campaign.model_validate(stored.spec)
    assert stored.spec_digest == again.spec_digest() == SAID["campaign"]["spec_digest"]
    assert store.start_campaign(stored.model_copy(update={"spec": again.spec()})) == stored
    waiting = store.candidate(WAITING["id"])
    table, settings = fake_table(tmp_path, again.elements), PwSettings.model_validate(waiting.settings)
    key = calculation_key(waiting.crystal.to_structure(), settings, table, "6.7")
    assert key == waiting.key == WAITING["key"]  # the same calculation is found again, not repeated


def test_work_queued_then_is_done_now(store, launchpad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # FireWorks writes FW.json here
    firework = launchpad.fireworks.find_one({"_id": WAITING["id"]})
    assert (firework["fw_id"], firework["state"]) == (WAITING["fw_id"], "READY")
    assert firework["spec"] == WAITING["spec"]
    assert (
        firework["spec"]["_tasks"] == [{"_fw_name": WAITING["fw_name"]}] == [{"_fw_name": "{{dft.firetask.RelaxTask}}"}]
    )

    queue = RelaxQueue(store, launchpad)
    assert queue.submit([store.candidate(WAITING["id"])]) == ()  # known already
    assert not queue.reconcile(datetime.now(UTC))  # and nothing to repair
    context = context_of(store, tmp_path)(now=lambda: datetime.now(UTC))
    ended = work(context, launchpad, [CAMPAIGN], idle_exit_s=0.1)

    assert (ended.why, ended.launched) == ("idle", 1)
    assert launches(tmp_path) == [WAITING["id"]]
    done = store.candidate(WAITING["id"])
    assert (done.state, done.lease) == (CandidateState.RELAXED, None)
    assert [attempt.outcome for attempt in done.attempts] == ["converged"]
    assert queue.counts() == {"COMPLETED": 1}
    (launch,) = launchpad.launches.find()
    assert launch["action"]["stored_data"] == {"outcome": "relaxed", "worker": "worker-1"}
    assert not queue.reconcile(datetime.now(UTC))


def test_a_worker_process_of_now_takes_it_too(server, store, tmp_path, monkeypatch):
    """Nothing that this test process has imported helps it to find the class that the firework names."""
    monkeypatch.setenv("CRYSTALLOOP_MONGODB_URI", server.uri)
    (tmp_path / "gate").touch()
    script = Path(__file__).parents[1] / "fake_worker.py"
    command = [sys.executable, str(script), "--database", "crystalloop", "--category", CAMPAIGN, "--idle-exit", "0.5"]
    command += ["--runs", str(tmp_path), "--pseudos", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 launches: idle" in done.stderr
    assert store.candidate(WAITING["id"]).state is CandidateState.RELAXED


# The networks


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return unpacked("models", tmp_path_factory.mktemp("before")) / "models"


@pytest.fixture(scope="module")
def maps():
    return draw_maps([canonical_origin(crystal) for crystal in salts()], VOXELS)


def test_checkpoints_of_then_say_what_they_are(models):
    cards = {name: read_card(models / name) for name in EXPECTED["models"]["cards"]}
    assert {name: {"kind": card.kind, "digest": card.digest} for name, card in cards.items()} == EXPECTED["models"][
        "cards"
    ]


def test_a_vae_of_then_encodes_and_decodes_as_it_did(models, maps):
    vae, said = load(models / "vae", DensityVAE, n=N), EXPECTED["models"]["vae"]
    condition = vae.condition(e_f_labels(len(maps), known=8)[:, 0])
    mean, _ = vae.encode(maps, condition)
    np.testing.assert_allclose(mean, said["latent_mean"], **CLOSE)
    np.testing.assert_allclose(vae.decode(mean, condition).lattice[:, 0, 0], said["decoded_edge_ang"], **CLOSE)
    np.testing.assert_allclose(vae.predict(mean)[:, 0], said["head_formation_energy"], **CLOSE)


def test_a_unet_of_then_segments_as_it_did(models, maps):
    unet = load(models / "unet", UNet, n=N)
    out = unet.model(maps[:1], training=False)
    for name, said in EXPECTED["models"]["unet"].items():
        logits = ops.convert_to_numpy(out[name]).astype(np.float64)
        found = {"mean": logits.mean(), "std": logits.std(), "min": logits.min(), "max": logits.max()}
        assert found == pytest.approx(said, rel=CLOSE["rtol"], abs=CLOSE["atol"])


def test_a_cgcnn_of_then_predicts_what_it_did(models):
    values, sigma = predict_properties(load(models / "cgcnn", CGCNN), salts())
    said = EXPECTED["models"]["cgcnn"]
    assert set(values) == set(said["properties"])
    for name, column in values.items():
        np.testing.assert_allclose(column, said["properties"][name], err_msg=name, **CLOSE)
    np.testing.assert_allclose(sigma, said["sigma_formation_energy"], **CLOSE)


def test_the_corpus_beside_them_is_the_one_they_learned_from(models):
    corpus, said = load_corpus(models / CORPUS), EXPECTED["models"]["corpus"]
    assert (list(corpus.ids), list(corpus.formulas), list(corpus.groups)) == (
        said["ids"],
        said["formulas"],
        said["groups"],
    )
    assert (corpus.split.tolist(), corpus.digest) == (said["split"], said["digest"])
    assert {read_card(models / name).data_digest for name in ("vae", "unet", "cgcnn")} == {said["digest"]}
