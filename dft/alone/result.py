"""What `crystalloop relax` found, as plain data and as a CIF file. Prints nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pymatgen.core.structure import Structure

from crystalloop.dft.alone.command import RelaxRequest
from crystalloop.dft.alone.folder import RelaxInputError
from crystalloop.dft.alone.plan import Plan
from crystalloop.dft.recipe.pseudos import LANTHANIDES
from crystalloop.dft.recipe.whole_file import whole
from crystalloop.dft.relax.outcome import GaveUp, Relaxed


def was_refused(answer: Relaxed | GaveUp) -> bool:
    """Whether the crystal was turned away before any launch: the file is to be mended."""
    return isinstance(answer, GaveUp) and not any(attempt.folder for attempt in answer.attempts)


def as_json(
    request: RelaxRequest, generated: Structure, answer: Relaxed | GaveUp, cif: Path | None, plan: Plan | None = None
) -> dict[str, Any]:
    """The outcome as plain data, units in the names."""
    common: dict[str, Any] = {
        "file": str(request.file),
        "formula": generated.composition.reduced_formula,
        "preset": request.preset,
        "method": request.method,
        "plan": None if plan is None else {name: value for name, value in asdict(plan).items() if name != "folder"},
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
        "spin_states": [asdict(state) for state in answer.spin_states],
        "dispersion_ev": answer.dispersion_ev,
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
    from pymatgen.io.cif import CifWriter  # 0.3 s of CPU, which --help need not pay

    try:
        with whole(path) as unfinished:  # an earlier result stays until this one is whole
            CifWriter(answer.conventional, symprec=0.01).write_file(unfinished)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk names no file by itself


def _lanthanides(structure: Structure) -> list[str]:
    """Elements whose 4f electrons are valence in SSSP: other physics than a frozen 3+ core."""
    return sorted({site.specie.symbol for site in structure} & LANTHANIDES)
