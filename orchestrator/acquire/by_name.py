"""acquirer_of(section) -> Acquirer: the one place that stacks policy and layers as a campaign asks for them."""

from __future__ import annotations

from crystalloop.orchestrator.acquire.at_random import AtRandom
from crystalloop.orchestrator.acquire.base import Acquirer
from crystalloop.orchestrator.acquire.expected_improvement import ExpectedImprovement
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.acquire.hit_probability import HitProbability
from crystalloop.orchestrator.acquire.hull import Hull
from crystalloop.orchestrator.acquire.layers.diverse import Diverse
from crystalloop.orchestrator.acquire.layers.explore import Explore, Uncertainty
from crystalloop.orchestrator.acquire.layers.weighted import (
    Factor,
    Weighted,
    by_compound,
    by_cost,
    by_repeats,
    by_success,
)
from crystalloop.orchestrator.acquire.thompson import Thompson
from crystalloop.orchestrator.acquire.ucb import Ucb
from crystalloop.orchestrator.campaign.choice.sections import AcquireSection, PolicyName

GAINS: frozenset[PolicyName] = frozenset({"hit_probability", "expected_improvement", "hull"})
"""Policies whose score is a gain: 0 brings nothing."""


def acquirer_of(section: AcquireSection) -> Acquirer:
    """The acquirer of a campaign; lots are drawn without layers, since they are what the others are held against."""
    policy = policy_of(section)
    if isinstance(policy, AtRandom):
        return policy
    factors, alike = factors_of(section), section.diversity
    zero = 0.0 if section.policy in GAINS else None
    chosen = Diverse(Weighted(policy, factors, zero), alike)
    scout = Diverse(Weighted(Uncertainty(), factors, 0.0), alike)
    return Explore(chosen, scout, section.explore) if section.explore else chosen


def policy_of(section: AcquireSection) -> Acquirer:
    """The bare policy of a campaign."""
    named: dict[PolicyName, Acquirer] = {
        "greedy": Greedy(),
        "ucb": Ucb(section.kappa),
        "hit_probability": HitProbability(),
        "expected_improvement": ExpectedImprovement(),
        "thompson": Thompson(),
        "hull": Hull(),
        "random": AtRandom(),
    }
    return named[section.policy]


def factors_of(section: AcquireSection) -> tuple[Factor, ...]:
    """What a candidate's gain is multiplied by."""
    asked = (
        (section.compounds, by_compound),
        (section.repeats, by_repeats),
        (section.success, by_success),
        (section.per_cost, by_cost),
    )
    return tuple(factor for wanted, factor in asked if wanted)
