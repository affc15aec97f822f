"""The lowest energy that phases have together at a composition: one point of a convex hull, by the simplex method. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
LEAST_GAIN = 1e-11
"""eV/atom: a phase that would lower the mixture by less than this is on the hull already."""
_LEAST_SHARE = 1e-9
_MOST_STEPS, _BY_ORDER_AFTER = 10_000, 200


@dataclass(frozen=True)
class Decomposition:
    """The stable mixture at a composition.

    Attributes:
        energy_ev_per_atom: of formation; what a hull is at this composition.
        phases: rows of the compounds in it; -1 - i is element i.
        shares: of the atoms in each of them; they add up to 1.
    """

    energy_ev_per_atom: float
    phases: tuple[int, ...]
    shares: tuple[float, ...]


def lowest_mixture(fractions: Numbers, energies_ev: Numbers, wanted: Numbers) -> Decomposition:
    """The mixture of compounds and elements that has the lowest energy at a composition.

    A linear program with as many equations as elements: minimise the energy of shares that are not negative and add up to the
    wanted atoms. The elements themselves are where it starts, so that it always has an answer; after that, each step takes in
    the compound that gains most per atom (G. B. Dantzig, Linear Programming and Extensions, 1963), and by its order where
    steps gain nothing (R. G. Bland, Math. Oper. Res. 2, 103, 1977), which ends always.

    Args:
        fractions: [m, n] atomic fractions of n elements in m compounds.
        energies_ev: [m] energies of formation, eV/atom; those of the elements are 0.
        wanted: [n] atomic fractions, all positive.

    Raises:
        ArithmeticError: no end after thousands of steps, which numbers that are not finite cause.
    """
    n = len(wanted)
    columns = np.vstack([np.eye(n), fractions.reshape(-1, n)])
    costs = np.concatenate([np.zeros(n), energies_ev])
    basis = np.arange(n)
    for step in range(_MOST_STEPS):
        inverse = np.linalg.inv(columns[basis].T)
        shares = inverse @ wanted
        gains = columns @ (costs[basis] @ inverse) - costs
        gains[basis] = 0.0
        by_order = step > _BY_ORDER_AFTER
        entering = int(np.argmax(gains > LEAST_GAIN)) if by_order else int(np.argmax(gains))
        if not gains[entering] > LEAST_GAIN:
            return _mixture(basis, shares, costs, n)
        basis[_leaving(inverse @ columns[entering], shares, basis, by_order=by_order)] = entering
    raise ArithmeticError(f"no lowest mixture of {len(columns)} phases after {_MOST_STEPS} steps")


def _leaving(direction: Numbers, shares: Numbers, basis: NDArray[np.intp], *, by_order: bool) -> int:
    """Which phase is used up first as the entering one grows."""
    usable = direction > _LEAST_SHARE
    limits = np.full(len(shares), np.inf)
    limits[usable] = np.maximum(shares[usable], 0.0) / direction[usable]
    first = np.flatnonzero(limits <= limits.min() + 1e-14)
    return int(first[np.argmin(basis[first])] if by_order else first[np.argmax(direction[first])])


def _mixture(basis: NDArray[np.intp], shares: Numbers, costs: Numbers, n: int) -> Decomposition:
    order = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] > _LEAST_SHARE]
    phases = tuple(int(basis[i]) - n if basis[i] >= n else -1 - int(basis[i]) for i in order)
    return Decomposition(float(costs[basis] @ shares), phases, tuple(float(shares[i]) for i in order))
