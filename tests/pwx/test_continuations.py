"""Launches that stop for time and go on: nothing is computed twice, and nothing is lost to a crash in between."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from crystalloop.dft.energies.ground_states import ground_state
from crystalloop.dft.heal.failures import PwFailure, diagnose
from crystalloop.dft.pw.continuations import launch
from crystalloop.dft.pw.input import pw_input_text, with_time_limit
from crystalloop.dft.pw.launch import PwRun
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.pw.replay import Replay, was_cut_off
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.pw.stop_and_restart import has_scratch
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings, preset

STOP = "Maximum CPU time exceeded\n   JOB DONE."
INPUT = "&CONTROL\n  nstep = 5\n/"


class Stopping:
    """Stops for time as often as told, leaving scratch; then ends."""

    def __init__(self, stops):
        self.stops, self.inputs, self.resumed = stops, [], []

    def __call__(self, text, folder, options):
        self.inputs.append(text)
        self.resumed.append(options.resume and options.resume.name)
        folder.mkdir(parents=True)
        stdout = f"launch {len(self.inputs)} "
        if len(self.inputs) <= self.stops:
            (folder / "out").mkdir()
            stdout += STOP
        for name, content in {"pw.in": text, "pw.out": stdout, "pw.err": ""}.items():
            (folder / name).write_text(content)
        return PwRun(0, stdout, "", None, 2.0, 3.0, False, folder)


def test_a_launch_that_stops_for_time_goes_on_in_its_own_scratch(tmp_path):
    run = Stopping(2)
    ran = launch(run, INPUT, tmp_path / "attempt-1", "pw.x", PwSettings())
    assert ran.stdout == "launch 1 \nlaunch 2 \nlaunch 3 "
    assert (ran.cpu_s, ran.wall_s, ran.continued) == (6.0, 9.0, 2)
    assert ["restart_mode = 'restart'" in text for text in run.inputs] == [False, True, True]
    assert run.resumed == [None, "attempt-1", "continued-1"]
    assert not any(path.name == "out" for path in tmp_path.rglob("*"))


def test_continuations_are_capped_by_number_and_by_cpu_hours(tmp_path):
    few = Stopping(99)
    assert launch(few, INPUT, tmp_path / "few", "pw.x", PwSettings(max_attempts=3)).continued == 2
    assert len(few.inputs) == 3 and not has_scratch(tmp_path / "few" / "continued-2")
    short = Stopping(99)
    assert launch(short, INPUT, tmp_path / "short", "pw.x", PwSettings(max_cpu_hours=3 / 3600)).continued == 1


def test_a_stop_without_scratch_is_not_continued(tmp_path):
    def run(text, folder, options):
        return PwRun(2, STOP, "", None, 1.0, 1.0, False, folder)

    assert launch(run, INPUT, tmp_path / "a", "pw.x", PwSettings()).continued == 0


def test_a_worker_that_dies_in_a_continuation_repeats_none_of_what_was_complete(tmp_path):
    class Killed(Exception):
        pass

    first = Stopping(2)

    def dies_third(text, folder, options):
        if len(first.inputs) == 2:
            folder.mkdir(parents=True)
            (folder / "pw.in").write_text(text)
            raise Killed
        return first(text, folder, options)

    with pytest.raises(Killed):
        launch(Replay(tmp_path, dies_third), INPUT, tmp_path / "attempt-1", "pw.x", PwSettings())
    assert not was_cut_off(tmp_path)  # it had no SCF of its own yet: the scratch before it is the better start
    second = Stopping(0)
    ran = launch(Replay(tmp_path, second), INPUT, tmp_path / "attempt-2", "pw.x", PwSettings())
    assert ran.stdout == "launch 1 \nlaunch 2 \nlaunch 1 " and ran.continued == 2
    assert second.resumed == ["continued-1"]


def test_a_continuation_cut_off_after_a_step_goes_on_from_its_last_cell(tmp_path):
    folder = tmp_path / "attempt-1" / "continued-1"
    folder.mkdir(parents=True)
    for at in (folder.parent, folder):
        (at / "pw.in").write_text("")
    (folder.parent / "launch.json").write_text("{}")
    (folder / "pw.out").write_text("\n!    total energy              =     -1.0 Ry\n")
    assert was_cut_off(tmp_path)


def test_stops_for_the_sake_of_a_worker_do_not_count(tmp_path):
    class Brief(Stopping):
        """Is given less time than the document says."""

        def __call__(self, text, folder, options):
            return super().__call__(with_time_limit(text, 30), folder, options)

    text = INPUT.replace("nstep = 5", "max_seconds = 600")
    settings = PwSettings(max_attempts=2, max_seconds=600)
    assert launch(Brief(7), text, tmp_path / "brief", "pw.x", settings).continued == 7
    assert launch(Stopping(7), text, tmp_path / "full", "pw.x", settings).continued == 1


def test_a_stop_in_the_fresh_cell_is_not_continued(tmp_path):
    class Late(Stopping):
        def __call__(self, *arguments):
            ran = super().__call__(*arguments)
            return replace(ran, stdout=f"Final scf calculation at the relaxed structure.\n{ran.stdout}")

    assert launch(Late(1), INPUT, tmp_path / "a", "pw.x", PwSettings()).continued == 0
    assert not has_scratch(tmp_path / "a")


def test_a_calculation_of_many_workers_is_one_calculation(tmp_path):
    """Each worker gets one launch done and then has to end; each may give pw.x another time limit."""

    class Over(Exception):
        pass

    resumed = []
    for number in range(1, 14):
        run, once = Stopping(99 if number < 13 else 0), iter([True])

        def limited(text, folder, options, run=run, once=once, number=number):
            if not next(once, False):
                raise Over
            return run(with_time_limit(text, 100 + number), folder, options)

        text = INPUT.replace("nstep = 5", "max_seconds = 600")
        arguments = (Replay(tmp_path, limited), text, tmp_path / f"attempt-{number}", "pw.x", PwSettings())
        if number < 13:
            with pytest.raises(Over):
                launch(*arguments)
            assert not was_cut_off(tmp_path)
        else:
            assert launch(*arguments).continued == 12
        resumed += run.resumed
    assert resumed == [None, "attempt-1", *(f"continued-{k}" for k in range(1, 12))]


def test_what_a_later_worker_continued_and_lost_goes_on_from_its_last_cell(tmp_path):
    for at in ("attempt-1", "attempt-2/continued-1"):
        (tmp_path / at).mkdir(parents=True)
        (tmp_path / at / "pw.in").write_text("")
    (tmp_path / "attempt-1" / "launch.json").write_text("{}")
    assert not was_cut_off(tmp_path)
    (tmp_path / "attempt-2/continued-1/pw.out").write_text("\n!    total energy              =     -1.0 Ry\n")
    assert was_cut_off(tmp_path)


@pytest.mark.pw
@pytest.mark.alone
def test_a_vc_relax_that_was_stopped_repeats_no_step(tmp_path, pw_command, pseudo_folder):
    cell = primitive_cell(ground_state("Li"))
    cell.scale_lattice(1.05 * cell.volume)
    settings = preset("test").model_copy(update={"kspacing_inv_ang": 0.55})
    text = pw_input_text(cell, settings, PseudoTable.load(pseudo_folder), "vc-relax")
    stopped_after = []

    def run(given, folder, options):
        def ask_to_stop(progress):
            if progress.n_scf and not stopped_after:
                stopped_after.append(progress.n_scf)
                (folder / "out" / "pw.EXIT").touch()

        return run_pw(given, folder, replace(options, on_progress=ask_to_stop))

    ran = launch(run, text, tmp_path, pw_command, settings)
    output = parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode)
    moves = [int(number) for number in re.findall(r"number of scf cycles    = +(\d+)", ran.stdout)]
    claimed = re.search(r"bfgs converged in +(\d+) scf cycles", ran.stdout)
    assert ran.continued == 1 and stopped_after and not has_scratch(tmp_path / "continued-1")
    assert moves == list(range(1, len(moves) + 1))  # BFGS went on counting: none of its steps was made twice
    assert output.n_scf == int(claimed[1]) + 1 and output.final_scf  # and one SCF in the fresh cell
    assert diagnose(output, settings) in (None, PwFailure.RESIDUAL_STRESS)
    assert output.last.structure.volume == pytest.approx(20.2, abs=1.0)
