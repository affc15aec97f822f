"""How alike crystals are, as arrays: composition, prototype, who sits where, formula. Nobody is chosen here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.formulas import Formula
from crystalloop.models.draw.proposal import Proposal

Codes = NDArray[np.int64]
"""Equal numbers for equal things, [p]."""
SAME_SHARE = 1e-6
"""Shares of atoms that differ by less are the same."""
PROTOTYPE = 0.5
"""Squared distance of two prototypes, in that of compositions: NaCl lies 1 from MgO, sqrt(1/2) from KCl."""
SITES = 0.02
"""Squared distance of two decorations of one prototype with one composition, such as BaTiO3 and TiBaO3."""
TWIN = 0.5
"""What an equal reduced formula adds to the likeness: its polymorphs are told apart once one of them is known."""


def elements_and_shares(proposals: Sequence[Proposal]) -> tuple[Codes, NDArray[np.float64]]:
    """Atomic numbers that occur, rising, [e], and the share of the atoms that each has, [p, e]."""
    sizes = np.array([len(one.crystal.numbers) for one in proposals], dtype=np.int64)
    if not len(sizes):
        return np.zeros(0, dtype=np.int64), np.zeros((0, 0))
    numbers = np.concatenate([one.crystal.numbers for one in proposals])
    occurs = np.bincount(numbers) > 0
    column, width = np.cumsum(occurs) - 1, int(occurs.sum())
    places = np.repeat(np.arange(len(sizes)), sizes) * width + column[numbers]
    counts = np.bincount(places, minlength=len(sizes) * width).reshape(len(sizes), width)
    return np.flatnonzero(occurs), counts / sizes[:, None]


def fractions(proposals: Sequence[Proposal]) -> NDArray[np.float64]:
    """Share of the atoms that each element has, [p, elements that occur]."""
    return elements_and_shares(proposals)[1]


def times_computed(proposals: Sequence[Proposal], computed: Mapping[Formula, int]) -> NDArray[np.float64]:
    """How often the reduced formula of each is among those computed, [p]."""
    elements, shares = elements_and_shares(proposals)
    times = np.zeros(len(proposals))
    for formula, count in computed.items():
        wanted, total = dict(formula), sum(amount for _, amount in formula)
        if set(wanted) <= set(elements.tolist()):
            row = np.array([wanted.get(int(z), 0) for z in elements]) / total
            times[(np.abs(shares - row) < SAME_SHARE).all(axis=1)] = count
    return times


def formula_codes(rows: NDArray[np.float64]) -> Codes:
    """A number for every reduced formula, of `fractions`."""
    return _codes(np.round(rows, 6)) if rows.size else np.zeros(len(rows), dtype=np.int64)


def site_codes(proposals: Sequence[Proposal]) -> Codes:
    """A number for every way in which elements follow each other through the cell, by x, y, z."""
    sizes = [len(one.crystal.numbers) for one in proposals]
    if not sizes:
        return np.zeros(0, dtype=np.int64)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    x, y, z = np.round(np.concatenate([one.crystal.frac_coords for one in proposals]), 2).T % 1.0
    order = np.lexsort((z, y, x, owner))
    numbers = np.concatenate([one.crystal.numbers for one in proposals])[order]
    words = np.split(numbers, np.cumsum(sizes)[:-1])
    return _numbered([word.tobytes() for word in words])


@dataclass(frozen=True)
class Likeness:
    """Of some proposals, each with each.

    Attributes:
        shares: see `fractions`, [p, e].
        prototypes, formulas, sites: codes of each, [p].
    """

    shares: NDArray[np.float64]
    prototypes: Codes
    formulas: Codes
    sites: Codes

    @classmethod
    def of(cls, proposals: Sequence[Proposal]) -> Likeness:
        """As given, whatever is predicted of them."""
        shares = fractions(proposals)
        kinds = _numbered([one.prototype or "" for one in proposals])
        return cls(shares, kinds, formula_codes(shares), site_codes(proposals))

    def distances(self, one: int) -> NDArray[np.float64]:
        """How far each lies from one of them, 0 to 1: Euclidean in composition and prototype, [p]."""
        away = np.square(self.shares - self.shares[one]).sum(axis=1)
        other_kind = self.prototypes != self.prototypes[one]
        moved = (self.sites != self.sites[one]) & ~other_kind & (self.formulas == self.formulas[one])
        made: NDArray[np.float64] = np.minimum(np.sqrt(away + PROTOTYPE * other_kind + SITES * moved), 1.0)
        return made

    def to(self, one: int) -> NDArray[np.float64]:
        """How alike each is to one of them: 1 less the distance, and TWIN more with its formula, [p]."""
        made: NDArray[np.float64] = 1.0 - self.distances(one) + TWIN * (self.formulas == self.formulas[one])
        return made


def _codes(rows: NDArray[np.float64]) -> Codes:
    return _numbered([row.tobytes() for row in np.ascontiguousarray(rows)])


def _numbered(words: Sequence[bytes] | Sequence[str]) -> Codes:
    first: dict[bytes | str, int] = {}
    return np.array([first.setdefault(word, len(first)) for word in words], dtype=np.int64)
