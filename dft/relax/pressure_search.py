"""A crystal of which only the volume is free: SCFs along the volume until no pressure is left, the next one chosen here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pymatgen.core.structure import Structure

from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.pw.input import k_mesh
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.calculation import Bench, Seen, look
from crystalloop.dft.relax.equation_of_state import Point, PoorFit, fit, in_window, next_volume
from crystalloop.dft.relax.preflight import closest_pair, preflight

Mesh = tuple[int, int, int]
_SMALL_STEP = 0.03
"""Of the volume: the k mesh stays what it was."""
CLOSE = 1e-3
"""Of the volume, 0.03 % of the edge: how well it must be known, and met, where the pressure jumps by more than its threshold."""


def along_the_volume(bench: Bench, name: str, cell: Structure, settings: PwSettings) -> Seen:
    """Single SCFs until the pressure is within its threshold, each in a subfolder `volume-<k>`.

    Args:
        bench: where and how.
        name: of the attempt's folder.
        cell: primitive; its shape and the places of its atoms are those that symmetry leaves.
        settings: with method eos, the curve round the volume is computed too.

    Raises:
        MachineFault: as `dft.relax.calculation.look`.
    """
    points: list[Point] = []
    total = Seen(PwFailure.NSTEP, "the pressure did not come down")
    last_mesh: Mesh | None = None
    for k in range(1, settings.nstep + 1):
        meshed = settings.model_copy(update={"k_mesh": last_mesh or _mesh(cell, settings, points)})
        seen = look(bench, f"{name}/volume-{k}", cell, meshed, "scf")
        total = replace(
            seen,
            last_structure=seen.last_structure or total.last_structure,
            steps=k - 1,
            cpu_s=total.cpu_s + seen.cpu_s,
            wall_s=total.wall_s + seen.wall_s,
            first_pressure_kbar=seen.first_pressure_kbar if k == 1 else total.first_pressure_kbar,
        )
        point = _point(cell, seen, meshed)
        if seen.failure is None and last_mesh is None and point and point.mesh != _mesh(cell, settings, []):
            # Found with the mesh of the way here: what is found shall not depend on the volume that one started from.
            last_mesh = _mesh(cell, settings, [])
            points.append(point)
            continue
        if point and points and points[-1].volume_ang3 == point.volume_ang3:
            points = _as_on_the_mesh_of(point, points)
        if seen.failure is None and settings.method == "eos" and point is not None:
            return _with_curve(bench, name, cell, meshed, total, [*points, point])
        if seen.failure not in (PwFailure.RESIDUAL_STRESS, PwFailure.MOMENT_VANISHED) or point is None:
            return total
        points.append(point)
        settled = _through_the_noise(points, settings)
        if settled is not None and _is_there(settled, point) and seen.failure is PwFailure.RESIDUAL_STRESS:
            found = replace(total, failure=None, detail=_as_good_as_the_noise(settled, point))
            return found if settings.method != "eos" else _with_curve(bench, name, cell, meshed, found, points)
        cell = cell.copy()
        pressures = [(at.volume_ang3, at.pressure_kbar) for at in points]
        cell.scale_lattice(settled.volume_ang3 if settled is not None else next_volume_ang3(pressures, len(cell)))
        if seen.failure is PwFailure.MOMENT_VANISHED:
            return replace(total, last_structure=cell)  # the next attempt, without spin, need not repeat this volume
        refusal = preflight(cell)
        if refusal is not None:
            return replace(total, failure=refusal[0], detail=f"under {point.pressure_kbar:.0f} kbar: {refusal[1]}")
    return replace(total, failure=PwFailure.NSTEP)


def _through_the_noise(points: list[Point], settings: PwSettings) -> Settled | None:
    """Where the jumps of the pressure are larger than its threshold, which can then be met by chance alone."""
    of_this_mesh = [(at.volume_ang3, at.pressure_kbar) for at in points if at.mesh == points[-1].mesh]
    settled = through_the_noise(of_this_mesh)
    return settled if settled is not None and settled.noise_kbar > settings.press_conv_thr_kbar else None


def _is_there(settled: Settled, point: Point) -> bool:
    return settled.error <= CLOSE and abs(point.volume_ang3 / settled.volume_ang3 - 1) <= CLOSE


def _as_good_as_the_noise(settled: Settled, point: Point) -> str:
    return (
        f"converged; P {point.pressure_kbar:.2f} kbar, no larger than its jumps of {settled.noise_kbar:.1f} kbar from volume "
        f"to volume: the mean of them has none here, to {100 * settled.error / 3:.3f} % of the edge"
    )


def _with_curve(
    bench: Bench, name: str, cell: Structure, settings: PwSettings, found: Seen, points: list[Point]
) -> Seen:
    """The relaxation that was found, with the equation of state round it: further SCFs, each in `eos-<k>`.

    A volume that cannot be computed is left out, and without enough of them the relaxation stands without a curve.
    """
    centre, failed = cell.volume, list[float]()
    near = [at for at in in_window(points, centre) if at.mesh == settings.k_mesh]
    while (volume := next_volume(near, centre, len(cell), failed)) is not None:
        other = cell.copy()
        other.scale_lattice(volume)
        seen = look(bench, f"{name}/eos-{len(near) + len(failed) + 1}", other, settings, "scf")
        found = replace(found, cpu_s=found.cpu_s + seen.cpu_s, wall_s=found.wall_s + seen.wall_s)
        point = _point(other, seen, settings) if seen.failure in (None, PwFailure.RESIDUAL_STRESS) else None
        if point is None:
            failed.append(volume)
        else:
            near.append(point)
    try:
        equation = fit(near, len(cell))
    except PoorFit as error:
        return replace(found, detail=f"{found.detail}; no equation of state: {error}")
    what = f"B {equation.bulk_modulus_gpa:.1f} GPa from {equation.points} volumes"
    return replace(found, equation=equation, detail=f"{found.detail}; {what}, rms {equation.rms_mev_per_atom:.3f} meV")


def _mesh(cell: Structure, settings: PwSettings, points: list[Point]) -> Mesh | None:
    """The k mesh of this cell, or that of the last volume after a small step.

    Where the mesh changes with the volume the pressure jumps, and a zero between its two branches is never found.
    """
    if settings.gamma_only or settings.k_mesh is not None:
        return settings.k_mesh
    if points and abs(cell.volume / points[-1].volume_ang3 - 1) < _SMALL_STEP:
        return points[-1].mesh
    return k_mesh(cell, settings.kspacing_inv_ang)


def _as_on_the_mesh_of(point: Point, earlier: list[Point]) -> list[Point]:
    """Earlier points but the last, which is of the same volume on another mesh: pressures differ by as much as theirs do."""
    offset = point.pressure_kbar - earlier[-1].pressure_kbar
    return [replace(at, pressure_kbar=at.pressure_kbar + offset) for at in earlier[:-1]]


def _point(cell: Structure, seen: Seen, settings: PwSettings) -> Point | None:
    last = None if seen.output is None else seen.output.last
    if last is None or last.pressure_kbar is None:
        return None
    return Point(cell.volume, last.free_energy_ev, last.pressure_kbar, settings.k_mesh)


CONTACT = 0.94
"""Distance of the closest atoms over the sum of their covalent radii. With it the edges of 721 stable cubic compounds
(AB, ABX3, Heuslers; Materials Project, PBE) come out 1 % long in the median, 90 % of them between -10 and +9 %. Sums of
the elements' own volumes give 4 % in the median and know nothing of ions or gases."""

