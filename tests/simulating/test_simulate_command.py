"""`crystalloop simulate` as a user types it: a table, a page, numbers; with the product's own ranking and policies."""

import json
import re
from pathlib import Path

import pytest
import yaml
from laboratories import campaign, jsonl, laboratory, line, lines
from typer.testing import CliRunner

from crystalloop.models.data.files import read_crystals
from crystalloop.orchestrator.campaign.choice.laboratory import LaboratorySection
from crystalloop.orchestrator.cli.app import app
from crystalloop.orchestrator.simulate.wiring import known_before

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "own-policy.md"
CALLS = ("--start", "6", "--batch", "6", "--calls", "18", "--seeds", "1")


@pytest.fixture
def place(tmp_path):
    """A campaign file and a table."""
    spec = {
        "name": "salts",
        "elements": sorted({symbol for one in lines() for symbol in one["species"]}),
        "prototypes": ["rocksalt_B1"],
        "target": {"maximum": -1.9, "direction": "minimise"},
        "surrogate": {"trees": 20},
        "folder": str(tmp_path / "run"),
    }
    (tmp_path / "salts.yaml").write_text(yaml.safe_dump(spec))
    jsonl(tmp_path / "table.jsonl", lines())
    return tmp_path


def simulate(place, *more, table="table.jsonl"):
    options = ["simulate", str(place / "salts.yaml"), "--laboratory", str(place / table), *CALLS, *more]
    return CliRunner().invoke(app, options)


def test_three_policies_are_compared_and_a_page_is_written(place):
    done = simulate(place)
    assert done.exit_code == 0, done.output
    for name in ("campaign", "random", "greedy@trees"):
        assert f"{name}, seed 0" in done.output
    page = (place / "run" / "laboratory" / "table.html").read_text(encoding="utf-8")
    assert "greedy@trees" in page and page.count("<picture>") >= 2
    again = simulate(place)
    assert "seed 0" not in again.output and "60 rows, 10 hits" in again.output


def test_numbers_alone_on_stdout(place):
    done = simulate(place, "--json", "--policy", "random", "--quiet")
    told = json.loads(done.stdout)
    assert told["policies"][0]["policy"] == "random" and told["laboratory"]["calls"] == 18


def test_the_policy_of_the_guide_runs_as_it_stands(place):
    text = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    file, code = next((file, code) for file, code in text if "def choose" in code)
    (place / file).write_text(code)
    name = re.findall(r"^class (\w+)", code, re.MULTILINE)[0]
    done = simulate(place, "--policy", f"{place / file}:{name}")
    assert done.exit_code == 0, done.output
    assert "hits in 18 calls" in done.output


def test_a_yaml_file_describes_a_laboratory_and_options_go_first(place):
    (place / "lab.yaml").write_text("laboratory: {file: table.jsonl, top: 0.05, cost: nothing}\n")
    done = simulate(place, "--policy", "random", table="lab.yaml")
    assert done.exit_code == 2 and "no column 'nothing'" in done.output
    (place / "lab.yaml").write_text("file: table.jsonl\ntop: 0.05\n")
    done = simulate(place, "--policy", "random", "--top", "0.1", table="lab.yaml")
    assert "60 rows, 6 hits" in done.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--value", "heat"), "no column 'heat'"),
        (("--calls", "60"), "has 60 rows: every policy would find all 10 hits"),
        (("--policy", "gredy"), "did you mean greedy?"),
        (("--above-hull",), "hull: {reference: FILE}"),
        (("--top", "3"), "--top"),
        (("--policy", "ucb@networks"), "none take part"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_would_fit(place, more, said):
    done = simulate(place, *more)
    assert done.exit_code == 2 and said in " ".join(done.output.split())
    assert not (place / "run").exists()


def test_a_folder_that_is_a_file_is_refused_before_the_first_trial(place):
    done = simulate(place, "--policy", "random", "--folder", str(place / "table.jsonl"))
    assert done.exit_code == 2 and "--folder" in done.output and "seed 0" not in done.output
    (place / "out" / "table.jsonl").mkdir(parents=True)
    done = simulate(place, "--policy", "random", "--folder", str(place / "out"))
    assert done.exit_code == 2 and "is a folder" in done.output


def test_a_policy_that_ends_early_is_named_with_the_calls_it_made(place):
    (place / "lazy.py").write_text(
        "class Lazy:\n    def choose(self, proposals, target, count, rng):\n        return []\n"
    )
    done = simulate(place, "--policy", f"{place / 'lazy.py'}:Lazy", "--policy", "random")
    said = " ".join(done.output.split())
    assert done.exit_code == 0 and "Lazy: 1 of its trials ended early, the first (seed 0) after 6 of 18 calls" in said
    assert "the policy chose none of the 54 rows that are left" in said
    assert "ended early" in (place / "run" / "laboratory" / "table.html").read_text(encoding="utf-8")
    assert "random: 1 of its trials" not in said


def test_a_file_of_trials_with_bytes_that_are_no_text_goes_on(place):
    (place / "run" / "laboratory").mkdir(parents=True)
    (place / "run" / "laboratory" / "table.jsonl").write_bytes(b"\xff\xfe cut")
    done = simulate(place, "--policy", "random")
    assert done.exit_code == 0 and "random, seed 0" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file: table.jsonl\nstrat: 3\n", "line 2: a laboratory has no key 'strat'; did you mean start?"),
        ("- 1\n", "holds no table of keys"),
        ("file: table.jsonl\nstart: many\n", "line 2: start"),
    ],
)
def test_a_wrong_yaml_file_is_told_with_its_line(place, text, said):
    (place / "lab.yaml").write_text(text)
    done = simulate(place, table="lab.yaml")
    assert done.exit_code == 2 and said in " ".join(done.output.split())


def test_a_table_without_crystals_is_searched_by_its_columns(place):
    rows = [f"{x},{y},{-((x - 7) ** 2) - (y - 3) ** 2}" for x in range(10) for y in range(6)]
    (place / "plain.csv").write_text("x,y,score\n" + "\n".join(rows) + "\n")
    (place / "salts.yaml").write_text((place / "salts.yaml").read_text().replace("maximum: -1.9", "minimum: -2.5"))
    text = (place / "salts.yaml").read_text().replace("direction: minimise", "direction: maximise")
    (place / "salts.yaml").write_text(text)
    more = ("--value", "score", "--features", "x,y", "--policy", "ucb@gaussian_process", "--json", "--quiet")
    told = json.loads(simulate(place, *more, table="plain.csv").stdout)
    assert told["laboratory"]["hits"] == 9
    assert told["policies"][0]["hits"]["mean"] >= 6  # 18 calls at random find 2.7


def test_labels_of_data_files_are_known_but_for_the_tables_formulas(tmp_path):
    known = read_crystals(
        jsonl(tmp_path / "known.jsonl", [line("Mg", "O"), line("Mg", "I", formation_energy_per_atom=-0.9)])
    )
    table = laboratory()
    others = tuple(row for row in table.rows if row.formula != "MgI")
    small = laboratory(list(others))
    kept, said = known_before(known.crystals, small, LaboratorySection())
    assert [sorted(one.crystal.composition) for one in kept] == [["I", "Mg"]]
    assert (
        said
        == "1 labelled crystals of data files are known from the start; 1 are left out, since the table has their formulas"
    )
    none, why = known_before(known.crystals, small, LaboratorySection(value="heat"))
    assert none == () and "heat is another quantity" in why
    assert known_before((), small, LaboratorySection()) == ((), "")
    assert campaign().laboratory.file is None
