"""What every Launcher promises, as tests: a class to inherit, with a scripted pw.x to launch."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest

from crystalloop.dft.pw import run as running
from crystalloop.dft.pw.launch import LaunchOptions
from crystalloop.dft.pw.stop_and_restart import StopKindly, drop_scratch, exit_files, has_scratch, stopped_cleanly
from crystalloop.dft.recipe.pseudos import PwEnvironmentError

# Does what its input says: answers, crashes, or runs until it is asked to stop or killed. Like pw.x it leaves wave
# functions in `out` and tells how often it went on from some.
PW = """
import os, pathlib, sys, time
assert sys.argv[1:] == ["-inp", "pw.in"]
asked = pathlib.Path("pw.in").read_text()
save = pathlib.Path("out/pw.save"); save.mkdir(parents=True, exist_ok=True)
before = save / "wfc1.dat"
print("Program PWSCF v.7.2 starts;", "from", before.read_text() if before.exists() else "nothing", flush=True)
before.write_text("waves")
if "crash" in asked:
    print("Segmentation fault", file=sys.stderr, flush=True)
    os.abort()
if "deaf" in asked:
    pathlib.Path("pid").write_text(str(os.getpid()))
    time.sleep(60)
if "slow" in asked:
    while not any(pathlib.Path(place).exists() for place in ("pw.EXIT", "out/pw.EXIT")):
        time.sleep(0.02)
    print("     Program stopped by user request")
    sys.exit(255)
(save / "data-file-schema.xml").write_text(f"<xml>{asked}</xml>")
print("answer to", asked)
print("   JOB DONE.")
"""


class LauncherPromises:
    """Inherit, and give `launcher`: the layer under test round `run_pw`; `place` is the folder of the whole calculation."""

    @pytest.fixture
    def place(self, tmp_path):
        return tmp_path / "calculation"

    @pytest.fixture
    def launcher(self, place, tmp_path):
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _looks_often(self, monkeypatch):
        monkeypatch.setattr(running, "_POLL_S", 0.05)

    @pytest.fixture
    def options(self, tmp_path):
        script = tmp_path / "a pw.py"
        script.write_text(PW)
        return LaunchOptions(f"{sys.executable} -S '{script}'", timeout_s=20.0, grace_s=10.0)

    def test_the_same_input_gives_the_same_answer(self, launcher, place, options):
        runs = [launcher("&CONTROL", place / f"attempt-{number}", options) for number in (1, 2)]
        first, second = ((run.returncode, run.stdout, run.stderr, run.xml) for run in runs)
        assert first == second == (0, runs[0].stdout, "", "<xml>&CONTROL</xml>")
        assert "answer to &CONTROL" in runs[0].stdout and "JOB DONE" in runs[0].stdout

    def test_input_and_output_are_in_the_folder_that_it_names_and_the_price_is_told(self, launcher, place, options):
        run = launcher("&CONTROL", place / "attempt-1", options)
        assert run.folder.is_relative_to(place)
        texts = {name: (run.folder / name).read_text() for name in ("pw.in", "pw.out", "pw.xml")}
        assert texts == {"pw.in": "&CONTROL", "pw.out": run.stdout, "pw.xml": run.xml}
        assert run.cpu_s > 0 and run.wall_s > 0 and not run.timed_out

    def test_a_crash_is_an_answer_in_its_own_words_and_leaves_no_scratch(self, launcher, place, options):
        run = launcher("crash", place / "attempt-1", options)
        assert (run.returncode, run.xml) == (-6, None)
        assert "Program PWSCF" in run.stdout and "Segmentation fault" in run.stderr
        assert not has_scratch(run.folder)

    def test_a_machine_that_cannot_launch_says_so_as_an_exception(self, launcher, place, options):
        with pytest.raises(PwEnvironmentError, match="no-such-pw"):
            launcher("&CONTROL", place / "attempt-1", replace(options, command="no-such-pw.x"))

    def test_a_launch_past_its_time_is_killed_and_says_so(self, launcher, place, options):
        run = launcher("deaf", place / "attempt-1", replace(options, timeout_s=0.5))
        assert run.timed_out and run.returncode < 0
        assert not has_scratch(run.folder)

    def test_a_request_to_stop_ends_it_kindly_and_another_goes_on_from_there(self, launcher, place, options):
        first = launcher("slow", place / "attempt-1", replace(options, on_progress=raising(StopKindly())))
        assert stopped_cleanly(first.stdout) and has_scratch(first.folder)
        assert not any(path.exists() for path in exit_files(first.folder))
        more = launcher("restart", place / "attempt-1" / "continued-1", replace(options, resume=first.folder))
        assert "from waves" in more.stdout and "JOB DONE" in more.stdout
        assert has_scratch(first.folder) and not has_scratch(more.folder)
        drop_scratch(first.folder)

    def test_what_its_caller_raises_comes_out_and_ends_pw(self, launcher, place, options):
        pid = place / "attempt-1" / "pid"

        class Enough(Exception):
            pass

        def look(_progress):
            if pid.exists() and pid.read_text():
                raise Enough

        with pytest.raises(Enough):
            launcher("deaf", place / "attempt-1", replace(options, on_progress=look))
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
        assert not has_scratch(place / "attempt-1")


def raising(error):
    """An `on_progress` that raises as soon as it is called."""

    def on_progress(_progress):
        raise error

    return on_progress
