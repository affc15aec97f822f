"""What every acquirer promises, as tests to inherit: give the fixture `acquirer`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import ABOVE_HULL, Range, Target
from crystalloop.orchestrator.acquire.base import History


def of_the_hull(**wanted) -> Target:
    """A target for the height above the hull."""
    made = Target(**wanted)
    object.__setattr__(made, "property", ABOVE_HULL)  # refused beside a prediction of it
    return made


TARGETS = pytest.mark.parametrize(
    "target",
    [
        Target(direction="minimise"),
        Target(minimum=-2.0, maximum=-1.0),
        Target(maximum=-1.0, direction="minimise"),
        Target("band_gap", minimum=2.0),
        Target("log10_bulk_modulus", direction="maximise"),
        Target("band_gap", 1.0, 2.0, None, (Range(E_F, high=-0.5), Range(ABOVE_HULL, high=0.05))),
        of_the_hull(direction="minimise"),
        of_the_hull(minimum=0.0, maximum=0.05, direction="minimise", also=(Range("band_gap", 0.5, 3.0),)),
    ],
    ids=str,
)
PAIRS = [("Na", "Cl"), ("Li", "F"), ("K", "Br"), ("Mg", "O"), ("Ca", "S"), ("Al", "N")]


@cache
def _proposals() -> tuple[Proposal, ...]:
    """Twelve crystals: most with predictions and their sigma, one without sigma, one without any, and a twin.

    One is sure of its value, one was weighed for chance, success and cost, one is hopeless, and one is no number.
    """
    made = [
        Proposal(
            decorated(kind, pair),
            Kind.RANDOM,
            str(kind),
            predicted={E_F: -0.3 * i, "band_gap": 0.4 * i, ABOVE_HULL: 0.1 - 0.02 * i, "log10_bulk_modulus": 2.0},
            sigma=0.05 * i,
            sigmas={E_F: 0.05 * i, "band_gap": 0.3, ABOVE_HULL: 0.01 * i},
        )
        for i, (kind, pair) in enumerate((k, p) for k in (Prototype.ROCKSALT, Prototype.CSCL) for p in PAIRS)
    ]
    made[2] = replace(made[2], chance=0.6, success=0.9, cost_s=120.0)
    made[3] = replace(made[3], sigma=None, sigmas={})
    made[4] = replace(made[4], success=0.0, cost_s=0.0)
    made[5] = replace(made[5], predicted={}, sigma=None, sigmas={}, prototype=None)
    made[7] = replace(made[6])
    made[8] = replace(made[8], predicted={name: float("nan") for name in made[8].predicted}, chance=float("nan"))
    return tuple(made)


def proposals() -> list[Proposal]:
    """`_proposals`, in a list of one's own."""
    return list(_proposals())


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def history() -> History:
    """Of a campaign that has computed two of them before, one of them often."""
    known = [(one, {E_F: -1.0, "band_gap": 1.5, ABOVE_HULL: 0.02}.get) for one in (proposals()[0], proposals()[1])]
    rows = [(one.crystal, value_of) for one, value_of in known for _ in range(5)]
    return replace(History.of(Target(direction="minimise"), rows), batch=(proposals()[10],))


class AcquirerContract:
    """Inherit it as `class TestMine(AcquirerContract)`."""

    @TARGETS
    @pytest.mark.parametrize("count", [0, 1, 5, 40])
    def test_at_most_so_many_are_chosen_and_all_where_there_are_fewer(self, acquirer, target, count):
        assert len(acquirer.choose(proposals(), target, count, rng())) == min(count, 12)

    @TARGETS
    @pytest.mark.parametrize("count", [4, 12])
    def test_each_is_one_of_those_given_and_none_is_chosen_twice(self, acquirer, target, count):
        given = proposals()
        chosen = [id(one) for one, _ in acquirer.choose(given, target, count, rng(), history())]
        assert len(set(chosen)) == count
        assert set(chosen) <= set(map(id, given))

    @TARGETS
    def test_scores_are_finite_numbers(self, acquirer, target):
        for before in ((), (history(),)):
            scores = [score for _, score in acquirer.choose(proposals(), target, 12, rng(), *before)]
            assert np.isfinite(scores).all()
            assert all(isinstance(score, float) for score in scores)

    @TARGETS
    def test_the_same_state_of_chance_gives_the_same_choice_whatever_was_chosen_before(self, acquirer, target):
        given = proposals()
        first = [(id(one), score) for one, score in acquirer.choose(given, target, 5, rng(), history())]
        acquirer.choose(given[::-1], target, 3, np.random.default_rng(9))
        assert [(id(one), score) for one, score in acquirer.choose(given, target, 5, rng(), history())] == first

    @TARGETS
    def test_nothing_is_chosen_of_nothing(self, acquirer, target):
        assert list(acquirer.choose([], target, 5, rng())) == []

    @TARGETS
    def test_a_single_one_is_chosen_whatever_is_known_of_it(self, acquirer, target):
        for one in proposals():
            ((chosen, score),) = acquirer.choose([one], target, 3, rng(), history())
            assert chosen is one
            assert np.isfinite(score)

    @TARGETS
    def test_crystals_without_any_prediction_can_be_chosen(self, acquirer, target):
        bare = [replace(one, predicted={}, sigma=None, sigmas={}, chance=None) for one in proposals()]
        assert len(acquirer.choose(bare, target, 5, rng())) == 5

    @TARGETS
    def test_of_equal_predictions_any_can_be_chosen(self, acquirer, target):
        equal = [replace(proposals()[9], crystal=one.crystal, prototype=one.prototype) for one in proposals()]
        chosen = acquirer.choose(equal, target, 5, rng())
        assert len({id(one) for one, _ in chosen}) == 5
        assert np.isfinite([score for _, score in chosen]).all()

    @TARGETS
    def test_what_is_given_is_not_changed(self, acquirer, target):
        given, before = proposals(), history()
        as_it_was = [(id(one), dict(one.predicted), one.sigma, one.success) for one in given], before
        acquirer.choose(given, target, 5, rng(), before)
        assert ([(id(one), dict(one.predicted), one.sigma, one.success) for one in given], before) == as_it_was
