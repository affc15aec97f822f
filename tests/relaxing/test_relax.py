import json
from datetime import UTC, datetime

import numpy as np
import pytest
from pw_fakes import FIXTURES, Murnaghan, cell_of, fake_table, replay, replay_fixture, rock_salt

from crystalloop.dft.energies.ground_states import ground_state
from crystalloop.dft.heal.failures import MACHINES_FAULT, PwFailure
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.pw.replay import Replay
from crystalloop.dft.recipe.pseudos import CorruptPseudo, PseudoTable
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.recipe.units import RYDBERG_EV
from crystalloop.dft.relax.calculation import MachineFault
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.relax.relax import relax, resume_point

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEST = preset("test")
VC_RELAX = TEST.model_copy(update={"always_vc_relax": True})
LITHIUM = ground_state("Li")


def go(structure, folder, run, settings=TEST, elements=("Li", "F"), **more):
    return relax(
        structure, settings, fake_table(folder / "upf", elements), folder / "run", run=run, now=lambda: NOON, **more
    )


class Script:
    """Answers each launch with the next fixture's output; keeps the inputs."""

    def __init__(self, *names):
        self.names, self.inputs, self.folders = list(names), [], []

    def __call__(self, input_text, folder, options):
        self.inputs.append(input_text)
        self.folders.append(folder.name)
        return replay_fixture(self.names.pop(0), folder)


def last_volume(name):
    stdout = (FIXTURES / name / "pw.out").read_text()
    return parse_pw_output(None, stdout, "", 0).last_structure.volume


def test_rock_salt_follows_the_pressure_to_its_volume(tmp_path):
    run = Murnaghan(v0_ang3=4.06**3 / 4)
    result = go(rock_salt(4.25), tmp_path, run)
    assert isinstance(result, Relaxed)
    assert result.a_ang == pytest.approx(4.06, abs=0.01)
    assert result.spacegroup == 225 and len(result.structure) == 2 and len(result.conventional) == 8
    assert abs(result.pressure_kbar) <= TEST.press_conv_thr_kbar
    assert result.cell_change_percent == pytest.approx(100 * (1 - result.a_ang / 4.25), rel=1e-3)
    assert result.energy_per_atom_ev == pytest.approx((-1000 + 0.001) * RYDBERG_EV / 2)
    assert 2 <= len(run.launches) <= 4 and result.steps == len(run.launches) - 1
    assert result.cpu_s == 2.0 * len(run.launches)
    assert [attempt.outcome for attempt in result.attempts] == ["converged"]
    assert set(result.pseudos) == {"Li", "F"} and result.pw_version == "6.7MaX"


def test_a_start_far_off_ends_as_an_outcome(tmp_path):
    far = go(rock_salt(7.5), tmp_path / "far", Murnaghan(16.7))
    assert isinstance(far, GaveUp) and far.failure is PwFailure.ATOMS_TOO_FAR
    near = go(rock_salt(1.2), tmp_path / "near", Murnaghan(16.7))
    assert isinstance(near, GaveUp) and near.failure is PwFailure.VOLUME_OUT_OF_RANGE
    exploding = go(rock_salt(4.2), tmp_path / "exploding", Murnaghan(400.0))
    assert isinstance(exploding, GaveUp) and exploding.failure is PwFailure.ATOMS_TOO_FAR
    assert exploding.attempts[-1].cpu_s > 0
    assert exploding.last_structure is not None


def test_coinciding_atoms_are_refused_before_any_launch(tmp_path):
    structure = rock_salt(4.2)
    structure.append("F", [0.01, 0, 0])
    reports = []
    result = go(structure, tmp_path, Script(), on_attempt=reports.append)
    assert isinstance(result, GaveUp) and result.failure is PwFailure.ATOMS_TOO_CLOSE
    assert "angstrom apart" in result.reason
    assert [report.folder for report in reports] == [""]


