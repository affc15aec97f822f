"""Several files in one call, the formats that are written, formation energies and gaps as `crystalloop relax` shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pw_fakes import fake_table, rock_salt
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from salt_cif import cif_file
from test_equation_of_state import Birch
from typer.testing import CliRunner

from crystalloop.dft.alone import command, result
from crystalloop.dft.alone.folder import RelaxInputError
from crystalloop.dft.alone.references import formation_energy, reference_folder
from crystalloop.dft.alone.several import format_of, formats_of, places
from crystalloop.dft.energies.ground_states import ground_state
from crystalloop.dft.energies.references import reference_settings
from crystalloop.dft.pw.output import Bands
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import preset
from crystalloop.dft.relax.band_gap import BandGap, band_gap
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.relax.relax import relax
from crystalloop.models.formats.one_crystal import read_crystal
from crystalloop.orchestrator.cli.app import Exit, app

TEST = preset("test")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose pw.x obeys an equation of state; answers of elements are -10 eV/atom."""
    fake_table(tmp_path / "upf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLOOP_REFERENCES", str(tmp_path / "kept"))
    monkeypatch.setenv("CRYSTALLOOP_PSEUDOS", str(tmp_path / "upf"))
    monkeypatch.setattr("crystalloop.orchestrator.cli.relax.pw_version", lambda _: "6.7")

    def relaxing(structure, request, listener, probe=None):
        run = Watched()
        return original(structure, request, listener, run=run)

    original = command.relax_crystal
    monkeypatch.setattr(command, "relax_crystal", relaxing)
    return tmp_path


class Watched(Birch):
    """As run_pw does, it leaves its input behind."""

    def __init__(self):
        super().__init__(4.06**3 / 4)

    def __call__(self, text, folder, options):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (("pw.in", text), ("pw.err", "")):
            (folder / name).write_text(content)
        return super().__call__(text, folder, options)


def call(*words):
    return CliRunner().invoke(app, ["relax", *map(str, words), "--preset", "test", "--pw-command", "true"])


def salt(folder, name="salt.cif", **how):
    folder.mkdir(parents=True, exist_ok=True)
    made = cif_file(folder, **how)
    return made.rename(folder / name)


def test_one_file_that_fails_does_not_stop_the_others_and_the_worst_exit_code_counts(machine):
    good, other = salt(machine / "a", a=4.2), salt(machine / "b", a=4.1)
    bad = machine / "bad.cif"
    bad.write_text("data_x\n_cell_length_a 4\n")
    done = call(good, bad, machine / "none.cif", other, "--json")
    assert done.exit_code == Exit.USAGE, done.stderr
    found = json.loads(done.stdout)
    assert [each["converged"] for each in found] == [True, False, False, True]
    assert [each["file"] for each in found] == [str(good), str(bad), str(machine / "none.cif"), str(other)]
    assert "does not exist" in found[2]["reason"] and "none.cif" in done.stderr
    assert {Path(found[0]["cif"]).name, Path(found[3]["cif"]).name} == {"a-salt-relaxed.cif", "b-salt-relaxed.cif"}
    assert (machine / "a-salt-relax").is_dir() and (machine / "b-salt-relax").is_dir()


def test_several_files_end_in_a_table(machine):
    done = call(salt(machine / "a"), salt(machine / "b", "other.cif", a=9.0))
    assert done.exit_code == Exit.USAGE
    assert "LiF" in done.stdout and "atoms_too_far" in done.stdout and "relaxed" in done.stdout, done.stdout
    assert "no e_f: references of F, Li are not computed yet: --references computes them" in done.stdout


def test_a_missing_pseudopotential_of_one_file_leaves_the_others(machine):
    strange = machine / "mgo.cif"
    cif_file(machine, "Mg1 Mg 0 0 0 1\nO1 O 0.5 0.5 0.5 1").rename(strange)
    done = call(strange, salt(machine / "a"), "--json")
    assert done.exit_code == Exit.ENVIRONMENT
    assert [each["converged"] for each in json.loads(done.stdout)] == [False, True]


def test_places_of_several_files_are_told_apart(tmp_path):
    files = [tmp_path / "a" / "POSCAR", tmp_path / "b" / "POSCAR", tmp_path / "x.cif", tmp_path / "x.vasp"]
    found = places(files, tmp_path / "out", None)
    assert len({each.folder for each in found}) == len({each.target for each in found}) == 4
    assert all(each.target.parent == each.folder.parent == tmp_path / "out" for each in found)
    (one,) = places(files[:1], None, None)
    assert (one.target, one.folder) == (Path("POSCAR-relaxed.cif"), Path("POSCAR-relax"))
    with pytest.raises(RelaxInputError, match=r"given twice"):
        places([tmp_path / "x.cif", tmp_path / "a" / ".." / "x.cif"], None, None)
    with pytest.raises(RelaxInputError, match=r"one file, and 4 crystals"):
        places(files, tmp_path / "all.cif", None)


