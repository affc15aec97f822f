"""The fitted mixture has the moments and the clusters of what it was fitted to."""

from __future__ import annotations

import numpy as np

from crystalloop.models.nets.prior import fit_mixture, standard_normal


def clusters(count: int = 300) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 4.0]])
    return centres[rng.integers(3, size=count)] + 0.2 * rng.standard_normal((count, 2))


def test_samples_lie_in_the_clusters_and_not_between_them():
    points = clusters()
    mixture = fit_mixture(points, np.full(points.shape, 1e-3), np.random.default_rng(1))
    drawn = mixture.sample(np.random.default_rng(2), 1000)
    distance = np.linalg.norm(drawn[:, None] - np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 4.0]]), axis=-1).min(axis=1)
    assert (distance < 1.0).mean() > 0.98
    assert mixture.log_density(points).mean() > standard_normal(2).log_density(points).mean() + 2


def test_one_component_has_the_points_mean_and_covariance():
    points = np.random.default_rng(0).multivariate_normal([1.0, -2.0], [[2.0, 0.5], [0.5, 1.0]], size=4000)
    mixture = fit_mixture(points, np.zeros(points.shape), np.random.default_rng(0), components=1)
    np.testing.assert_allclose(mixture.means[0], [1.0, -2.0], atol=0.1)
    np.testing.assert_allclose(mixture.roots[0] @ mixture.roots[0].T, [[2.0, 0.5], [0.5, 1.0]], atol=0.15)


def test_the_log_density_of_a_normal_one_is_known():
    value = standard_normal(3).log_density(np.array([[1.0, 2.0, 2.0]]))[0]
    assert np.isclose(value, -0.5 * 9 - 1.5 * np.log(2 * np.pi))


def test_a_handful_of_points_still_gives_a_prior_and_the_same_seed_the_same():
    points = clusters(5)
    first, again = (fit_mixture(points, np.full(points.shape, 0.01), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.roots, again.roots)
    assert np.isfinite(first.sample(np.random.default_rng(0), 10)).all()
