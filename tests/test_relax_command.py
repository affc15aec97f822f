import json
import re

import pytest
from pw_fakes import fake_table
from pymatgen.core.structure import Structure
from test_equation_of_state import Birch
from typer.testing import CliRunner

from dft.failures import PwFailure
from dft.relax import GaveUp, Relaxed
from orchestrator.cli import Exit, app
from orchestrator.relax_command import (
    RelaxInputError,
    RelaxRequest,
    as_json,
    read_crystal,
    relax_file,
    require_target,
    write_cif,
)

CIF = """data_salt
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{rows}
"""
LIF = "Li1 Li 0 0 0 1\nF1 F 0.5 0.5 0.5 1"
V0 = 4.06**3 / 4


def cif_file(folder, rows=LIF, a=4.2):
    path = folder / "salt.cif"
    path.write_text(CIF.format(a=a, rows=rows))
    return path


class Watched(Birch):
    """As run_pw does: asks on_progress while it runs."""

    def __call__(self, input_text, folder, command="pw.x", timeout_s=None, on_progress=None, **_more):
        assert on_progress is not None
        folder.mkdir(parents=True)
        for name, text in (("pw.in", input_text), ("pw.err", "")):
            (folder / name).write_text(text)
        return super().__call__(input_text, folder, command, timeout_s)


def request_for(root, a=4.2, **changes):
    fake_table(root / "upf")
    given = {
        "file": cif_file(root, a=a),
        "preset": "test",
        "method": "auto",
        "pseudos": root / "upf",
        "folder": root / "run",
        "command": "true",  # a program that is there; the launches are fakes
    }
    return RelaxRequest(**(given | changes))


def test_a_cif_file_is_relaxed_with_a_line_per_step(tmp_path):
    steps, said = [], []
    request = request_for(tmp_path, method="eos")
    generated, found = relax_file(request, steps.append, said.append, run=Watched(V0))
    assert isinstance(found, Relaxed) and found.a_ang == pytest.approx(4.06, abs=0.01)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert steps[0].volume_per_atom_ang3 == pytest.approx(4.2**3 / 8, rel=1e-4) and steps[0].pressure_kbar < 0
    assert said[0].startswith("attempt 1: converged")
    cif = tmp_path / "made" / "out.cif"
    require_target(cif)
    assert not cif.exists()
    write_cif(found, cif)
    assert Structure.from_file(cif).lattice.a == pytest.approx(found.a_ang, abs=1e-4)
    written = json.loads(json.dumps(as_json(request, generated, found, cif), allow_nan=False))
    assert written["converged"] and written["equation_of_state"]["bulk_modulus_gpa"] == pytest.approx(67.0, rel=0.03)
    assert written["spacegroup_before"] == written["spacegroup"] == 225


def test_the_same_command_goes_on_without_repeating_launches(tmp_path):
    class CutOff(Watched):
        def __call__(self, *args, **kwargs):
            if len(self.launches) == 2:
                raise KeyboardInterrupt
            return super().__call__(*args, **kwargs)

    first = CutOff(V0)
    with pytest.raises(KeyboardInterrupt):
        relax_file(request_for(tmp_path), lambda _: None, lambda _: None, run=first)
    second, alone = Watched(V0), Watched(V0)
    _, found = relax_file(request_for(tmp_path), lambda _: None, lambda _: None, run=second)
    _, fresh = relax_file(request_for(tmp_path, folder=tmp_path / "other"), lambda _: None, lambda _: None, run=alone)
    assert len(second.launches) == len(alone.launches) - 2
    assert found.a_ang == fresh.a_ang


def test_giving_up_is_told_with_its_reason(tmp_path):
    request = request_for(tmp_path, a=9.0)
    generated, found = relax_file(request, lambda _: None, lambda _: None, run=Watched(V0))
    assert isinstance(found, GaveUp) and found.failure is PwFailure.ATOMS_TOO_FAR
    written = as_json(request, generated, found, None)
    assert not written["converged"] and written["failure"] == "atoms_too_far" and "covalent radii" in written["reason"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("Li1 Li 0 0 0 0.5\nNa1 Na 0 0 0 0.5\nF1 F 0.5 0.5 0.5 1", "shared or partly empty, the first holds"),
        ("Li1 Li 0 0 0 0.8\nF1 F 0.5 0.5 0.5 1", "shared or partly empty"),
        ("Xx1 Xx 0 0 0 1\nF1 F 0.5 0.5 0.5 1", "Xx"),
        ("Li1 Li 0 0 zero 1", "cannot be read as CIF"),
    ],
)
def test_a_crystal_that_cannot_be_computed_is_refused_by_name(tmp_path, rows, sentence):
    with pytest.raises(RelaxInputError, match=sentence):
        read_crystal(cif_file(tmp_path, rows))


