"""The band gap once more, on a mesh of twice as many k points per edge: an scf for the density, then an nscf at it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from crystalloop.dft.pw.continuations import time_for
from crystalloop.dft.pw.input import k_mesh, pw_input_text
from crystalloop.dft.pw.launch import LaunchOptions, PwRun
from crystalloop.dft.pw.output import parse_bands
from crystalloop.dft.pw.replay import COMPLETE, forget
from crystalloop.dft.pw.stop_and_restart import drop_scratch, has_scratch
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.band_gap import band_gap
from crystalloop.dft.relax.calculation import Bench
from crystalloop.dft.relax.outcome import Relaxed

log = logging.getLogger(__name__)


def on_denser_mesh(bench: Bench, name: str, found: Relaxed, settings: PwSettings) -> Relaxed:
    """The relaxation with the gap of the denser mesh, where that was asked for and there is one mesh to be denser than.

    Where pw.x finds no states there, the gap of the relaxation's own mesh stands: the crystal is relaxed all the same.

    Args:
        bench: where and how.
        name: of the attempt's folder.
        found: relaxed.
        settings: of the attempt that found it.
    """
    if settings.band_gap != "nscf" or settings.gamma_only:
        return found
    folder = bench.folder / name
    mesh = settings.k_mesh or k_mesh(found.structure, settings.kspacing_inv_ang)
    first = _scf(bench, folder, found, settings.model_copy(update={"k_mesh": mesh, "vary": "nothing"}))
    denser = settings.model_copy(update={"k_mesh": tuple(2 * count for count in mesh), "vary": "nothing"})
    text = pw_input_text(found.structure, denser, bench.table, "nscf")
    options = LaunchOptions(bench.command, timeout_s=time_for(settings), resume=first.folder)
    second = bench.run(text, folder / "gap-nscf", options)
    drop_scratch(first.folder)
    bands = parse_bands(second.xml) if second.returncode == 0 and "JOB DONE" in second.stdout else None
    # An nscf has no moment of its own: that of its density counts.
    gap = None if bands is None else band_gap(replace(bands, magnetization=found.magnetization_bohr or 0.0), "nscf")
    if gap is None:
        log.warning(
            "%s: no states on the denser mesh (%s); the gap is that of the relaxation", bench.folder, second.folder
        )
    cpu_s, wall_s = first.cpu_s + second.cpu_s, first.wall_s + second.wall_s
    return replace(found, gap=gap or found.gap, cpu_s=found.cpu_s + cpu_s, wall_s=found.wall_s + wall_s)


def _scf(bench: Bench, folder: Path, found: Relaxed, settings: PwSettings) -> PwRun:
    """The launch whose density the other needs: made again where it is known but its density is gone."""
    text = pw_input_text(found.structure, settings, bench.table, "scf")
    options = LaunchOptions(bench.command, timeout_s=time_for(settings), keep_scratch=True)
    ran = bench.run(text, folder / "gap-scf", options)
    if has_scratch(ran.folder) or (folder / "gap-nscf" / COMPLETE).is_file():
        return ran
    forget(ran.folder)
    return bench.run(text, folder / "gap-scf-again", options)
