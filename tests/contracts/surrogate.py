"""What every surrogate promises, in the words of its contract; see models.surrogate.base."""

import numpy as np
import pytest

from crystalloop.models.surrogate.base import Labelled

COLUMNS = 6


def labelled(count=40, seed=3):
    """A smooth function of three of six features, in groups of two."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, COLUMNS))
    values = 2.0 * rows[:, 0] + np.sin(rows[:, 1]) - rows[:, 2] ** 2 + 5.0
    return Labelled(rows, values, tuple(f"group {place // 2}" for place in range(count)))


class SurrogateContract:
    @pytest.fixture
    def surrogate(self):
        raise NotImplementedError

    def test_it_predicts_what_it_has_not_seen_better_than_the_mean(self, surrogate):
        known, asked = labelled(80), labelled(200, seed=4)
        found = surrogate.fit(known, 1).predict(asked.rows)
        error = np.abs(found.mean - asked.values).mean()
        assert error < 0.8 * np.abs(asked.values - known.values.mean()).mean()

    def test_every_row_has_a_finite_value_and_a_positive_error_bar(self, surrogate):
        known = labelled()
        fitted = surrogate.fit(known, 1)
        for rows in (known.rows, known.rows[:1], 1e3 * known.rows, known.rows[:0]):
            found = fitted.predict(rows)
            assert found.mean.shape == found.sigma.shape == (len(rows),)
            assert np.isfinite(found.mean).all() and np.isfinite(found.sigma).all() and (found.sigma > 0).all()
        assert fitted.name

    def test_two_labels_equal_labels_and_equal_rows_are_no_error(self, surrogate):
        known = labelled()
        two = known.part(np.array([0, 1]))
        same_values = Labelled(known.rows, np.full(len(known), 3.0), known.groups)
        same_rows = Labelled(np.ones_like(known.rows), known.values, known.groups)
        for one in (two, same_values, same_rows):
            found = surrogate.fit(one, 1).predict(known.rows)
            assert np.isfinite(found.mean).all() and (found.sigma > 0).all()
        assert surrogate.fit(same_values, 1).predict(known.rows).mean == pytest.approx(3.0)

    def test_the_same_labels_and_seed_give_the_same_whatever_was_fitted_before(self, surrogate):
        known, asked = labelled(), labelled(10, seed=9).rows
        first = surrogate.fit(known, 1).predict(asked)
        surrogate.fit(labelled(30, seed=5), 2)
        again = surrogate.fit(known, 1).predict(asked)
        np.testing.assert_array_equal(first.mean, again.mean)
        np.testing.assert_array_equal(first.sigma, again.sigma)

    def test_the_order_of_the_rows_asked_for_changes_none_of_them(self, surrogate):
        fitted, asked = surrogate.fit(labelled(), 1), labelled(10, seed=9).rows
        one, other = fitted.predict(asked), fitted.predict(asked[::-1])
        np.testing.assert_allclose(one.mean, other.mean[::-1], rtol=1e-9)
        np.testing.assert_allclose(one.sigma, other.sigma[::-1], rtol=1e-6)

    def test_a_constant_added_to_all_labels_is_added_to_all_values(self, surrogate):
        known, asked = labelled(), labelled(10, seed=9).rows
        moved = Labelled(known.rows, known.values - 100.0, known.groups)
        one, other = surrogate.fit(known, 1).predict(asked), surrogate.fit(moved, 1).predict(asked)
        np.testing.assert_allclose(one.mean - 100.0, other.mean, atol=0.02)

    def test_labels_and_rows_are_not_changed(self, surrogate):
        known, before = labelled(), labelled()
        surrogate.fit(known, 1).predict(known.rows)
        np.testing.assert_array_equal(known.rows, before.rows)
        np.testing.assert_array_equal(known.values, before.values)

    @pytest.mark.parametrize("wrong", ["one label", "a row of NaN", "an infinite value"])
    def test_what_cannot_be_learnt_from_is_refused(self, surrogate, wrong):
        known = labelled()
        rows, values = known.rows.copy(), known.values.copy()
        if wrong == "one label":
            rows, values = rows[:1], values[:1]
        elif wrong == "a row of NaN":
            rows[3, 2] = np.nan
        else:
            values[3] = np.inf
        with pytest.raises(ValueError, match=r"two labels|finite"):
            surrogate.fit(Labelled(rows, values, known.groups[: len(values)]), 1)
