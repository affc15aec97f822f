"""What every acquirer promises, as tests to inherit: give the fixture `acquirer`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import Target

TARGETS = pytest.mark.parametrize(
    "target", [Target(direction="minimise"), Target(minimum=-2.0, maximum=-1.0), Target("band_gap", minimum=2.0)]
)
PAIRS = [("Na", "Cl"), ("Li", "F"), ("K", "Br"), ("Mg", "O"), ("Ca", "S"), ("Al", "N")]


def proposals() -> list[Proposal]:
    """Twelve crystals: most with a prediction and its sigma, one without sigma, one without any, and a twin."""
    made = [
        Proposal(
            decorated(kind, pair),
            Kind.RANDOM,
            str(kind),
            predicted={E_F: -0.3 * i, "band_gap": 0.4 * i},
            sigma=0.05 * i,
        )
        for i, (kind, pair) in enumerate((k, p) for k in (Prototype.ROCKSALT, Prototype.CSCL) for p in PAIRS)
    ]
    made[3] = replace(made[3], sigma=None)
    made[5] = replace(made[5], predicted={}, sigma=None, prototype=None)
    made[7] = replace(made[6])
    return made


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


class AcquirerContract:
    """Inherit it as `class TestMine(AcquirerContract)`."""

    @TARGETS
    @pytest.mark.parametrize("count", [0, 1, 5, 12, 40])
    def test_at_most_so_many_are_chosen_and_all_where_there_are_fewer(self, acquirer, target, count):
        assert len(acquirer.choose(proposals(), target, count, rng())) == min(count, 12)

    @TARGETS
    def test_each_is_one_of_those_given_and_none_is_chosen_twice(self, acquirer, target):
        given = proposals()
        chosen = [id(one) for one, _ in acquirer.choose(given, target, 12, rng())]
        assert sorted(chosen) == sorted(map(id, given))

    @TARGETS
    def test_scores_are_finite_numbers(self, acquirer, target):
        scores = [score for _, score in acquirer.choose(proposals(), target, 12, rng())]
        assert np.isfinite(scores).all()
        assert all(isinstance(score, float) for score in scores)

    @TARGETS
    def test_the_same_state_of_chance_gives_the_same_choice_whatever_was_chosen_before(self, acquirer, target):
        given = proposals()
        first = [(id(one), score) for one, score in acquirer.choose(given, target, 5, rng())]
        acquirer.choose(given[::-1], target, 3, np.random.default_rng(9))
        assert [(id(one), score) for one, score in acquirer.choose(given, target, 5, rng())] == first

    @TARGETS
    def test_nothing_is_chosen_of_nothing(self, acquirer, target):
        assert list(acquirer.choose([], target, 5, rng())) == []

    @TARGETS
    def test_crystals_without_any_prediction_can_be_chosen(self, acquirer, target):
        bare = [replace(one, predicted={}, sigma=None) for one in proposals()]
        assert len(acquirer.choose(bare, target, 5, rng())) == 5
