"""Which volume to compute: the one that radii suggest, then where the pressure will vanish. Pure.

Rock salt, CsCl, zincblende, cubic perovskites and Heuslers have no other freedom. Three single SCFs, each with its own
plane waves, then do what a vc-relax needs five for, and none of its ways to fail exists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core.structure import Structure

from crystalloop.dft.preflight import closest_pair

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