def test_an_scf_that_does_not_converge_is_mixed_more_gently(tmp_path):
    run, reports = Script("scf_not_converged", "false_bfgs", "false_bfgs", "success"), []
    result = go(rock_salt(), tmp_path, run, VC_RELAX, on_attempt=reports.append)
    assert [report.outcome for report in reports] == ["scf_not_converged", "false_bfgs", "false_bfgs", "converged"]
    assert "mixing_beta = 0.35" in run.inputs[1]
    assert "conv_thr = 2e-10" in run.inputs[2]
    assert "trust_radius_min = 1e-05" in run.inputs[3]
    assert reports[0].correction == "electron_maxstep 100 -> 200, mixing_beta 0.7 -> 0.35"
    assert run.folders == ["attempt-1", "attempt-2", "attempt-3", "attempt-4"]
    assert isinstance(result, Relaxed) and result.attempts == tuple(reports)


def test_after_a_failure_the_next_attempt_starts_from_the_last_complete_cell(tmp_path):
    run = Script("nstep", "success")
    go(LITHIUM, tmp_path, run, VC_RELAX)
    volumes = [abs(np.linalg.det(cell_of(text))) for text in run.inputs]
    assert volumes[0] == pytest.approx(LITHIUM.volume / 2, rel=1e-6)
    assert volumes[1] == pytest.approx(last_volume("nstep"), rel=1e-6)


def test_residual_pressure_after_vc_relax_is_relaxed_once_more(tmp_path):
    run, strict = Script("residual_stress", "residual_stress"), PwSettings(max_attempts=2, always_vc_relax=True)
    result = go(LITHIUM, tmp_path, run, strict)
    assert isinstance(result, GaveUp) and result.failure is PwFailure.RESIDUAL_STRESS
    assert len(result.attempts) == 2 and result.attempts[1].correction == ""
    assert "0.82 kbar" in result.reason


def test_a_time_limit_without_one_finished_scf_is_not_tried_again(tmp_path):
    def hang(input_text, folder, options):
        assert options.timeout_s > TEST.max_seconds
        return replay(folder, "     Program PWSCF v.6.7MaX starts\n", returncode=-9, timed_out=True)

    result = go(rock_salt(), tmp_path, hang)
    assert isinstance(result, GaveUp) and result.failure is PwFailure.TIMEOUT
    assert len(result.attempts) == 1


def test_cutoffs_below_the_table_give_up_with_the_reason(tmp_path):
    result = go(rock_salt(), tmp_path, Script(), settings=PwSettings(ecutwfc_ry=20))
    assert isinstance(result, GaveUp) and "below those of the pseudopotentials" in result.reason


def test_a_wrong_pseudopotential_is_the_machines_fault_not_the_crystals(tmp_path):
    table = fake_table(tmp_path)
    (tmp_path / "F.upf").write_text("cut")
    with pytest.raises(CorruptPseudo):
        relax(rock_salt(), TEST, table, tmp_path / "run", run=Script())


def test_an_interrupted_relaxation_goes_on_from_its_last_complete_cell(tmp_path):
    assert resume_point(tmp_path / "run") is None
    replay_fixture("out_of_time", tmp_path / "run" / "attempt-1")
    start = resume_point(tmp_path / "run")
    assert start.volume == pytest.approx(4.06**3 / 4, rel=1e-4)
    run = Murnaghan(16.7)
    result = go(rock_salt(4.3), tmp_path, run, start=start)
    assert run.launches[0].parent.name == "attempt-2"
    assert len(run.launches) == 1  # 4.06 is right at once
    assert result.cell_change_percent == pytest.approx(5.6, abs=0.1)  # against the crystal as generated


