"""The command line: exit codes, JSON on stdout, and a sentence for every mistake."""

import json
import re

import pytest
import yaml
from typer.testing import CliRunner

from crystalloop.orchestrator.cli import running
from crystalloop.orchestrator.cli.app import app

SMALL = {"name": "t", "elements": ["Li", "F"], "prototypes": ["rocksalt_B1"], "target": {"direction": "minimise"}}
COMMANDS = [
    ["plan"],
    ["run"],
    ["status"],
    ["results"],
    ["hull"],
    ["trace"],
    ["stop"],
    ["worker"],
    ["schema"],
    ["train"],
    ["generate"],
    ["pseudos", "check"],
]


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CRYSTALLOOP_MONGODB_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        return CliRunner().invoke(app, list(arguments))

    return call


def campaign_file(tmp_path, **changes):
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return str(path)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(call, command):
    done = call(*command, "--help")
    assert done.exit_code == 0
    assert "Example: crystalloop" in re.sub(r"\s+", " ", done.stdout)


def test_the_schema_is_json_and_nothing_else(call):
    done = call("schema")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["properties"]["elements"]


@pytest.mark.parametrize("command", ["plan", "run", "status", "results", "hull", "stop", "worker"])
def test_a_missing_campaign_file_is_a_sentence_with_exit_code_2(call, command):
    done = call(command, "none.yaml")
    assert done.exit_code == 2
    assert "none.yaml: cannot be read" in done.stderr


def test_a_missing_pseudopotential_folder_is_a_sentence_with_exit_code_3(call, tmp_path):
    done = call("plan", campaign_file(tmp_path, dft={"pseudos": str(tmp_path / "nothing")}))
    assert done.exit_code == 3
    assert "no pseudopotential folder" in done.stderr


def test_a_wrong_dft_field_and_a_wrong_network_field_name_those_there_are(call, tmp_path):
    done = call("plan", campaign_file(tmp_path, dft={"settings": {"ecut": 60}}))
    assert done.exit_code == 2
    assert "ecutwfc_ry" in done.stderr
    done = call("plan", campaign_file(tmp_path, networks={"vae": {"latnt": 8}}))
    assert done.exit_code == 2
    assert "latent" in done.stderr


def test_a_missing_pw_is_a_sentence_with_exit_code_3(call, tmp_path):
    done = call("run", campaign_file(tmp_path, dft={"pw_command": "no-such-pw.x"}))
    assert done.exit_code == 3
    assert "no-such-pw.x" in done.stderr


@pytest.mark.slow
def test_an_unreachable_database_is_a_sentence_with_exit_code_4(call, tmp_path):
    done = call(
        "results",
        campaign_file(tmp_path, database={"uri": "mongodb://me:secret@127.0.0.1:1/?serverSelectionTimeoutMS=200"}),
    )
    assert done.exit_code == 4
    assert "127.0.0.1" in done.stderr
    assert "secret" not in done.stderr


def test_a_wrong_query_shows_the_place(call, tmp_path):
    done = call("results", campaign_file(tmp_path), "--where", "ef < 2")
    assert done.exit_code == 2
    assert "did you mean e_f" in done.stderr


def test_the_plan_names_the_first_batch_and_changes_nothing(call, tmp_path, pseudo_folder):
    path = campaign_file(tmp_path, dft={"pseudos": str(pseudo_folder.resolve())})
    before = sorted(tmp_path.rglob("*"))
    done = call("plan", path, "--json")
    assert done.exit_code == 0, done.stderr
    plan = json.loads(done.stdout)
    assert [row["formula"] for row in plan["first_batch"]] == ["LiF"]
    assert plan["cpu_hours"] > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_the_plan_holds_the_whole_cost_against_the_budgets(call, tmp_path, pseudo_folder):
    budget = {"wall_minutes": 0.5, "relaxations": 2}
    done = call("plan", campaign_file(tmp_path, dft={"pseudos": str(pseudo_folder.resolve())}, budget=budget))
    assert done.exit_code == 0, done.stderr
    told = re.sub(r"\s+", " ", done.stdout)
    assert "`budget.relaxations` is 2" in told
    assert "`budget.wall_minutes` is 0.5" in told
    assert "elemental references" in told and "by the clock" in told
    assert "the networks will never be trained" in told


@pytest.mark.parametrize(("state", "code"), [("failed", 1), ("finished", 0), ("active", 0)])
def test_a_campaign_that_ends_without_what_it_was_asked_for_ends_with_exit_1(call, tmp_path, monkeypatch, state, code):
    told = {"campaign": "t", "state": state, "outcome": "target out of reach", "rounds": [], "lines": ["hits: 0"]}
    monkeypatch.setattr(running, "run_campaign", lambda campaign, listener, again: told | {"completed": True})
    done = call("run", campaign_file(tmp_path))
    assert (done.exit_code, "target out of reach" in done.stdout) == (code, True)


def test_a_command_with_a_slip_is_guessed(call):
    done = call("plam")
    assert done.exit_code == 2
    assert "Did you mean 'plan'?" in done.output