def test_files_that_hold_no_crystal_are_refused(tmp_path):
    with pytest.raises(RelaxInputError, match="does not exist"):
        read_crystal(tmp_path / "none.cif")
    with pytest.raises(RelaxInputError, match="is a folder"):
        read_crystal(tmp_path)
    (tmp_path / "text.cif").write_text("dear reader")
    (tmp_path / "bytes.cif").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "two.cif").write_text(
        CIF.format(a=4.2, rows=LIF) + CIF.format(a=4.3, rows=LIF).replace("data_salt", "data_other")
    )
    for name, sentence in (("text", "cannot be read as CIF"), ("bytes", "no text file"), ("two", "holds 2 crystals")):
        with pytest.raises(RelaxInputError, match=sentence):
            read_crystal(tmp_path / f"{name}.cif")


def command(folder, *words):
    target = [] if "--out" in words else ["--out", str(folder / "out.cif")]
    return CliRunner().invoke(app, ["relax", *map(str, words), *target])


def test_the_command_says_what_is_missing(tmp_path):
    fake_table(tmp_path / "upf")
    file = cif_file(tmp_path)
    absent = command(tmp_path, tmp_path / "none.cif")
    assert absent.exit_code == Exit.USAGE and "does not exist" in absent.stderr
    no_pseudos = command(tmp_path, file, "--pseudos", tmp_path / "nowhere")
    assert no_pseudos.exit_code == Exit.ENVIRONMENT and "nowhere" in no_pseudos.stderr
    no_pw = command(tmp_path, file, "--pseudos", tmp_path / "upf", "--pw-command", "no-such-pw.x")
    assert no_pw.exit_code == Exit.ENVIRONMENT and "no-such-pw.x" in no_pw.stderr
    actinide = cif_file(tmp_path, "U1 U 0 0 0 1\nF1 F 0.5 0.5 0.5 1")
    refused = command(tmp_path, actinide, "--pseudos", tmp_path / "upf")
    assert refused.exit_code == Exit.ENVIRONMENT and "actinide" in refused.stderr
    assert not (tmp_path / "out.cif").exists()


def test_a_place_where_the_crystal_cannot_be_written_is_refused_before_anything_is_computed(tmp_path):
    fake_table(tmp_path / "upf")
    file = cif_file(tmp_path)
    (tmp_path / "folder.cif").mkdir()
    for target in (tmp_path / "folder.cif", file / "out.cif", "/proc/nowhere/out.cif"):
        found = command(tmp_path, file, "--pseudos", tmp_path / "upf", "--out", target)
        assert found.exit_code == Exit.USAGE and "cannot be written" in found.stderr and "--out" in found.stderr
    assert not (tmp_path / "salt-relax").exists()
    kept = tmp_path / "kept.cif"
    kept.write_text("of an earlier run")
    require_target(kept)
    assert kept.read_text() == "of an earlier run"


def test_a_command_for_pw_that_is_none_is_an_error_of_the_machine(tmp_path):
    fake_table(tmp_path / "upf")
    for words in ("", "pw.x 'x"):
        found = command(tmp_path, cif_file(tmp_path), "--pseudos", tmp_path / "upf", "--pw-command", words)
        assert found.exit_code == Exit.ENVIRONMENT and re.search("--pw-command|quotation", found.stderr)


@pytest.mark.parametrize("words", [(), ("--start-volume", "radii")])
def test_a_refusal_is_one_sentence_with_the_next_move(tmp_path, words):
    fake_table(tmp_path / "upf")
    near = cif_file(tmp_path, "Li1 Li 0 0 0 1\nLi2 Li 0 0 0.0001 1")
    near.write_text(near.read_text().replace("F m -3 m", "P 1").replace("number 225", "number 1"))
    found = command(tmp_path, near, "--pseudos", tmp_path / "upf", "--pw-command", "true", *words)
    assert found.exit_code == Exit.FAILED
    reason = found.stderr.partition("no result: ")[2]
    assert "Li and Li, are 0.000 angstrom apart" in reason and "reject the structure" in reason
    assert "given up" not in found.stderr


@pytest.mark.pw
def test_the_command_relaxes_lithium_fluoride_with_the_real_pw(tmp_path, pw_command, pseudo_folder):
    done = command(tmp_path, cif_file(tmp_path, a=4.08), "--preset", "test", "--pseudos", pseudo_folder,
                   "--pw-command", pw_command, "--json")  # fmt: skip
    assert done.exit_code == Exit.OK, done.stderr
    found = json.loads(done.stdout)
    assert found["a_ang"] == pytest.approx(4.06, rel=0.015) and "kbar" in done.stderr
    assert (tmp_path / "out.cif").exists()