def test_every_failure_of_the_fixtures_ends_as_an_outcome(tmp_path):
    for name in sorted(path.parent.name for path in FIXTURES.glob("*/expected.json")):
        settings = VC_RELAX.model_copy(update={"max_attempts": 2})
        elements = ("Li", "F", "O", "Ni", "Al", "Fr")
        expected = PwFailure.__members__.get(json.loads((FIXTURES / name / "expected.json").read_text())["failure"])
        if expected in MACHINES_FAULT | {PwFailure.LAUNCH_FAILED, PwFailure.DISK_FULL}:
            with pytest.raises(MachineFault, match="then run again"):
                go(LITHIUM, tmp_path / name, Script(name, name), settings, elements)
            continue
        result = go(LITHIUM, tmp_path / name, Script(name, name), settings, elements)
        assert isinstance(result, GaveUp | Relaxed), name
        if isinstance(result, GaveUp):  # the last attempt says what is to be done, those before it what was changed
            assert f"given up after attempt {len(result.attempts)}" in result.reason, name
            assert result.reason.count(result.failure.cure) == 1, name
            assert result.attempts[-1].correction == "" and all(a.correction for a in result.attempts[:-1]), name


def test_no_crystal_is_given_up_for_a_pw_that_never_began(tmp_path):
    attempts = []
    settings = VC_RELAX.model_copy(update={"max_attempts": 2})
    with pytest.raises(MachineFault, match=r"it wrote: -+ MPI_ABORT was invoked .* correct the command 'pw.x'"):
        go(LITHIUM, tmp_path, Script(*["launch_aborted"] * 2), settings, on_attempt=attempts.append)
    assert [attempt.outcome for attempt in attempts] == ["launch_failed"]  # once more, since it may be a hiccup


@pytest.mark.parametrize(("name", "times"), [("no_slots", 1), ("launch_aborted", 2)])
def test_what_a_machine_could_not_launch_is_launched_on_the_next(tmp_path, name, times):
    class Writing(Script):
        def __call__(self, input_text, folder, options):
            ran = super().__call__(input_text, folder, options)
            (folder / "pw.in").write_text(input_text)
            (folder / "pw.err").write_text(ran.stderr)
            return ran

    settings = VC_RELAX.model_copy(update={"max_attempts": 2})
    with pytest.raises(MachineFault):
        go(rock_salt(), tmp_path, Replay(tmp_path / "run", Writing(*[name] * times)), settings)
    better = Writing("success")
    assert isinstance(go(rock_salt(), tmp_path, Replay(tmp_path / "run", better), settings), Relaxed)
    assert len(better.inputs) == 1


def test_no_attempt_follows_when_the_cpu_hours_of_a_crystal_are_spent(tmp_path):
    settings = VC_RELAX.model_copy(update={"max_cpu_hours": 3 / 3600})  # each launch of the script takes two seconds
    result = go(LITHIUM, tmp_path, Script(*["scf_not_converged"] * 5), settings)
    assert isinstance(result, GaveUp) and len(result.attempts) == 2
    assert "all of max_cpu_hours" in result.reason and result.attempts[0].correction != ""


def test_damped_dynamics_is_followed_by_bfgs_from_its_cell(tmp_path):
    run = Script("no_fresh_cell", "success")
    settings = VC_RELAX.model_copy(update={"damped": True, "press_conv_thr_kbar": 100})
    go(LITHIUM, tmp_path, run, settings)
    assert "'damp-pr'" in run.inputs[0] and "cell_dynamics = 'bfgs'" in run.inputs[1]


@pytest.mark.pw
def test_lithium_fluoride_relaxes_with_the_real_pw(tmp_path, pw_command, pseudo_folder):
    table = PseudoTable.load(pseudo_folder)
    result = relax(rock_salt(4.15), TEST, table, tmp_path, command=pw_command)
    assert isinstance(result, Relaxed), result
    assert result.a_ang == pytest.approx(4.06, rel=0.015)
    assert result.spacegroup == 225
    assert abs(result.pressure_kbar) <= TEST.press_conv_thr_kbar
    assert result.cpu_s > 1
    left = {path.name for path in (tmp_path / "attempt-1" / "volume-1").iterdir()}
    assert left == {"pw.in", "pw.out", "pw.err", "pw.xml"}
