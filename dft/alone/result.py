"""What `crystalloop relax` found: as plain data, and as CIF, POSCAR and extended XYZ of the crystal. Prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pymatgen.core.structure import Structure

from crystalloop.dft.alone.command import RelaxRequest
from crystalloop.dft.alone.folder import RelaxInputError
from crystalloop.dft.alone.plan import Plan
from crystalloop.dft.alone.references import Formation
from crystalloop.dft.alone.several import FORMATS, format_of
from crystalloop.dft.alone.start import formula_of
from crystalloop.dft.recipe.molecules import directions_filled
from crystalloop.dft.recipe.moments import site_moments, without_moments
from crystalloop.dft.recipe.pseudos import LANTHANIDES
from crystalloop.dft.recipe.whole_file import whole
from crystalloop.dft.relax.outcome import GaveUp, Relaxed


def was_refused(answer: Relaxed | GaveUp) -> bool:
    """Whether the crystal was turned away before any launch: the file is to be mended."""
    return isinstance(answer, GaveUp) and not any(attempt.folder for attempt in answer.attempts)


@dataclass(frozen=True)
class Found:
    """What came of one file."""

    request: RelaxRequest
    generated: Structure  # as read
    answer: Relaxed | GaveUp
    written: tuple[Path, ...] = ()  # the relaxed crystal; the one of --out first
    plan: Plan | None = None  # None where it was refused before one could be made
    formation: Formation = field(default_factory=Formation)
    notes: tuple[str, ...] = ()  # of the reader


def as_json(found: Found) -> dict[str, Any]:
    """The outcome as plain data, units in the names."""
    request, generated, answer, plan = found.request, found.generated, found.answer, found.plan
    common: dict[str, Any] = {
        "file": str(request.file),
        "formula": formula_of(generated),
        "preset": request.preset,
        "method": request.method,
        "plan": None if plan is None else {name: value for name, value in asdict(plan).items() if name != "folder"},
        "cpu_s": round(answer.cpu_s, 2),
        "attempts": [
            {"outcome": at.outcome, "detail": at.detail, "correction": at.correction} for at in answer.attempts
        ],
        "folder": str(request.folder),
        "notes": [*found.notes, *_notes(found)],
    }
    if not isinstance(answer, Relaxed):
        return common | {"converged": False, "failure": answer.failure.name.lower(), "reason": answer.reason}
    return common | {
        "converged": True,
        "cif": next((str(path) for path in found.written if format_of(path) == "cif"), None),
        "written": [str(path) for path in found.written],
        "formation_energy_per_atom": found.formation.energy_ev_per_atom,
        "formation_energy_reason": found.formation.reason,
        "references_ev_per_atom": found.formation.references,
        **_gap(answer),
        "energy_ev": answer.energy_ev,
        "energy_per_atom_ev": answer.energy_per_atom_ev,
        "a_ang": answer.a_ang,
        "edges_ang": [float(edge) for edge in answer.conventional.lattice.abc],
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
        "magnetization_bohr": answer.magnetization_bohr,
        "absolute_magnetization_bohr": answer.absolute_magnetization_bohr,
        "moments_bohr": list(answer.moments_bohr),
        "spin_states": [asdict(state) for state in answer.spin_states],
        "dispersion_ev": answer.dispersion_ev,
        "pw_version": answer.pw_version,
        "lanthanides": _lanthanides(generated),
    }


def _gap(answer: Relaxed) -> dict[str, Any]:
    """The gap in eV and what it is of, each None where none was read."""
    gap = answer.gap
    return {
        "band_gap": answer.band_gap,
        "band_gap_kind": None if gap is None else gap.kind,
        "band_gap_direct": None if gap is None else gap.direct_ev,
        "band_gap_method": None if gap is None else gap.method,
        "band_gap_k_points": None if gap is None else gap.k_points,
    }


def as_failed(file: Path, reason: str) -> dict[str, Any]:
    """A file of several that came to nothing: for its line of the table, and for JSON."""
    return {"file": str(file), "converged": False, "failure": "error", "reason": reason}


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


def write_crystal(answer: Relaxed, path: Path, formats: Sequence[str] = ()) -> tuple[Path, ...]:
    """The relaxed crystal at `path`, in the format that its name asks for, and beside it in further formats.

    CIF and POSCAR hold the conventional cell, CIF with its symmetry; extended XYZ the cell that pw.x saw, with energy and
    moments. A molecule is in its box in all of them. Where moments have both signs, extended XYZ is always written: the
    others hold none.

    Returns:
        The files written, `path` first.
    """
    both = any(moment > 0 for moment in _order(answer)) and any(moment < 0 for moment in _order(answer))
    wanted = [form for form in (*formats, *(["extxyz"] if both else [])) if form != format_of(path)]
    targets = {path: format_of(path)} | {path.with_suffix(FORMATS[form]): form for form in wanted}
    for target, form in targets.items():
        try:
            with whole(target) as unfinished:  # an earlier result stays until this one is whole
                unfinished.write_text(_WRITERS[form](answer), encoding="utf-8")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from error  # a full disk names no file by itself
    return tuple(targets)


def _order(answer: Relaxed) -> tuple[float, ...]:
    return answer.moments_bohr or site_moments(answer.structure)


def _cif(answer: Relaxed) -> str:
    from pymatgen.io.cif import CifWriter  # 0.3 s of CPU, which --help need not pay

    boxed = len(answer.conventional) == len(answer.structure) and directions_filled(answer.structure) == 0
    return str(CifWriter(without_moments(answer.conventional), symprec=None if boxed else 0.01))


def _poscar(answer: Relaxed) -> str:
    cell = without_moments(answer.conventional).get_sorted_structure()
    counts = cell.composition.get_el_amt_dict()
    elements = list(dict.fromkeys(site.specie.symbol for site in cell))
    rows = [*cell.lattice.matrix, *cell.frac_coords]
    lines = [" ".join(f"{x:19.14f}" for x in row + 0.0) for row in rows]
    names = [" ".join(elements), " ".join(f"{counts[element]:.0f}" for element in elements)]
    return "\n".join([cell.composition.reduced_formula, "1.0", *lines[:3], *names, "Direct", *lines[3:]]) + "\n"


def _extxyz(answer: Relaxed) -> str:
    cell, moments = answer.structure, _order(answer)
    lattice = " ".join(f"{x:.12f}" for x in cell.lattice.matrix.ravel() + 0.0)
    columns = "species:S:1:pos:R:3" + (":magmoms:R:1" if moments else "")
    head = f'Lattice="{lattice}" Properties={columns} energy={answer.energy_ev:.8f} pbc="T T T"'
    rows = [
        f"{site.specie.symbol:2s} " + " ".join(f"{x:18.12f}" for x in site.coords) + (f" {m:9.4f}" if moments else "")
        for site, m in zip(cell, moments or [0.0] * len(cell), strict=True)
    ]
    return "\n".join([str(len(cell)), head, *rows]) + "\n"


_WRITERS = {"cif": _cif, "poscar": _poscar, "extxyz": _extxyz}


def _notes(found: Found) -> list[str]:
    """What is to be said of a result beside its numbers."""
    answer = found.answer
    if not isinstance(answer, Relaxed):
        return []
    notes = []
    if found.formation.energy_ev_per_atom is not None and found.request.preset == "test":
        notes.append(
            "the formation energy is rough: preset test has fewer k points than the references, which lifts metals and "
            "semiconductors by tenths of an eV/atom (silicon by 0.30)"
        )
    given = [] if found.plan is None else [moment for moment in found.plan.starting_moments.values() if moment]
    if given and min(given) < 0 < max(given) and not answer.is_magnetic:
        notes.append("the order of the moments that it began with is gone: the state that was found has none")
    return notes


def _lanthanides(structure: Structure) -> list[str]:
    """Elements whose 4f electrons are valence in SSSP: other physics than a frozen 3+ core."""
    return sorted({site.specie.symbol for site in structure} & LANTHANIDES)
