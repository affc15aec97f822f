import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from pw_fakes import rock_salt

from crystalloop.dft.pw.command import fill_command
from crystalloop.dft.pw.input import pw_input_text, restarting
from crystalloop.dft.pw.launch import LaunchOptions
from crystalloop.dft.pw.run import DiskFull, PwNotFound, run_pw
from crystalloop.dft.pw.stop_and_restart import StopKindly, exit_files, has_scratch
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import preset

pytestmark = pytest.mark.slow

ANSWER = """
import pathlib, sys
assert sys.argv[1:] == ["-inp", "pw.in"]
save = pathlib.Path("out/pw.save"); save.mkdir(parents=True)
(save / "data-file-schema.xml").write_text("<xml/>"); (save / "wfc1.dat").write_text("big")
print(pathlib.Path("pw.in").read_text(), pathlib.Path("CRASH").exists(), pathlib.Path("out/old").exists())
print("said", file=sys.stderr)
sys.exit(3)
"""
# Tells its own pid and that of a child in the same group, then waits to be killed.
WAIT = """
import os, pathlib, signal
child = os.fork()
if child:
    pathlib.Path("pids.part").write_text(f"{os.getpid()} {child}")
    pathlib.Path("pids.part").rename("pids")
while True:
    signal.pause()
"""

# Looks for the request to stop as pw.x does, in either place, and leaves what a restart needs.
ASKED = """
import pathlib, sys, time
save = pathlib.Path("out/pw.save"); save.mkdir(parents=True)
print("running", flush=True)
while not pathlib.Path(PLACE).exists():
    time.sleep(0.02)
print("     Program stopped by user request")
print("     PWSCF        :   1m 2.50s CPU      3m WALL")
sys.exit(255)
"""
DEAF = """
import os, pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("out").mkdir()
pathlib.Path("pids.part").write_text(str(os.getpid()))
pathlib.Path("pids.part").rename("pids")
while True:
    signal.pause()
"""


def script(tmp_path, text) -> str:
    path = tmp_path / "fake pw.py"
    path.write_text(text)
    return f"{sys.executable} '{path}'"


def gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether the process ends in time; no process is as good as one that ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = bool(poll.poll(within_s * 1000))
    os.close(handle)
    return ended


