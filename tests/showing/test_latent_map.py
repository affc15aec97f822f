"""Maps of the latent: components by hand, and t-SNE on clusters that are known."""

from __future__ import annotations

import numpy as np
import pytest

from crystalloop.orchestrator.show.latent_map import MOST_POINTS, neighbour_shares, principal_components, tsne


def clusters(size=40, dimensions=8):
    rng = np.random.default_rng(5)
    centres = rng.normal(0, 6, (3, dimensions))
    return np.concatenate([centre + rng.normal(0, 1, (size, dimensions)) for centre in centres]), np.repeat(
        np.arange(3), size
    )


def test_components_lie_along_the_largest_spread():
    points = np.array([[0.0, 0, -3], [0, 0, 3], [1, 0, 0], [-1, 0, 0]])
    assert principal_components(points) == pytest.approx(np.array([[-3, 0], [3, 0], [0, 1], [0, -1]]), abs=1e-6)


def test_one_dimension_still_makes_a_map():
    assert principal_components(np.arange(5.0)[:, None]).shape == (5, 2)
    assert tsne(np.arange(3.0)[:, None]).shape == (3, 2)


def test_every_point_has_the_same_effective_number_of_neighbours():
    points, _ = clusters()
    shares = neighbour_shares(points.astype(np.float32), 10.0)
    assert shares.sum() == pytest.approx(1.0, rel=1e-4)
    assert shares == pytest.approx(shares.T)
    assert np.diag(shares).max() == 0.0


def test_neighbours_in_the_latent_are_neighbours_on_the_map():
    points, kinds = clusters()
    found = tsne(points)
    distances = np.linalg.norm(found[:, None] - found[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1)[:, :5]
    assert (kinds[nearest] == kinds[:, None]).mean() > 0.99
    assert np.isfinite(found).all()


def test_the_same_points_give_the_same_map():
    points, _ = clusters(12)
    np.testing.assert_array_equal(tsne(points, steps=60), tsne(points, steps=60))


def test_equal_points_do_not_break_it():
    assert np.isfinite(tsne(np.ones((30, 4)), steps=60)).all()


def test_too_many_points_are_refused():
    with pytest.raises(ValueError, match="at most"):
        tsne(np.zeros((MOST_POINTS + 1, 2)))
