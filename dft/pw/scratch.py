"""Scratch: the wave functions of a launch go to a fast local folder, all else stays where it belongs. No pw.x here.

pw.x writes them below `out` in the folder of the launch; here `out` is a link into the scratch folder while pw.x runs.
What is read afterwards (input, stdout, XML), what a later worker needs after a crash, and what a restart goes on from
never stays on scratch.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from crystalloop.dft.pw.input import OUTDIR, PREFIX
from crystalloop.dft.pw.launch import XML, Launcher, LaunchOptions, PwRun
from crystalloop.dft.pw.stop_and_restart import has_scratch, stopped_cleanly, withdraw
from crystalloop.dft.recipe.pseudos import PwEnvironmentError


class NoScratch(PwEnvironmentError):
    """The scratch folder cannot be used."""


def require_scratch(scratch: Path) -> Path:
    """The absolute path of a scratch folder that can be written to; made if missing, swept of what dead workers left.

    Raises:
        NoScratch: it cannot be made or written to.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch):
            pass
        for left in scratch.glob(f"{_prefix()}*"):
            if not Path("/proc", left.name.removeprefix(_prefix()).split("-")[0]).exists():
                shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        raise NoScratch(
            f"the scratch folder {scratch} cannot be written to ({error.strerror}): name another"
        ) from error
    return scratch.resolve()


class Scratch:
    """The Launcher that keeps wave functions on scratch, which is empty again after each launch.

    Args:
        place: as `require_scratch` gives it; None to leave them in the folder of the launch.
        inner: launches pw.x.
    """

    def __init__(self, place: Path | None, inner: Launcher) -> None:
        self._place, self._inner = place, inner

    def __call__(self, input_text: str, folder: Path, options: LaunchOptions) -> PwRun:
        """See Launcher."""
        if self._place is None:
            return self._inner(input_text, folder, options)
        folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=self._place))
        link, keep = folder / OUTDIR, False
        try:
            _clear(link)
            link.symlink_to(place, target_is_directory=True)
            if options.resume is not None and has_scratch(options.resume):
                _copy(options.resume, place)
                withdraw(folder)
            ran = self._inner(input_text, folder, replace(options, resume=None))
            keep = stopped_cleanly(ran.stdout) or options.keep_scratch
            return ran
        finally:
            with suppress(FileNotFoundError):
                _clear(link)
            if keep:
                shutil.move(place, link)
            shutil.rmtree(place, ignore_errors=True)


def _prefix() -> str:
    return f"pw-{socket.gethostname()}-"


def _copy(resume: Path, place: Path) -> None:
    """What an earlier launch left for a restart; its XML was moved out of it."""
    shutil.copytree(resume / OUTDIR, place, dirs_exist_ok=True)
    saved = place / f"{PREFIX}.save"
    if (resume / XML).is_file() and saved.is_dir():
        shutil.copy(resume / XML, saved / "data-file-schema.xml")


def _clear(link: Path) -> None:
    """Remove what an earlier launch left, a folder or a link to one that is gone."""
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
