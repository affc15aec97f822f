"""Paths that users write with ~ or a variable: the same folder in files, options, arguments and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from crystalloop.dft.recipe.pseudo_places import install_folder
from crystalloop.dft.recipe.user_paths import user_path
from crystalloop.orchestrator.campaign.places import home, user_command
from crystalloop.orchestrator.cli.app import app


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """A home folder of its own, and a working folder beside it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pseudos", "list", "--dir=~/upf"], "no pseudopotential folder {home}/upf"),
        (["pseudos", "install", "--source=~/sssp"], "{home}/sssp"),
        (["plan", "~/c.yaml"], "{home}/c.yaml: cannot be read"),
        (["plan", "$HOME/c.yaml"], "{home}/c.yaml: cannot be read"),
        (["relax", "~/x.cif"], "{home}/x.cif"),
        (["plan", "~nobody_of_this_name/c.yaml"], "file: '~nobody_of_this_name/c.yaml': there is no user"),
        (["plan", "${NOT_SET_ANYWHERE}/c.yaml"], "is not set in the environment"),
        (["train", "--data=~/a.jsonl", "--out=x/~"], "~ is a home folder only where a path begins with it"),
    ],
)
def test_options_and_arguments_know_the_home_folder(at_home, arguments, says):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code in {2, 3}
    assert says.format(home=at_home) in done.output
    assert list(Path.cwd().iterdir()) == []


def test_variables_of_the_environment_know_the_home_folder(at_home, monkeypatch):
    monkeypatch.setenv("CRYSTALLOOP_HOME", "~/chome")
    monkeypatch.delenv("CRYSTALLOOP_PSEUDOS", raising=False)
    assert home() == at_home / "chome"
    assert install_folder() == at_home / "chome/pseudos"
    monkeypatch.setenv("CRYSTALLOOP_PSEUDOS", "$CRYSTALLOOP_HOME/upf")
    assert install_folder() == at_home / "chome/upf"
    monkeypatch.setenv("CRYSTALLOOP_PSEUDOS", "")
    assert install_folder() == at_home / "chome/pseudos"
    monkeypatch.setenv("CRYSTALLOOP_PSEUDOS", "~nobody_of_this_name")
    done = CliRunner().invoke(app, ["pseudos", "list"])
    assert (done.exit_code, "CRYSTALLOOP_PSEUDOS: '~nobody_of_this_name'" in done.output) == (2, True)


def test_a_command_line_keeps_its_words(at_home):
    assert user_command("mpirun -np 4 '~/my qe/pw.x'") == f"mpirun -np 4 '{at_home}/my qe/pw.x'"
    assert user_command("podman run -v {folder}:{folder} pw.x") == "podman run -v {folder}:{folder} pw.x"
    assert user_command("pw.x 'unclosed") == "pw.x 'unclosed"


@pytest.mark.parametrize("text", ["a/~", "~/~/b", "x\0y", "a" * 5000, "~/$NOT_SET_ANYWHERE"])
def test_what_is_no_path_is_refused(at_home, text):
    with pytest.raises(ValueError, match=r"path|folder|set"):
        user_path(text)
