"""The gap between filled and empty states of a calculation, counted by its electrons. Pure; what pw.x printed is in dft.pw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from crystalloop.dft.pw.output import Array, Bands

WHOLE = 0.05
"""Electrons by which the count of a spin may miss a whole number; beyond it states are partly filled: a metal."""
SAME_EV = 1e-3
Method = Literal["scf", "nscf"]


@dataclass(frozen=True)
class BandGap:
    """Between the highest filled and the lowest empty state of all k points that were computed: an upper bound.

    Of Kohn and Sham's states, so that PBE's is half to two thirds of what is measured.
    """

    gap_ev: float  # 0 for a metal
    direct_ev: float  # the least within one k point
    k_points: int  # after symmetry
    method: Method  # scf: on the mesh of the relaxation; nscf: on a denser one, at the density of the other

    @property
    def kind(self) -> str:
        """metal, direct or indirect."""
        if self.gap_ev == 0:
            return "metal"
        return "direct" if self.direct_ev - self.gap_ev < SAME_EV else "indirect"


def band_gap(bands: Bands, method: Method = "scf") -> BandGap | None:
    """The gap of a calculation; None where no empty state was computed.

    With smearing no state is quite filled or empty, so the electrons are counted: half of them per spin, or as the
    magnetisation tells. Where a spin has no whole number of them, or filled states lie above empty ones elsewhere, the gap
    is 0.
    """
    k_points, channels, states = bands.energies_ev.shape
    share = (
        [bands.electrons / 2] if channels == 1 else [(bands.electrons + s * bands.magnetization) / 2 for s in (1, -1)]
    )
    if any(abs(count - round(count)) > WHOLE for count in share):
        return BandGap(0.0, 0.0, k_points, method)
    filled = [min(states, max(0, round(count))) for count in share]
    highest = np.array([_edge(bands.energies_ev[:, s, :n], -1) for s, n in enumerate(filled)])  # [spin, k]
    lowest = np.array([_edge(bands.energies_ev[:, s, n:], 0) for s, n in enumerate(filled)])
    gap = float(lowest.min() - highest.max())
    if not np.isfinite(gap):
        return None
    return BandGap(
        max(0.0, gap),
        max(0.0, float((lowest.min(axis=0) - highest.max(axis=0)).min())) if gap > 0 else 0.0,
        k_points,
        method,
    )


def _edge(states_ev: Array, which: Literal[0, -1]) -> Array:
    """Per k point the highest or the lowest of the states; infinitely low or high where there are none."""
    if states_ev.shape[1] == 0:
        return np.full(len(states_ev), -np.inf if which == -1 else np.inf)
    return np.asarray(states_ev.max(axis=1) if which == -1 else states_ev.min(axis=1))
