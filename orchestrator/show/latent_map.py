"""Many dimensions on a page: principal components, and t-SNE where neighbours should stay neighbours. numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float32]
MOST_POINTS = 1500
"""t-SNE compares all pairs: this many take about a quarter of a minute."""
_EXAGGERATED = 80  # steps in which clusters are pulled together, so that they can pass each other
_EXAGGERATION = 8.0


def principal_components(points: ArrayLike, count: int = 2) -> Points:
    """Coordinates along the directions of largest variance: [b, z] -> [b, count], signs fixed."""
    centred = np.asarray(points, np.float64)
    centred = centred - centred.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:count] * np.sign(axes[:count, np.abs(axes[:count]).argmax(axis=1)].diagonal())[:, None]
    found = centred @ axes.T
    return np.asarray(np.pad(found, ((0, 0), (0, count - found.shape[1]))), np.float32)


def tsne(points: ArrayLike, perplexity: float = 30.0, steps: int = 350) -> Points:
    """A map in which near points stay near (van der Maaten and Hinton 2008), exact, started from the components.

    The same points always give the same map.

    Args:
        points: at most MOST_POINTS of them, [b, z].
        perplexity: neighbours that count; lowered for few points.
        steps: of gradient descent.

    Returns:
        [b, 2], without a unit.

    Raises:
        ValueError: too many points.
    """
    high = np.asarray(points, np.float32)
    if len(high) > MOST_POINTS:
        raise ValueError(f"{len(high)} points; t-SNE compares all pairs, give at most {MOST_POINTS}")
    if len(high) < 4:
        return principal_components(high)
    wanted = neighbour_shares(high, min(perplexity, (len(high) - 1) / 3))  # [b, b]
    found = principal_components(high)
    found = found / max(float(found[:, 0].std()), 1e-12) * np.float32(1e-2)
    velocity, gain = np.zeros_like(found), np.ones_like(found)
    rate = max(50.0, len(high) / _EXAGGERATION / 4)
    for step in range(steps):
        early = step < _EXAGGERATED
        gradient = _gradient(found, wanted * (_EXAGGERATION if early else 1.0))
        same = gradient * velocity > 0
        gain = np.maximum(np.where(same, gain * 0.8, gain + 0.2), 0.01).astype(np.float32)
        velocity = (0.5 if early else 0.8) * velocity - np.float32(rate) * gain * gradient
        found = found + velocity
        found -= found.mean(axis=0)
    return found


def neighbour_shares(points: Points, perplexity: float) -> Points:
    """Joint probabilities of being neighbours, each point with the same effective number of them: [b, b], sum 1."""
    squared = _squared_distances(points)
    np.fill_diagonal(squared, np.inf)
    squared -= squared.min(axis=1, keepdims=True)  # the nearest at 0: nothing underflows
    scale = max(float(np.median(squared[np.isfinite(squared)])), 1e-12)
    low, high = np.full(len(points), -25.0), np.full(len(points), 25.0)  # log of the precision, by bisection
    for _ in range(40):
        middle = 0.5 * (low + high)
        shares = np.exp(-squared * (np.exp(middle) / scale)[:, None])
        shares /= shares.sum(axis=1, keepdims=True)
        entropy = -(shares * np.log(np.maximum(shares, 1e-30))).sum(axis=1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return np.asarray((shares + shares.T) / (2 * len(points)), np.float32)


def _gradient(found: Points, wanted: Points) -> Points:
    """Of the Kullback-Leibler divergence by the places, [b, 2]."""
    near = 1.0 / (1.0 + _squared_distances(found))
    np.fill_diagonal(near, 0.0)
    pull = (wanted - near / near.sum()) * near
    return np.asarray(4.0 * (pull.sum(axis=1, keepdims=True) * found - pull @ found), np.float32)


def _squared_distances(points: Points) -> Points:
    sums = np.square(points).sum(axis=1)
    return np.asarray(np.maximum(sums[:, None] + sums[None] - 2.0 * points @ points.T, 0.0), np.float32)
