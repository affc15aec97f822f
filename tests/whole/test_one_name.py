"""One import name: folders called models, db, dft and orchestrator beside the user's files are his, and are left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import crystalloop

FLOORS = ("models", "db", "dft", "orchestrator")
CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "first.yaml"
TELL = """
import json, multiprocessing, sys

def where(name):
    from importlib import import_module
    return import_module(name).__file__

NAMES = [
    "crystalloop.models.crystals.crystal", "crystalloop.db.ledger.records", "crystalloop.dft.recipe.settings",
    "crystalloop.orchestrator.campaign.spec", "models", "db.records", "dft", "orchestrator",
]
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(json.dumps([[where(name) for name in NAMES], pool.map(where, NAMES)]))
"""


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with a campaign file and four packages of other content, which break whoever takes them for ours."""
    for name in FLOORS:
        (tmp_path / name / "crystals").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text(f"THEIRS = {name!r}\n")
        (tmp_path / name / "records.py").write_text("class Record: ...\n")
        (tmp_path / name / "crystals" / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    (tmp_path / "first.yaml").write_text(CAMPAIGN.read_text(encoding="utf-8"))
    (tmp_path / "tell.py").write_text(TELL)
    return tmp_path


def call(place: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=place, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


COMMAND = str(Path(sys.executable).parent / "crystalloop")


IN_PLACE = [sys.executable, "-c", "from crystalloop.orchestrator.cli.app import main; main()"]
"""The same with the current folder first on sys.path."""


@pytest.mark.parametrize("start", [[COMMAND], IN_PLACE], ids=["script", "in_place"])
def test_the_command_is_ours(place, start):
    assert call(place, *start, "--version").stdout == f"crystalloop {crystalloop.__version__}\n"


def test_the_command_plans_a_campaign_there(place, pseudo_folder):
    told = call(place, COMMAND, "plan", "first.yaml", CRYSTALLOOP_PSEUDOS=str(pseudo_folder.resolve()))
    assert "first" in told.stdout


def test_imports_are_ours_and_theirs_by_name_in_a_script_and_in_a_spawned_process(place):
    here, spawned = json.loads(call(place, sys.executable, "tell.py").stdout)
    ours = Path(crystalloop.__file__).parent
    assert here == spawned
    assert [Path(file) for file in here] == [
        ours / "models/crystals/crystal.py",
        ours / "db/ledger/records.py",
        ours / "dft/recipe/settings.py",
        ours / "orchestrator/campaign/spec.py",
        place / "models/__init__.py",
        place / "db/records.py",
        place / "dft/__init__.py",
        place / "orchestrator/__init__.py",
    ]


def test_nothing_of_ours_is_importable_without_its_name(tmp_path):
    names = ("models", "db", "dft", "orchestrator")
    seek = f"import importlib.util as u; print([n for n in {names} if getattr(u.find_spec(n), 'origin', None)])"
    told = call(tmp_path, sys.executable, "-c", seek)
    assert told.stdout == "[]\n"


def test_the_name_that_fireworks_stores_gives_way_to_any_package_of_that_name(tmp_path):
    """`dft.firetask` is a file in a folder, no package: a user's own `dft` is found, even last on the path."""
    (tmp_path / "last" / "dft").mkdir(parents=True)
    (tmp_path / "last" / "dft" / "__init__.py").write_text("OURS = False\n", encoding="utf-8")
    alone = "import dft.firetask, sys; print(dft.firetask.RelaxTask.__module__)"
    beside = f"import sys; sys.path.append({str(tmp_path / 'last')!r}); import dft; print(dft.OURS)"
    assert call(tmp_path, sys.executable, "-P", "-c", alone).stdout == "crystalloop.dft.work.firetask\n"
    assert call(tmp_path, sys.executable, "-P", "-c", beside).stdout == "False\n"
