"""Pseudopotentials are found from any folder, in a stated order; where there are none, the places are listed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pw_fakes import fake_table
from typer.testing import CliRunner

from crystalloop.dft.recipe import pseudo_places
from crystalloop.dft.recipe.pseudo_places import default_pseudos, install_folder, user_pseudos
from crystalloop.dft.recipe.pseudos import MissingPseudo, PseudoTable
from crystalloop.orchestrator.cli.app import app


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A user without any pseudopotentials, in a folder of no checkout."""
    for name in ("CRYSTALLOOP_PSEUDOS", "CRYSTALLOOP_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setattr(pseudo_places, "CHECKOUT", tmp_path / "checkout")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_the_order_is_environment_user_here_checkout(bare, monkeypatch):
    wanted = [
        bare / "checkout" / ".crystalloop" / "pseudos",
        Path(".crystalloop", "pseudos"),
        bare / "user" / ".local" / "share" / "crystalloop" / "pseudos",
        bare / "home" / "pseudos",
        bare / "named",
    ]
    for folder in wanted:  # from the last of the order to the first
        if folder == bare / "home" / "pseudos":
            monkeypatch.setenv("CRYSTALLOOP_HOME", str(bare / "home"))
        if folder == bare / "named":
            monkeypatch.setenv("CRYSTALLOOP_PSEUDOS", str(folder))
        fake_table(folder)
        assert default_pseudos() == folder


def test_an_empty_folder_hides_no_full_one(bare):
    user_pseudos().mkdir(parents=True)
    fake_table(bare / "checkout" / ".crystalloop" / "pseudos")
    assert default_pseudos() == bare / "checkout" / ".crystalloop" / "pseudos"


def test_a_named_folder_is_taken_even_where_it_is_empty(bare, monkeypatch):
    fake_table(user_pseudos())
    monkeypatch.setenv("CRYSTALLOOP_PSEUDOS", str(bare / "nothing"))
    assert default_pseudos() == bare / "nothing"
    with pytest.raises(MissingPseudo) as raised:
        PseudoTable.load(default_pseudos())
    assert f"no pseudopotentials in {bare / 'nothing'} (CRYSTALLOOP_PSEUDOS);" in str(raised.value)


def test_a_relative_data_home_is_ignored_as_its_specification_says(bare, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert user_pseudos() == bare / "user" / ".local" / "share" / "crystalloop" / "pseudos"
    monkeypatch.setenv("XDG_DATA_HOME", str(bare / "data"))
    assert user_pseudos() == install_folder() == bare / "data" / "crystalloop" / "pseudos"


def test_where_there_are_none_the_sentence_lists_the_places_and_the_next_move(bare):
    with pytest.raises(MissingPseudo) as raised:
        PseudoTable.load(default_pseudos())
    text = str(raised.value)
    for place in (
        str(user_pseudos()),
        ".crystalloop/pseudos (here)",
        str(bare / "checkout"),
        "crystalloop pseudos install",
    ):
        assert place in text


def test_a_folder_that_somebody_named_is_named_back(bare):
    with pytest.raises(MissingPseudo, match=r"no pseudopotential folder .*nowhere; `crystalloop pseudos install`"):
        PseudoTable.load(bare / "nowhere")


def test_a_table_is_known_without_any_file(bare):
    assert PseudoTable.named(bare / "nowhere")["Li"].filename == "li_pbe_v1.4.uspp.F.UPF"
    assert PseudoTable.named(fake_table(bare / "own").folder)["Li"].filename == "Li.upf"


def test_install_and_check_meet_in_the_users_folder_from_any_other(bare, monkeypatch):
    text = '<UPF version="2.0.1">\n<PP_HEADER element="Li" pseudo_type="NC" functional="PBE"/>\n'
    source = bare / "source"
    source.mkdir()
    (source / "Li.upf").write_text(text)
    row = {"filename": "Li.upf", "md5": hashlib.md5(text.encode()).hexdigest(), "ecutwfc": 40.0, "ecutrho": 320.0}
    (source / "table.json").write_text(json.dumps({"Li": row}))
    done = CliRunner().invoke(app, ["pseudos", "install", "--source", str(source)])
    assert done.exit_code == 0, done.stderr
    monkeypatch.chdir(bare)
    done = CliRunner().invoke(app, ["pseudos", "check"])
    assert done.exit_code == 0, done.stderr
    assert str(user_pseudos()) in done.stdout.replace("\n", "")
