import json

import pytest
from pw_fakes import FIXTURES

from crystalloop.dft.heal.corrections import _CORRECTIONS, correct, describe_change
from crystalloop.dft.heal.failures import MACHINES_FAULT, Move, PwFailure, diagnose
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.recipe.settings import PwSettings, preset

FOLDERS = sorted(path.name for path in FIXTURES.iterdir() if (path / "expected.json").exists())
EXPECTED = {name: json.loads((FIXTURES / name / "expected.json").read_text()) for name in FOLDERS}

# Rows without an output folder: refused before a launch, for which tests/test_preflight.py has the structures, ...
BEFORE_LAUNCH = {
    PwFailure.ATOMS_TOO_CLOSE,
    PwFailure.ATOMS_TOO_FAR,
    PwFailure.VOLUME_OUT_OF_RANGE,
    PwFailure.FRACTIONAL_OCCUPANCY,
    PwFailure.MEMORY_NEEDED,
    PwFailure.ACTINIDE,
    PwFailure.REJECTED_EARLY,
    PwFailure.NO_ANSWER,
}
# ... or known from pw.x's documentation alone.
NOT_PROVOKED = {failure for failure in PwFailure if failure.documented_only} | {PwFailure.UNKNOWN_ERROR}
AT_LEAST_RECOGNISED, AT_LEAST_CURED = 25, 15


def output_of(name, **changes):
    folder = FIXTURES / name
    xml = folder / "pw.xml"
    given = {
        "xml_text": xml.read_text() if xml.exists() else None,
        "stdout_text": (folder / "pw.out").read_text(),
        "stderr_text": (folder / "pw.err").read_text(),
        "returncode": EXPECTED[name]["returncode"],
        "timed_out": EXPECTED[name].get("timed_out", False),
    }
    return parse_pw_output(**(given | changes))


@pytest.mark.parametrize("name", FOLDERS)
def test_every_real_output_is_diagnosed(name):
    expected = EXPECTED[name]
    failure = diagnose(output_of(name), PwSettings(**expected["settings"]))
    assert (failure.name if failure else None) == expected["failure"]


def provoked():
    return {PwFailure[expected["failure"]] for expected in EXPECTED.values() if expected["failure"]}


def test_every_row_has_a_folder_or_a_reason_for_none():
    assert provoked() | BEFORE_LAUNCH | NOT_PROVOKED == set(PwFailure)
    assert not provoked() & (BEFORE_LAUNCH | NOT_PROVOKED)


def test_failures_recognised_from_real_outputs_and_those_with_a_cure_do_not_become_fewer():
    diagnosed = {diagnose(output_of(name), PwSettings(**EXPECTED[name]["settings"])) for name in FOLDERS} - {None}
    followed = {failure for failure in diagnosed if correct(failure, PwSettings(), 1) is not None}
    assert len(diagnosed) >= AT_LEAST_RECOGNISED
    assert len(followed) >= AT_LEAST_CURED


def test_no_planted_false_success_is_accepted():
    """Outputs that end with JOB DONE and exit code 0, and that are no relaxation."""
    for name in FOLDERS:
        output, expected = output_of(name), EXPECTED[name]
        if output.job_done and output.returncode == 0 and expected["failure"]:
            assert diagnose(output, PwSettings(**expected["settings"])) is not None, name
    whole = output_of("success")
    for lie in (
        {"xml_text": None, "stdout_text": whole.stdout.replace("Final scf calculation", "")},
        {"stdout_text": whole.stdout + "     convergence NOT achieved after 100 iterations: stopping\n"},
        {"stdout_text": whole.stdout + "     Self-consistent Calculation\n     iteration #  1\n"},
        {"stdout_text": whole.stdout.replace("JOB DONE", "")},
        {"xml_text": None, "stdout_text": whole.stdout.replace("total   stress", "stress")},
        {"xml_text": None, "stdout_text": whole.stdout.replace("Forces acting on atoms", "")},
        {"returncode": 2},
    ):
        assert diagnose(output_of("success", **lie), preset("test")) is not None, lie.keys()


def test_numbers_are_unique_and_every_correctable_row_has_its_correction():
    assert len({failure.number for failure in PwFailure}) == len(PwFailure)
    assert {failure for failure in PwFailure if failure.action is Move.CORRECT} == set(_CORRECTIONS)


def test_no_fixture_holds_a_path_of_a_machine():
    for path in FIXTURES.rglob("*/pw.*"):
        text = path.read_text()
        assert "/home/" not in text and "/root/" not in text and "/tmp/" not in text, path
        assert path.stat().st_size < 60_000


def test_false_success_of_bfgs_is_no_success_though_everything_says_so():
    output = output_of("false_bfgs")
    assert output.returncode == 0 and output.job_done and output.relax_converged and output.scf_converged
    assert diagnose(output, preset("test")) is PwFailure.FALSE_BFGS
    assert diagnose(output) is PwFailure.FALSE_BFGS


def test_a_bfgs_that_says_it_failed_is_no_scf_that_did_not_converge():
    """7.2 ends the same reset with exit code 3 and `bfgs failed after ..., convergence not achieved`."""
    output = output_of("false_bfgs_72")
    assert output.returncode == 3 and output.job_done and output.scf_converged and not output.relax_converged
    assert diagnose(output, preset("test")) is PwFailure.BFGS_FAILED
    first, second = (correct(failure, preset("test"), 1) for failure in (PwFailure.BFGS_FAILED, PwFailure.FALSE_BFGS))
    assert first == second


