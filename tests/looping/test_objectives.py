"""Height above the hull as a target with its floor, several objectives, and what cannot be judged: merits, hits, words."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from database_fixture import NOON, new_candidate, new_relaxation

from crystalloop.db.ledger.campaigns import Round
from crystalloop.db.ledger.records import CandidateState
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.draw.one_merit import as_one
from crystalloop.models.draw.pareto import compromise, dominated
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import ABOVE_HULL, COMPROMISE, Direction, Objective, Range, Target
from crystalloop.models.draw.vicinity import Vicinity
from crystalloop.models.generate.funnel import near_target
from crystalloop.orchestrator.account.judged import best_candidate
from crystalloop.orchestrator.account.rounds import hit_definition, round_results, unjudged_text
from crystalloop.orchestrator.acquire.greedy import Greedy

GAP = "band_gap"
LOW, HIGH = Direction.MINIMISE, Direction.MAXIMISE
STABLE = Target(ABOVE_HULL, maximum=0.05, direction=LOW)
BOTH = Target(ABOVE_HULL, direction=LOW, objectives=(Objective(ABOVE_HULL, LOW), Objective(GAP, HIGH)))


def relaxed(number, height, gap=None, round_=1, **changes):
    fields = {"state": CandidateState.RELAXED, "relaxation": new_relaxation(), "e_f": -1.0, "predicted": {GAP: gap}}
    return new_candidate(number, round=round_).model_copy(update=fields | {"e_above_hull": height} | changes)


def round_of(number, candidates, **changes):
    chosen = tuple(c.id for c in candidates)
    fields = {"campaign": "first", "number": number, "model_version": None, "funnel": (), "chosen": chosen}
    return Round(id=f"first/{number}", started_at=NOON, **fields, **changes)


def hits_of(target, *rounds):
    found = round_results(
        target, [c for each in rounds for c in each], [round_of(n, c) for n, c in enumerate(rounds, 1)]
    )
    return [one.hits for one in found]


def proposal(height=None, gap=None, sigma=0.0, **changes):
    crystal = Crystal(np.eye(3) * 4.0, np.array([3, 9]), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]))
    predicted, sigmas = {ABOVE_HULL: height, GAP: gap}, {ABOVE_HULL: sigma, GAP: sigma}
    return Proposal(crystal, Kind.RANDOM, predicted=predicted, sigmas=sigmas, **changes)


def test_below_the_hull_is_no_better_than_on_it():
    assert STABLE.merit(-0.5) == STABLE.merit(0.0) > STABLE.merit(0.01)
    assert STABLE.best_merit(-1.0, 1.0) == STABLE.merit(0.0)
    assert Objective(ABOVE_HULL, LOW).gain(-0.5) == Objective(ABOVE_HULL, LOW).gain(0.0)
    e_f = Target(direction=LOW)
    assert e_f.merit(-0.5) > e_f.merit(0.0)  # no floor where there is none


def test_a_choice_does_not_run_after_predictions_far_below_the_hull():
    far_below, on_it = proposal(-3.0), proposal(0.0)
    scores = {
        one.predicted[ABOVE_HULL]: score
        for one, score in Greedy().choose([on_it, far_below], STABLE, 2, np.random.default_rng(0))
    }
    assert scores[-3.0] == pytest.approx(scores[0.0], abs=1e-6)


def test_a_range_counts_what_is_below_the_hull_as_on_it():
    assert Range(ABOVE_HULL, -0.1, 0.05).holds(-3.0)
    assert not Range(ABOVE_HULL, 0.02, 0.1).holds(-3.0)
    assert Range(ABOVE_HULL, 0.02, 0.1).distance(np.array([-3.0, 0.0, 0.05])) == pytest.approx([0.02, 0.02, 0.0])


def test_hits_lie_near_the_hull_and_the_value_is_told_as_it_is():
    below, near, above = relaxed(1, -0.3), relaxed(2, 0.05), relaxed(3, 0.051)
    assert hits_of(STABLE, [below, near, above]) == [(below.id, near.id)]
    assert best_candidate([above, near, below], STABLE) == below
    assert below.e_above_hull == -0.3


def test_without_a_range_every_crystal_on_the_hull_is_a_hit_and_else_the_best_so_far():
    target = Target(ABOVE_HULL, direction=LOW)
    first = [relaxed(1, 0.0), relaxed(2, 0.3)]
    second = [relaxed(3, -0.1, round_=2), relaxed(4, 0.1, round_=2)]
    assert hits_of(target, first, second) == [(first[0].id,), (second[0].id,)]
    high = [relaxed(1, 0.4), relaxed(2, 0.3)]
    assert hits_of(target, high, second) == [(), (second[0].id, second[1].id)]
    assert "Every one on the hull is one, too" in hit_definition(target)


def test_a_crystal_whose_hull_is_too_sparse_is_no_hit_and_is_counted():
    known, sparse = relaxed(1, 0.0), relaxed(2, None, hull_reason="sparse hull")
    results = round_results(STABLE, [known, sparse], [round_of(1, [known, sparse])])
    assert (results[0].hits, results[0].unjudged) == ((known.id,), 1)
    assert unjudged_text(results, STABLE).startswith("1 more could not be judged: the hull is too sparse")
    off = Target(ABOVE_HULL, maximum=0.05, also=(Range(GAP, 1.0, 2.0),))
    excluded = [relaxed(1, None, gap=5.0), relaxed(2, None, gap=1.5), relaxed(3, 0.2, gap=None)]
    assert round_results(off, excluded, [round_of(1, excluded)])[0].unjudged == 1


def test_another_composition_is_no_hit_whatever_its_height():
    salt, other = relaxed(1, 0.0), relaxed(2, 0.0)
    assert set(salt.crystal.species) == {"Li", "F"}
    for vicinity, expected in ((Vicinity(without=("F",)), ()), (Vicinity(("NaF",), 0.6), (salt.id, other.id))):
        assert hits_of(Target(ABOVE_HULL, maximum=0.1, vicinity=vicinity), [salt, other]) == [expected]
    wrong = Target(ABOVE_HULL, maximum=0.1, vicinity=Vicinity(("LiF:CsCl_B2",), 1.0))
    assert hits_of(wrong, [salt.model_copy(update={"prototype": "rocksalt_B1"})]) == [()]


def test_hits_of_several_objectives_are_dominated_by_nothing_known_before():
    first = [relaxed(1, 0.1, 2.0), relaxed(2, 0.0, 1.0)]
    second = [
        relaxed(3, 0.1, 2.5, 2),  # better in one
        relaxed(4, 0.05, 1.5, 2),  # between both
        relaxed(5, 0.1, 2.0, 2),  # as good as the first
        relaxed(6, 0.2, 1.0, 2),  # worse
        relaxed(7, -0.4, 1.0, 2),  # below the hull is as good as on it
        relaxed(8, None, 9.0, 2),  # nobody knows
    ]
    assert hits_of(BOTH, first, second) == [(), (second[0].id, second[1].id)]
    assert round_results(BOTH, second, [round_of(1, second)])[0].unjudged == 1
    only = Target(ABOVE_HULL, None, 0.06, LOW, objectives=BOTH.objectives)
    assert hits_of(only, first, second) == [(), (second[1].id,)]
    assert (
        "none known before the round is as good or better in each of lower energy above hull and higher band gap"
        in (hit_definition(BOTH))
    )


def test_objectives_that_each_have_a_range_are_met_in_the_ranges():
    target = Target(ABOVE_HULL, None, 0.06, LOW, (Range(GAP, 1.2),), objectives=BOTH.objectives)
    first = [relaxed(1, 0.05, 2.0), relaxed(2, 0.0, 1.0)]
    assert hits_of(target, first) == [(first[0].id,)]


def test_dominance_is_what_the_definition_says():
    rng = np.random.default_rng(1)
    gains, before = rng.integers(0, 4, (40, 3)).astype(float), rng.integers(0, 4, (15, 3)).astype(float)
    expected = [any(all(a <= b for a, b in zip(x, y, strict=True)) for y in before) for x in gains]
    assert dominated(gains, before).tolist() == expected
    assert dominated(np.array([[np.nan, 9.0]]), np.zeros((0, 2))).tolist() == [True]


def test_the_best_compromise_is_pareto_optimal_and_reaches_a_concave_front():
    front = np.array([[x, 1 - x**0.5] for x in (0.0, 0.05, 0.25, 0.6, 1.0)])  # no weighted sum finds the middle
    assert all(np.argmax(front @ (w, 1 - w)) in (0, 4) for w in np.linspace(0.05, 0.95, 19))
    best = {int(np.argmax(compromise(front * (w, 1 - w)))) for w in np.linspace(0.05, 0.95, 19)}
    assert best >= {1, 2, 3}
    for seed in range(20):
        gains = np.random.default_rng(seed).integers(0, 5, (30, 3)).astype(float)
        chosen = gains[int(np.argmax(compromise(gains)))]
        assert not any((row >= chosen).all() and (row > chosen).any() for row in gains)


def test_a_compromise_is_worth_its_worst_shortfall_and_a_twentieth_of_the_sum():
    gains = np.array([[0.0, 2.0], [1.0, 0.0], [np.nan, 5.0]])  # ideal: 1, 2
    assert compromise(gains) == pytest.approx([-1.0 - 0.05, -2.0 - 0.1, -np.inf])


def test_objectives_are_weighed_in_their_scales():
    rows = [{ABOVE_HULL: 0.1, GAP: 4.0}, {ABOVE_HULL: 0.0, GAP: 1.5}]
    assert np.argmax(BOTH.merits_of([row.get for row in rows])) == 0  # 2 scales behind, against 2.5
    heavy = Target(ABOVE_HULL, direction=LOW, objectives=(Objective(ABOVE_HULL, LOW, weight=2.0), Objective(GAP, HIGH)))
    assert np.argmax(heavy.merits_of([row.get for row in rows])) == 1
    coarse = Target(ABOVE_HULL, direction=LOW, objectives=(Objective(ABOVE_HULL, LOW, scale=1.0), Objective(GAP, HIGH)))
    assert np.argmax(coarse.merits_of([row.get for row in rows])) == 0


def test_any_acquirer_chooses_among_several_objectives_as_among_one():
    proposals = [proposal(h, g, 0.01) for h, g in product((0.0, 0.2), (1.0, 5.0))] + [proposal(0.0, None)]
    single, asked = as_one(BOTH, proposals)
    assert (single.property, single.direction) == (COMPROMISE, HIGH)
    assert [one.value(COMPROMISE) is None for one in asked] == [False] * 4 + [True]
    ((first, _),) = Greedy().choose(asked, single, 1, np.random.default_rng(0))
    assert (first.value(ABOVE_HULL), first.value(GAP)) == (0.0, 5.0)
    assert asked[0].sigma_of(COMPROMISE) == pytest.approx(0.01)  # behind in the gap, 1 eV counts as one
    assert asked[3].sigma_of(COMPROMISE) == pytest.approx(0.2)  # behind in height, 0.05 eV/atom counts as one
    assert as_one(STABLE, proposals) == (STABLE, proposals)


def test_what_is_poor_in_one_objective_stays_in_the_funnel():
    poor = proposal(0.9, 6.0)
    assert near_target(BOTH, [0.0, 0.1]).keep([poor]) == [poor]


def test_networks_are_asked_for_a_low_formation_energy_in_place_of_the_height():
    assert STABLE.for_networks() == Target(direction=LOW)
    ranged = Target(ABOVE_HULL, maximum=0.1, also=(Range("formation_energy_per_atom", high=-1.0), Range(GAP, 1.0)))
    assert ranged.for_networks() == Target(maximum=-1.0, direction=LOW, also=(Range(GAP, 1.0),))
    assert Target(maximum=-1.0).for_networks() == Target(maximum=-1.0)
    energy, gap = Objective("formation_energy_per_atom", LOW), Objective(GAP, HIGH)
    assert BOTH.for_networks() == Target(direction=LOW, objectives=(energy, gap))
    turned = Target(GAP, direction=HIGH, objectives=BOTH.objectives[::-1])
    assert turned.for_networks().objectives[0] == gap
    both_energies = Target(ABOVE_HULL, direction=LOW, objectives=(BOTH.objectives[0], energy))
    assert both_energies.for_networks() == Target(direction=LOW)


def test_a_choice_without_a_predicted_height_goes_by_the_formation_energy():
    deep, shallow = (dataclasses.replace(proposal(), predicted={"formation_energy_per_atom": e}) for e in (-2.0, -0.1))
    target, asked = as_one(STABLE, [shallow, deep])
    ((first, _),) = Greedy().choose(asked, target, 1, np.random.default_rng(0))
    assert first is deep


def test_a_target_of_several_is_stored_and_read_again():
    aims = (*BOTH.objectives[:1], Objective(GAP, HIGH, 2.0, 0.5))
    place = Vicinity(("LiF",), 2.0, ("Cl",))
    target = Target(ABOVE_HULL, None, 0.1, LOW, (Range(GAP, 1.0),), place, aims)
    assert Target.from_stored(target.stored()) == target
    assert set(STABLE.stored()) == {"property", "minimum", "maximum", "direction"}


@pytest.mark.parametrize(
    ("objectives", "says"),
    [
        ((Objective(GAP, HIGH), Objective(ABOVE_HULL, LOW)), "first of them is the target's own"),
        ((Objective(ABOVE_HULL, LOW),), "two or more"),
        ((Objective(ABOVE_HULL, LOW), Objective(ABOVE_HULL, HIGH)), "an objective twice"),
    ],
)
def test_objectives_that_contradict_the_target_are_refused(objectives, says):
    with pytest.raises(ValueError, match=says):
        Target(ABOVE_HULL, direction=LOW, objectives=objectives)
    with pytest.raises(ValueError, match="must be above 0"):
        Objective(GAP, HIGH, weight=0.0)
