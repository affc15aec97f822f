"""`crystalloop relax`: one crystal of a file through dft.relax, without a campaign or a database. Prints nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dft.pw_output import PwOutput, parse_pw_output
from dft.pw_run import STDOUT, PwRun, require_pw, run_pw

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from dft.relax import GaveUp, Relaxed
    from dft.settings import PwSettings


class RelaxInputError(ValueError):
    """The file given to `crystalloop relax` holds no crystal that can be computed."""


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


@dataclass(frozen=True)
class Step:
    """One SCF that converged, for a line of progress."""

    number: int
    volume_per_atom_ang3: float
    energy_per_atom_ev: float
    pressure_kbar: float | None


def read_crystal(file: Path) -> Structure:
    """The one ordered crystal of a CIF file.

    Raises:
        RelaxInputError: no such file, no CIF, none or several crystals, shared or partly empty sites, unknown elements.
    """
    if file.is_dir() or not file.exists():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise RelaxInputError(f"{file} {what}; give one CIF file")
    structures = _parsed(file)
    if len(structures) != 1:
        raise RelaxInputError(f"{file} holds {len(structures)} crystals, wanted is one; split the file")
    structure = structures[0]
    _refuse_disorder(file, structure)
    _refuse_unknown(file, structure)
    structure.remove_oxidation_states()
    return structure


def settings_of(request: RelaxRequest) -> PwSettings:
    """The preset with what was asked for besides.

    Raises:
        RelaxInputError: there is no such preset, or a value is out of bounds.
    """
    from dft.settings import PwSettings, preset

    changes: dict[str, Any] = {
        "method": request.method,
        "cheap_first": request.cheap_first,
        "start_volume": request.start_volume,
    }
    if request.max_seconds is not None:
        changes["max_seconds"] = request.max_seconds
    try:
        return PwSettings.model_validate(preset(request.preset).model_dump() | changes)
    except ValueError as error:
        raise RelaxInputError(str(error)) from error


def relax_file(
    request: RelaxRequest,
    on_step: Callable[[Step], None],
    on_attempt: Callable[[str], None],
    run: Callable[..., PwRun] = run_pw,
) -> tuple[Structure, Relaxed | GaveUp]:
    """Relax the crystal of the file; launches that an earlier call finished are not repeated.

    Args:
        request: what and how.
        on_step: hears every SCF that converged.
        on_attempt: hears a sentence after every attempt.
        run: launches pw.x.

    Returns:
        The crystal as read, and what became of it.

    Raises:
        RelaxInputError: the file or a setting cannot be used.
        PwEnvironmentError: pw.x, a pseudopotential or disk space is missing.
    """
    structure, settings = read_crystal(request.file), settings_of(request)
    from dft.pseudos import PseudoTable
    from dft.relax import relax, resume_point
    from dft.replay import Replay, was_cut_off

    table = PseudoTable.load(request.pseudos)
    table.check(site.specie.symbol for site in structure)
    require_pw(request.command)
    watched: Any = Replay(request.folder, _Watch(run, on_step))
    start = resume_point(request.folder) if was_cut_off(request.folder) else None
    return structure, relax(
        structure,
        settings,
        table,
        request.folder,
        run=watched,
        on_attempt=lambda report: on_attempt(f"attempt {report.number}: {report.detail}"),
        start=start,
        command=request.command,
    )


class _Watch:
    """Stands before run_pw and tells of each SCF as soon as it has converged."""

    def __init__(self, run: Callable[..., PwRun], on_step: Callable[[Step], None]) -> None:
        self._run, self._on_step = run, on_step
        self._told = 0  # over all launches

    def __call__(self, input_text: str, folder: Path, **options: Any) -> PwRun:  # noqa: ANN401  (run_pw's)
        before = self._told

        def look(progress: Any) -> None:  # noqa: ANN401
            if progress.n_scf > self._told - before:
                text = (folder / STDOUT).read_text(errors="replace")
                # The pressure of the last cycle may not be printed yet.
                self._tell(parse_pw_output(None, text, "", 0), before, complete=False)

        ran = self._run(input_text, folder, **options, on_progress=look)
        self._tell(parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode), before, complete=True)
        return ran

    def _tell(self, output: PwOutput, before: int, complete: bool) -> None:
        for cycle in output.cycles[self._told - before :]:
            if cycle.structure is None or (cycle.pressure_kbar is None and not complete):
                return
            self._told += 1
            atoms = len(cycle.structure)
            self._on_step(
                Step(self._told, cycle.structure.volume / atoms, cycle.energy_ev / atoms, cycle.pressure_kbar)
            )


def as_json(request: RelaxRequest, generated: Structure, answer: Relaxed | GaveUp, cif: Path | None) -> dict[str, Any]:
    """The outcome as plain data, units in the names."""
    from dft.relax import Relaxed

    common: dict[str, Any] = {
        "file": str(request.file),
        "formula": generated.composition.reduced_formula,
        "preset": request.preset,
        "method": request.method,
        "cpu_s": round(answer.cpu_s, 2),
        "attempts": [
            {"outcome": at.outcome, "detail": at.detail, "correction": at.correction} for at in answer.attempts
        ],
        "folder": str(request.folder),
    }
    if not isinstance(answer, Relaxed):
        return common | {"converged": False, "failure": answer.failure.name.lower(), "reason": answer.reason}
    return common | {
        "converged": True,
        "cif": None if cif is None else str(cif),
        "energy_ev": answer.energy_ev,
        "energy_per_atom_ev": answer.energy_per_atom_ev,
        "a_ang": answer.a_ang,
        "volume_per_atom_ang3": answer.structure.volume / len(answer.structure),
        "pressure_kbar": answer.pressure_kbar,
        "fmax_ev_ang": answer.fmax_ev_ang,
        "spacegroup_before": answer.spacegroup_before,
        "spacegroup": answer.spacegroup,
        "generated_pressure_kbar": answer.generated_pressure_kbar,
        "bond_change_percent": answer.bond_change_percent,
        "cell_change_percent": answer.cell_change_percent,
        "volume_change_percent": answer.volume_change_percent,
        "steps": answer.steps,
        "equation_of_state": None if answer.equation is None else asdict(answer.equation),
        "rungs": [asdict(rung) for rung in answer.rungs],
        "pw_version": answer.pw_version,
        "lanthanides": _lanthanides(generated),
    }


def require_target(path: Path) -> None:
    """Make the folder of the relaxed crystal, before anything is computed for it.

    Raises:
        RelaxInputError: the file cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a"):
            pass
        if path.stat().st_size == 0:
            path.unlink()
    except OSError as error:
        raise RelaxInputError(f"{path} cannot be written ({error.strerror or error}); choose another --out") from error


