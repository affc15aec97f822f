"""crystalloop pseudos install, check and list: sets by folder and table, and a sentence for everything wrong with them."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

from crystalloop.dft.energies.pseudo_check import check_set
from crystalloop.dft.recipe.pseudos import BUNDLED_TABLE, PseudoTable
from crystalloop.dft.recipe.upf import read_upf_header
from crystalloop.orchestrator.cli.app import app

SECOND = '<UPF version="2.0.1">\n<PP_HEADER generated="x" element="{}" pseudo_type="{}" functional="{}" has_so="{}"/>\n'
FIRST = """<PP_HEADER>
   0                   Version Number
  {}                    Element
   US                  Ultrasoft pseudopotential
    T                  Nonlinear Core Correction
 SLA  PW   PBX  PBC    PBE  Exchange-Correlation functional
    3.00000000000      Z valence
</PP_HEADER>
"""


def upf(element, kind="NC", functional="PBE", spin_orbit="F"):
    return SECOND.format(element, kind, functional, spin_orbit)


@pytest.fixture
def make_set(tmp_path):
    """Writes UPF files and a table for them; returns folder and table."""

    def make(files, ecutwfc=80.0, ecutrho=320.0, name="set"):
        folder = tmp_path / name
        folder.mkdir()
        rows = {}
        for element, text in files.items():
            (folder / f"{element}.upf").write_text(text)
            md5 = hashlib.md5(text.encode()).hexdigest()
            rows[element] = {"filename": f"{element}.upf", "md5": md5, "ecutwfc": ecutwfc, "ecutrho": ecutrho}
        table = tmp_path / f"{name}-table.json"
        table.write_text(json.dumps(rows))
        return folder, table

    return make


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CRYSTALLOOP_PSEUDOS", raising=False)

    def call(*arguments):
        return CliRunner().invoke(app, ["pseudos", *map(str, arguments)])

    return call


def test_a_norm_conserving_set_is_checked_by_folder_and_table_and_installed_with_it(call, make_set, tmp_path):
    folder, table = make_set({"Li": upf("Li"), "F": upf("F"), "B": FIRST.format("B")})
    done = call("check", "--dir", folder, "--table", table)
    assert done.exit_code == 0, done.stderr
    assert "3 pseudopotentials, every md5 right: PBE, 2 NC, 1 US" in done.stdout
    done = call("install", "--source", folder, "--table", table, "--folder", tmp_path / "mine")
    assert done.exit_code == 0, done.stderr
    assert PseudoTable.load(tmp_path / "mine")["Li"].ecutwfc_ry == 80.0
    assert "3 pseudopotentials" in call("check", "--folder", tmp_path / "mine").stdout


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "F.upf").write_text("<UP"), "F.upf has md5"),
        (lambda folder: (folder / "F.upf").unlink(), "is missing"),
        (lambda folder: [path.unlink() for path in folder.iterdir()] + [folder.rmdir()], "no pseudopotential folder"),
    ],
    ids=["wrong md5", "missing file", "no folder"],
)
@pytest.mark.parametrize("command", ["check", "install"])
def test_a_spoilt_set_is_a_sentence_with_exit_code_3(call, make_set, tmp_path, spoil, sentence, command):
    folder, table = make_set({"Li": upf("Li"), "F": upf("F")})
    spoil(folder)
    done = call(command, "--source" if command == "install" else "--dir", folder, "--table", table)
    assert done.exit_code == 3
    assert sentence in done.stderr
    assert not list((tmp_path / "home").rglob("*.upf"))


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"Li": upf("Na")}, "is of Na, the table has it for Li"),
        ({"Li": upf("Li"), "F": upf("F"), "O": upf("O", functional="SLA PW PSX PSC")}, "mixes functionals: PBE, but O"),
        ({"Li": upf("Li", spin_orbit=".true.")}, "made for spin-orbit coupling"),
        ({"Li": "not a pseudopotential"}, "is no UPF file"),
    ],
    ids=["other element", "two functionals", "spin-orbit", "no UPF"],
)
def test_files_that_are_not_what_the_table_says_are_refused_in_spite_of_their_md5(call, make_set, files, sentence):
    folder, table = make_set(files)
    done = call("check", "--dir", folder, "--table", table)
    assert done.exit_code == 3
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("ecutwfc", "ecutrho"), [(0.0, 0.0), (8.0, 32.0), (80.0, 100.0), (float("nan"), 320.0), (80.0, 1e9)]
)
def test_cutoffs_that_are_no_hints_are_refused_with_the_bound(call, make_set, ecutwfc, ecutrho):
    folder, table = make_set({"Li": upf("Li")}, ecutwfc, ecutrho)
    done = call("check", "--dir", folder, "--table", table)
    assert done.exit_code == 3
    assert "are no hints: wanted are 15 to 400" in done.stderr


def test_a_missing_element_and_a_missing_table_are_named(call, make_set, tmp_path):
    folder, table = make_set({"Li": upf("Li")})
    done = call("check", "--dir", folder, "--table", table, "--elements", "Li,Cs")
    assert (done.exit_code, "no pseudopotential for Cs" in done.stderr) == (3, True)
    done = call("check", "--dir", folder, "--table", tmp_path / "none.json")
    assert (done.exit_code, "none.json" in done.stderr) == (3, True)
    done = call("check", "--dir", folder, "--table", table, "--elements", "U")
    assert (done.exit_code, "U is an actinide" in done.stderr) == (3, True)


def test_a_target_that_cannot_be_written_is_a_sentence(call, make_set, tmp_path):
    folder, table = make_set({"Li": upf("Li")})
    (tmp_path / "file").write_text("in the way")
    done = call("install", "--source", folder, "--table", table, "--folder", tmp_path / "file")
    assert done.exit_code == 3
    assert "cannot be written" in done.stderr


def test_the_list_flags_lanthanides_actinides_and_elements_without_reference(call, tmp_path):
    (tmp_path / "empty").mkdir()
    done = call("list", "--dir", tmp_path / "empty", "--json")
    notes = {row["element"]: row["note"] for row in json.loads(done.stdout)}
    assert len(notes) == 103
    assert notes["Li"] == ""
    assert notes["U"].startswith("refused")
    assert "f electrons in valence" in notes["Gd"]
    assert notes["He"] == "no elemental reference"


def test_the_real_set_is_one_functional_and_has_norm_conserving_files(pseudo_folder):
    table = PseudoTable.load(pseudo_folder)
    there = [e for e, entry in table.entries.items() if (pseudo_folder / entry.filename).is_file() and e != "Ac"]
    assert read_upf_header(pseudo_folder / table["Ag"].filename).kind == "NC"
    found = check_set(table, [element for element in there if element not in ("Th", "Pa", "U")][:40])
    assert found.functional == "PBE"
    assert set(found.kinds) == {"NC", "PAW", "US"}
    assert BUNDLED_TABLE.is_file()
