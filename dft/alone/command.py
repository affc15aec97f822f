"""`crystalloop relax`: one crystal of a file through dft.relax.relax, without a campaign or a database. Prints nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pymatgen.core.structure import Structure

from crystalloop.dft.alone.folder import RelaxInputError, claimed
from crystalloop.dft.alone.plan import Plan, make_plan
from crystalloop.dft.alone.references import Formation, formation_energy, reference_folder
from crystalloop.dft.alone.start import Start, begin
from crystalloop.dft.pw.command import Filled, check_command
from crystalloop.dft.pw.input import OUTDIR
from crystalloop.dft.pw.launch import Launcher
from crystalloop.dft.pw.replay import COMPLETE, Replay, was_cut_off
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.pw.stop_and_restart import drop_scratch
from crystalloop.dft.pw.watch import Step, Watch
from crystalloop.dft.recipe.pseudos import ACTINIDES, PseudoTable, PwEnvironmentError
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.recipe.user_paths import BadPlace
from crystalloop.dft.relax.attempt import AttemptReport
from crystalloop.dft.relax.estimate import too_large
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.relax.preflight import preflight
from crystalloop.dft.relax.relax import relax, resume_point, starting_cell

MOST_BOHR = 20.0


@dataclass(frozen=True)
class RelaxRequest:
    """What to relax and how."""

    file: Path
    preset: str
    method: Literal["auto", "eos", "vc-relax"]
    pseudos: Path
    folder: Path  # of the launches; the same command goes on from there
    command: str = "pw.x"
    cheap_first: bool = False
    start_volume: Literal["given", "radii"] = "given"
    max_seconds: int | None = None
    memory_mb: float | None = None  # that a launch may take; None for what the machine has
    moments: tuple[dict[str, float], ...] = ()  # sets of starting moments; of several the lowest energy counts
    spin: bool = True
    gap: Literal["scf", "nscf"] = "scf"
    references: bool = False  # elemental references that are missing are computed, too


@dataclass(frozen=True)
class Listener:
    """Who hears what while it happens; `crystalloop relax` writes it to stderr."""

    on_step: Callable[[Step], None]  # every SCF that converged
    on_say: Callable[[str], None]  # a sentence: after an attempt, and while a long SCF runs
    on_plan: Callable[[Plan], None] = lambda _: None  # once, before the first launch


def settings_of(request: RelaxRequest) -> PwSettings:
    """The preset with what was asked for besides.

    Raises:
        RelaxInputError: there is no such preset, or a value is out of bounds.
    """
    changes: dict[str, Any] = {
        "method": request.method,
        "cheap_first": request.cheap_first,
        "start_volume": request.start_volume,
        "band_gap": request.gap,
    }
    if request.max_seconds is not None:
        changes["max_seconds"] = request.max_seconds
    if len(request.moments) == 1:
        changes["starting_moments"] = request.moments[0]
    elif request.moments:
        changes["moment_sets"] = request.moments
    if not request.spin:
        changes["magnetic"] = "off"
    try:
        return PwSettings.model_validate(preset(request.preset).model_dump() | changes)
    except ValueError as error:
        raise RelaxInputError(str(error)) from error


def relax_crystal(
    structure: Structure,
    request: RelaxRequest,
    listener: Listener,
    run: Launcher = run_pw,
    probe: Callable[[str], str] | None = None,
) -> Relaxed | GaveUp:
    """Relax the crystal of the file; launches that an earlier call finished are not repeated.

    Args:
        structure: as `read_crystal` gives it.
        request: what and how.
        listener: hears of the plan, of each SCF and of each attempt.
        run: launches pw.x.
        probe: asks the command for the version of pw.x before the first launch, as `dft.pw.command.pw_version`.

    Raises:
        RelaxInputError: a setting cannot be used, or the folder is another's.
        PwEnvironmentError: pw.x, a pseudopotential or disk space is missing.
    """
    _refuse_elements(request, structure)
    _refuse_moments(request, structure)
    begun = begin(structure, settings_of(request))
    structure, settings = begun.structure, begun.settings
    table, folder = PseudoTable.load(request.pseudos), request.folder
    table.check(site.specie.symbol for site in structure)
    check_command(request.command)
    refused = _refusal(replace(begun, structure=starting_cell(structure, settings)), table, request, listener)
    if refused is not None:
        return refused
    with claimed(folder, request.file, structure):
        if probe is not None:
            probe(request.command)
        start = resume_point(folder) if was_cut_off(folder) else None
        _tell_of_earlier(folder, start, listener)
        launcher = Replay(folder, Watch(listener.on_step, listener.on_say, Filled(table.folder, run)))
        answer = relax(
            structure,
            settings,
            table,
            folder,
            run=launcher,
            on_attempt=lambda report: _tell(report, listener),
            start=start,
            command=request.command,
            memory_mb=request.memory_mb,
        )
        for left in folder.glob(f"attempt-*/**/{OUTDIR}"):  # scratch of launches that were killed: nothing needs it now
            drop_scratch(left.parent)
        return answer


def formation_of(answer: Relaxed, request: RelaxRequest, listener: Listener, run: Launcher = run_pw) -> Formation:
    """The formation energy of what `relax_crystal` found, against elements computed by the same recipe.

    Args:
        answer: of the same request.
        request: with `references` those that are missing are computed, each once for this user.
        listener: hears of each SCF of theirs.
        run: launches pw.x.

    Returns:
        The energy, or the reason why there is none, the machine's faults included.
    """
    table, settings = PseudoTable.load(request.pseudos), preset(request.preset)
    if request.max_seconds is not None:
        settings = settings.model_copy(update={"max_seconds": request.max_seconds})

    def compute(state: Structure, recipe: PwSettings, folder: Path) -> Relaxed | GaveUp:
        listener.on_say(
            f"elemental reference {state.composition.reduced_formula}: computed once, kept in {folder.parent}"
        )
        launcher = Replay(folder, Watch(listener.on_step, listener.on_say, Filled(table.folder, run)))
        memory_mb, command = request.memory_mb, request.command
        return relax(state, recipe, table, folder, run=launcher, command=command, memory_mb=memory_mb)

    try:
        return formation_energy(answer, settings, table, reference_folder(), compute if request.references else None)
    except (
        RelaxInputError,
        PwEnvironmentError,
        BadPlace,
        OSError,
    ) as error:  # the crystal is relaxed and written all the same
        return Formation(reason=f"its references cannot be computed here now: {error}")


def _refusal(
    begun: Start,
    table: PseudoTable,
    request: RelaxRequest,
    listener: Listener,
) -> GaveUp | None:
    """Why no pw.x is started for this crystal; the plan is told where one can be made."""
    refusal = preflight(begun.structure, begun.in_box)
    if refusal is None:
        listener.on_plan(make_plan(begun, table, request.folder, request.memory_mb))
        refusal = too_large(begun.structure, begun.settings, table, request.memory_mb)
    return None if refusal is None else GaveUp(refusal[0], refusal[1], (), None)


def _refuse_elements(request: RelaxRequest, structure: Structure) -> None:
    actinides = sorted(ACTINIDES.intersection(structure.symbol_set))
    if actinides:
        raise RelaxInputError(
            f"{request.file}: {', '.join(actinides)} is an actinide, for which plain PBE is not reliable; leave the element out"
        )


def _refuse_moments(request: RelaxRequest, structure: Structure) -> None:
    strangers = sorted({element for moments in request.moments for element in moments} - set(structure.symbol_set))
    if strangers:
        raise RelaxInputError(
            f"--moments names {', '.join(strangers)}, which {structure.composition.reduced_formula} of {request.file} does "
            "not hold; name its elements"
        )
    if request.moments and not request.spin:
        raise RelaxInputError("--moments and --no-spin exclude each other; leave one out")


def moments_of(texts: Sequence[str]) -> tuple[dict[str, float], ...]:
    """`Fe=4,O=0` once or several times, as sets of starting moments.

    Raises:
        RelaxInputError: it is not written like that, or a moment is beyond 20 Bohr magnetons.
    """
    sets = []
    for text in texts:
        found = re.fullmatch(r"\s*[A-Z][a-z]?\s*=\s*[-+]?[\d.]+\s*(,\s*[A-Z][a-z]?\s*=\s*[-+]?[\d.]+\s*)*", text)
        pairs = [pair.split("=") for pair in text.split(",")] if found else []
        try:
            moments = {element.strip(): float(moment) for element, moment in pairs}
        except ValueError:
            moments = {}
        if not moments or any(abs(moment) > MOST_BOHR for moment in moments.values()):
            raise RelaxInputError(
                f"--moments {text!r}: wanted are elements and Bohr magnetons per atom, up to {MOST_BOHR:g}, such as "
                "Fe=4,O=0; give the option several times to try several starts"
            )
        sets.append(moments)
    return tuple(sets)


def _tell_of_earlier(folder: Path, start: Structure | None, listener: Listener) -> None:
    finished = sum(1 for _ in folder.rglob(COMPLETE))
    if finished:
        listener.on_say(f"finished launches found in {folder}: {finished}; they are not repeated")
    if start is not None:
        listener.on_say("the last launch was cut off: on from its last complete cell")


def _tell(report: AttemptReport, listener: Listener) -> None:
    """An attempt that ends the relaxation without a result is told by that result."""
    if report.outcome == "converged" or report.correction:
        following = f"; next: {report.correction}" if report.correction else ""
        listener.on_say(f"attempt {report.number}: {report.detail}{following}")
