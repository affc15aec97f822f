"""One document that cannot be read ends nothing: it is named, counted and left out, by every reader of the store."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from database_fixture import NOON, new_campaign, new_candidate, new_relaxation
from relax_fakes import context_of, launches
from typer.testing import CliRunner

from crystalloop.db.ledger.campaigns import ModelVersion, Round
from crystalloop.db.ledger.records import Attempt, CandidateState, ReferenceEnergy
from crystalloop.db.ledger.store import CampaignMismatch
from crystalloop.dft.work.candidate_work import Outcome, perform
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad
from crystalloop.orchestrator.cli.app import app


def broken(document):
    """The document with a text that is not UTF-8, as a server would store it."""
    raw = bson.encode({**document, "formula": "zzzz"}).replace(b"zzzz", b"\xff\xfe\xff\xfe")
    return RawBSONDocument(raw)


DAMAGES = {
    "a newer release": {"schema_version": 2},
    "a missing field": {"key": ...},
    "no formula": {"formula": ...},
    "an unknown state": {"state": "resting"},
    "a wrong type": {"round": "first"},
    "an unknown field": {"mood": "good"},
    "a crystal that is none": {"crystal": {"lattice": []}},
    "half an attempt": {"attempts": [{"number": 1}]},
    "attempts that are no list": {"attempts": 5},
    "a lease that is a word": {"lease": "mine"},
    "a date beyond all dates": {"created_at": bson.DatetimeMS(10**15)},
    "an id that leads elsewhere": {"campaign": "../x"},
}


def plant(store, collection, document, damage):
    """Write a document as something else than this program would."""
    changed = {name: value for name, value in {**document, **damage}.items() if value is not ...}
    store.database[collection].replace_one({"_id": changed["_id"]}, changed, upsert=True)


@pytest.fixture
def three(store):
    """Three candidates, of which the middle one is to be damaged."""
    store.add_candidates([new_candidate(number, state=CandidateState.QUEUED) for number in range(3)])
    return [new_candidate(number).id for number in range(3)]


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_candidate_is_left_out_named_and_counted(store, three, caplog, what):
    plant(store, "candidates", new_candidate(1, state=CandidateState.QUEUED).to_document(), DAMAGES[what])
    left = [three[0], three[2]]
    assert [one.id for one in store.candidates()] == left
    assert [one.id for one in store.matching({})] == left
    assert store.candidate(three[1]) is None
    assert store.with_key("key-0001") == ()
    assert [one.id for one in store.standings(three)] == left
    assert store.claim(three[1], "worker", NOON, 60) is None
    assert store.expire_leases(NOON) == ()
    assert len(store.unreadable) == 1
    assert ("candidates", three[1]) in store.unreadable
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].startswith("1 document of `candidates` cannot be read and is left out: 'first-0001' (")
    assert store.database["candidates"].count_documents({}) == 3  # nothing was changed about it


def test_broken_bson_takes_no_other_document_with_it(store, caplog):
    """A server of ours lets no such bytes in; what another one sends is read one by one."""
    documents = [new_candidate(number).to_document() for number in range(3)]
    sent = [
        RawBSONDocument(bson.encode(documents[0])),
        broken(documents[1]),
        RawBSONDocument(bson.encode(documents[2])),
    ]
    assert [one["_id"] for one in store._decoded("candidates", sent)] == ["first-0000", "first-0002"]
    assert "'first-0001' (InvalidBSON: 'utf-8' codec" in caplog.text


def test_many_damaged_documents_are_counted_and_a_few_named(store, caplog):
    store.add_candidates([new_candidate(number) for number in range(9)])
    store.database["candidates"].update_many({"_id": {"$ne": "first-0000"}}, {"$set": {"schema_version": 9}})
    assert len(store.candidates()) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "8 documents of `candidates` cannot be read and are left out: 'first-0001' (sch"
    )
    assert "schema_version: Input should be 1, not 9" in record.getMessage()
    assert "and 5 more" in record.getMessage()


def test_a_document_that_was_mended_is_read_again(store, three):
    store.database["candidates"].update_one({"_id": three[1]}, {"$set": {"round": "x"}})
    assert len(store.candidates()) == 2
    store.database["candidates"].update_one({"_id": three[1]}, {"$set": {"round": 1}})
    assert len(store.candidates()) == 3
    assert len(store.unreadable) == 0
    assert len(store.standings(three)) == 3


def test_every_other_collection_is_read_the_same_way(store):
    store.start_campaign(new_campaign("first"))
    store.start_campaign(new_campaign("second"))
    version = {"campaign": "first", "round": 0, "parent": None, "networks": {}, "trained_on": (), "labelled": 1}
    version |= {"unlabelled": 0, "data_digest": "d", "created_at": NOON}
    round_ = {"campaign": "first", "model_version": None, "funnel": (), "chosen": (), "started_at": NOON}
    energy = {"formula": "LiF", "energy_per_atom_ev": -1.0, "scheme": "s", "source": "f", "created_at": NOON}
    for number in (1, 2):
        store.add_model_version(ModelVersion(id=f"first-v{number}", number=number, **version))
        store.put_round(Round(id=f"first/{number}", number=number, **round_))
    store.import_energies([ReferenceEnergy(id=f"s/{name}", name=name, **energy) for name in ("a", "b")])
    for collection, id_ in (
        ("campaigns", "first"), ("model_versions", "first-v1"), ("rounds", "first/1"), ("reference_energies", "s/a"),
    ):  # fmt: skip
        store.database[collection].update_one({"_id": id_}, {"$set": {"schema_version": 2}})
    assert [one.id for one in store.campaigns()] == ["second"]
    assert store.campaign("first") is None
    assert [one.id for one in store.model_versions("first")] == ["first-v2"]
    assert store.model_version("first-v1") is None
    assert [one.number for one in store.rounds("first")] == [2]
    assert [one.id for one in store.imported_energies()] == ["s/b"]
    assert len(store.unreadable) == 4
    with pytest.raises(CampaignMismatch, match=r"cannot be read .schema_version: Input should be 1, not 2"):
        store.start_campaign(new_campaign("first"))


def test_a_queued_candidate_that_cannot_be_read_is_not_run_and_holds_nobody_up(
    store, three, mongodb_uri, database_name, tmp_path
):
    launchpad = open_launchpad(mongodb_uri, database_name)
    queue = RelaxQueue(store, launchpad)
    queue.submit(store.candidates())
    store.database["candidates"].update_one({"_id": three[1]}, {"$set": {"schema_version": 2}})
    queue.reconcile(datetime.now(UTC))
    context = context_of(store, tmp_path)
    assert [perform(one, context()) for one in three] == [Outcome.RELAXED, Outcome.NOT_OURS, Outcome.RELAXED]
    assert launches(tmp_path) == [three[0], three[2]]
    assert [one.id for one in store.standings(three)] == [three[0], three[2]]  # so a loop does not wait for it
    launchpad.connection.close()


@pytest.fixture
def campaign_file(mongodb_uri, database_name, tmp_path, monkeypatch):
    monkeypatch.setenv("CRYSTALLOOP_MONGODB_URI", mongodb_uri)
    monkeypatch.setenv("CRYSTALLOOP_HOME", str(tmp_path / "home"))
    file = tmp_path / "first.yaml"
    file.write_text(
        "name: first\nelements: [Li, F]\nprototypes: [rocksalt_B1]\ntarget: {property: formation_energy_per_atom, maximum: -1.0}\n"
        f"database: {{name: {database_name}}}\nfolder: {tmp_path / 'runs'}\n"
    )
    return file


def test_every_command_that_looks_goes_on_and_says_so_once(store, campaign_file, capfd):
    spec = {"target": {"property": "formation_energy_per_atom", "minimum": None, "maximum": -1.0}}
    store.start_campaign(new_campaign("first").model_copy(update={"spec": spec}))
    store.add_candidates([new_candidate(number, state=CandidateState.QUEUED) for number in range(3)])
    token = store.claim("first-0000", "w", NOON, 60).lease.token
    store.add_attempt("first-0000", token, Attempt(number=1, started_at=NOON, outcome="converged"), NOON)
    store.record_relaxation("first-0000", token, new_relaxation(), NOON)
    store.database["candidates"].update_one({"_id": "first-0001"}, {"$set": {"schema_version": 2}})
    for command in ("status", "results", "stop"):
        result = CliRunner().invoke(app, [command, str(campaign_file)])
        assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["results", str(campaign_file), "--json"])
    assert [row["id"] for row in json.loads(result.stdout)] == ["first-0000", "first-0002"]
    result = CliRunner().invoke(app, ["trace", "first-0000", "--file", str(campaign_file)])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["trace", "first-0001", "--file", str(campaign_file)])
    assert result.exit_code == 2
