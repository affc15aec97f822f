"""The funnel, the choice, the cold start and the training set, on small real crystals."""

import dataclasses

import numpy as np
import pytest

from crystalloop.models.crystals.contacts import contact_ratio
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import Range, Target
from crystalloop.models.generate.funnel import is_new, near_target, run_funnel, unique, valid_distances, wanted_formula
from crystalloop.orchestrator.acquire.greedy import Greedy, spread
from crystalloop.orchestrator.acquire.layers.diverse import Diverse
from crystalloop.orchestrator.acquire.ucb import Ucb
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import build_training_set
from crystalloop.orchestrator.propose.cold_start import choose_decorated, decorated_pool, is_balanced

CAMPAIGN = Campaign.model_validate(
    {
        "name": "t",
        "elements": ["Li", "Mg", "O", "F"],
        "prototypes": ["rocksalt_B1", "CsCl_B2", "perovskite_E21"],
        "target": {"direction": "minimise"},
    }
)


def draft(prototype, elements, a=None, e_f=None, sigma=0.0, **changes):
    predicted = {"formation_energy_per_atom": e_f}
    crystal = Crystal.from_structure(decorate(prototype, elements, a))
    return Proposal(crystal, Kind.RANDOM, str(prototype), predicted=predicted, sigma=sigma, **changes)


LIF = draft(Prototype.ROCKSALT, ("Li", "F"), e_f=-3.0)
MGO = draft(Prototype.ROCKSALT, ("Mg", "O"), e_f=-2.7)


def test_stages_are_named_and_counted_in_order():
    squeezed = draft(Prototype.ROCKSALT, ("Li", "F"), 2.0)
    drafts = [LIF, MGO, squeezed, draft(Prototype.ROCKSALT, ("Na", "F")), dataclasses.replace(LIF, confidence=0.5)]
    filters = (valid_distances(), wanted_formula(["Li", "Mg", "O", "F"], ["AB"], 40), unique())
    funnel = run_funnel(drafts, filters, generated=9)
    assert funnel.counts == (
        ("generated", 9),
        ("atoms found", 5),
        ("valid distances", 4),
        ("wanted formula", 3),
        ("unique", 2),
    )
    assert set(map(id, funnel.survivors)) == {id(LIF), id(MGO)}


def test_atoms_that_nearly_touch_and_exploded_cells_are_invalid():
    assert contact_ratio(LIF.crystal) > 0.9
    squeezed, blown = (draft(Prototype.ROCKSALT, ("Li", "F"), edge) for edge in (2.4, 12.0))
    assert valid_distances().keep([squeezed, LIF, blown]) == [LIF]


def test_a_crystal_is_known_whatever_its_volume_but_not_in_another_structure_type():
    known = KnownCrystals([LIF.structure])
    assert known.knows(decorate(Prototype.ROCKSALT, ("Li", "F"), 4.4))
    assert not known.knows(decorate(Prototype.CSCL, ("Li", "F")))
    assert is_new(known).keep([LIF, MGO]) == [MGO]


def test_around_a_base_only_its_own_anonymous_formula_is_wanted():
    keep = wanted_formula(["Li", "Mg", "O", "F"], ["AB", "ABC3"], 40).keep
    perovskite = draft(Prototype.PEROVSKITE, ("Li", "Mg", "F"))
    around = dataclasses.replace(perovskite, kind=Kind.AROUND, bases=("LiF:rocksalt_B1",))
    assert keep([perovskite, around]) == [perovskite]


def test_predictions_far_from_the_target_are_dropped_unless_uncertain():
    ranged = near_target(Target(minimum=-2.0, maximum=-1.0), [])
    sure, unsure = draft(Prototype.CSCL, ("Li", "F"), e_f=-2.5), draft(Prototype.CSCL, ("Mg", "O"), e_f=-2.5, sigma=0.6)
    assert ranged.keep([sure, unsure]) == [unsure]
    lowest = near_target(Target(direction="minimise"), [-1.0, -2.0, -3.0])
    assert lowest.keep([LIF, draft(Prototype.CSCL, ("Li", "F"), e_f=-1.5)]) == [LIF]