def test_formats_are_words_with_commas():
    assert formats_of("poscar, extxyz,poscar") == ("poscar", "extxyz") and formats_of("") == ()
    with pytest.raises(RelaxInputError, match=r"'mol2': wanted are cif, poscar, extxyz"):
        formats_of("cif,mol2")
    names = {
        "a.cif": "cif",
        "a.vasp": "poscar",
        "POSCAR-relaxed": "poscar",
        "a.XYZ": "extxyz",
        "a": "cif",
        "a.extxyz": "extxyz",
    }
    assert {name: format_of(Path(name)) for name in names} == names


def relaxed_salt(tmp_path, **changes):
    found = relax(rock_salt(4.1), TEST, fake_table(tmp_path / "upf"), tmp_path / "run", run=Birch(4.06**3 / 4))
    assert isinstance(found, Relaxed)
    return replace(found, **changes)


@pytest.mark.parametrize("name", ["out.cif", "out.vasp", "out.extxyz"])
def test_what_is_written_is_read_back_as_the_same_crystal(tmp_path, name):
    found = relaxed_salt(tmp_path)
    written = result.write_crystal(found, tmp_path / name, ("cif", "poscar", "extxyz"))
    assert written[0] == tmp_path / name and {path.suffix for path in written} == {".cif", ".vasp", ".extxyz"}
    for path in written:
        again = read_crystal(path).structure
        assert StructureMatcher(scale=False, ltol=1e-4, stol=1e-4).fit(again, found.structure), path
        assert again.volume / len(again) == pytest.approx(found.structure.volume / 2, rel=1e-6)
    assert "225" in (tmp_path / "out.cif").read_text()


def test_moments_of_both_signs_are_written_where_a_format_holds_them(tmp_path):
    cell = Structure(Lattice.cubic(2.87), ["Cr", "Cr"], [[0, 0, 0], [0.5] * 3], site_properties={"magmom": [3.0, -3.0]})
    found = relaxed_salt(tmp_path, structure=cell, conventional=cell, moments_bohr=(1.5, -1.5))
    cif, xyz = result.write_crystal(found, tmp_path / "cr.cif")
    assert "magmoms:R:1" in xyz.read_text() and "-1.5" in xyz.read_text() and "Cr" in cif.read_text()
    assert read_crystal(xyz).structure.site_properties["magmom"] == [1.5, -1.5]


def test_a_molecule_is_written_in_its_box(tmp_path):
    box = Structure(Lattice.orthorhombic(6, 7, 8), ["O", "O"], [[0.5, 0.5, 0.42], [0.5, 0.5, 0.58]])
    found = relaxed_salt(tmp_path, structure=box, conventional=box)
    for path in result.write_crystal(found, tmp_path / "o2.cif", ("poscar", "extxyz")):
        again = read_crystal(path).structure
        assert again.lattice.abc == pytest.approx((6, 7, 8)) and len(again) == 2
        assert sorted(again.frac_coords[:, 2]) == pytest.approx([0.42, 0.58])


def test_the_formation_energy_comes_from_references_that_are_kept(tmp_path):
    table, asked = fake_table(tmp_path / "upf"), []
    found = relaxed_salt(tmp_path, pw_version="6.7MaX", energy_ev=-26.0)

    def compute(state, recipe, folder):
        asked.append((state.composition.reduced_formula, recipe))
        return replace(found, structure=state, energy_ev=-10.0 * len(state), energy_per_atom_ev=-10.0)

    place = tmp_path / "kept"
    none = formation_energy(found, TEST, table, place)
    assert none.energy_ev_per_atom is None and "Li" in none.reason and "--references" in none.reason
    made = formation_energy(found, TEST, table, place, compute)
    assert made.energy_ev_per_atom == pytest.approx(-3.0) and made.references == {"F": -10.0, "Li": -10.0}
    assert [name for name, _ in asked] == ["F2", "Li"] and asked[1][1] == reference_settings("Li", TEST)
    assert formation_energy(found, TEST, table, place).energy_ev_per_atom == pytest.approx(-3.0)
    assert len(asked) == 2
    for other in (TEST.model_copy(update={"d2": True}), TEST.model_copy(update={"degauss_ry": 0.01})):
        assert formation_energy(found, other, table, place).energy_ev_per_atom is None
    assert formation_energy(replace(found, pw_version="7.2"), TEST, table, place).energy_ev_per_atom is None
    for file in place.glob("*.json"):
        file.write_text("{")
    assert formation_energy(found, TEST, table, place).energy_ev_per_atom is None


def test_a_reference_that_finds_no_result_is_the_reason(tmp_path):
    table, found = fake_table(tmp_path / "upf"), relaxed_salt(tmp_path)
    told = formation_energy(found, TEST, table, tmp_path / "kept", lambda *_: GaveUp.unanswered("no luck"))
    assert told.energy_ev_per_atom is None and told.reason == "the reference of F found no result: no luck"
    manganese = replace(found, structure=Structure(Lattice.cubic(3), ["Mn"], [[0, 0, 0]]))
    assert "no reference state for Mn" in formation_energy(manganese, TEST, table, tmp_path / "kept").reason


