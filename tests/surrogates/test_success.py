"""The chance that a calculation ends with a value: with no failure, with one, and with many."""

import numpy as np
import pytest

from crystalloop.models.surrogate.chances.success import fit_success


def rows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 4))


def test_where_nothing_ended_the_prior_speaks():
    assert fit_success(np.zeros((0, 4)), np.zeros(0, bool), 0).chances(rows(3)) == pytest.approx([0.9] * 3)


@pytest.mark.parametrize(("came", "chance"), [(True, 11.8 / 12), (False, 1.8 / 12)])
def test_where_all_ended_alike_the_share_is_that_of_laplace(came, chance):
    assert fit_success(rows(10), np.full(10, came), 0).chances(rows(2)) == pytest.approx([chance] * 2)


def test_one_failure_speaks_against_crystals_like_it_and_hardly_against_others():
    seen = rows(20)
    seen[0] = 6.0
    chances = fit_success(seen, np.arange(20) > 0, 0).chances(np.array([[6.0] * 4, [0.0] * 4, [-6.0] * 4]))
    assert chances[0] < 0.7
    assert (chances[1:] > 0.85).all()


def test_many_failures_are_told_apart_where_no_straight_line_could():
    seen, asked = rows(300), rows(300, 1)
    model = fit_success(seen, seen[:, 0] * seen[:, 1] > 0, 0)
    right = (model.chances(asked) > 0.5) == (asked[:, 0] * asked[:, 1] > 0)
    assert right.mean() > 0.8


def test_no_chance_is_zero_or_one():
    seen = np.array([[-1.0]] * 50 + [[1.0]] * 50)
    chances = fit_success(seen, seen[:, 0] > 0, 0).chances(np.array([[-9.0], [9.0]]))
    assert 0.005 < chances[0] < 0.1 < 0.9 < chances[1] < 0.995


def test_equal_crystals_that_ended_differently_are_no_error():
    assert fit_success(np.ones((4, 2)), np.array([True, False, True, False]), 0).chances(
        np.ones((1, 2))
    ) == pytest.approx([0.5], abs=0.1)


def test_the_same_seed_gives_the_same_chances_and_no_row_gives_none():
    models = [fit_success(rows(30), rows(30)[:, 0] > 0, 5) for _ in range(2)]
    assert models[0].chances(rows(5, 2)) == pytest.approx(models[1].chances(rows(5, 2)), abs=0)
    assert models[0].chances(np.zeros((0, 4))).shape == (0,)


@pytest.mark.parametrize(("seen", "ended"), [(rows(3), np.ones(2, bool)), (np.full((1, 2), np.nan), np.ones(1, bool))])
def test_rows_that_do_not_fit_are_refused(seen, ended):
    with pytest.raises(ValueError, match="rows for"):
        fit_success(seen, ended, 0)
