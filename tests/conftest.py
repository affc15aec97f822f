"""Fixtures shared by the tests: where data, pw.x and pseudopotentials are; each skips with a reason when absent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from database_fixture import database_name, mongodb_uri, store  # noqa: F401  (fixtures)
from embedded_things import database, only_embedded, things  # noqa: F401  (fixtures)

ROOT = Path(__file__).parent.parent
# Contracts are asserted in files that are no test files: their assertions are to say as much as those of tests. Here, since
# files beside tests/contracts import from there, too.
pytest.register_assert_rewrite(*(f"contracts.{path.stem}" for path in (ROOT / "tests" / "contracts").glob("[!_]*.py")))


def pytest_addoption(parser):
    parser.addoption(
        "--data",
        default=os.environ.get("CRYSTALLOOP_DATA"),
        help="folder with the shared crystal data (cubic_three_classes.jsonl.gz, ...); also CRYSTALLOOP_DATA",
    )


def pytest_collection_modifyitems(items):
    """Files with a campaign, Ray or a training come first, whole and in order: two processes then end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared_data(pytestconfig) -> Path:
    given = pytestconfig.getoption("--data")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    if not (folder / "cubic_three_classes.jsonl.gz").is_file():
        pytest.skip(f"no shared crystal data in {folder}; give its folder with --data or CRYSTALLOOP_DATA")
    return folder


@pytest.fixture(scope="session")
def pw_command() -> str:
    command = os.environ.get("CRYSTALLOOP_PW", "pw.x")
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not on PATH; `make setup` installs it")
    return command


@pytest.fixture(scope="session")
def pseudo_folder() -> Path:
    folder = Path(os.environ.get("CRYSTALLOOP_PSEUDOS", ROOT / ".crystalloop" / "pseudos"))
    if not folder.is_dir():
        pytest.skip(f"no pseudopotentials in {folder}; `make setup` installs them")
    return folder
