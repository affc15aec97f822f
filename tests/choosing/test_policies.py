"""What each policy is: its closed form against integrals, sampling and enumeration, and what it prefers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from choosing.made_proposals import SALTS, one, rng, scores, several
from contracts.acquirer import of_the_hull
from cubic_crystals import decorated
from scipy.integrate import quad
from scipy.stats import norm

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.target import ABOVE_HULL, Range, Target
from crystalloop.orchestrator.acquire.base import History
from crystalloop.orchestrator.acquire.by_name import acquirer_of
from crystalloop.orchestrator.acquire.expected_improvement import ExpectedImprovement
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.acquire.hit_probability import HitProbability
from crystalloop.orchestrator.acquire.hull import Hull, below
from crystalloop.orchestrator.acquire.outlook import Merit, Outlook
from crystalloop.orchestrator.acquire.thompson import Thompson
from crystalloop.orchestrator.acquire.ucb import Ucb
from crystalloop.orchestrator.campaign.choice.sections import AcquireSection

LOWEST, WINDOW = Target(direction="minimise"), Target(minimum=-2.0, maximum=-1.0)
BOTH = Target(minimum=-3.0, maximum=-1.0, direction="minimise")
ANY = (
    LOWEST,
    WINDOW,
    BOTH,
    Target(direction="maximise"),
    Target(maximum=-1.5),
    of_the_hull(direction="minimise"),
    of_the_hull(minimum=0.0, maximum=0.05),
)


@pytest.mark.parametrize("target", ANY, ids=str)
def test_the_lines_are_the_targets_merit(target):
    values = np.r_[np.linspace(-6, 6, 241), Merit(target).knots]
    assert Merit(target).of(values) == pytest.approx([target.merit(v) for v in values])
    for least in (-5.0, -1.0, 0.0, 0.5, 2.0):
        low, high = Merit(target).at_least(least)
        inside = [low - 1e-9 <= v <= high + 1e-9 for v in values]
        assert inside == [target.merit(v) >= least - 1e-9 for v in values]


@pytest.mark.parametrize("target", ANY, ids=str)
@pytest.mark.parametrize(("mean", "sigma"), [(-2.2, 0.4), (-0.9, 0.05), (0.02, 0.03), (3.0, 2.0)])
def test_expectations_are_the_integrals(target, mean, sigma):
    outlook, merit = Outlook(np.array([mean]), np.array([sigma])), Merit(target)
    ends = {"points": [p for p in merit.knots if abs(p - mean) < 9 * sigma], "limit": 200}

    def integral(of):
        return quad(lambda v: of(v) * norm.pdf(v, mean, sigma), mean - 9 * sigma, mean + 9 * sigma, **ends)[0]

    assert merit.expected(outlook) == pytest.approx([integral(target.merit)], abs=1e-5)
    for best in (-2.0, 0.0, 1.5):
        gain = integral(lambda v, best=best: max(target.merit(v) - best, 0.0))
        assert merit.gain(outlook, best) == pytest.approx([gain], abs=1e-5)


def test_the_probability_of_a_hit_is_that_of_the_normal_distribution():
    means, sigmas = np.array([-1.5, -0.5, -2.4, 4.0]), np.array([0.3, 0.2, 0.5, 0.1])
    given = several(means.tolist(), sigmas.tolist())
    expected = norm.cdf(-1.0, means, sigmas) - norm.cdf(-2.0, means, sigmas)
    assert scores(HitProbability(), given, WINDOW) == pytest.approx(expected, abs=1e-8)


def test_several_conditions_multiply_and_what_is_unknown_counts_nothing():
    target = Target(maximum=-1.0, also=(Range("band_gap", 1.0, 2.0), Range("poisson_ratio", high=0.3)))
    (given,) = several([-1.2], [0.4])
    given = replace(
        given, predicted={E_F: -1.2, "band_gap": 1.4, "poisson_ratio": None}, sigmas={E_F: 0.4, "band_gap": 0.5}
    )
    expected = norm.cdf(-1.0, -1.2, 0.4) * (norm.cdf(2.0, 1.4, 0.5) - norm.cdf(1.0, 1.4, 0.5))
    assert scores(HitProbability(), [given], target) == pytest.approx([expected], abs=1e-8)


def test_without_an_error_bar_a_prediction_is_a_hit_or_none_and_the_nearest_miss_comes_next():
    given = several([-1.0, -0.9, -0.2, -2.0, -5.0], [None, 0.0, 0.0, None, None])
    found = scores(HitProbability(), given, WINDOW)
    assert found == pytest.approx([1, 0, 0, 1, 0], abs=1e-8)
    assert found[1] > found[2] > found[4]


def test_a_calibrated_chance_goes_before_mean_and_sigma():
    sure, told = one(-1.5, 0.01), one(5.0, 0.01, chance=0.4)
    assert scores(HitProbability(), [sure, told], WINDOW) == pytest.approx([1.0, 0.4], abs=1e-8)
    assert scores(HitProbability(calibrated=False), [sure, told], WINDOW) == pytest.approx([1.0, 0.0], abs=1e-8)


def test_without_a_range_a_hit_is_what_beats_the_best_known():
    given = several([-1.5, -0.5], [0.3, 0.2])
    expected = [norm.cdf(-1.4, -1.5, 0.3), norm.cdf(-1.4, -0.5, 0.2)]
    assert scores(HitProbability(), given, LOWEST, History(best=1.4)) == pytest.approx(expected, abs=1e-8)


def test_far_from_every_hit_the_order_is_still_that_of_the_predictions():
    given = several([400.0, 200.0, 300.0, 100.0], [1.0] * 4)
    for acquirer in (HitProbability(), ExpectedImprovement()):
        chosen = acquirer.choose(given, LOWEST, 4, rng(), History(best=0.0))
        assert [p.value(E_F) for p, _ in chosen] == [100, 200, 300, 400]


def test_the_expected_improvement_is_jones_closed_form_and_what_sampling_gives():
    means, sigmas, best = np.array([-1.5, -0.5, -1.0]), np.array([0.3, 0.9, 0.1]), -1.2
    u = (best - means) / sigmas  # Jones, Schonlau, Welch (1998), equation 15
    jones = (best - means) * norm.cdf(u) + sigmas * norm.pdf(u)
    found = scores(ExpectedImprovement(), several(means, sigmas), LOWEST, History(best=-best))
    assert found == pytest.approx(jones, abs=1e-8)
    drawn = means + sigmas * rng(1).standard_normal((400_000, 3))
    assert found == pytest.approx(np.maximum(best - drawn, 0).mean(axis=0), abs=3e-3)


def test_where_nothing_is_left_to_improve_the_chance_of_another_hit_counts():
    given = several([-1.5, -0.5, -2.4], [0.3, 0.2, 0.5])
    found = scores(ExpectedImprovement(), given, WINDOW, History(best=0.0))
    assert found == pytest.approx(scores(HitProbability(), given, WINDOW), abs=1e-8)
    before = scores(ExpectedImprovement(), given, WINDOW, History(best=-3.0))
    assert before != pytest.approx(found, abs=1e-2)


def test_a_history_knows_the_best_that_was_computed_and_how_often_each_formula_was():
    target = Target(direction="minimise", also=(Range("band_gap", 1.0),))
    salt, oxide = (one(0.0, pair=pair).crystal for pair in SALTS[:3:2])
    rows = [
        (salt, {E_F: -2.0, "band_gap": 0.9}.get),
        (decorated(Prototype.CSCL, ("Na", "Cl")), {E_F: -1.5}.get),
        (oxide, {}.get),
    ]
    history = History.of(target, rows)
    assert history.best == pytest.approx(1.5)  # -2 is a whole unit of merit off for its gap
    assert dict(history.computed) == {((11, 1), (17, 1)): 2, ((8, 1), (12, 1)): 1}
    assert History.of(target, []) == History()


def test_the_confidence_bound_is_mean_and_kappa_sigma_and_greedy_is_the_mean():
    given = several([-1.5, -1.4, -1.0], [0.0, 0.3, 0.5])
    assert scores(Ucb(2.0), given, LOWEST) == pytest.approx([1.5, 2.0, 2.0])
    assert scores(Greedy(), given, LOWEST) == pytest.approx([1.5, 1.4, 1.0])
    stiff = Target("log10_bulk_modulus", direction="maximise")
    (hard,) = several([2.0], [0.2], "log10_bulk_modulus")
    assert scores(Ucb(1.0), [hard], stiff) == pytest.approx([2.2])


def test_optimism_goes_no_further_than_the_middle_of_what_is_wanted():
    inside, wide, off = several([-1.5, -1.5, -0.5], [0.1, 3.0, 0.3])
    assert [p for p, _ in Ucb(1.0).choose([off, wide, inside], WINDOW, 3, rng())] == [inside, off, wide]


def test_of_two_predicted_hits_the_one_deep_inside_is_taken_first():
    edge, deep = several([-1.55, -2.5], [0.3, 0.3])
    for acquirer in (Greedy(), Ucb(0.5), HitProbability()):
        assert acquirer.choose([edge, deep], Target(maximum=-1.5), 1, rng())[0][0] is deep


def test_thompson_takes_each_as_often_as_it_is_the_best():
    given = several([-1.0, -0.8], [0.3, 0.4])
    stream = rng(5)
    taken = [Thompson().choose(given, LOWEST, 1, stream)[0][0] is given[0] for _ in range(4000)]
    p_best = norm.cdf((-0.8 - -1.0) / np.hypot(0.3, 0.4))
    assert np.mean(taken) == pytest.approx(p_best, abs=4 * np.sqrt(p_best * (1 - p_best) / 4000))


def on_hull(means, sigmas, pairs, kinds=None):
    kinds = kinds or [Prototype.ROCKSALT] * len(means)
    rows = zip(means, sigmas, pairs, kinds, strict=True)
    return [one(m, s, pair, kind, ABOVE_HULL) for m, s, pair, kind in rows]


def test_the_value_for_the_hull_is_the_expected_amount_below_it():
    means, sigmas = np.array([0.02, -0.03, 0.2, -0.1]), np.array([0.05, 0.02, 0.1, 0.0])
    drawn = means + sigmas * rng(2).standard_normal((400_000, 4))
    assert below(Outlook(means, sigmas)) == pytest.approx(np.maximum(-drawn, 0).mean(axis=0), abs=3e-4)
    found = scores(Hull(shared=0.0), on_hull(means, sigmas, SALTS[:4]), LOWEST)
    assert found == pytest.approx(below(Outlook(means, sigmas)), abs=1e-8)


def test_a_polymorph_is_worth_less_once_the_other_is_chosen():
    kinds = [Prototype.ROCKSALT, Prototype.CSCL, Prototype.ROCKSALT]
    given = on_hull([-0.05, -0.05, -0.04], [0.02] * 3, [("Na", "Cl"), ("Na", "Cl"), ("Mg", "O")], kinds)
    chosen = Hull().choose(given, LOWEST, 2, rng())
    assert {p.formula for p, _ in chosen} == {"NaCl", "MgO"}
    left = scores(Hull(shared=0.0), given, LOWEST)
    first, second = sorted(left[:2], reverse=True)
    assert first == pytest.approx(float(below(Outlook(np.array([-0.05]), np.array([0.02])))[0]), abs=1e-8)
    lowered = Outlook(np.array([-0.05 + first]), np.array([0.02]))
    assert second == pytest.approx(float(below(lowered)[0]), abs=1e-8)


def test_a_new_vertex_lowers_the_hull_for_what_contains_it_and_for_nothing_else():
    binary = on_hull([-0.1], [1e-3], [("Ca", "O")])[0]
    ternary, apart = (
        one(-0.05, 1e-3, elements, Prototype.PEROVSKITE, ABOVE_HULL)
        for elements in (("Ca", "Ti", "O"), ("Sr", "Ti", "O"))
    )
    found = scores(Hull(), [binary, ternary, apart], LOWEST)
    share = 0.4  # CaTiO3 is 2/5 CaO and 3/5 of Ti and O
    assert found == pytest.approx([0.1, 0.05 - 0.1 * share, 0.05], abs=1e-3)


def test_who_has_no_height_above_the_hull_comes_after_who_has_by_merit():
    with_, *without = [*on_hull([0.5], [0.01], SALTS[:1]), *several([-1.0, -2.0], [0.1, 0.1])]
    chosen = [p for p, _ in Hull().choose([without[0], with_, without[1]], LOWEST, 3, rng())]
    assert chosen == [with_, without[1], without[0]]


@pytest.mark.parametrize(
    "acquirer", [Greedy(), Ucb(), HitProbability(), ExpectedImprovement(), Thompson(), Hull()], ids=repr
)
def test_what_nobody_predicted_comes_last_even_where_all_else_is_far_off(acquirer):
    far = several([5000.0, 9000.0], [0.1, 0.1])
    bare = [replace(p, predicted={}, sigmas={}) for p in far]
    for target in (WINDOW, LOWEST):
        chosen = acquirer.choose([*bare, *far], target, 2, rng())
        assert {id(p) for p, _ in chosen} == set(map(id, far))


ODD = [float("inf"), float("-inf"), float("nan"), 1e308, -1e200, 1e-320]


@pytest.mark.parametrize("policy", ["greedy", "ucb", "hit_probability", "expected_improvement", "thompson", "hull"])
@pytest.mark.parametrize("field", ["mean", "sigma", "chance", "success", "cost_s"])
@pytest.mark.parametrize("best", [None, 1e300, float("-inf"), float("nan")])
def test_absurd_numbers_are_as_good_as_none(policy, field, best):
    if field in ("mean", "sigma"):
        given = [one(**{"mean": -1.0, "sigma": 0.1, field: value}) for value in ODD]
    else:
        given = [one(-1.0, **{field: value}) for value in ODD]
    given.append(one(-2.0, chance=0.9, success=0.9, cost_s=1.0))
    acquirer = acquirer_of(AcquireSection(policy=policy, per_cost=True, explore=0.5))
    chosen = acquirer.choose(given, WINDOW, 4, rng(), History(best=best))
    assert len(chosen) == 4
    assert np.isfinite([score for _, score in chosen]).all()


def test_what_is_learnt_of_one_narrows_the_error_bars_of_its_neighbours_in_the_system():
    kinds = [Prototype.ROCKSALT, Prototype.CSCL]
    twins = on_hull([0.05, 0.05], [0.1, 0.1], [("Na", "Cl")] * 2, kinds)
    given = [*twins, one(0.05, 0.1, ("Mg", "O"), name=ABOVE_HULL)]
    first = 0.1 * norm.pdf(0.5) - 0.05 * norm.cdf(-0.5)
    mean, sigma = 0.05 + first, 0.1 * np.sqrt(1 - 0.8**2)
    second = sigma * norm.pdf(mean / sigma) - mean * norm.cdf(-mean / sigma)
    found = scores(Hull(shared=0.8), given, LOWEST)
    assert sorted(found[:2]) == pytest.approx([second, first], abs=1e-7)
    assert found[2] == pytest.approx(first, abs=1e-7)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_small_chance_is_not_lost_in_either_tail(side):
    low, high = sorted((side * 9.0, side * 10.0))
    (found,) = Outlook(np.zeros(1), np.ones(1)).chance((low, high))
    assert found == pytest.approx(norm.sf(9.0) - norm.sf(10.0), rel=1e-9)
