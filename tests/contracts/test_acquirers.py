"""The acquirers that ship, each held to the contract."""

from __future__ import annotations

import pytest
from contracts.acquirer import AcquirerContract, proposals, rng

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.greedy import Greedy


class TestGreedy(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Greedy()


def test_greedy_without_crowding_or_optimism_takes_the_best_predicted():
    lowest = Greedy(kappa=0.0, crowding=0.0).choose(proposals(), Target(direction="minimise"), 3, rng())
    assert [one.value(E_F) for one, _ in lowest] == pytest.approx([-3.3, -3.0, -2.7])


def test_greedy_gives_the_optimism_that_was_asked_for():
    given = proposals()[:3]  # sigma 0, 0.05, 0.1
    plain, bold = (
        dict(zip(map(id, given), [0.0] * 3, strict=True))
        | {id(one): score for one, score in Greedy(kappa, 0.0).choose(given, Target(direction="minimise"), 3, rng())}
        for kappa in (0.0, 2.0)
    )
    assert [bold[id(one)] - plain[id(one)] for one in given] == pytest.approx([0.0, 0.1, 0.2])
