"""relax(): one crystal from preflight to an answer that is believed, through as many launches of pw.x as it takes.

The catalogue of failures is `dft.heal.failures`; processes and files are `dft.pw.run`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

from pymatgen.core.structure import Structure

from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.pw.launch import STDOUT, Launcher
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.recipe.element_rules import for_crystal, starts
from crystalloop.dft.recipe.moments import site_moments, with_moments_of
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.attempt import AttemptReport, make_attempt
from crystalloop.dft.relax.calculation import Bench
from crystalloop.dft.relax.denser_mesh import on_denser_mesh
from crystalloop.dft.relax.outcome import GaveUp, Relaxed, lowest, relaxed
from crystalloop.dft.relax.preflight import preflight, unfit_elements
from crystalloop.dft.relax.pressure_search import scaled_by_radii
from crystalloop.dft.relax.rungs import ACCURATE, CHEAP, Rung, cheap_settings, compare, rejection

log = logging.getLogger(__name__)
OnAttempt = Callable[[AttemptReport], None]


Climb = Callable[[Structure, PwSettings, OnAttempt | None], Relaxed | GaveUp]


def relax(
    structure: Structure,
    settings: PwSettings,
    table: PseudoTable,
    folder: Path,
    run: Launcher = run_pw,
    on_attempt: OnAttempt | None = None,
    start: Structure | None = None,
    command: str = "pw.x",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    memory_mb: float | None = None,
) -> Relaxed | GaveUp:
    """Relax a crystal, correcting what goes wrong, until the result is to be believed or hopeless.

    Where symmetry leaves the volume alone free, single SCFs follow the pressure to zero; all else is a vc-relax. That
    keeps the plane waves of the cell it starts from, so its own verdict is not taken: pressure and forces of its last
    SCF, in the fresh cell, decide, and where they are too large the next attempt starts from there. With
    `settings.cheap_first` all this is done with coarse k points first, which may reject the crystal; with
    `settings.moment_sets` from each of them, and the lowest energy counts.

    Args:
        structure: as generated, in any cell; the symmetrised primitive cell is what is computed.
        settings: thresholds, limits, number of attempts.
        table: pseudopotentials.
        folder: gets one subfolder per attempt, `attempt-1` and on; numbers go on where there are some already.
        run: launches pw.x.
        on_attempt: called after each attempt, before the next begins.
        start: cell to start from in place of `structure`, for a relaxation that was interrupted; see `resume_point`.
        command: pw.x, with what stands before it.
        now: the clock.
        memory_mb: that a launch may take; None for what the machine has.

    Raises:
        PwEnvironmentError: no pw.x, no space, a missing or wrong pseudopotential. The crystal is not to blame for it.
    """
    refusal = unfit_elements(structure)
    if refusal is not None:
        return GaveUp(refusal[0], refusal[1], (), None)
    pseudos = table.check(site.specie.symbol for site in structure)
    climb = partial(_climb, Bench(folder, table, run, command, now, memory_mb), structure, pseudos)
    several = starts(structure, settings)
    if len(several) == 1:
        return _from_one_start(climb, structure, several[0], start, on_attempt)
    # Each begins at the beginning: a cell that an interrupted launch left belongs to one of them, nobody knows to which.
    return lowest([_from_one_start(climb, structure, each, None, _named(each, on_attempt)) for each in several])


def _from_one_start(
    climb: Climb, structure: Structure, settings: PwSettings, start: Structure | None, on_attempt: OnAttempt | None
) -> Relaxed | GaveUp:
    cheap = cheap_settings(settings) if start is None else None
    cell = starting_cell(structure, settings) if start is None else with_moments_of(start, structure)
    if cheap is None:
        return climb(cell, settings, on_attempt)
    return _on_two_rungs(climb, structure, cell, cheap, settings, on_attempt)


def _named(settings: PwSettings, on_attempt: OnAttempt | None) -> OnAttempt | None:
    """Says in each report from which moments it began."""
    name = ", ".join(f"{element} {moment:g}" for element, moment in settings.starting_moments.items())
    if on_attempt is None:
        return None
    return lambda report: on_attempt(replace(report, detail=f"from moments {name}: {report.detail}"))


def starting_cell(structure: Structure, settings: PwSettings) -> Structure:
    """The cell that the first attempt begins with: as given, or with `start_volume: radii` scaled until atoms touch.

    As given, too, where scaling makes no crystal either: then it is refused by its own fault.
    """
    if settings.start_volume == "radii" and settings.vary == "cell":
        with suppress(ValueError):
            scaled = scaled_by_radii(structure)
            if preflight(scaled) is None or preflight(structure) is None:
                return scaled
    return structure


def _on_two_rungs(
    climb: Climb,
    generated: Structure,
    start: Structure,
    cheap_one: PwSettings,
    accurate_one: PwSettings,
    on_attempt: OnAttempt | None,
) -> Relaxed | GaveUp:
    """The accurate rung from where the cheap one ended; the latter's verdict alone where it rejects or finds no way."""
    cheap = climb(start, cheap_one, _marked(on_attempt))
    reports = tuple(_mark(report) for report in cheap.attempts)
    if isinstance(cheap, GaveUp):
        return replace(cheap, attempts=reports)
    lower = _rung(CHEAP, cheap, cheap_one)
    why = rejection(lower, compare(generated, cheap.structure), accurate_one)
    if why is not None:
        return GaveUp(PwFailure.REJECTED_EARLY, why, reports, cheap.structure)
    found = climb(cheap.structure, accurate_one, on_attempt)
    if isinstance(found, GaveUp):
        return replace(found, attempts=(*reports, *found.attempts))
    return replace(
        found,
        generated_pressure_kbar=cheap.generated_pressure_kbar,
        steps=cheap.steps + found.steps,
        cpu_s=cheap.cpu_s + found.cpu_s,
        wall_s=cheap.wall_s + found.wall_s,
        attempts=(*reports, *found.attempts),
        rungs=(lower, _rung(ACCURATE, found, accurate_one)),
    )