def write_cif(answer: Relaxed, path: Path) -> None:
    """The conventional cell, with its symmetry."""
    from pymatgen.io.cif import CifWriter

    CifWriter(answer.conventional, symprec=0.01).write_file(path)


def _parsed(file: Path) -> list[Structure]:
    from pymatgen.io.cif import CifParser

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RelaxInputError(f"{file} is no text file (byte {error.start}); give one CIF file") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen's remarks on rounding and oxidation states
            # The tolerances: shared sites are to be seen here and refused by name, not scaled to fit.
            return CifParser.from_str(text, occupancy_tolerance=100.0).parse_structures(primitive=False)
    except Exception as error:
        raise RelaxInputError(f"{file} cannot be read as CIF ({_first_line(error)}); mend or convert it") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _refuse_disorder(file: Path, structure: Structure) -> None:
    shared = [site for site in structure if not site.is_ordered]
    if shared:
        raise RelaxInputError(
            f"{file}: {len(shared)} of {len(structure)} sites are shared or partly empty, the first holds "
            f"{shared[0].species.formula!r}; choose one element per site (an ordered approximant) and give that"
        )


def _refuse_unknown(file: Path, structure: Structure) -> None:
    from pymatgen.core.periodic_table import DummySpecies

    unknown = sorted({site.specie.symbol for site in structure if isinstance(site.specie, DummySpecies)})
    if unknown:
        raise RelaxInputError(f"{file}: {', '.join(unknown)} is not an element symbol; mend the file")


def _lanthanides(structure: Structure) -> list[str]:
    """Elements whose 4f electrons are valence in SSSP: other physics than a frozen 3+ core."""
    from dft.pseudos import LANTHANIDES

    return sorted({site.specie.symbol for site in structure} & LANTHANIDES)
