"""`results --where`: what is kept, what is said of older names, of nothing found, of hits that are predicted."""

from __future__ import annotations

import json

import pytest
from database_fixture import NOON, new_campaign, new_candidate, new_relaxation
from typer.testing import CliRunner

from crystalloop.db.ledger.campaigns import Round
from crystalloop.orchestrator.cli.app import app


@pytest.fixture
def results(store, mongodb_uri, database_name, tmp_path, monkeypatch):
    """Calls `results` on a campaign of three candidates: exit code, rows, stderr."""
    monkeypatch.setenv("CRYSTALLOOP_MONGODB_URI", mongodb_uri)
    monkeypatch.setenv("CRYSTALLOOP_HOME", str(tmp_path / "home"))
    file = tmp_path / "first.yaml"
    file.write_text(
        "name: first\nelements: [Li, F]\nprototypes: [rocksalt_B1]\ndata: [{path: x.csv}]\n"
        f"target: band_gap > 5 and e_f < -2\ndatabase: {{name: {database_name}}}\nfolder: {tmp_path / 'runs'}\n"
    )
    spec = {
        "target": {
            "property": "band_gap",
            "minimum": 5.0,
            "maximum": None,
            "direction": None,
            "also": [{"property": "formation_energy_per_atom", "minimum": None, "maximum": -2.0}],
        }
    }
    store.start_campaign(new_campaign("first").model_copy(update={"spec": spec}))
    predicted = {"band_gap": 8.0, "log10_bulk_modulus": 2.0}
    store.add_candidates([new_candidate(number, predicted=predicted) for number in range(3)])
    store.add_candidates([new_candidate(9, campaign="other", id="other-0009")])
    for number, e_f in ((0, -3.0), (1, -1.0)):
        candidate_id = store.queue([f"first-{number:04d}"], NOON)[0]
        token = store.claim(candidate_id, "worker", NOON, 60).lease.token
        store.record_relaxation(candidate_id, token, new_relaxation(), NOON)
        store.set_formation_energy(candidate_id, e_f, None, NOON)
    chosen = ("first-0000", "first-0001")
    store.put_round(
        Round(id="first/0", campaign="first", number=0, model_version=None, funnel=(), chosen=chosen, started_at=NOON)
    )

    def called(where: str, *more: str):
        done = CliRunner().invoke(app, ["results", str(file), "--where", where, *more])
        return done.exit_code, done.stdout, done.stderr

    return called


def test_conditions_keep_what_they_say_and_older_names_are_noted(results):
    def kept(where):
        code, said, noted = results(where, "--json")
        assert code == 0
        return [row["id"][-1] for row in json.loads(said)], noted

    assert kept("") == (["0", "1", "2"], "")
    assert kept("e_f < -2000 meV") == (["0"], "")
    assert kept("formation_energy_per_atom \u2264 \u22121 eV/atom") == (["0", "1"], "")
    assert kept("predicted.bulk_modulus in 99..101 GPa and status = proposed") == (["2"], "")
    found, noted = kept("predicted.log10_bulk_modulus > 1.9")
    assert found == ["0", "1", "2"]
    assert "log10_bulk_modulus is the older name of bulk_modulus" in noted
    assert kept("campaign = other")[0] == []


def test_where_nothing_is_found_it_is_said_what_there_is(results):
    code, said, noted = results("formula = FLi and e_f < -9 or prototype = rocksalt or a > 900", "--json")
    assert (code, json.loads(said)) == (0, [])
    assert (
        "none of 3 candidates is so: formula is LiF (3); e_f is -3..-1 eV/atom in 2; prototype is rocksalt_B1 (3)"
        in (" ".join(noted.split()))
    )
    assert "none has band_gap" in " ".join(results("band_gap > 1")[2].split())


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("state = Done", "there are proposed, queued, running, relaxed, gave_up"),
        ("(" * 3000 + "round = 1" + ")" * 3000, "nested more than 50 deep"),
        ("round = 99999999999999999999", "beyond what any field holds"),
        ("ef < -1", "did you mean e_f?"),
        ("e_f < cold", "expected a number in eV/atom"),
    ],
)
def test_what_cannot_be_asked_ends_in_a_sentence(results, where, says):
    code, said, noted = results(where)
    assert (code, said) == (2, "")
    assert says in noted
    assert "Traceback" not in noted


def test_hits_are_marked_and_so_is_what_of_them_is_predicted(results):
    rows = json.loads(results("", "--json")[1])
    assert [(row["hit"], row["hit_predicted_in"]) for row in rows] == [(True, ["band_gap"]), (False, []), (False, [])]
    assert rows[0]["predicted"] == {"band_gap": 8.0, "bulk_modulus": pytest.approx(100.0)}
    assert rows[0]["formation_energy_per_atom"] == rows[0]["e_f"] == -3.0
    assert "predicted" in results("")[1]
