"""pw.x anywhere: the command without a shell, its version, scratch, and the batch systems' example files."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crystalloop.dft.pw.command import PwCommandError, check_command, fill_command, pw_version, require_known_release
from crystalloop.dft.pw.launch import LaunchOptions, PwRun
from crystalloop.dft.pw.run import PwNotFound
from crystalloop.dft.pw.scratch import NoScratch, Scratch, require_scratch
from crystalloop.orchestrator.campaign.machine import Machine
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.cli.app import load

BATCH = Path(__file__).parents[2] / "campaigns" / "batch"
CLEAN_STOP = "     Maximum CPU time exceeded\n"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts programs on PATH that print the given text; returns a function that makes one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name, text=""):
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport sys\nprint({text!r})\nprint(sys.argv[1:])\n")
        path.chmod(0o755)

    return make


@pytest.mark.parametrize(
    "command",
    [
        "pw.x",
        "mpirun -np 4 pw.x -nk 2",
        "srun --exact -n 4 pw.x",
        "env OMP_NUM_THREADS=4 pw.x",
        "apptainer exec --bind {folder},{pseudos} qe-7.3.sif pw.x",
        "docker run --rm -v {folder}:{folder} -w {folder} 'qe image:7.3' pw.x",
    ],
)
def test_the_commands_of_the_documentation_are_lists_of_words(programs, command):
    for name in ("pw.x", "mpirun", "srun", "apptainer", "docker"):
        programs(name)
    assert list(check_command(command)) == shlex.split(command)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("pw.x | tee log", "'|' in the command .* needs a shell"),
        ("pw.x > pw.out", "'>' in the command"),
        ("pw.x 2>&1", "needs a shell"),
        ("pw.x; rm -rf x", "'pw.x;' in the command"),
        ("pw.x && true", "needs a shell"),
        ("srun -n $SLURM_NTASKS pw.x", "write the value itself"),
        ("`which pw.x`", "needs a shell"),
        ("~/bin/pw.x", "needs a shell"),
        ("OMP_NUM_THREADS=2 pw.x", "begins with a variable: write `env OMP_NUM_THREADS=2 pw.x`"),
        ("pw.x -inp other.in", "leave -inp out"),
        ("srun -D {dir} pw.x", r"unknown \{dir\} in the command .* \{folder\} and \{pseudos\}"),
        ("mpirun 'pw.x", "cannot be split into words: No closing quotation"),
    ],
)
def test_what_only_a_shell_understands_is_refused_with_the_word(programs, command, sentence):
    programs("pw.x")
    with pytest.raises(PwCommandError, match=sentence):
        check_command(command)


def test_a_missing_program_is_named():
    with pytest.raises(PwNotFound, match=r"no-such-mpirun"):
        check_command("no-such-mpirun pw.x")
    with pytest.raises(PwNotFound):
        check_command("")


def test_a_path_with_spaces_stays_one_word(tmp_path):
    folder, pseudos = tmp_path / "a launch", tmp_path / "its pseudos; rm x"
    words = shlex.split(fill_command("box -b {folder},{pseudos} '{folder}' pw.x", folder, pseudos))
    assert words == ["box", "-b", f"{folder},{pseudos}", str(folder), "pw.x"]


@pytest.mark.parametrize("version", ["6.7MaX", "6.8", "7.0", "7.2", "7.3.1", "7.4.1"])
def test_the_version_is_read_from_what_pw_prints(programs, version):
    programs("pw.x", f"\n     Program PWSCF v.{version} starts on 21Nov2026 at 15: 8:28 \n")
    assert pw_version("pw.x") == version


@pytest.mark.parametrize("version", ["6.6", "5.4.0", "8.0", "GIT"])
def test_a_release_that_is_not_known_is_refused(programs, version):
    programs("pw.x", f"     Program PWSCF v.{version} starts on 21Nov2026")
    with pytest.raises(PwCommandError, match=r"6\.7 to 7\.x are known"):
        pw_version("pw.x")
    with pytest.raises(PwCommandError):
        require_known_release("")


def test_a_program_that_is_not_pw_is_said_to_be_none(programs):
    programs("pw.x", "hello")
    with pytest.raises(PwCommandError, match=r"did not start pw\.x"):
        pw_version("pw.x")


@pytest.mark.pw
def test_the_real_pw_says_its_version(pw_command):
    require_known_release(pw_version(pw_command))


def test_wave_functions_lie_on_scratch_while_pw_runs_and_nowhere_afterwards(tmp_path):
    scratch, folder = require_scratch(tmp_path / "scratch"), tmp_path / "attempt-1"
    seen = []

    def run(text, where, options):
        (where / "out" / "wfc1.dat").write_text("waves")
        seen.extend(path.name for path in scratch.rglob("*.dat"))
        return PwRun(0, "JOB DONE.", "", None, 1.0, 1.0, False, where)

    (folder / "out").mkdir(parents=True)
    (folder / "out" / "left").write_text("over")
    assert Scratch(scratch, run)("input", folder, LaunchOptions()).stdout == "JOB DONE."
    assert seen == ["wfc1.dat"]
    assert list(scratch.iterdir()) == []
    assert list(folder.iterdir()) == []


def test_what_a_restart_needs_is_brought_back_and_taken_to_scratch_again(tmp_path):
    scratch, first, second = require_scratch(tmp_path / "scratch"), tmp_path / "a", tmp_path / "b"
    found = []

    def run(text, where, options):
        found.extend(path.name for path in (where / "out").rglob("*") if path.is_file())
        (where / "out" / "pw.save").mkdir(exist_ok=True)
        (where / "out" / "pw.save" / "charge.dat").write_text("rho")
        (where / "pw.xml").write_text("<xml/>")
        return PwRun(2, CLEAN_STOP, "", None, 1.0, 1.0, False, where)

    launch = Scratch(scratch, run)
    launch("input", first, LaunchOptions())
    assert (first / "out" / "pw.save" / "charge.dat").read_text() == "rho"
    assert not (first / "out").is_symlink()
    launch("input", second, LaunchOptions(resume=first))
    assert sorted(found) == ["charge.dat", "data-file-schema.xml"]
    assert list(scratch.iterdir()) == []


def test_scratch_is_emptied_when_the_launch_is_interrupted_or_its_worker_was_killed(tmp_path):
    scratch = require_scratch(tmp_path / "scratch")

    def interrupted(text, where, options):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scratch(scratch, interrupted)("input", tmp_path / "a", LaunchOptions())
    assert list(scratch.iterdir()) == []
    killed = subprocess.Popen([sys.executable, "-c", "pass"])
    killed.wait()
    host = os.uname().nodename
    for name in (f"pw-{host}-{killed.pid}-x", f"pw-{host}-{os.getpid()}-x", "pw-another.host-1-x", "of-somebody-else"):
        (scratch / name).mkdir()
    require_scratch(scratch)
    assert sorted(path.name for path in scratch.iterdir()) == sorted(
        ["of-somebody-else", "pw-another.host-1-x", f"pw-{host}-{os.getpid()}-x"]
    )


def test_a_scratch_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NoScratch, match="cannot be written to"):
        require_scratch(tmp_path / "file" / "scratch")


LOAD = """
import json, sys
from fireworks.utilities.fw_serializers import load_object_from_file
print(json.dumps([load_object_from_file(name).get_script_str("/the/job") for name in sys.argv[1:]]))
"""


def test_fireworks_reads_the_queue_adapters_and_writes_their_scripts():
    # In a process of its own: the loader imports FireWorks' own tests, which pytest would take for some of ours.
    files = [str(BATCH / f"{name}_qadapter.yaml") for name in ("slurm", "pbs")]
    done = subprocess.run([sys.executable, "-c", LOAD, *files], capture_output=True, text=True, check=True, timeout=120)
    slurm, pbs = json.loads(done.stdout.splitlines()[-1])
    wanted = {
        slurm: ["--nodes=1", "--time=04:00:00", "--signal=B:TERM@120", "--ntasks=16", "--cpus-per-task=1"],
        pbs: ["-l nodes=1:ppn=16", "-l walltime=04:00:00", "-N crystalloop"],
    }
    for script, options in wanted.items():
        lines = script.splitlines()
        assert lines[0].startswith("#!/bin/bash")
        prefix = "#SBATCH" if script == slurm else "#PBS"
        assert [option for option in options if f"{prefix} {option}" not in lines] == []
        assert "cd /the/job" in lines
        assert "$${" not in script
        (launch,) = [line for line in lines if "exec crystalloop worker " in line]
        words = shlex.split(launch)
        arguments = words[words.index("worker") + 1 :]
        options = load("worker").make_context("worker", arguments).params
        assert options["slot_seconds"] < 4 * 3600 < options["slot_seconds"] + 600
        assert options["idle_exit"] == 120


def test_a_slot_is_handed_to_workers_as_a_moment():
    campaign = read_campaign(BATCH.parent / "first.yaml")
    options = Machine(slot_s=600.0).worker_options(campaign)
    assert float(options[options.index("--slot-ends") + 1]) - time.time() == pytest.approx(600, abs=30)
    assert "--slot-ends" not in Machine().worker_options(campaign)


def test_the_worker_file_asks_for_candidates_and_references():
    from fireworks.core.fworker import FWorker

    worker = FWorker.from_file(str(BATCH / "my_fworker.yaml"))
    assert worker.query["spec._category"] == {"$in": ["first", "references"]}
