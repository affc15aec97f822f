"""Deciles of the formation energy: the VAE's condition as a one-hot. What a decile's crystals look like is `conditioning`'s."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.channels import Floats

DECILES = 10


def decile_edges(e_f_ev: NDArray[np.floating]) -> tuple[float, ...]:
    """Inner edges of the deciles of the known formation energies; none for fewer than two of them."""
    known = e_f_ev[np.isfinite(e_f_ev)]
    if known.size < 2:
        return ()
    return tuple(float(edge) for edge in np.quantile(known, np.linspace(0, 1, DECILES + 1)[1:-1]))


def decile_one_hot(e_f_ev: NDArray[np.floating], edges: tuple[float, ...]) -> Floats:
    """One-hot of the decile of each formation energy, eV/atom: [b] -> [b, 10]; zeros where unknown."""
    one_hot = np.zeros((len(e_f_ev), DECILES), np.float32)
    if edges:
        known = np.flatnonzero(np.isfinite(e_f_ev))
        one_hot[known, np.searchsorted(edges, e_f_ev[known])] = 1.0
    return one_hot
