"""The acquirers that ship, each held to the contract; what each is good for is in tests/choosing."""

from __future__ import annotations

import pytest
from contracts.acquirer import AcquirerContract

from crystalloop.orchestrator.acquire.at_random import AtRandom
from crystalloop.orchestrator.acquire.by_name import acquirer_of
from crystalloop.orchestrator.acquire.expected_improvement import ExpectedImprovement
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.acquire.hit_probability import HitProbability
from crystalloop.orchestrator.acquire.hull import Hull
from crystalloop.orchestrator.acquire.layers.diverse import Diverse
from crystalloop.orchestrator.acquire.layers.explore import Explore, Uncertainty
from crystalloop.orchestrator.acquire.layers.weighted import Weighted, by_compound, by_cost, by_repeats, by_success
from crystalloop.orchestrator.acquire.thompson import Thompson
from crystalloop.orchestrator.acquire.ucb import Ucb
from crystalloop.orchestrator.campaign.choice.sections import AcquireSection


class TestGreedy(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Greedy()


class TestUcb(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Ucb(2.0)


class TestHitProbability(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return HitProbability()


class TestExpectedImprovement(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return ExpectedImprovement()


class TestThompson(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Thompson()


class TestHull(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Hull()


class TestAtRandom(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return AtRandom()


class TestUncertainty(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Uncertainty()


class TestDiverse(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Diverse(HitProbability(), 0.5)


class TestWeighted(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Weighted(Ucb(), (by_compound, by_repeats, by_success, by_cost))


class TestExplore(AcquirerContract):
    @pytest.fixture
    def acquirer(self):
        return Explore(Greedy(), share=0.3)


class TestEverythingAsked(AcquirerContract):
    @pytest.fixture(params=["ucb", "hit_probability", "hull", "random"])
    def acquirer(self, request):
        return acquirer_of(AcquireSection(policy=request.param, explore=0.25, per_cost=True))
