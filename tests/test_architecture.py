"""The arrows between the packages, and who may touch which heavy library, as a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"orchestrator", "models", "dft", "db"}
GUARDED = OURS | {"keras", "tensorflow", "ray", "pymongo", "fireworks", "subprocess", "mongomock"}
RELATIVE = "a relative import"

# Changing this table is a decision: a commit of its own.
QUEUE = {"dft", "db", "fireworks", "pymongo"}
MAY_IMPORT: dict[str, set[str]] = {
    "models": {"models", "keras"},
    "db": {"db"},
    "db/ledger/connection.py": {"db", "pymongo"},
    "db/ledger/mongo.py": {"db", "pymongo"},
    "db/serving/probe.py": {"db", "pymongo"},
    "db/serving/server.py": {"db", "pymongo", "subprocess"},
    "db/embedded": {"db", "mongomock"},
    "dft": {"dft"},
    "dft/pw/run.py": {"dft", "subprocess"},
    "dft/work/relax_queue.py": QUEUE,
    "dft/work/firetask.py": QUEUE,
    "dft/work/candidate_work.py": QUEUE,
    "dft/work/worker.py": QUEUE,
    "dft/work/stored_result.py": {"dft", "db"},
    "orchestrator": OURS,
    "orchestrator/actors.py": OURS | {"ray"},
    "orchestrator/train.py": OURS | {"ray", "tensorflow", "keras"},
    "orchestrator/compose.py": OURS | {"ray"},
    "orchestrator/runtime.py": {"orchestrator", "models", "ray"},
    "orchestrator/workers.py": {"orchestrator", "subprocess"},
    "orchestrator/policy.py": {"orchestrator"},
    "orchestrator/screen.py": {"orchestrator", "models"},
    "orchestrator/loop.py": {"orchestrator", "db"},
}


def imported(source: str) -> set[str]:
    """Top-level names that a module imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.removeprefix("crystalloop.").split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(RELATIVE if node.level else str(node.module).removeprefix("crystalloop.").split(".")[0])
    return names


def allowed(file: str) -> set[str]:
    """The row of the table for this file: its own, else its nearest folder's."""
    while file not in MAY_IMPORT:
        file = file.rpartition("/")[0]
    return MAY_IMPORT[file]


def forbidden(file: str, source: str) -> set[str]:
    """Guarded imports of the source that the table does not allow this file."""
    return (imported(source) & (GUARDED | {RELATIVE})) - allowed(file)


FILES = sorted(path.relative_to(ROOT).as_posix() for room in OURS for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("file", FILES)
def test_imports_follow_the_arrows(file):
    assert forbidden(file, (ROOT / file).read_text()) == set()


@pytest.mark.parametrize(
    ("file", "planted"),
    [
        ("models/vae.py", "import ray"),
        ("models/voxels.py", "def f():\n    from db.records import Candidate"),
        ("dft/relax/relax.py", "from models import voxels"),
        ("db/ledger/records.py", "from orchestrator.config import Campaign"),
        ("orchestrator/loop.py", "import fireworks"),
        ("orchestrator/policy.py", "from db.store import Store"),
        ("db/ledger/store.py", "from . import mongo"),
    ],
)
def test_a_planted_forbidden_import_is_found(file, planted):
    assert forbidden(file, planted) != set()


def test_every_module_says_what_lives_in_it():
    missing = [file for file in FILES if not ast.get_docstring(ast.parse((ROOT / file).read_text()))]
    assert missing == []


def test_nothing_listens_on_every_interface():
    everywhere = ".".join("0000")
    roots = [*(ROOT / room for room in OURS), ROOT / "campaigns", ROOT / "scripts"]
    files = [ROOT / "cluster.yaml", *(path for root in roots for path in root.rglob("*") if path.is_file())]
    texts = {path: path.read_bytes() for path in files if path.suffix in {".py", ".yaml", ".sh"} and path.exists()}
    assert [path.name for path, text in texts.items() if everywhere.encode() in text] == []
