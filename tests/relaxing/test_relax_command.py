import json
import re

import pytest
from pw_fakes import fake_table
from pymatgen.core.structure import Structure
from salt_cif import LIF, cif_file
from test_equation_of_state import Birch
from typer.testing import CliRunner

from crystalloop.dft.alone.command import Listener, RelaxRequest, moments_of, relax_crystal
from crystalloop.dft.alone.folder import RelaxInputError
from crystalloop.dft.alone.result import Found, as_json, require_target, write_crystal
from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.models.formats.one_crystal import read_crystal
from crystalloop.orchestrator.cli.app import Exit, app

V0 = 4.06**3 / 4
SILENT = Listener(lambda _: None, lambda _: None)


def relax_file(request, listener=SILENT, run=None):
    structure = read_crystal(request.file).structure
    return structure, relax_crystal(structure, request, listener, run=run)


class Watched(Birch):
    """As run_pw does: asks on_progress while it runs."""

    def __call__(self, input_text, folder, options):
        assert options.on_progress is not None
        folder.mkdir(parents=True)
        for name, text in (("pw.in", input_text), ("pw.err", "")):
            (folder / name).write_text(text)
        return super().__call__(input_text, folder, options)


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
    steps, said, plans = [], [], []
    request = request_for(tmp_path, method="eos")
    generated, found = relax_file(request, Listener(steps.append, said.append, plans.append), run=Watched(V0))
    assert isinstance(found, Relaxed) and found.a_ang == pytest.approx(4.06, abs=0.01)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert steps[0].volume_per_atom_ang3 == pytest.approx(4.2**3 / 8, rel=1e-4) and steps[0].pressure_kbar < 0
    assert said[0].startswith("attempt 1: converged")
    cif = tmp_path / "made" / "out.cif"
    require_target(cif)
    assert not cif.exists()
    written = write_crystal(found, cif)
    assert written == (cif,)
    assert Structure.from_file(cif).lattice.a == pytest.approx(found.a_ang, abs=1e-4)
    written = json.loads(json.dumps(as_json(Found(request, generated, found, written)), allow_nan=False))
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
        relax_file(request_for(tmp_path), SILENT, run=first)
    second, alone = Watched(V0), Watched(V0)
    _, found = relax_file(request_for(tmp_path), SILENT, run=second)
    _, fresh = relax_file(request_for(tmp_path, folder=tmp_path / "other"), SILENT, run=alone)
    assert len(second.launches) == len(alone.launches) - 2
    assert found.a_ang == fresh.a_ang


def test_the_plan_is_told_before_the_first_launch(tmp_path):
    said, plans = [], []
    request = request_for(tmp_path, method="eos")
    relax_file(
        request, Listener(said.append, said.append, lambda plan: plans.append((len(said), plan))), run=Watched(V0)
    )
    ((before, plan),) = plans
    assert before == 0 and (plan.atoms_given, plan.atoms, plan.spacegroup, plan.method) == (8, 2, 225, "eos")
    told = " ".join(plan.lines())
    for words in (
        "Fm-3m (225)",
        "2 in the primitive cell",
        "k mesh",
        "40 and 320 Ry",
        "CPU",
        "MB",
        str(tmp_path / "run"),
    ):
        assert words in told


def test_two_commands_do_not_work_in_one_folder(tmp_path):
    request = request_for(tmp_path)

    class Meanwhile(Watched):
        def __call__(self, *args, **kwargs):
            if not self.launches:
                with pytest.raises(RelaxInputError, match=r"in use by another .* choose another --folder"):
                    relax_file(request, SILENT, run=Watched(V0))
            return super().__call__(*args, **kwargs)

    _, found = relax_file(request, SILENT, run=Meanwhile(V0))
    assert isinstance(found, Relaxed)


def test_a_folder_of_another_crystal_is_not_gone_on_from(tmp_path):
    relax_file(request_for(tmp_path), SILENT, run=Watched(V0))
    with pytest.raises(RelaxInputError, match=r"another crystal .*Li4 F4.* choose another --folder"):
        relax_file(request_for(tmp_path, a=4.3), SILENT, run=Watched(V0))
    again = Watched(V0)
    _, found = relax_file(request_for(tmp_path), SILENT, run=again)
    assert isinstance(found, Relaxed) and again.launches == []
    (tmp_path / "run" / "relax.json").unlink()  # as an earlier release left it
    other = cif_file(tmp_path, LIF.replace("Li", "Na"), a=4.7)
    fake_table(tmp_path / "upf2", ("Na", "F"))
    with pytest.raises(RelaxInputError, match=r"launches of another crystal \(LiF\)"):
        relax_file(
            RelaxRequest(other, "test", "auto", tmp_path / "upf2", tmp_path / "run", "true"), SILENT, run=Watched(V0)
        )


def test_starting_moments_are_read_from_words():
    assert moments_of(["Fe=4, O=0", "Fe=-1.5"]) == ({"Fe": 4.0, "O": 0.0}, {"Fe": -1.5})
    for wrong in ("Fe", "Fe=", "Fe=1.2.3", "Fe=400", "", "'/&SYSTEM=1"):
        with pytest.raises(RelaxInputError, match="--moments"):
            moments_of([wrong])


def test_moments_of_elements_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(RelaxInputError, match=r"Fe, which LiF .* does not hold"):
        relax_file(request_for(tmp_path, moments=({"Fe": 4.0},)), SILENT, run=Watched(V0))


def test_giving_up_is_told_with_its_reason(tmp_path):
    request = request_for(tmp_path, a=9.0)
    generated, found = relax_file(request, SILENT, run=Watched(V0))
    assert isinstance(found, GaveUp) and found.failure is PwFailure.ATOMS_TOO_FAR
    written = as_json(Found(request, generated, found))
    assert not written["converged"] and written["failure"] == "atoms_too_far" and "covalent radii" in written["reason"]


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
    assert refused.exit_code == Exit.USAGE and "U is an actinide" in refused.stderr
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
    near = cif_file(tmp_path, "Li1 Li 0 0 0 1\nLi2 Li 0 0 0.2 1")
    found = command(tmp_path, near, "--pseudos", tmp_path / "upf", "--pw-command", "true", *words)
    assert found.exit_code == Exit.USAGE and found.stderr.count("angstrom apart") == 1
    reason = found.stderr.partition("refused: ")[2]
    assert "Li and Li, are 0.840 angstrom apart" in reason and "reject the structure" in reason
    assert "given up" not in found.stderr


@pytest.mark.pw
def test_the_command_relaxes_lithium_fluoride_with_the_real_pw(tmp_path, pw_command, pseudo_folder):
    done = command(tmp_path, cif_file(tmp_path, a=4.08), "--preset", "test", "--pseudos", pseudo_folder,
                   "--pw-command", pw_command, "--json")  # fmt: skip
    assert done.exit_code == Exit.OK, done.stderr
    found = json.loads(done.stdout)
    assert found["a_ang"] == pytest.approx(4.06, rel=0.015) and "kbar" in done.stderr
    assert (tmp_path / "out.cif").exists()