B_PRIME = 4.5
"""Pressure derivative of the bulk modulus; 3.5 to 5.5 for nearly all solids. Murnaghan (1944): with it, P is linear in
V**-B_PRIME, so that two points give the third nearly exactly."""
_NEAR = 0.01  # of ln V: jumps are told from the curve
_FAR = 0.12  # of ln V: the bulk modulus is as good as constant
_ENOUGH = 4  # volumes that an error can be taken from
_FLAT_ANG3 = 1e-3
_LARGEST = 0.18  # of ln V, in one step


def scaled_by_radii(structure: Structure) -> Structure:
    """The crystal with the volume at which its closest atoms touch, whatever its own volume is.

    Raises:
        ValueError: two atoms coincide, none are within 15 angstrom of each other, or the cell has no volume.
    """
    flat = not np.isfinite(structure.lattice.matrix).all() or structure.volume < _FLAT_ANG3
    pair = None if flat else closest_pair(structure, reach_ang=15.0)
    if pair is None or pair[3] <= 0:
        raise ValueError("no volume follows from these positions: atoms coincide or stand alone, or the cell is flat")
    scaled = structure.copy()
    scaled.scale_lattice(structure.volume * (CONTACT / pair[3]) ** 3)
    return scaled


def next_volume_ang3(points: Sequence[tuple[float, float]], atoms: int) -> float:
    """The next volume to compute, from volumes and pressures seen so far.

    Args:
        points: (volume of the cell in cubic angstrom, pressure in kbar) in order of computation, at least one.
        atoms: in that cell; decides the guess of the bulk modulus for the first step.

    Returns:
        A volume on the side to which the last pressure pushes, at most 18 % away.
    """
    volume, pressure = points[-1]
    slope = _murnaghan_slope(points) or B_PRIME / _guessed_bulk_modulus_kbar(volume / atoms)
    # x = (V / V_now)**-B_PRIME is 1 now; P is linear in x and slope is d(x)/dP.
    x = 1 - pressure * slope
    step = -math.log(x) / B_PRIME if x > 0 else math.inf
    if step * pressure < 0:
        step = -step
    return volume * math.exp(math.copysign(min(abs(step), _LARGEST), pressure))


