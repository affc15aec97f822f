"""Draws meet what is wanted of them, by the head's word; the same noise under another wish gives another latent."""

from __future__ import annotations

import numpy as np
import pytest

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.draw.conditioning import POOL, Wish, wanted_latents
from crystalloop.models.draw.target import Range


class FirstAxis:
    """Its head says that every property is the latent's first number."""

    class config:
        latent = 2
        codes = False
        property_scale = (1.0,) * (len(PROPERTIES) - 1) + (0.0,)
        decile_edges_ev = ()

    def predict(self, latent):
        values = np.repeat(latent[:, :1], len(PROPERTIES), axis=1)
        values[:, -1] = np.nan
        return values


def pools(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, POOL, 2)).astype(np.float32)


def chosen_of(wishes: list[Wish]) -> np.ndarray:
    return wanted_latents(FirstAxis(), pools, wishes, np.zeros((len(wishes), 10), np.float32))


def test_ranges_of_any_property_are_met():
    for name in PROPERTIES[:-1]:
        chosen = chosen_of([Wish((Range(name, 0.5, 1.0),))] * 50)
        assert ((chosen[:, 0] >= 0.5) & (chosen[:, 0] <= 1.0)).mean() > 0.98


def test_a_range_that_no_latent_of_the_pool_meets_gives_the_nearest():
    chosen = chosen_of([Wish((Range("band_gap", 9.0, np.inf),))] * 5)
    np.testing.assert_array_equal(chosen[:, 0], pools(5)[..., 0].max(axis=1))


def test_nothing_wanted_is_the_first_of_each_pool():
    np.testing.assert_array_equal(chosen_of([Wish()] * 4), pools(4)[:, 0])


def test_a_property_without_labels_is_not_asked_for():
    chosen = chosen_of([Wish((Range(PROPERTIES[-1], 0.0, 1.0),))] * 4)
    np.testing.assert_array_equal(chosen, pools(4)[:, 0])


def test_two_wishes_hold_together():
    wishes = [Range("band_gap", -0.5, 2.0), Range("poisson_ratio", -2.0, 0.0)]
    chosen = chosen_of([Wish(tuple(wishes))] * 20)
    assert ((chosen[:, 0] >= -0.5) & (chosen[:, 0] <= 0.0)).all()


@pytest.mark.parametrize(
    ("name", "low", "high", "said"), [("hardness", 0, 1, "unknown"), ("band_gap", 2, 1, "no value")]
)
def test_a_wish_that_means_nothing_is_refused(name, low, high, said):
    with pytest.raises(ValueError, match=said):
        Range(name, low, high)
