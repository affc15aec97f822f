"""The equation of state of a crystal with only its volume free: which volumes to compute, the fit, its quality. Pure.

Birch-Murnaghan of third order (Birch, Phys. Rev. 71, 809, 1947) is a cubic polynomial in x = V**(-2/3), so the fit is a
linear least-squares problem without starting values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalloop.dft.recipe.units import GPA_PER_EV_ANG3

WINDOW = (0.94, 0.97, 1.0, 1.03, 1.06)
"""Volumes wanted, over the volume at no pressure: 2 % to each side in the edge."""
WIDER = (0.91, 1.09)
"""Added where the fit of five is poor."""
SAME = 0.016
"""A computed volume serves in place of a wanted one that is no further away (of the volume at no pressure)."""
POOR_MEV_PER_ATOM = 0.5
FEWEST_POINTS = 5


@dataclass(frozen=True)
class Point:
    """One SCF on the curve."""

    volume_ang3: float
    free_energy_ev: float  # F, of the same cell: its derivative is the pressure that pw.x gives, that of E0 is not
    pressure_kbar: float
    mesh: tuple[int, int, int] | None = None  # of k points


@dataclass(frozen=True)
class EquationOfState:
    """A Birch-Murnaghan curve through energies."""

    volume_per_atom_ang3: float  # at the minimum of the energy at constant cutoff
    bulk_modulus_gpa: float
    bulk_modulus_prime: float  # its derivative by pressure
    rms_mev_per_atom: float  # of the energies from the curve
    points: int


class PoorFit(ValueError):
    """The points do not lie on an equation of state with a minimum among them."""


def fit(points: Sequence[Point], atoms: int) -> EquationOfState:
    """Least squares of the energies.

    Args:
        points: five or more, of one k mesh and cutoff.
        atoms: in the cell.

    Raises:
        PoorFit: fewer points than five, or no minimum between the outermost of them.
    """
    if len(points) < FEWEST_POINTS:
        raise PoorFit(f"{len(points)} volumes were computed, an equation of state needs {FEWEST_POINTS}")
    volumes = np.array([point.volume_ang3 for point in points]) / atoms
    energies = np.array([point.free_energy_ev for point in points]) / atoms
    curve = np.polynomial.Polynomial.fit(volumes ** (-2 / 3), energies, 3)
    at = _minimum(curve, volumes)
    volume = at ** (-3 / 2)
    second, third = curve.deriv(2)(at), curve.deriv(3)(at)
    # By the chain rule with x = V**(-2/3), at a place where dE/dx vanishes.
    first_x, second_x = -2 / 3 * volume ** (-5 / 3), 10 / 9 * volume ** (-8 / 3)
    d2e, d3e = second * first_x**2, third * first_x**3 + 3 * second * first_x * second_x
    return EquationOfState(
        volume_per_atom_ang3=float(volume),
        bulk_modulus_gpa=float(volume * d2e * GPA_PER_EV_ANG3),
        bulk_modulus_prime=float(-volume * d3e / d2e - 1),
        rms_mev_per_atom=float(1000 * np.sqrt(np.mean((curve(volumes ** (-2 / 3)) - energies) ** 2))),
        points=len(points),
    )


def _minimum(curve: np.polynomial.Polynomial, volumes: np.ndarray) -> float:
    found = [
        float(root.real)
        for root in np.atleast_1d(curve.deriv().roots())
        if abs(root.imag) < 1e-12 and curve.deriv(2)(root.real) > 0
    ]
    inside = [x for x in found if x > 0 and volumes.min() <= x ** (-3 / 2) <= volumes.max()]
    if not inside:
        low, high = volumes.min(), volumes.max()
        raise PoorFit(f"the energy has no minimum between {low:.2f} and {high:.2f} cubic angstrom per atom")
    return inside[0]


def next_volume(
    points: Sequence[Point], centre_ang3: float, atoms: int, failed_ang3: Sequence[float] = ()
) -> float | None:
    """The next volume that the curve needs; None when it has enough.

    Args:
        points: computed so far, of the same k mesh.
        centre_ang3: volume of the cell at no pressure; the window lies round it.
        atoms: in the cell.
        failed_ang3: volumes without a result, not to be tried again.
    """
    tried = [*(point.volume_ang3 for point in points), *failed_ang3]
    missing = _not_among(tried, WINDOW, centre_ang3)
    if not missing and _is_poor(points, atoms):
        missing = _not_among(tried, WIDER, centre_ang3)
    return missing[0] if missing else None


def in_window(points: Sequence[Point], centre_ang3: float) -> tuple[Point, ...]:
    """The points near enough to the centre to be described by three parameters, in order of volume."""
    low, high = WIDER[0] - SAME, WIDER[1] + SAME
    near = [point for point in points if low <= point.volume_ang3 / centre_ang3 <= high]
    return tuple(sorted(near, key=lambda point: point.volume_ang3))


def _not_among(tried_ang3: Sequence[float], wanted: Sequence[float], centre_ang3: float) -> list[float]:
    have = [volume / centre_ang3 for volume in tried_ang3]
    return [share * centre_ang3 for share in wanted if all(abs(other - share) > SAME for other in have)]


def _is_poor(points: Sequence[Point], atoms: int) -> bool:
    try:
        return fit(points, atoms).rms_mev_per_atom > POOR_MEV_PER_ATOM
    except PoorFit:
        return True