def test_references_that_the_machine_cannot_keep_leave_the_relaxation(machine, monkeypatch):
    (machine / "file").write_text("no folder")
    monkeypatch.setenv("CRYSTALLOOP_REFERENCES", str(machine / "file" / "kept"))
    done = call(salt(machine), "--references", "--json")
    assert done.exit_code == 0 and (machine / "salt-relaxed.cif").is_file()
    assert "cannot be written" in json.loads(done.stdout)["formation_energy_reason"]


def test_references_are_kept_in_a_folder_of_the_user(monkeypatch, tmp_path):
    for name in ("CRYSTALLOOP_REFERENCES", "CRYSTALLOOP_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert reference_folder() == tmp_path / "crystalloop" / "references"
    monkeypatch.setenv("XDG_DATA_HOME", "data")  # relative: to be ignored
    monkeypatch.setenv("HOME", str(tmp_path))
    assert reference_folder() == tmp_path / ".local" / "share" / "crystalloop" / "references"
    monkeypatch.setenv("CRYSTALLOOP_HOME", "~/home")
    assert reference_folder() == tmp_path / "home" / "references"
    monkeypatch.setenv("CRYSTALLOOP_REFERENCES", "~/mine")
    assert reference_folder() == tmp_path / "mine"


def bands(*points, electrons, moment=0.0):
    return Bands(np.array(points, float), electrons, moment)


@pytest.mark.parametrize(
    ("states", "gap", "direct", "kind"),
    [
        (bands([[0, 1, 3]], [[0, 2, 4]], electrons=4), 1.0, 2.0, "indirect"),
        (bands([[0, 1, 3]], [[0, 0.5, 4]], electrons=4), 2.0, 2.0, "direct"),
        (bands([[0, 1, 3]], [[0, 5, 6]], electrons=4), 0.0, 0.0, "metal"),
        (bands([[0, 1, 3]], electrons=3), 0.0, 0.0, "metal"),
        (bands([[0, 1, 3], [0.5, 2, 4]], electrons=3, moment=1.0), 1.0, 1.0, "direct"),
        (bands([[0, 1, 3], [0.5, 2, 4]], electrons=3, moment=0.6), 0.0, 0.0, "metal"),
        (bands([[0, 1], [0.5, 2]], electrons=1, moment=1.0), 0.5, 0.5, "direct"),
    ],
)  # fmt: skip
def test_the_gap_is_counted_by_electrons(states, gap, direct, kind):
    found = band_gap(states)
    assert (found.gap_ev, found.direct_ev, found.kind) == (pytest.approx(gap), pytest.approx(direct), kind)


def test_without_empty_states_there_is_no_gap():
    assert band_gap(bands([[0, 1]], electrons=4)) is None


def test_gap_and_formation_energy_are_shown(machine, monkeypatch):
    told = BandGap(0.613, 2.548, 10, "scf")
    monkeypatch.setattr("crystalloop.dft.relax.outcome.band_gap", lambda _: told)
    original = command.relax_crystal
    monkeypatch.setattr(command, "relax_crystal", lambda *a, **k: replace(original(*a, **k), gap=told))
    done = call(salt(machine), "--write", "poscar", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["band_gap"], found["band_gap_kind"], found["band_gap_method"]) == (0.613, "indirect", "scf")
    assert found["formation_energy_per_atom"] is None and "--references" in found["formation_energy_reason"]
    assert [Path(path).name for path in found["written"]] == ["salt-relaxed.cif", "salt-relaxed.vasp"]
    shown = call(salt(machine, "again.cif"))
    assert "0.613, indirect" in shown.stdout and "upper bound" in shown.stdout and "formation energy" in shown.stdout


def test_a_block_of_a_cif_is_named(machine):
    text = salt(machine, "one.cif").read_text()
    both = machine / "both.cif"
    both.write_text(text.replace("data_", "data_first_", 1) + "\n" + text.replace("data_", "data_second_", 1))
    undecided = call(both)
    assert undecided.exit_code == Exit.USAGE and "first" in undecided.stderr and "second" in undecided.stderr
    names = [line.removeprefix("data_") for line in both.read_text().splitlines() if line.startswith("data_")]
    assert call(both, "--block", names[1]).exit_code == 0
    assert call(both, "--block", "third").exit_code == Exit.USAGE


@pytest.mark.pw
def test_silicon_has_an_indirect_gap_and_aluminium_none_with_the_real_pw(tmp_path, pw_command, pseudo_folder):
    asked = TEST.model_copy(update={"vary": "nothing", "band_gap": "nscf"})
    found = {
        element: relax(
            ground_state(element), asked, PseudoTable.load(pseudo_folder), tmp_path / element, command=pw_command
        )
        for element in ("Si", "Al")
    }
    silicon, aluminium = found["Si"].gap, found["Al"].gap
    assert silicon.gap_ev == pytest.approx(0.72, abs=0.03) and silicon.direct_ev == pytest.approx(2.51, abs=0.03)
    assert (silicon.kind, silicon.method, aluminium.kind, aluminium.gap_ev) == ("indirect", "nscf", "metal", 0.0)
    assert not list(tmp_path.rglob("out"))  # the density is deleted once it has served
