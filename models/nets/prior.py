"""The latent prior: a Gaussian mixture fitted to the aggregated posterior. Draws are conditioned in `generate`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.maps.channels import Doubles

PER_COMPONENT = 60
"""Crystals to a component, at least."""
MOST_COMPONENTS = 48
_SWEEPS = 25
_FLOOR = 1e-4  # of a variance, where the whole latent has variance one


@dataclass(frozen=True, eq=False)
class Mixture:
    """A Gaussian mixture over the latent.

    Attributes:
        weights: [k], summing to one.
        means: [k, d].
        roots: lower triangular square roots of the covariances, [k, d, d].
    """

    weights: Doubles
    means: Doubles
    roots: Doubles

    def sample(self, rng: np.random.Generator, count: int) -> NDArray[np.float32]:
        """Latent vectors, [count, d]."""
        which = rng.choice(len(self.weights), size=count, p=self.weights)
        noise = rng.standard_normal((count, self.means.shape[1]))
        drawn = self.means[which]
        for j in np.unique(which):
            drawn[which == j] += noise[which == j] @ self.roots[j].T
        return np.asarray(drawn, np.float32)

    def likeliest(self, latent: NDArray[np.floating]) -> NDArray[np.intp]:
        """The component that most likely made each latent vector [b, d]: [b]."""
        return np.asarray(self._log_parts(np.asarray(latent, np.float64)).argmax(axis=1), np.intp)

    def log_density(self, latent: NDArray[np.floating]) -> Doubles:
        """Natural logarithm of the density at latent vectors [b, d]: [b]."""
        return _log_sum(self._log_parts(np.asarray(latent, np.float64)))

    def _log_parts(self, latent: Doubles) -> Doubles:
        """Log weight + log density of every component: [b, k]."""
        d = self.means.shape[1]
        parts = []
        for weight, mean, root in zip(self.weights, self.means, self.roots, strict=True):
            scaled = np.linalg.solve(root, (latent - mean).T)
            parts.append(
                np.log(weight)
                - 0.5 * np.square(scaled).sum(axis=0)
                - np.log(np.diag(root)).sum()
                - 0.5 * d * np.log(2 * np.pi)
            )
        return np.stack(parts, axis=1)


def standard_normal(d: int) -> Mixture:
    """N(0, I) as a mixture of one: the prior until another is fitted."""
    return Mixture(np.ones(1), np.zeros((1, d)), np.eye(d)[None])


def fit_mixture(
    means: NDArray[np.floating],
    variances: NDArray[np.floating],
    rng: np.random.Generator,
    components: int | None = None,
) -> Mixture:
    """Fit a mixture to posteriors N(mean, variance) by expectation maximisation.

    Every component's covariance is drawn towards the mean one, by the weight of as many crystals as the latent has
    dimensions, so that small components stay well-conditioned.

    Args:
        means: of the posteriors, [c, d].
        variances: of the posteriors, [c, d].
        rng: chooses the first centres (k-means++).
        components: how many; by default one for PER_COMPONENT crystals, at most MOST_COMPONENTS.
    """
    points, c = np.asarray(means, np.float64), len(means)
    k = components or int(np.clip(c // PER_COMPONENT, 1, MOST_COMPONENTS))
    noise = np.diag(np.asarray(variances, np.float64).mean(axis=0) + _FLOOR)
    shares = np.eye(k)[_nearest(points, _spread_centres(points, k, rng))]  # [c, k]
    mixture = _maximise(points, shares, noise)
    for _ in range(_SWEEPS if k > 1 else 0):
        parts = mixture._log_parts(points)
        mixture = _maximise(points, np.exp(parts - _log_sum(parts)[:, None]), noise)
    return mixture


def _maximise(points: Doubles, shares: Doubles, noise: Doubles) -> Mixture:
    c, d = points.shape
    shares = shares[:, shares.sum(axis=0) > 1e-3]
    sizes = shares.sum(axis=0)  # [k]
    means = shares.T @ points / sizes[:, None]
    scatters = []
    for j in range(len(sizes)):
        centred = (points - means[j]) * np.sqrt(shares[:, j : j + 1])
        scatters.append(centred.T @ centred)
    pooled = np.sum(scatters, axis=0) / c
    roots = [np.linalg.cholesky((s + d * pooled) / (size + d) + noise) for s, size in zip(scatters, sizes, strict=True)]
    return Mixture(sizes / sizes.sum(), means, np.array(roots))


def _spread_centres(points: Doubles, k: int, rng: np.random.Generator) -> Doubles:
    """k-means++: each next centre is drawn with the squared distance to those before (Arthur and Vassilvitskii 2007)."""
    centres = [points[rng.integers(len(points))]]
    distance = np.square(points - centres[0]).sum(axis=1)
    for _ in range(1, k):
        total = distance.sum()
        pick = rng.choice(len(points), p=distance / total) if total > 0 else rng.integers(len(points))
        centres.append(points[pick])
        distance = np.minimum(distance, np.square(points - centres[-1]).sum(axis=1))
    return np.array(centres)


def _nearest(points: Doubles, centres: Doubles) -> NDArray[np.intp]:
    return np.asarray(np.argmin(np.square(centres).sum(axis=1) - 2.0 * points @ centres.T, axis=1), np.intp)


def _log_sum(parts: Doubles) -> Doubles:
    top = parts.max(axis=1)
    total: Doubles = top + np.log(np.exp(parts - top[:, None]).sum(axis=1))
    return total
