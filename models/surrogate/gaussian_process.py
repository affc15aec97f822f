"""The surrogate of a Gaussian process (Rasmussen and Williams, 2006): the best of few and smooth labels, with an honest error bar.

Its kernel is a sum over blocks of features (composition, sites, charges), each linear and at three lengths: what counts as
alike differs from block to block, and from one set of labels to another. How much each term counts, and the noise, is what
the labels make likely (ibid., section 5.4.1) under a prior that no term is everything. scikit-learn's kernels see every
column at once, and find such weights by a search that takes a minute for five hundred labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from crystalloop.models.surrogate.base import FeatureRows, Labelled, Prediction, Values
from crystalloop.models.surrogate.growth import settled
from crystalloop.models.surrogate.labels import checked

LENGTHS = (0.5, 1.0, 2.0)
"""Lengths of the Gaussian terms of a block, each half the next, in the root mean square distance of two crystals."""
NOISE = 0.05
"""Share of the variance that no feature explains, before any label."""
WIDTHS = (2.0, 1.5)
"""Standard deviations of the logarithms of a term's weight, and of the noise, before any label."""
ITERATIONS = 20
MOST = 1_500
"""Labels that a process is fitted to: its cost grows with their cube. Of more, so many are drawn."""
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class GaussianProcess:
    """See models.surrogate.base.Surrogate.

    Attributes:
        blocks: numbers of columns of each block, from the first column on; further columns are not looked at. Empty for
            all columns in one.
    """

    blocks: tuple[int, ...] = ()
    _found: dict[tuple[int, float, float, int], Weights] = field(default_factory=dict, repr=False, compare=False)

    def fit(self, labelled: Labelled, seed: int) -> FittedProcess:
        """See Surrogate."""
        known = checked(labelled)
        if len(known) > MOST:
            known = known.part(np.sort(np.random.default_rng(seed).choice(len(known), MOST, replace=False)))
        others = known.unlabelled
        blocks = Blocks.of(known.rows if others is None else np.concatenate([known.rows, others]), self.blocks)
        zero, spread = float(known.values.mean()), max(float(known.values.std()), 1e-9)
        scaled, targets = blocks.scaled(known.rows), (known.values - zero) / spread
        terms = kernel_terms(scaled, scaled)
        weights = self._weights(terms, targets, seed)
        covariance = np.einsum("t,tij->ij", weights[:-1], terms) + weights[-1] * np.eye(len(targets))
        factor = np.linalg.cholesky(covariance + 1e-8 * np.eye(len(targets)))
        solved = cho_solve((factor, True), targets)
        return FittedProcess(blocks, scaled, weights, factor, solved, zero, spread)

    def _weights(self, terms: NDArray[np.float64], targets: Values, seed: int) -> Weights:
        """What each term and the noise count, from the labels that were there when it was last found. [terms + 1]."""
        first = settled(len(targets))
        key = first, float(targets[:first].sum()), float(terms[:, :first, :first].sum()), seed
        if key not in self._found:
            self._found[key] = _likeliest(terms[:, :first, :first], targets[:first])
        return self._found[key]


@dataclass(frozen=True)
class Blocks:
    """Features, shifted and scaled so that two crystals are at a root mean square distance of 1 in each block."""

    starts: tuple[int, ...]
    middle: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, rows: FeatureRows, sizes: Sequence[int]) -> Blocks:
        """Those of some rows; a feature that never varies counts nothing."""
        starts = (0, *np.cumsum(sizes or [rows.shape[1]]).tolist())
        used = rows[:, : starts[-1]]
        spread = used.std(axis=0)
        varies = spread > 1e-9 * np.maximum(np.abs(used).max(axis=0, initial=0.0), 1e-9)
        scale = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0)
        for first, last in pairwise(starts):
            scale[first:last] /= np.sqrt(2.0 * max(int(varies[first:last].sum()), 1))
        return cls(starts, used.mean(axis=0), scale)

    def scaled(self, rows: FeatureRows) -> list[FeatureRows]:
        """Rows of each block."""
        whole = (rows[:, : self.starts[-1]] - self.middle) * self.scale
        return [whole[:, first:last] for first, last in pairwise(self.starts)]


