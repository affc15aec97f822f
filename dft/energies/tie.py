"""A shift per element that ties a reference's formation energies to pw.x's own, from compounds that both have. Pure numbers.

A reference names a formula, not a structure: own compounds that lie far from it after the fit are other structures of that
formula (B2 beside B1), and do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from crystalloop.dft.energies.mixture import Numbers
from crystalloop.dft.energies.reference_hull import FormationEntry, Key, composition_key, fractions_of

PRIOR_EV = 0.1
"""Standard deviation that a shift per element has before anything is compared, eV/atom."""
SCATTER_EV, SCATTER_WEIGHT = 0.03, 2
"""What a shift is expected to leave, eV/atom, and how many common compounds that expectation is worth: pw.x finds 13 plain PBE
energies of the Materials Project within .016 eV/atom on average, .048 at most (docs/science/dft.md)."""
ABOVE_EV, BELOW_EV = 0.06, 0.1
"""Own energies that lie further above what the other common compounds make of the reference, or further below it after the fit,
are of another structure, eV/atom. Above is the usual case and is judged without the compound itself: own crystals are of a few
prototypes, and references of what is most stable."""


@dataclass(frozen=True)
class Tie:
    """What is added to a reference's formation energies to have them on the own scale.

    Attributes:
        shift_ev: element -> eV per atom of it; elements that no common compound has have 0.
        common: compounds that it was fitted on.
        left_out: common formulas that were found to be other structures.
        scatter_ev: what the fit leaves, eV/atom, standard deviation.
    """

    shift_ev: Mapping[str, float]
    common: int
    left_out: int
    scatter_ev: float
    _elements: tuple[str, ...]
    _covariance: Numbers

    def shift_error_ev(self, element: str) -> float:
        """Standard error of an element's shift, eV per atom of it; the prior's where no common compound has it."""
        if element not in self._elements:
            return PRIOR_EV
        return sqrt(float(np.diag(self._covariance)[self._elements.index(element)]))

    def error_ev_per_atom(self, formula: str) -> float:
        """Standard error of a reference energy on the own scale: of the shift, and of what no shift explains.

        Raises:
            ValueError: a formula that cannot be read.
        """
        key = composition_key(formula)
        known = np.array(fractions_of(key, self._elements))
        unknown = [share for symbol, share in _shares(key).items() if symbol not in self._elements]
        variance = known @ self._covariance @ known + PRIOR_EV**2 * sum(share**2 for share in unknown)
        return sqrt(float(variance) + self.scatter_ev**2)


def fit_tie(own: Iterable[FormationEntry], reference: Callable[[Key], float | None]) -> Tie:
    """Fit the shift on every composition that both have, the lowest own energy of each.

    Ridge regression with a prior of PRIOR_EV for each shift, which is Bayes' linear regression (C. M. Bishop, Pattern
    Recognition and Machine Learning, 2006, section 3.3): elements in few common compounds keep a shift near 0 and a wide error.

    Args:
        own: computed here; elements and imported energies among them are left out.
        reference: composition -> its energy of formation there, eV/atom; None where it has none.
    """
    lowest: dict[Key, float] = {}
    for entry in own:
        key = composition_key(entry.formula)
        if len(key) > 1 and not entry.imported:
            lowest[key] = min(entry.energy_ev_per_atom, lowest.get(key, np.inf))
    listed = {key: found for key in sorted(lowest, key=str) if (found := reference(key)) is not None}
    keys = list(listed)
    elements = tuple(sorted({symbol for key in keys for symbol, _ in key}))
    fractions = np.array([fractions_of(key, elements) for key in keys]).reshape(len(keys), len(elements))
    apart_ev = np.array([lowest[key] - listed[key] for key in keys])
    kept = np.ones(len(keys), dtype=bool)
    while True:
        shifts_ev, covariance, scatter_ev = _fit(fractions[kept], apart_ev[kept])
        left_ev = apart_ev - fractions @ shifts_ev
        leverage = np.einsum("pe,ef,pf->p", fractions, covariance, fractions) / scatter_ev**2
        without_it_ev = left_ev / np.maximum(1.0 - leverage, 1e-3)
        excess = np.where(kept, np.maximum(without_it_ev / ABOVE_EV, -left_ev / BELOW_EV), 0.0)
        if not kept.any() or excess.max() <= 1:
            break
        kept[int(np.argmax(excess))] = False  # the worst alone: it may be what makes others look bad
    shift_ev = dict(zip(elements, shifts_ev.tolist(), strict=True))
    return Tie(shift_ev, int(kept.sum()), int((~kept).sum()), scatter_ev, elements, covariance)


def _fit(fractions: Numbers, apart_ev: Numbers) -> tuple[Numbers, Numbers, float]:
    """Shifts, their covariance, and the scatter that is left, which sets the weight of the prior: two rounds settle it."""
    scatter_ev = SCATTER_EV
    for _ in range(3):
        precision = fractions.T @ fractions / scatter_ev**2 + np.eye(fractions.shape[1]) / PRIOR_EV**2
        covariance: Numbers = np.linalg.inv(precision).astype(np.float64)
        shifts_ev = covariance @ fractions.T @ apart_ev / scatter_ev**2
        used = float(np.einsum("pe,ef,pf->", fractions, covariance, fractions)) / scatter_ev**2
        left = float(np.sum((apart_ev - fractions @ shifts_ev) ** 2))
        free = max(0.0, len(apart_ev) - used)
        scatter_ev = sqrt((left + SCATTER_WEIGHT * SCATTER_EV**2) / (free + SCATTER_WEIGHT))
    return shifts_ev, covariance, scatter_ev


def _shares(key: Key) -> dict[str, float]:
    atoms = sum(amount for _, amount in key)
    return {symbol: amount / atoms for symbol, amount in key}