def test_a_stop_for_time_and_one_on_request_are_told_apart_though_both_exit_with_255():
    assert (EXPECTED["out_of_time_72"]["returncode"], EXPECTED["stopped_by_user_72"]["returncode"]) == (255, 255)
    assert diagnose(output_of("out_of_time_72")) is PwFailure.OUT_OF_TIME
    assert diagnose(output_of("stopped_by_user_72")) is PwFailure.STOPPED_BY_USER


def test_a_stumble_of_bfgs_is_forgiven_when_the_fresh_cell_is_right():
    loose = PwSettings(press_conv_thr_kbar=20.0)
    assert diagnose(output_of("false_bfgs"), loose) is None


def test_a_successful_vc_relax_is_held_to_the_pressure_of_its_fresh_cell():
    assert diagnose(output_of("success"), preset("test")) is None
    strict = PwSettings(press_conv_thr_kbar=0.1)  # it is -0.14 kbar
    assert diagnose(output_of("success"), strict) is PwFailure.RESIDUAL_STRESS
    without_final = output_of("success")
    stdout = without_final.stdout.split("     Final scf calculation")[0] + "   JOB DONE."
    assert diagnose(output_of("success", stdout_text=stdout, xml_text=None), preset("test")) is PwFailure.NO_FRESH_CELL


def test_a_crystal_squeezed_along_one_axis_is_under_stress_without_pressure():
    stdout = (FIXTURES / "success_molecule" / "pw.out").read_text()
    output = output_of("success_molecule", stdout_text=stdout, xml_text=None)
    pressure, largest = output.last.pressure_kbar, output.last.largest_stress_kbar
    assert largest > abs(pressure) + 10
    between = PwSettings(press_conv_thr_kbar=abs(pressure) + 5, forc_conv_thr_ry_bohr=1.0)
    assert diagnose(output, between) is PwFailure.RESIDUAL_STRESS


def test_forces_above_the_threshold_are_no_success():
    settings = PwSettings(press_conv_thr_kbar=1000.0)
    assert diagnose(output_of("success_molecule"), settings) is PwFailure.RESIDUAL_FORCE


def test_a_kill_for_time_is_told_from_other_kills():
    assert diagnose(output_of("killed", timed_out=True)) is PwFailure.TIMEOUT
    assert diagnose(output_of("killed", returncode=137)) is PwFailure.KILLED


@pytest.mark.parametrize(
    ("routine", "message", "failure"),
    [
        ("cdiaghg", "problems computing cholesky", PwFailure.OVERLAP_NOT_POSITIVE),
        ("c_bands", "too many bands are not converged", PwFailure.DIAGONALIZATION),
        ("electrons", "charge is wrong", PwFailure.CHARGE_WRONG),
        ("cegterg", "S matrix not positive definite", PwFailure.OVERLAP_NOT_POSITIVE),
        ("bfgs", "dE0s is positive which should never happen", PwFailure.BFGS_FAILED),
        ("checkallsym", "some of the original symmetry operations not satisfied", PwFailure.SYMMETRY_LOST),
        ("something", "never seen", PwFailure.UNKNOWN_ERROR),
    ],
)
def test_errors_of_routines_that_were_not_provoked(routine, message, failure):
    text = f" %%%\n     Error in routine {routine} (1):\n     {message}\n %%%\n"
    assert diagnose(parse_pw_output(None, text, "", 1)) is failure


def test_a_library_that_finds_no_memory_is_out_of_memory():
    text = "pw.x: error while loading shared libraries: libblas.so.3: failed to map segment from shared object\n"
    assert diagnose(parse_pw_output(None, "", text, 127)) is PwFailure.OUT_OF_MEMORY


def test_a_step_that_slurm_refuses_is_no_fault_of_the_crystal():
    said = "srun: error: Unable to create step for job 22: Job/step already completing or completed"  # Slurm 22.05
    assert diagnose(parse_pw_output(None, "", said, 1)) is PwFailure.NO_SLOTS
    assert PwFailure.NO_SLOTS in MACHINES_FAULT


def test_wave_functions_that_cannot_be_read_are_no_full_disk():
    box = ' %%%%%%\n     Error in routine davcio (10):\n     error reading file "./out/pw.wfc1"\n %%%%%%\n'  # pw.x 6.7
    output = parse_pw_output(None, f"     Program PWSCF v.6.7MaX starts on\n{box}", "", 1)
    assert diagnose(output) is PwFailure.RESTART_UNREADABLE


def test_corrections_go_on_until_nothing_is_left_to_try():
    settings, seen = PwSettings(max_attempts=20), []
    while (following := correct(PwFailure.SCF_NOT_CONVERGED, settings, len(seen) + 1)) is not None:
        seen.append(describe_change(settings, following))
        settings = following
    assert seen[0] == "electron_maxstep 100 -> 200, mixing_beta 0.7 -> 0.35"
    assert any("local-TF" in change for change in seen)
    assert settings.physics() == PwSettings().physics()


def test_bfgs_gets_a_tighter_scf_then_smaller_steps_then_is_left():
    settings, changed = PwSettings(max_attempts=20), []
    while (following := correct(PwFailure.FALSE_BFGS, settings, 1)) is not None:
        changed.append(describe_change(settings, following))
        settings = following
    assert "conv_thr_ry_per_atom 1e-08 -> 1e-10" in changed[0]
    assert "trust_radius_min_bohr" in changed[1]
    assert "damped False -> True" in changed[-1]


def test_no_attempt_follows_the_last_one_or_a_hopeless_failure():
    assert correct(PwFailure.NSTEP, PwSettings(max_attempts=3), 3) is None
    assert correct(PwFailure.ATOMS_OVERLAP, PwSettings(), 1) is None
    assert correct(PwFailure.NSTEP, PwSettings(), 1) == PwSettings()