def kernel_terms(one: Sequence[FeatureRows], other: Sequence[FeatureRows]) -> NDArray[np.float64]:
    """A linear term and a Gaussian at each of LENGTHS for every block. [blocks * 4, n, m]."""
    terms = []
    for left, right in zip(one, other, strict=True):
        inner = left @ right.T
        squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2.0 * inner
        terms.append(2.0 * inner)
        longest = np.exp(-0.5 * np.maximum(squares, 0.0) / LENGTHS[-1] ** 2)
        middle = (longest**2) ** 2  # half the length is the fourth power: an exponential costs more than two squares
        terms += [(middle**2) ** 2, middle, longest]
    return np.array(terms)


def own_terms(rows: Sequence[FeatureRows]) -> NDArray[np.float64]:
    """The terms of each row with itself. [blocks * 4, n]."""
    terms = []
    for block in rows:
        terms.append(2.0 * (block**2).sum(axis=1))
        terms += [np.ones(len(block))] * len(LENGTHS)
    return np.array(terms)


def _likeliest(terms: NDArray[np.float64], targets: Values) -> Weights:
    """The weights and the noise of the largest posterior density. [terms + 1]."""
    prior = np.log([*[1.0 / len(terms)] * len(terms), NOISE])
    widths = np.array([*[WIDTHS[0]] * len(terms), WIDTHS[1]])

    def loss(logs: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = np.exp(logs)
        covariance = np.einsum("t,tij->ij", weights[:-1], terms) + (weights[-1] + 1e-8) * np.eye(len(targets))
        factor = cho_factor(covariance, lower=True)
        solved = cho_solve(factor, targets)
        inverse = cho_solve(factor, np.eye(len(targets)))
        inner = inverse - np.outer(solved, solved)  # ibid., eq. 5.9
        slopes = np.array([*(np.einsum("ij,ij->", inner, term) for term in terms), np.trace(inner)])
        away = (logs - prior) / widths
        value = 0.5 * float(targets @ solved) + float(np.log(np.diag(factor[0])).sum()) + 0.5 * float(away @ away)
        return value, 0.5 * slopes * weights + away / widths

    found = minimize(
        loss, prior, jac=True, method="L-BFGS-B", bounds=[(-12.0, 6.0)] * len(prior), options={"maxiter": ITERATIONS}
    )
    return np.asarray(np.exp(found.x))


@dataclass(frozen=True)
class FittedProcess:
    """See Fitted."""

    blocks: Blocks
    known: list[FeatureRows]
    weights: Weights
    factor: NDArray[np.float64]
    solved: Values
    zero: float
    spread: float
    name: str = "gaussian process"

    def predict(self, rows: FeatureRows) -> Prediction:
        """See Fitted. The error bar is that of a measured value, noise with it."""
        parts = [self._some(rows[start : start + 2_048]) for start in range(0, len(rows), 2_048)]
        means = np.concatenate([np.zeros(0), *(mean for mean, _ in parts)])
        return Prediction(means, np.concatenate([np.zeros(0), *(sigma for _, sigma in parts)]))

    def _some(self, rows: FeatureRows) -> tuple[Values, Values]:
        scaled = self.blocks.scaled(rows)
        across = np.einsum("t,tij->ij", self.weights[:-1], kernel_terms(scaled, self.known))  # [n, labels]
        seen = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        variance = self.weights[:-1] @ own_terms(scaled) + self.weights[-1] - (seen**2).sum(axis=0)
        sigma = self.spread * np.sqrt(np.maximum(variance, 1e-6))
        return self.zero + self.spread * (across @ self.solved), sigma
