"""Drift alarms: martingales that grow where errors stop being like those before, or intervals stop covering. Folds over arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.surrogate.base import Values
from crystalloop.models.surrogate.chances.conformal import MISSED

ALARM = 100.0
"""Capital at which the alarm goes off: in one of a hundred series without drift at most (Ville's inequality)."""
NOTICE = 20.0
"""Capital that is worth a word: in one of twenty series without drift at most."""
BETS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
"""Slopes of the bets on a p-value, 1 + slope (p - 1/2)."""
JUMP = 0.02
"""Share of the capital that moves to other slopes at each step."""
STAKES = np.array([0.0, 1.0, 3.0, 6.0, 10.0])
"""Stakes on the share of misses."""
TIES = 2021
"""Of the ties' random order: the same series gives the same capital."""


@dataclass(frozen=True)
class Drift:
    """How the capital of a gambler went who bets that forecasts are not what they promise to be.

    Attributes:
        capital: [n], after each outcome, or round of them; starts at 1.
    """

    @property
    def last(self) -> float:
        """The capital now; 1 before the first outcome."""
        return float(self.capital[-1]) if len(self.capital) else 1.0

    capital: Values

    @property
    def highest(self) -> float:
        """The largest capital so far; 1 before the first outcome."""
        return float(self.capital.max(initial=1.0))

    def first_above(self, level: float = ALARM) -> int | None:
        """Index of the outcome, or round, with which the capital first reached a level; None where it never did."""
        above = np.flatnonzero(self.capital >= level)
        return int(above[0]) if len(above) else None


def drift(errors: Values) -> Drift:
    """Test the errors of forecasts, in order, for being exchangeable.

    Two gamblers share the capital: one bets on the rank of each signed error among those before (a shift of the errors),
    one on that of its size (error bars that stopped being true). Each is a simple jumper (Vovk et al., "Retrain or not
    retrain: conformal test martingales for change-point detection", COPA 2021, algorithm 1). The mean of two martingales
    is one.

    Args:
        errors: [n], (found - forecast) / error bar.
    """
    rng = np.random.default_rng(TIES)
    ties = rng.random(len(errors))
    signed, sized = (jumper(ranks(one, ties)) for one in (np.asarray(errors), np.abs(errors)))
    return Drift((signed + sized) / 2)


def uncovered(missed: NDArray[np.bool_], rounds: NDArray[np.int_], share: float = MISSED) -> Drift:
    """Test intervals, round by round, for missing no more values than they promise.

    A gambler stakes on the share that a round misses: a test supermartingale while that is the promised one at most on
    average, whatever happened in the rounds before, and however alike the crystals of one round are, so that it needs no
    exchangeability (Waudby-Smith and Ramdas, JRSS B 2024, section 4, with several stakes that share the capital as in
    `jumper`). A loop changes its errors by learning; this asks whether its intervals follow.

    Args:
        missed: [n], whether each value lay outside its interval.
        rounds: [n], ascending.
        share: that the intervals may miss.

    Returns:
        The capital after each of the rounds that there are.
    """
    missing = np.array([np.mean(missed[rounds == one]) for one in np.unique(rounds)], dtype=np.float64)
    return Drift(_capital(1 + STAKES * (missing[:, None] - share)))


def ranks(scores: Values, ties: Values) -> Values:
    """[n]: conformal p-value of each score among those up to itself; independent and uniform without drift.

    Args:
        scores: [n].
        ties: [n], uniform numbers that decide among equal scores.
    """
    made = np.empty(len(scores))
    for index, score in enumerate(scores):
        past = scores[: index + 1]
        made[index] = ((past < score).sum() + ties[index] * (past == score).sum()) / (index + 1)
    return made


def jumper(p_values: Values) -> Values:
    """[n]: capital of a simple jumper after each p-value."""
    return _capital(1 + BETS * (np.asarray(p_values)[:, None] - 0.5))


def _capital(gains: Values) -> Values:
    """[n]: of gamblers with one bet each, [n, bets] what a unit becomes, who even out a little before each step."""
    shares = np.full(gains.shape[1], 1 / gains.shape[1])
    capital = np.empty(len(gains))
    for index, gain in enumerate(gains):
        shares = ((1 - JUMP) * shares + JUMP * shares.mean()) * gain
        capital[index] = shares.sum()
    return capital
