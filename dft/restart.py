"""What a launch of pw.x that stopped by itself leaves for another to go on from. Files only; pw.x is started elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

from crystalloop.dft.pw_input import OUTDIR

CONTINUED = "continued"
"""A file in the folder of a launch: another one has gone on from its scratch, which is no more."""
_CLEAN_STOPS = ("Maximum CPU time exceeded", "Program stopped by user request", "Signal Received, stopping")


def stopped_cleanly(stdout: str) -> bool:
    """Whether pw.x wrote what a restart needs, since its time was over or somebody asked it to stop."""
    return any(words in stdout for words in _CLEAN_STOPS)


def in_fresh_cell(stdout: str) -> bool:
    """Whether a vc-relax stopped in its last SCF: pw.x 6.7 has other plane waves there and cannot go on from its files.

    It says `davcio (10): error reading file`; starting over from the relaxed cell costs little more.
    """
    return "Final scf calculation at the relaxed structure" in stdout


def before_the_stop(stdout: str) -> str:
    """What a launch said before it stopped; what follows is said again by the launch that goes on."""
    for words in _CLEAN_STOPS:
        stdout = stdout.split(words)[0]
    return stdout


def has_scratch(folder: Path) -> bool:
    """Whether the launch in this folder left something to go on from."""
    return (folder / OUTDIR).is_dir()


def drop_scratch(folder: Path) -> None:
    """Delete wave functions and charge: 1-25 MB."""
    shutil.rmtree(folder / OUTDIR, ignore_errors=True)


def hand_on(folder: Path) -> None:
    """Delete the scratch of a launch from which another has gone on and come back, and note that one has."""
    (folder / CONTINUED).touch()
    drop_scratch(folder)


def goes_on(folder: Path) -> bool:
    """Whether a launch that stopped can be gone on from, or has been: then its continuation is found by its input."""
    return has_scratch(folder) or (folder / CONTINUED).exists()