def _rung(name: str, found: Relaxed, settings: PwSettings) -> Rung:
    volume = found.structure.volume / len(found.structure)
    return Rung(name, settings.kspacing_inv_ang, found.energy_per_atom_ev, volume, found.pressure_kbar, found.cpu_s)


def _mark(report: AttemptReport) -> AttemptReport:
    return replace(report, detail=f"{CHEAP} rung: {report.detail}")


def _marked(on_attempt: OnAttempt | None) -> OnAttempt | None:
    return None if on_attempt is None else lambda report: on_attempt(_mark(report))


def _climb(
    bench: Bench,
    generated: Structure,
    pseudos: dict[str, str],
    cell: Structure,
    settings: PwSettings,
    on_attempt: OnAttempt | None,
) -> Relaxed | GaveUp:
    """Attempts with one set of settings, from one cell, until one is believed or none is left."""
    first, reports, steps = _next_number(bench.folder), list[AttemptReport](), 0
    if site_moments(generated) and not site_moments(cell):  # they vanished before, on another rung or in another launch
        settings = settings.model_copy(update={"magnetic": "off"})
    as_generated, current = None, for_crystal(generated, settings)
    unmoved = cell is generated
    for attempt in count(1):
        tried = make_attempt(bench, first + attempt - 1, attempt, cell, current, sum(r.cpu_s for r in reports))
        reports.append(tried.report)
        steps += tried.steps
        if attempt == 1 and unmoved:
            as_generated = tried.first_pressure_kbar
        cell = tried.last_structure or cell
        log.info("%s attempt %d: %s", bench.folder.name, tried.report.number, tried.report.detail)
        if on_attempt is not None:
            on_attempt(tried.report)
        if tried.failure is None and tried.output is not None:
            found = relaxed(generated, tried, pseudos, steps, tuple(reports), as_generated, current)
            return on_denser_mesh(bench, f"attempt-{first + attempt - 1}", found, current)
        if tried.failure is not None and tried.following is None:
            return GaveUp(tried.failure, tried.report.detail, tuple(reports), cell)
        current = tried.following or current
    raise AssertionError("unreachable: there is no correction after max_attempts")


def resume_point(folder: Path) -> Structure | None:
    """Last complete cell among the launches in a folder, for `relax(start=...)`; None where there is none."""
    for path in sorted(folder.rglob(STDOUT), key=lambda path: path.stat().st_mtime, reverse=True):
        found = parse_pw_output(None, path.read_text(errors="replace"), "", 0).last_structure
        if found is not None and preflight(found) is None:
            return found
    return None


def _next_number(folder: Path) -> int:
    numbers = [path.name.removeprefix("attempt-") for path in folder.glob("attempt-*")]
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=0)
