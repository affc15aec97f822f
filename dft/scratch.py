"""Scratch: the wave functions of a launch go to a fast local folder, all else stays where it belongs. No pw.x here.

pw.x writes them below `out` in the folder of the launch; here `out` becomes a link into the scratch folder. What is
read afterwards (input, stdout, XML) and what a later worker needs after a crash is never on scratch.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dft.pseudos import PwEnvironmentError
from dft.pw_input import OUTDIR
from dft.pw_run import PwRun


class NoScratch(PwEnvironmentError):
    """The scratch folder cannot be used."""


def require_scratch(scratch: Path) -> Path:
    """The absolute path of a scratch folder that can be written to; made if missing.

    Raises:
        NoScratch: it cannot be made or written to.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch):
            pass
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

    def launch(input_text: str, folder: Path, *arguments: Any, **named: Any) -> PwRun:  # noqa: ANN401  (run's own)
        folder.mkdir(parents=True, exist_ok=True)
        place, link = Path(tempfile.mkdtemp(prefix=f"pw-{os.getpid()}-", dir=scratch)), folder / OUTDIR
        _clear(link)
        link.symlink_to(place, target_is_directory=True)
        try:
            return run(input_text, folder, *arguments, **named)
        finally:
            shutil.rmtree(place, ignore_errors=True)
            link.unlink(missing_ok=True)

    return launch


def _clear(link: Path) -> None:
    """Remove what an earlier launch left, a folder or a link to one that is gone."""
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
