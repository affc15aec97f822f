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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from crystalloop.dft.pw.input import OUTDIR, PREFIX
from crystalloop.dft.pw.run import XML, PwRun
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


def on_scratch(run: Callable[..., PwRun], scratch: Path) -> Callable[..., PwRun]:
    """The launcher with its wave functions on scratch, which is empty again after each launch.

    Args:
        run: as `run_pw`; its second argument is the folder of the launch.
        scratch: as `require_scratch` gives it.
    """

    def launch(
        input_text: str,
        folder: Path,
        *arguments: Any,  # noqa: ANN401  (run's own)
        resume: Path | None = None,
        **named: Any,  # noqa: ANN401
    ) -> PwRun:
        folder.mkdir(parents=True, exist_ok=True)
        place, link = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=scratch)), folder / OUTDIR
        keep = False
        try:
            _clear(link)
            link.symlink_to(place, target_is_directory=True)
            if resume is not None and has_scratch(resume):
                _copy(resume, place)
                withdraw(folder)
            ran = run(input_text, folder, *arguments, **named)
            keep = stopped_cleanly(ran.stdout)
            return ran
        finally:
            with suppress(FileNotFoundError):
                _clear(link)
            if keep:
                shutil.move(place, link)
            shutil.rmtree(place, ignore_errors=True)

    return launch


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
