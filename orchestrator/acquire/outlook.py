"""What is expected of many proposals, as arrays, and what a target makes of it in closed form. Nobody is chosen here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import ABOVE_HULL, Range, Target

PerProposal = NDArray[np.float64]
"""One number of each proposal, [p]."""
Ends = tuple[float, float]
"""An interval, ends included; empty where the first is above the second."""
EMPTY: Ends = (inf, -inf)
ABSURD, SURE = 1e6, 1e-9
"""No property is larger, and no error bar is smaller, in any unit."""


@dataclass(frozen=True)
class Outlook:
    """A property of some proposals as independent normal distributions.

    Attributes:
        mean: [p], NaN where nothing is predicted.
        sigma: [p], 0 where unknown.
    """

    mean: PerProposal
    sigma: PerProposal

    @classmethod
    def of(cls, proposals: Sequence[Proposal], name: str) -> Outlook:
        """What is predicted of a property; what is no number, or absurdly far from all properties, is taken as unknown."""
        mean = np.array([one.value(name) for one in proposals], dtype=np.float64)  # None becomes NaN
        sigma = np.array([one.sigma_of(name) for one in proposals], dtype=np.float64)
        usable = np.isfinite(sigma) & (sigma > SURE)
        return cls(np.where(np.abs(mean) <= ABSURD, mean, np.nan), np.where(usable, np.minimum(sigma, ABSURD), 0.0))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which have a prediction, [p]."""
        return np.isfinite(self.mean)

    def chance(self, ends: Ends) -> PerProposal:
        """Probability that each lies in an interval, [p]; NaN where nothing is predicted."""
        low, high = ends
        if low > high:
            return np.where(self.known, 0.0, np.nan)
        inside = ((self.mean >= low) & (self.mean <= high)).astype(np.float64)
        below, upper = (ndtr(self._scores(end)) for end in (low, high))
        # 1 - (1 - Phi) loses the small numbers of the upper tail, which is the lower one mirrored.
        mirrored = ndtr(-self._scores(low)) - ndtr(-self._scores(high))
        spread = np.where(below > 0.5, mirrored, upper - below)
        return np.where(self.known, np.where(self.sigma > 0, spread, inside), np.nan)

    def mean_of(self, line: Ends, within: Ends) -> PerProposal:
        """Expectation of a + b v over the part of each distribution that lies in an interval, [p]; sigma > 0 alone.

        With z = (v - mean) / sigma it is (a + b mean) (Phi(z2) - Phi(z1)) - b sigma (phi(z2) - phi(z1)).
        """
        (start, slope), (low, high) = line, within
        part = self.chance(within)
        change = _density(self._scores(high)) - _density(self._scores(low))
        return (start + slope * self.mean) * part - slope * self.sigma * change

    def _scores(self, end: float) -> PerProposal:
        """How many standard deviations an end lies above the mean; an endless one does so everywhere, [p]."""
        safe = np.where(self.sigma > 0, self.sigma, 1.0)
        return np.where(self.known, (end - self.mean) / safe, np.nan)


def _density(z: PerProposal) -> PerProposal:
    made: PerProposal = np.exp(-0.5 * np.minimum(z * z, 1e4)) / np.sqrt(2 * np.pi)
    return made