def _murnaghan_slope(points: Sequence[tuple[float, float]]) -> float | None:
    """From the last two points; None with one, or where the pressure rises with the volume (past the spinodal)."""
    if len(points) < 2:
        return None
    (volume_0, pressure_0), (volume_1, pressure_1) = points[-2:]
    x_0 = (volume_0 / volume_1) ** -B_PRIME
    if pressure_0 == pressure_1:
        return None
    slope = (1 - x_0) / (pressure_1 - pressure_0)
    return slope if slope > 0 else None


def _guessed_bulk_modulus_kbar(volume_per_atom_ang3: float) -> float:
    """110 Mbar angstrom^6 / v^2: within a factor of 2.5 for Li, Na, Al, LiF, NaCl, MgO, LiMgF3 and diamond."""
    return min(1.1e5 / volume_per_atom_ang3**2, 4000.0)


@dataclass(frozen=True)
class Settled:
    """Where the pressure vanishes by all volumes near there, each with an error of its own."""

    volume_ang3: float
    error: float  # standard error of the volume, as a share of it
    noise_kbar: float  # standard deviation of one pressure from the common curve


def through_the_noise(points: Sequence[tuple[float, float]]) -> Settled | None:
    """The mean of what each volume near the last one says of the place where the pressure vanishes.

    At a fixed cutoff the plane waves change in steps with the volume, and the pressure of a transition metal jumps by some
    kbar from one volume to the next: two of them give no direction, but many give a mean. The slope is that of all volumes.

    Args:
        points: (volume of the cell in cubic angstrom, pressure in kbar) in order of computation, on one k mesh.

    Returns:
        None with less than four volumes within 1 % of the last one, or where the pressure does not fall with the volume.
    """
    if not points:
        return None
    log_volume, pressure = np.log([at[0] for at in points]), np.array([at[1] for at in points])
    away = np.abs(log_volume - log_volume[-1])
    near, usable = away < _NEAR, away < _FAR
    if near.sum() < _ENOUGH:
        return None
    bulk_modulus = -np.polyfit(log_volume[usable], pressure[usable], 1)[0]
    if bulk_modulus <= 0:
        return None
    zeros = log_volume[near] + pressure[near] / bulk_modulus
    spread = float(zeros.std(ddof=1))
    return Settled(math.exp(zeros.mean()), spread / math.sqrt(len(zeros)), spread * float(bulk_modulus))
