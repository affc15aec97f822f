"""What cures a failure of pw.x: one correction per row of `dft.heal.failures`, with its physics. Pure.

A correction changes how the answer is reached, not what is asked: `PwSettings.physics()` stays, but for a tighter SCF and
for spin, where each says why its answer is the same.
"""

from __future__ import annotations

from typing import Any

from crystalloop.dft.heal.failures import Move, PwFailure
from crystalloop.dft.recipe.settings import PwSettings


def correct(failure: PwFailure, settings: PwSettings, attempt: int) -> PwSettings | None:
    """The settings of the next launch, or None where another launch has no prospect.

    Args:
        failure: what the last launch ended with.
        settings: of the last launch, earlier corrections included.
        attempt: number of the last launch, from 1.
    """
    if failure.action is Move.GIVE_UP or attempt >= settings.max_attempts:
        return None
    if failure.action is Move.RETRY:
        return settings
    changes = _CORRECTIONS[failure](settings)
    return None if changes is None else settings.model_copy(update=changes)


def _gentler_mixing(settings: PwSettings) -> dict[str, Any] | None:
    """Mix less of the new density into the old: 0.7, 0.35, 0.175, then local Thomas-Fermi screening.

    The long waves of the density respond with 4 pi / q^2, so that in long cells and metals a step overshoots (charge
    sloshing); a smaller step damps that, and screening as in a Thomas-Fermi gas takes out the divergence (Raczkowski,
    Canning and Wang, Phys. Rev. B 64, 121101, 2001). The fixed point is the same.
    """
    if settings.mixing_beta > 0.2:
        return {"mixing_beta": settings.mixing_beta / 2, "electron_maxstep": max(200, settings.electron_maxstep)}
    if settings.mixing_mode == "plain":
        return {"mixing_mode": "local-TF", "mixing_beta": 0.3, "electron_maxstep": 300}
    return None


def _other_diagonalization(settings: PwSettings) -> dict[str, Any] | None:
    """Davidson, then ParO, then conjugate gradients band by band: slower, and without a reduced basis.

    Davidson's correction vectors become linearly dependent where bands are many or nearly empty, and the overlap in
    their basis is then no longer positive to rounding. All three find the same eigenvectors.
    """
    following = {"david": "paro", "paro": "cg"}.get(settings.diagonalization)
    return None if following is None else {"diagonalization": following}


def _steadier_optimizer(settings: PwSettings) -> dict[str, Any] | None:
    """Less noise in forces and stress, then smaller steps, then damped dynamics in place of BFGS.

    BFGS takes the difference of two gradients for a curvature; where the SCF's own error is as large as that difference
    it asks for uphill steps, resets twice and stops. Friction needs no curvature.
    """
    if settings.conv_thr_ry_per_atom > 1e-10:
        return {"conv_thr_ry_per_atom": max(settings.conv_thr_ry_per_atom / 100, 1e-11)}
    if settings.trust_radius_min_bohr > 2e-5:
        return {"trust_radius_min_bohr": settings.trust_radius_min_bohr / 10, "trust_radius_ini_bohr": 0.1}
    return None if settings.damped else {"damped": True, "nstep": 2 * settings.nstep}


def _with_a_fresh_cell(settings: PwSettings) -> dict[str, Any] | None:
    """BFGS in place of damped dynamics, which ends in the plane waves of the cell that it began with.

    From a cell that is relaxed already BFGS has no step to make, and computes it once more with its own plane waves.
    """
    return {"damped": False}


def _larger_cell_factor(settings: PwSettings) -> dict[str, Any] | None:
    """Longer interpolation tables for the pseudopotentials: reciprocal vectors grow as the cell shrinks."""
    return None if settings.cell_factor > 8 else {"cell_factor": 2 * settings.cell_factor}


def _without_symmetry(settings: PwSettings) -> dict[str, Any] | None:
    """No symmetry operations: rounding in a moved cell breaks them, and none is needed for the right answer."""
    return None if settings.nosym else {"nosym": True}


def _more_bands(settings: PwSettings) -> dict[str, Any] | None:
    """Half as many bands again: wide smearing or a large moment needs more empty ones than pw.x's 20 %."""
    return None if settings.extra_bands > 2 else {"extra_bands": settings.extra_bands + 0.5}


def _without_spin(settings: PwSettings) -> dict[str, Any] | None:
    """One spin channel: where the moment vanished both are equal, and so is the energy, at half the cost."""
    return {"nspin": 1, "starting_moments": {}, "magnetic": "off"}


def _some_moment(settings: PwSettings) -> dict[str, Any] | None:
    """A starting moment on each atom: without one the SCF never leaves the unpolarised solution, a stationary point."""
    return {"starting_magnetization": 0.5, "starting_moments": {}}


_CORRECTIONS = {
    PwFailure.SCF_NOT_CONVERGED: _gentler_mixing,
    PwFailure.CHARGE_WRONG: _gentler_mixing,
    PwFailure.DIAGONALIZATION: _other_diagonalization,
    PwFailure.OVERLAP_NOT_POSITIVE: _other_diagonalization,
    PwFailure.TOO_FEW_BANDS: _more_bands,
    PwFailure.FERMI_NOT_FOUND: _more_bands,
    PwFailure.MOMENT_VANISHED: _without_spin,
    PwFailure.NO_STARTING_MOMENT: _some_moment,
    PwFailure.FALSE_BFGS: _steadier_optimizer,
    PwFailure.NO_FRESH_CELL: _with_a_fresh_cell,
    PwFailure.BFGS_FAILED: _steadier_optimizer,
    PwFailure.CELL_SHRANK: _larger_cell_factor,
    PwFailure.SYMMETRY_LOST: _without_symmetry,
}


def describe_change(before: PwSettings, after: PwSettings) -> str:
    """The correction in words, for the attempt's record: `mixing_beta 0.7 -> 0.35`."""
    old, new = before.model_dump(), after.model_dump()
    changed = [f"{name} {old[name]} -> {new[name]}" for name in new if new[name] != old[name]]
    return ", ".join(changed) or "from the last complete cell"
