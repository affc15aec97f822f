"""What the layers round a policy do: diversity, exploration, cost, success, and the guards, each on and off."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from choosing.made_proposals import SALTS, one, rng, scores, several
from contracts.acquirer import of_the_hull

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.target import ABOVE_HULL, Target
from crystalloop.orchestrator.acquire.base import History
from crystalloop.orchestrator.acquire.by_name import acquirer_of
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.acquire.hit_probability import HitProbability
from crystalloop.orchestrator.acquire.layers.diverse import Diverse
from crystalloop.orchestrator.acquire.layers.explore import Explore, Uncertainty
from crystalloop.orchestrator.acquire.layers.likeness import Likeness
from crystalloop.orchestrator.acquire.layers.weighted import Weighted, by_cost, by_repeats, by_success
from crystalloop.orchestrator.campaign.choice.sections import AcquireSection

LOWEST, HIT = Target(direction="minimise"), Target(maximum=-1.0)
SEVEN = ["greedy", "ucb", "hit_probability", "expected_improvement", "thompson", "hull", "random"]
KINDS = [Prototype.ROCKSALT, Prototype.CSCL, Prototype.ZINCBLENDE]


def formulas(chosen):
    return [proposal.formula for proposal, _ in chosen]


def polymorphs(means, pair):
    return [one(mean, 0.1, pair, kind) for mean, kind in zip(means, KINDS, strict=True)]


def test_likeness_is_of_composition_prototype_sites_and_formula():
    salt, twin, cscl, oxide = (
        one(0.0, pair=pair, kind=kind)
        for pair, kind in zip([SALTS[0]] * 3 + [SALTS[2]], [*KINDS[:1] * 2, KINDS[1], KINDS[0]], strict=True)
    )
    barium, titanium = (one(0.0, pair=p, kind=Prototype.PEROVSKITE) for p in (("Ba", "Ti", "O"), ("Ti", "Ba", "O")))
    distances = Likeness.of([salt, twin, cscl, oxide, barium, titanium]).distances
    assert distances(0)[:4] == pytest.approx([0.0, 0.0, np.sqrt(0.5), 1.0])
    assert distances(4)[4:] == pytest.approx([0.0, np.sqrt(0.02)])
    assert Likeness.of([salt, twin, cscl, oxide]).to(0) == pytest.approx([1.5, 1.5, 1.5 - np.sqrt(0.5), 0.0])


def test_no_formula_comes_twice_into_a_batch_while_others_are_near_as_good():
    given = [*polymorphs([-3.0, -2.99, -2.98], ("Na", "Cl")), *several([-2.9] * 6, [0.1] * 6)[1:]]
    pairs = "LiNa LiK NaK MgCa MgAl OS ON OF ClBr"
    poor = [one(1.0, pair=re.findall("[A-Z][a-z]?", pair), kind=Prototype.CSCL) for pair in pairs.split()]
    chosen = formulas(Diverse(Greedy()).choose([*given, *poor], LOWEST, 5, rng()))
    assert len(set(chosen)) == 5
    assert chosen[0] == "NaCl"
    assert formulas(Diverse(Greedy(), 0.0).choose([*given, *poor], LOWEST, 3, rng())) == ["NaCl"] * 3


def test_a_much_better_polymorph_is_still_taken():
    given = [*polymorphs([-3.0, -2.9, 1.0], ("Na", "Cl")), *several([0.0] * 6, [0.1] * 6)[1:]]
    assert formulas(Diverse(Greedy()).choose(given, LOWEST, 2, rng())) == ["NaCl", "NaCl"]


def test_equal_candidates_are_chosen_for_their_difference():
    given = [*polymorphs([-1.0] * 3, ("Na", "Cl")), *polymorphs([-1.0] * 3, ("Mg", "O"))]
    for weight in (1e-3, 0.1, 10.0):
        assert set(formulas(Diverse(Greedy(), weight).choose(given, LOWEST, 2, rng()))) == {"NaCl", "MgO"}


def test_who_is_in_the_batch_already_counts():
    given = [one(-1.001, pair=("Na", "Cl")), one(-1.0, pair=("Mg", "O")), *several([1.0] * 3, [0.1] * 3)]
    before = History(batch=(one(-1.0, pair=("Na", "Cl"), kind=Prototype.CSCL),))
    assert formulas(Diverse(Greedy()).choose(given, LOWEST, 1, rng())) == ["NaCl"]
    assert formulas(Diverse(Greedy()).choose(given, LOWEST, 1, rng(), before)) == ["MgO"]


def test_taking_a_few_of_many_is_taking_the_first_of_all_in_turn():
    draw = rng(4)
    given = [one(float(draw.normal()), 0.1, pair, kind) for pair in SALTS for kind in KINDS for _ in range(8)]
    few, all_ = (Diverse(Greedy(), 0.5).choose(given, LOWEST, count, rng()) for count in (10, len(given)))
    assert few == all_[:10]
    assert len({id(p) for p, _ in all_}) == len(given)


@pytest.mark.parametrize(("share", "count"), [(0.0, 6), (0.1, 6), (0.25, 10), (0.5, 3), (1.0, 4)])
def test_the_explored_share_is_exact_over_the_rounds(share, count):
    given = several(np.linspace(-3, 3, 30), np.linspace(0.0, 0.9, 30))  # the best predicted are the surest
    acquirer, stream = Explore(Greedy(), share=share), rng(7)
    explored = [
        sum(p.sigma_of(E_F) > 0.5 for p, _ in acquirer.choose(given, LOWEST, count, stream)) for _ in range(400)
    ]
    assert set(explored) <= {int(share * count), int(np.ceil(share * count))}
    assert np.mean(explored) == pytest.approx(share * count, abs=4 * 0.5 / 20)


def test_the_explored_are_unlike_the_rest_of_their_batch():
    given = [one(-3.0, 0.1, ("Na", "Cl")), one(1.0, 0.9, ("Na", "Cl"), KINDS[1]), one(1.0, 0.89, ("Mg", "O"))]
    poor = several([1.0] * 6, [0.2] * 6)
    acquirer = Explore(Diverse(Greedy()), Diverse(Uncertainty()), 0.5)
    assert formulas(acquirer.choose([*given, *poor], LOWEST, 2, rng())) == ["NaCl", "MgO"]


@pytest.mark.parametrize("inner", [Greedy(), HitProbability()], ids=repr)
@pytest.mark.parametrize("mean", [-3.0, -0.9, 2.0])
def test_of_equals_the_cheaper_is_taken_first(inner, mean):
    given = [one(mean, cost_s=cost) for cost in (90.0, 10.0, 30.0)] + [one(0.0), one(-1.0, cost_s=20.0)]
    chosen = Weighted(inner, (by_cost,)).choose(given, LOWEST, 5, rng())
    assert [p.cost_s for p, _ in chosen if p.value(E_F) == mean] == [10.0, 30.0, 90.0]


def test_a_chance_is_divided_by_its_cost_in_that_of_the_middle_one():
    given = [one(0.0, chance=c, cost_s=s) for c, s in ((0.9, 100.0), (0.5, 40.0), (0.4, 20.0), (0.3, None))]
    found = scores(Weighted(HitProbability(), (by_cost,), 0.0), given, HIT)
    assert found == pytest.approx([0.9 * 40 / 100, 0.5, 0.4 * 40 / 20, 0.3], abs=1e-6)


@pytest.mark.parametrize("odd", [None, 0.0, -5.0, float("nan"), float("inf")])
def test_an_odd_cost_is_no_reason_for_or_against(odd):
    given = [one(0.0, chance=0.5, cost_s=s) for s in (10.0, 20.0, 40.0, odd)]
    assert scores(Weighted(HitProbability(), (by_cost,), 0.0), given, HIT)[3] == pytest.approx(0.5, abs=1e-6)


def test_a_chance_is_multiplied_by_that_of_success():
    given = [one(0.0, chance=c, success=s) for c, s in ((0.9, 0.5), (0.6, 0.9), (0.5, None))]
    found = scores(Weighted(HitProbability(), (by_success,), 0.0), given, HIT)
    assert found == pytest.approx([0.45, 0.54, 0.5 * 0.7], abs=1e-6)


@pytest.mark.parametrize("policy", SEVEN[:-1])
def test_a_hopeless_calculation_is_taken_before_nobody_unless_the_guard_is_off(policy):
    given = several([-3.0, -0.5, 0.5, 1.0], [0.1] * 4)
    given = [
        replace(
            p,
            success=success,
            predicted={**p.predicted, ABOVE_HULL: p.value(E_F) + 0.5},
            sigmas={**p.sigmas, ABOVE_HULL: 0.1},
        )
        for p, success in zip(given, (0.01, 0.9, 0.8, 0.9), strict=True)
    ]
    on, off = (acquirer_of(AcquireSection(policy=policy, success=guard)) for guard in (True, False))
    assert on.choose(given, LOWEST, 4, rng())[-1][0] is given[0]
    assert off.choose(given, LOWEST, 4, rng())[0][0] is given[0]


def element(mean, **more):
    return replace(one(mean, **more), crystal=Crystal(np.eye(3) * 3.0, np.array([11]), np.zeros((1, 3))))


@pytest.mark.parametrize("policy", ["greedy", "ucb", "hit_probability", "expected_improvement", "thompson"])
def test_a_single_element_comes_last_unless_the_guard_is_off(policy):
    given = [element(-0.4), *several([-0.1, 0.1, 0.3], [0.1] * 3)]
    given = [replace(p, sigmas={E_F: 0.01}) for p in given]
    on, off = (acquirer_of(AcquireSection(policy=policy, compounds=guard)) for guard in (True, False))
    assert on.choose(given, LOWEST, 4, rng())[-1][0] is given[0]
    assert off.choose(given, LOWEST, 4, rng())[0][0] is given[0]


def test_single_elements_alone_can_still_be_chosen():
    given = [element(-0.4), element(-0.2)]
    assert len(acquirer_of(AcquireSection()).choose(given, LOWEST, 2, rng())) == 2


@pytest.mark.parametrize("policy", ["greedy", "ucb", "hit_probability", "expected_improvement", "thompson"])
def test_a_formula_computed_again_and_again_counts_less_unless_the_guard_is_off(policy):
    given = several([-1.6, -1.5, -0.2, 0.0, 0.5], [0.01] * 5)
    on, off = (acquirer_of(AcquireSection(policy=policy, repeats=guard)) for guard in (True, False))
    for times, first in ((3, "NaCl"), (4, "KBr"), (6, "KBr"), (60, "KBr")):
        history = History(best=0.0, computed={((11, 1), (17, 1)): times})
        assert formulas(on.choose(given, LOWEST, 1, rng(), history)) == [first]
        assert formulas(off.choose(given, LOWEST, 1, rng(), history)) == ["NaCl"]
        last = formulas(on.choose(given, LOWEST, 5, rng(), history))[-1]
        assert (last == "NaCl") == (times >= 6)


def test_a_worn_formula_shrinks_by_a_third_a_time():
    history = [History(computed={((11, 1), (17, 1)): times}) for times in range(3, 8)]
    given = [one(0.0), one(0.0, pair=("Na", "Cl"), kind=Prototype.CSCL), one(0.0, pair=("Mg", "O"))]
    assert [by_repeats(given, each).tolist() for each in history] == [
        pytest.approx([worth, worth, 1.0]) for worth in (1.0, 2 / 3, 1 / 3, 0.0, 0.0)
    ]


def test_layers_do_not_lower_who_has_no_gain_below_who_has_none_either():
    given = [one(0.0, chance=c, success=s) for c, s in ((0.0, 0.9), (0.0, 0.5), (0.2, 0.05))]
    chosen = Weighted(HitProbability(), (by_success,), 0.0).choose(given, HIT, 3, rng())
    assert [p for p, _ in chosen] == [given[2], given[0], given[1]]


@pytest.mark.parametrize("policy", SEVEN)
def test_every_name_of_a_campaign_is_an_acquirer(policy):
    section = AcquireSection(policy=policy, explore=0.3, per_cost=True)
    given = several(np.linspace(-1, 1, 30), np.linspace(0, 1, 30))
    assert len(acquirer_of(section).choose(given, LOWEST, 7, rng())) == 7


def test_lots_have_no_layers_and_every_lot_is_as_likely():
    given = several([-9.0, 0.0, 0.0, 0.0], [0.1] * 4)
    acquirer, stream = acquirer_of(AcquireSection(policy="random", explore=0.5, diversity=9.0)), rng(2)
    first = [acquirer.choose(given, LOWEST, 1, stream)[0][0] for _ in range(2000)]
    assert [np.mean([p is q for q in first]) for p in given] == pytest.approx([0.25] * 4, abs=0.04)


def test_below_the_hull_is_no_better_than_on_it():
    sure, deep = (one(height, 1e-6, name=ABOVE_HULL) for height in (-0.001, -0.4))
    target = of_the_hull(direction="minimise")
    if target.merit(-0.4) > 0:
        pytest.skip("the target has no floor yet")
    for policy in ("greedy", "ucb", "hit_probability"):
        on_it, below_it = scores(acquirer_of(AcquireSection(policy=policy, diversity=0.0)), [sure, deep], target)
        assert on_it == pytest.approx(below_it, abs=1e-5)
