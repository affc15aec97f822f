"""What the ranking says of proposals before DFT: above a hull, after failures, with labels and without."""

import dataclasses

import numpy as np
import pytest

from crystalloop.db.ledger.forecast import Forecast
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import ABOVE_HULL
from crystalloop.orchestrator.acquire.by_name import acquirer_of
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.history import Past
from crystalloop.orchestrator.propose.informed import Informed
from crystalloop.orchestrator.propose.ranking import Ranker

HALIDES = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br", "I")]


def campaign(**changes):
    fields = {
        "name": "t",
        "elements": ["Li", "Na", "K", "Rb", "F", "Cl", "Br", "I"],
        "prototypes": ["rocksalt_B1"],
        "target": {"property": "energy_above_hull", "maximum": 0.05},
        "surrogate": {"trees": 20},
    }
    return Campaign.model_validate(fields | changes)


def proposal(pair):
    return Proposal(Crystal.from_structure(decorate(Prototype.ROCKSALT, pair)), Kind.DECORATED, "rocksalt_B1")


def past(pair, e_f, round_=1, forecast=None):
    values = {} if e_f is None else {E_F: e_f}
    return Past("".join(pair), proposal(pair).crystal, "rocksalt_B1", round_, "loop", values, forecast, 10.0)


def energy_of(pair):
    """Less negative for heavier halogens and alkalis."""
    return -3.0 + 0.1 * atomic_number(pair[0]) / 10 + 0.4 * ("F", "Cl", "Br", "I").index(pair[1])


KNOWN = tuple(past(pair, energy_of(pair)) for pair in HALIDES[:12:2])
OPEN = [pair for pair in HALIDES if pair not in HALIDES[:12:2]]


def without_bromides(formula):
    """A hull that lies 20 meV/atom below every halide, and can say nothing of bromides."""
    return None if 35 in dict(formula) else -3.02 + 0.4 * (9, 17, 35, 53).index(formula_halogen(formula))


def formula_halogen(formula):
    return next(number for number, _ in formula if number in (9, 17, 35, 53))


def test_of_what_the_hull_cannot_judge_no_height_is_told_and_others_are_chosen_before():
    ranked = Ranker(campaign(), (), lambda: without_bromides).rank([proposal(pair) for pair in OPEN], KNOWN)
    chances = {one.formula: one.chance for one in ranked}
    assert {chance for formula, chance in chances.items() if "Br" in formula} == {None}
    assert all(one.value(ABOVE_HULL) is None for one in ranked if "Br" in one.formula)
    assert min(chance for formula, chance in chances.items() if "Br" not in formula) > 0.0
    chosen = acquirer_of(campaign().acquire).choose(ranked, campaign().target, 3, np.random.default_rng(0))
    assert not any("Br" in one.formula for one, _ in chosen)


def test_where_nothing_can_be_judged_the_most_stable_beside_its_elements_comes_first():
    ranked = Ranker(campaign()).rank([proposal(pair) for pair in OPEN], KNOWN)
    assert {one.chance for one in ranked} == {None}
    acquirer = Informed(acquirer_of(campaign(acquire={"policy": "greedy"}).acquire), KNOWN)
    (first, _), *_ = acquirer.choose(ranked, campaign().target, 1, np.random.default_rng(0))
    assert first.value(E_F) == min(one.value(E_F) for one in ranked)


def test_a_height_above_the_hull_is_the_formation_energy_less_the_hull():
    ranked = Ranker(campaign(), (), lambda: lambda formula: -1.0).rank([proposal(pair) for pair in OPEN], KNOWN)
    for one in ranked:
        assert one.value(ABOVE_HULL) == pytest.approx(one.value(E_F) + 1.0)
        assert one.sigma_of(ABOVE_HULL) == one.sigma_of(E_F) > 0


def test_what_gave_up_makes_its_like_less_likely_to_end_with_a_value():
    failed = past(("Rb", "I"), None)
    ranked = Ranker(campaign()).rank([proposal(pair) for pair in OPEN if pair != ("Rb", "I")], (*KNOWN, failed))
    success = {one.formula: one.success for one in ranked}
    assert min(success, key=success.get) in {"RbBr", "KI", "RbCl"}
    assert all(0 < chance < 1 for chance in success.values())


def test_without_labels_proposals_stay_as_the_networks_predicted_them():
    told = dataclasses.replace(proposal(("Li", "F")), predicted={E_F: -2.0}, sigma=0.3, sigmas={E_F: 0.3})
    (one,) = Ranker(campaign(target={"maximum": -1.0})).rank([told], ())
    assert (one.value(E_F), one.sigma_of(E_F), one.surrogate) == (-2.0, 0.3, "")
    assert Ranker(campaign()).rank([], KNOWN) == []


def test_the_same_past_gives_the_same_ranking_and_its_order_changes_nobody():
    asked = [proposal(pair) for pair in OPEN]
    one = Ranker(campaign()).rank(asked, KNOWN)
    other = Ranker(campaign()).rank(asked[::-1], KNOWN)[::-1]
    assert [a.predicted for a in one] == [pytest.approx(b.predicted) for b in other]


def test_forecasts_put_to_the_test_say_how_far_the_networks_are_believed():
    def said(networks, surrogate):
        return tuple(
            past(pair, energy_of(pair), 2, forecast(energy_of(pair) + networks, energy_of(pair) + surrogate))
            for pair in HALIDES[:12:2]
        )

    def forecast(networks, surrogate):
        return Forecast(
            property=E_F, mean=surrogate, sigma=0.1, surrogate="x", parts={"networks": networks, "surrogate": surrogate}
        )

    told = dataclasses.replace(proposal(("Rb", "Br")), predicted={E_F: 3.0}, sigma=0.1, sigmas={E_F: 0.1})
    ranker = Ranker(campaign(target={"maximum": -1.0}))
    (wrong,), (right,) = ranker.rank([told], said(2.0, 0.0)), ranker.rank([told], said(0.0, 2.0))
    assert wrong.value(E_F) < right.value(E_F)
    assert "networks" in right.surrogate and wrong.parts["networks"] == 3.0


def test_a_choice_is_told_of_what_was_computed_before():
    ranked = Ranker(campaign(target={"direction": "minimise"})).rank([proposal(pair) for pair in OPEN], KNOWN)
    heard = []

    class Listening:
        def choose(self, proposals, target, count, rng, history):
            heard.append(history)
            return [(proposals[0], 1.0)]

    wanted = campaign(target={"direction": "minimise"}).target
    chosen = Informed(Listening(), KNOWN).choose(ranked, wanted, 1, np.random.default_rng(0))
    assert chosen[0][0] is ranked[0]
    assert heard[0].best == pytest.approx(max(-one.values[E_F] for one in KNOWN)) and sum(
        heard[0].computed.values()
    ) == len(KNOWN)
