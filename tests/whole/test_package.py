"""What `pip install` puts on a disk: wheel and sdist hold every room and table, and the command runs outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import crystalloop

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FLOORS = ("orchestrator", "models", "dft", "db")
KINDS = (".py", ".j2", ".yaml", ".json")


def shipped() -> set[str]:
    """Every file of ours that the program reads, by its name in the package."""
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*") if path.suffix in KINDS]
    names = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    ours = {f"crystalloop/{name}" for name in names | {"__init__.py", "py.typed"}}
    return ours | {"dft/firetask.py"}  # the module that stored fireworks name: decision 9


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what is built from, links kept, so that nothing is written into the checkout."""
    place = tmp_path_factory.mktemp("checkout") / "crystalloop"
    place.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    for name in (*FLOORS, "src"):
        shutil.copytree(
            ROOT / name, place / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    return place


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel_of(source: Path, out: Path) -> Path:
    """A wheel built from a folder or an sdist, with what is installed and no network."""
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", *offline, "--wheel-dir", out, source, cwd=out)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    return wheel_of(checkout, tmp_path_factory.mktemp("wheel"))


def contents(wheel: Path) -> dict[str, int]:
    """File -> its mode bits."""
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return {
            entry.filename: entry.external_attr >> 16
            for entry in archive.infolist()
            if ".dist-info/" not in entry.filename
        }


def test_the_wheel_holds_every_file_of_the_rooms_and_no_link(wheel):
    found = contents(wheel)
    assert set(found) == shipped()
    assert not [name for name, mode in found.items() if mode & 0o170000 == 0o120000]


def test_the_sdist_makes_the_same_wheel(checkout, wheel, tmp_path):
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    run(sys.executable, "-c", build, cwd=checkout)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert not [entry.name for entry in archive if entry.issym() or entry.islnk()]
    again = tmp_path / "again"
    again.mkdir()
    assert contents(wheel_of(sdist, again)) == contents(wheel)


def test_the_installed_command_runs_outside_the_checkout(wheel, tmp_path, pseudo_folder):
    place = tmp_path / "site"
    offline = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", place, wheel, cwd=tmp_path)
    shutil.copy(ROOT / "campaigns" / "first.yaml", tmp_path)
    command = (sys.executable, place / "bin" / "crystalloop")
    settings = {"PYTHONPATH": str(place), "CRYSTALLOOP_PSEUDOS": str(pseudo_folder.resolve())}
    assert run(*command, "--version", cwd=tmp_path, **settings) == f"crystalloop {crystalloop.__version__}\n"
    assert "first" in run(*command, "plan", "first.yaml", cwd=tmp_path, **settings)
    where = run(sys.executable, "-c", "import crystalloop.db as m; print(m.__file__)", cwd=tmp_path, **settings)
    assert Path(where.strip()) == place / "crystalloop" / "db" / "__init__.py"