def test_how_far_a_prediction_may_be_off_is_its_own_uncertainty_in_its_own_unit():
    gap = near_target(Target("band_gap", minimum=1.0, maximum=2.0), [])
    of_the_energy = draft(Prototype.CSCL, ("Li", "F"), sigma=0.6)  # eV/atom, of the formation energy
    sure, unsure = (
        dataclasses.replace(of_the_energy, predicted={"band_gap": 0.5}, sigmas={"band_gap": sigma})
        for sigma in (0.1, 0.6)
    )
    assert gap.keep([dataclasses.replace(sure, sigmas={}), sure, unsure]) == [unsure]
    both = near_target(Target(maximum=0.0, also=(Range("band_gap", 1.0, 2.0),)), [])
    assert both.keep([sure, unsure]) == [unsure]
    stiff = Target("log10_bulk_modulus", direction="maximise")
    ((first, _),) = Ucb().choose(
        [
            dataclasses.replace(one, predicted={"log10_bulk_modulus": 2.0}, sigma=s, sigmas={"log10_bulk_modulus": t})
            for one, s, t in ((LIF, 0.9, 0.01), (MGO, 0.0, 0.2))
        ],
        stiff,
        1,
        np.random.default_rng(0),
    )
    assert first.formula == "MgO"


def test_an_error_bar_that_holds_the_whole_window_is_no_reason_against_a_crystal():
    window = Target(minimum=-2.6, maximum=-1.6)
    inside, outside = (dataclasses.replace(LIF, predicted={E_F: e_f}, sigma=0.6) for e_f in (-2.1, -3.25))
    assert window.best_merit(-2.7, -1.5) == 0.0
    assert window.best_merit(-3.7, -2.7) == pytest.approx(-1.0)
    lowest = Target(maximum=-1.0, direction="minimise")
    assert lowest.best_merit(-3.0, -2.0) == 3.0
    ((first, _),) = Greedy().choose([outside, inside], window, 1, np.random.default_rng(0))
    assert first is inside


def test_the_choice_prefers_merit_then_difference():
    twins = [draft(Prototype.ROCKSALT, ("Li", "F"), 4.0 + i / 100, e_f=-3.0 + i / 1000) for i in range(3)]
    poor = [draft(Prototype.CSCL, pair, e_f=1.0) for pair in (("Li", "Mg"), ("Li", "Na"), ("Na", "Mg"), ("O", "F"))]
    chosen = Diverse(Greedy()).choose([*twins, MGO, *poor], Target(direction="minimise"), 2, np.random.default_rng(0))
    assert [d.formula for d, _ in chosen] == ["LiF", "MgO"]
    assert Greedy().choose([], Target(direction="minimise"), 2, np.random.default_rng(0)) == []


def test_a_spread_takes_different_compositions_first():
    drafts = [LIF, dataclasses.replace(LIF), MGO]
    assert [d.formula for d, _ in spread(drafts, [0.0, 0.0, 0.0], 2)] == ["LiF", "MgO"]


def test_the_cold_start_is_diverse_valid_and_the_same_each_time():
    pool = decorated_pool(CAMPAIGN)
    first = choose_decorated(CAMPAIGN, pool, KnownCrystals(), 6)
    again = choose_decorated(CAMPAIGN, decorated_pool(CAMPAIGN), KnownCrystals(), 6)
    names = [(d.formula, d.prototype) for d, _ in first.chosen]
    assert names == [(d.formula, d.prototype) for d, _ in again.chosen]
    assert len(set(names)) == 6
    assert {d.prototype for d, _ in first.chosen} == set(map(str, CAMPAIGN.prototypes))
    assert dict(first.counts)["generated"] == len(pool)


@pytest.mark.parametrize(
    ("formula", "prototype", "balanced"),
    [("LiF", "rocksalt_B1", True), ("MgF", "rocksalt_B1", False), ("LiMgF3", "perovskite_E21", True)],
)
def test_charge_balance_is_seen(formula, prototype, balanced):
    assert is_balanced(formula, prototype) is balanced


def test_a_file_crystal_replaces_its_decoration_and_the_digest_sees_labels():
    known = KnownCrystal("a", "f line 1", LIF.structure, {"formation_energy_per_atom": -3.0})
    training, trained_on = build_training_set([], [known], [LIF, MGO])
    assert (training.ids, trained_on) == (("file:f line 1", "decorated"), ())
    assert training.values("formation_energy_per_atom") == [-3.0]
    assert np.isnan(training.labels[1]).all()
    other = dataclasses.replace(known, labels={"formation_energy_per_atom": -2.9})
    assert build_training_set([], [other], [LIF, MGO])[0].digest != training.digest
