"""PwxOracle: relax() with pw.x, going on from what a folder holds. The way of a campaign's workers; no database here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pymatgen.core.structure import Structure

from crystalloop.dft.oracles.base import Job
from crystalloop.dft.pw.command import Filled
from crystalloop.dft.pw.launch import Launcher
from crystalloop.dft.pw.limit import Limit
from crystalloop.dft.pw.replay import Replay, was_cut_off
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.pw.scratch import Scratch
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.attempt import AttemptReport
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.relax.relax import relax, resume_point

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PwxOracle:
    """See Oracle.

    Args:
        table: pseudopotentials.
        command: pw.x with what stands before it, such as `mpirun -np 4 pw.x`; see dft.pw.command.
        scratch: fast local folder for wave functions; None for that of the launch.
        memory_mb: that a launch may take; None for what the machine has.
        run: launches pw.x.
        relax: as dft.relax.relax.relax.
    """

    table: PseudoTable
    command: str = "pw.x"
    scratch: Path | None = None
    memory_mb: float | None = None
    run: Launcher = run_pw
    relax: Callable[..., Relaxed | GaveUp] = relax

    def __call__(self, structure: Structure, settings: PwSettings, job: Job) -> Relaxed | GaveUp:
        """See Oracle; attempts are reported with the folder that holds their launches."""
        pseudos = self.table.folder
        replay = Replay(job.folder, Limit(job.clock, Filled(pseudos, Scratch(self.scratch, self.run))))

        def note(report: AttemptReport) -> None:
            job.on_attempt(replace(report, folder=replay.answered(report.folder)))

        return self.relax(
            structure,
            settings,
            self.table,
            job.folder,
            run=replay,
            on_attempt=note,
            start=_interrupted_at(job.folder),
            command=self.command,
            memory_mb=self.memory_mb,
        )


def _interrupted_at(folder: Path) -> Structure | None:
    """The last cell of a launch that was cut off; None to begin with the crystal's own, through complete launches."""
    if not was_cut_off(folder):
        return None
    try:
        return resume_point(folder)
    except Exception:  # whatever a killed pw.x left in its output, starting over is right
        logger.warning(
            "%s: the output of an interrupted launch is unreadable, starting over", folder.name, exc_info=True
        )
        return None