@dataclass(frozen=True)
class Merit:
    """A target's merit as what it is: straight lines between the ends of its range and its floor.

    Attributes:
        target: whose merit.
    """

    target: Target

    @cached_property
    def knots(self) -> tuple[float, ...]:
        """Values where the merit bends, rising; at least one."""
        ends = {end for end in (self.target.minimum, self.target.maximum) if end is not None}
        return tuple(sorted(ends | ({0.0} if self.target.property == ABOVE_HULL or not ends else set())))

    @cached_property
    def lines(self) -> tuple[tuple[Ends, Ends], ...]:
        """(interval, (a, b)) of every piece, in order: the merit there is a + b v."""
        knots, merit = self.knots, self.target.merit
        made = []
        for low, high in pairwise((-inf, *knots, inf)):
            first = low if isfinite(low) else high - 1.0
            last = high if isfinite(high) else first + 1.0
            slope = (merit(last) - merit(first)) / (last - first)
            made.append(((low, high), (merit(first) - slope * first, slope)))
        return tuple(made)

    @cached_property
    def top(self) -> float:
        """No value has more merit; inf where more is always better."""
        (_, (_, rising)), (_, (_, falling)) = self.lines[0], self.lines[-1]
        return inf if rising < 0 or falling > 0 else max(map(self.target.merit, self.knots))

    @cached_property
    def best_value(self) -> float:
        """The value to be hoped for: the middle of those with the most merit; -inf or inf where they have no end."""
        if isfinite(self.top):
            low, high = self.at_least(self.top)
            return (low + high) / 2 if isfinite(low) or isfinite(high) else low
        return -inf if self.lines[0][1][1] < 0 else inf

    def of(self, values: PerProposal) -> PerProposal:
        """The merit of values of any shape; NaN for NaN."""
        made = np.full(np.shape(values), np.nan)
        for (low, high), (start, slope) in self.lines:
            made = np.where((values >= low) & (values <= high), start + slope * values, made)
        return made

    def at_least(self, least: float) -> Ends:
        """The values with at least this merit: one interval, since a merit has one top."""
        reached = least - 1e-12 * max(1.0, abs(least))
        parts = [_above(piece, line, least) for piece, line in self.lines]
        found = [part for part in parts if part[0] <= part[1]]
        found += [(knot, knot) for knot in self.knots if self.target.merit(knot) >= reached]
        return (min(low for low, _ in found), max(high for _, high in found)) if found else EMPTY

    def expected(self, outlook: Outlook) -> PerProposal:
        """The expectation of the merit, [p]; NaN where nothing is predicted."""
        return self._expected(outlook, self.lines, self.of(outlook.mean))

    def gain(self, outlook: Outlook, best: float) -> PerProposal:
        """The expectation of how far the merit lies above `best`, where it does, [p]; NaN where nothing is predicted."""
        kept = [(_above(piece, line, best), (line[0] - best, line[1])) for piece, line in self.lines]
        sure = np.maximum(self.of(outlook.mean) - best, 0.0)
        pieces = [one for one in kept if one[0][0] < one[0][1]]
        return np.maximum(self._expected(outlook, pieces, sure), 0.0)

    @staticmethod
    def _expected(outlook: Outlook, pieces: Sequence[tuple[Ends, Ends]], sure: PerProposal) -> PerProposal:
        parts = sum((outlook.mean_of(line, piece) for piece, line in pieces), np.zeros(len(outlook.mean)))
        made: PerProposal = np.where(outlook.known, np.where(outlook.sigma > 0, parts, sure), np.nan)
        return made


def _above(piece: Ends, line: Ends, least: float) -> Ends:
    """The part of a piece where its line is at least so high."""
    (low, high), (start, slope) = piece, line
    if slope == 0:
        return piece if start >= least else EMPTY
    cut = (least - start) / slope
    return (max(low, cut), high) if slope > 0 else (low, min(high, cut))


def ends_of(wanted: Range) -> Ends:
    """The values that lie in a range; below its lower end, too, where the property has a floor there."""
    return -inf if wanted.distance(np.array(-1e9)) == 0 else wanted.low, wanted.high


def others(proposals: Sequence[Proposal], target: Target) -> Iterator[tuple[PerProposal, PerProposal]]:
    """Of each other wanted range: the probability that it holds, how far outside the prediction lies.

    A prediction that is missing counts neither for nor against a proposal, as in Target.others_distance.
    """
    for wanted in target.also:
        outlook = Outlook.of(proposals, wanted.property)
        held = np.where(outlook.known, outlook.chance(ends_of(wanted)), 1.0)
        yield held, np.where(outlook.known, wanted.distance(np.nan_to_num(outlook.mean)), 0.0)


def others_hold(proposals: Sequence[Proposal], target: Target) -> PerProposal:
    """Probability that all other wanted ranges hold, taken as independent, [p]."""
    made: PerProposal = np.prod([np.ones(len(proposals)), *(held for held, _ in others(proposals, target))], axis=0)
    return made


def others_off(proposals: Sequence[Proposal], target: Target) -> PerProposal:
    """How far the predictions lie outside the other wanted ranges, summed, [p]."""
    made: PerProposal = np.sum([np.zeros(len(proposals)), *(off for _, off in others(proposals, target))], axis=0)
    return made
