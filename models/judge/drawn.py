"""What came of drawn latents: validity, predicted energies, distinct structures. Rows are made in `generation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.contacts import is_valid_paper, is_valid_strict
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.draw.proposal import Proposal

EnergyOf = Callable[[Sequence[Crystal]], NDArray[np.float64]]
"""Predicted formation energy of crystals, eV/atom, [b]."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What came of some draws.

    Attributes:
        proposals: one for each draw, None for a failure.
        requested: decile 0 to 9 of each draw, -1 without a condition, [d].
        e_f_ev: predicted formation energy, NaN for failures and without a CGCNN, [d].
        window_ang3: volumes per atom that are valid in the strict sense.
        has_energies: whether there is a CGCNN that predicts them.
    """

    proposals: tuple[Proposal | None, ...]
    requested: NDArray[np.int64]
    e_f_ev: NDArray[np.float64]
    window_ang3: tuple[float, float]
    has_energies: bool

    @property
    def failures(self) -> int:
        """Draws that gave no crystal."""
        return sum(proposal is None for proposal in self.proposals)

    @cached_property
    def read(self) -> NDArray[np.bool_]:
        """Draws that gave a crystal, [d]."""
        return np.array([proposal is not None for proposal in self.proposals], dtype=np.bool_)

    @cached_property
    def valid_seed(self) -> NDArray[np.bool_]:
        """The paper's validity, of the structure as read, [d]."""
        return np.array([p is not None and is_valid_paper(p.raw) for p in self.proposals], dtype=np.bool_)

    @cached_property
    def valid_strict(self) -> NDArray[np.bool_]:
        """Ours, of the symmetrised structure, [d]."""
        return np.array(
            [p is not None and is_valid_strict(p.crystal, self.window_ang3) for p in self.proposals], dtype=np.bool_
        )

    def crystals(self, where: NDArray[np.bool_]) -> list[Crystal]:
        """The symmetrised structures of some draws."""
        return [p.crystal for p, kept in zip(self.proposals, where, strict=True) if kept and p is not None]


def drawn_from(
    proposals: Sequence[Proposal | None],
    condition: NDArray[np.floating],
    energy: EnergyOf | None,
    window_ang3: tuple[float, float],
) -> Drawn:
    """Proposals with their predicted energies.

    Args:
        proposals: one for each draw.
        condition: one-hot deciles, [d, 10].
        energy: the CGCNN; None leaves energies unknown.
        window_ang3: volumes per atom that real crystals have, see `volume_window_ang3`.
    """
    e_f = np.full(len(proposals), np.nan)
    made = [i for i, proposal in enumerate(proposals) if proposal is not None]
    if energy is not None and made:
        e_f[made] = energy([p.crystal for p in proposals if p is not None])
    requested = np.where(condition.any(axis=1), condition.argmax(axis=1), -1)
    return Drawn(tuple(proposals), requested, e_f, window_ang3, energy is not None)


def distinct_structures(crystals: Sequence[Crystal]) -> int:
    """How many of the crystals differ in structure."""
    seen = KnownCrystals()
    return sum(seen.takes(crystal) for crystal in crystals)