def pids_in(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def test_a_launch_comes_back_with_all_it_said_and_leaves_no_wave_functions(tmp_path):
    folder = tmp_path / "run"
    (folder / "out").mkdir(parents=True)
    for stale in ("CRASH", "pw.xml", "out/old"):
        (folder / stale).write_text("of an earlier launch")
    run = run_pw("the input", folder, LaunchOptions(script(tmp_path, ANSWER)))
    assert (run.returncode, run.xml, run.stderr, run.timed_out) == (3, "<xml/>", "said\n", False)
    assert run.stdout == "the input False False\n"
    assert run.cpu_s > 0 and run.wall_s > 0
    assert {path.name for path in folder.iterdir()} == {"pw.in", "pw.out", "pw.err", "pw.xml"}


def test_a_missing_pw_names_the_next_move(tmp_path):
    with pytest.raises(PwNotFound, match="make setup"):
        run_pw("", tmp_path, LaunchOptions("no-such-pw.x"))
    with pytest.raises(PwNotFound):
        run_pw("", tmp_path, LaunchOptions(""))


def test_a_full_disk_is_found_before_the_launch(tmp_path):
    with pytest.raises(DiskFull, match="make room"):
        run_pw("", tmp_path, LaunchOptions(script(tmp_path, ANSWER), min_free_mb=10**12))


def test_a_launch_past_its_time_is_killed_with_its_children(tmp_path):
    reached = []
    run = run_pw("", tmp_path / "run", LaunchOptions(script(tmp_path, WAIT), 2.0, reached.append))
    assert run.timed_out and run.returncode == -signal.SIGTERM
    assert reached and reached[0].n_scf == 0
    assert all(gone(pid) for pid in pids_in(tmp_path / "run"))


def test_an_interrupt_kills_the_launch(tmp_path):
    def interrupt(_progress):
        if (tmp_path / "run" / "pids").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pw("", tmp_path / "run", LaunchOptions(script(tmp_path, WAIT), 60, interrupt))
    assert all(gone(pid) for pid in pids_in(tmp_path / "run"))


def when(condition, error):
    """An `on_progress` that raises once the condition holds."""

    def on_progress(_progress):
        if condition():
            raise error

    return on_progress


@pytest.mark.parametrize("place", ["pw.EXIT", "out/pw.EXIT"])
def test_a_launch_that_is_asked_to_stop_ends_by_itself_and_keeps_its_scratch(tmp_path, place):
    folder = tmp_path / "run"
    stop = when(lambda: "running" in (folder / "pw.out").read_text(), StopKindly())
    run = run_pw("", folder, LaunchOptions(script(tmp_path, ASKED.replace("PLACE", repr(place))), 60, stop))
    assert run.returncode == 255 and not run.timed_out
    assert has_scratch(folder)
    assert not any(path.exists() for path in exit_files(folder))
    assert run.cpu_s == 62.5  # its own count, where the kernel saw less


def test_a_launch_that_does_not_listen_is_killed_after_its_grace(tmp_path):
    folder = tmp_path / "run"
    stop = when((folder / "pids").exists, StopKindly())
    with pytest.raises(StopKindly):
        run_pw("", folder, LaunchOptions(script(tmp_path, DEAF), 60, stop, grace_s=0.3))
    assert all(gone(pid) for pid in pids_in(folder))
    assert not has_scratch(folder)
    assert not any(path.exists() for path in exit_files(folder))


def test_a_request_to_stop_is_not_handed_on_to_the_launch_that_goes_on(tmp_path):
    before = tmp_path / "before"
    (before / "out" / "pw.save").mkdir(parents=True)
    for path in exit_files(before):
        path.touch()
    goes_on = "import pathlib, sys; sys.exit(len([*pathlib.Path().rglob('*.EXIT')]))"
    assert run_pw("", tmp_path / "after", LaunchOptions(script(tmp_path, goes_on), resume=before)).returncode == 0


@pytest.mark.pw
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_pw_survives_the_process_that_started_it(tmp_path, pw_command, pseudo_folder, how):
    cell = primitive_cell(rock_salt(4.1))
    (tmp_path / "input").write_text(pw_input_text(cell, preset("paper"), PseudoTable.load(pseudo_folder)))
    worker = (
        "import pathlib, signal, sys\n"
        "from crystalloop.dft.pw.launch import LaunchOptions\n"
        "from crystalloop.dft.pw.run import run_pw\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "started = lambda progress: print('started', flush=True)\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "options = LaunchOptions(sys.argv[2], on_progress=started)\n"
        "run_pw((folder / 'input').read_text(), folder / 'run', options)\n"
    )
    command = [sys.executable, "-c", worker, str(tmp_path), pw_command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"started\n"
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert "pw.x" in Path(f"/proc/{child}/cmdline").read_text()
        process.send_signal(how)
        assert gone(int(child))


def writers(path: Path) -> list[int]:
    """Processes that have a file open, those of containers included."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.samefile(path):
                found.append(int(link.parts[2]))
    return found


@pytest.fixture
def container() -> str:
    """A container that sees the launch folder and nothing else of /tmp, has its own processes and no network."""
    words = "bwrap --unshare-all --die-with-parent --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp"
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if subprocess.run([*words.split(), "true"], capture_output=True, check=False).returncode:
        pytest.skip("bubblewrap is not allowed to make namespaces here")
    return f"{words} --bind {{folder}} {{folder}} --ro-bind {{pseudos}} {{pseudos}}"


@pytest.mark.parametrize("how", ["time", "stop"])
def test_nothing_is_left_of_a_container_that_is_ended(tmp_path, container, how):
    folder, scripts = tmp_path / "run", tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "wait.py").write_text(WAIT)
    interpreter = f"--ro-bind {sys.prefix} {sys.prefix} {sys.executable}"
    command = fill_command(f"{container} {interpreter} {{pseudos}}/wait.py", folder, scripts)
    seen = []

    def look(_progress):
        seen.extend(writers(folder / "pw.out") if (folder / "pids").exists() else [])
        if seen and how == "stop":
            raise StopKindly

    options = LaunchOptions(command, 5.0 if how == "time" else 60.0, look, grace_s=0.3)
    if how == "time":
        assert run_pw("", folder, options).timed_out
    else:
        with pytest.raises(StopKindly):
            run_pw("", folder, options)
    assert len(set(seen)) >= 3  # the container, the script and its child
    assert all(gone(pid) for pid in set(seen))
    assert writers(folder / "pw.out") == []


@pytest.mark.pw
def test_a_relaxation_in_a_container_can_be_stopped_and_gone_on_from(tmp_path, container, pw_command, pseudo_folder):
    # Many k points: the SCF must still run when somebody who looks once a second has seen its second iteration.
    settings = preset("test").model_copy(update={"kspacing_inv_ang": 0.25})
    text = pw_input_text(primitive_cell(rock_salt(4.1)), settings, PseudoTable.load(pseudo_folder), "scf")
    first, second = tmp_path / "first", tmp_path / "second"
    stop = when(lambda: "iteration #  2" in (first / "pw.out").read_text(), StopKindly())
    command = f"{container} {pw_command}"
    run = run_pw(text, first, LaunchOptions(fill_command(command, first, pseudo_folder), 300, stop))
    assert "Program stopped by user request" in run.stdout and has_scratch(first)
    again = run_pw(
        restarting(text), second, LaunchOptions(fill_command(command, second, pseudo_folder), 300, resume=first)
    )
    assert "convergence has been achieved" in again.stdout
    assert "Calculation restarted from scf iteration" in again.stdout
