"""The arms of a round: seats that hold their shares, each choosing its own, nothing computed twice, the same for the same seed."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F, label_array
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.draw.proposal import Base, Kind, Proposal
from crystalloop.models.draw.target import Target
from crystalloop.models.generate.funnel import charge_balanced
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.campaign.choice.sections import Arms
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.ask import Ask
from crystalloop.orchestrator.propose.baselines.armed_choice import ArmedChooser, CampaignArms, known_compounds
from crystalloop.orchestrator.propose.baselines.arms import Offered, arm_chooser
from crystalloop.orchestrator.propose.baselines.seats import dealt, seats, smallest_share
from crystalloop.orchestrator.propose.cold_start import anonymous_formulas, decorated_pool
from crystalloop.orchestrator.run.arm_notes import arm_notes

SHARES = {"loop": 0.8, "ion_exchange": 0.1, "random": 0.1}
MANY = [
    SHARES,
    {"loop": 0.5, "random": 0.5},
    {"loop": 0.61, "random": 0.13, "ion_exchange": 0.11, "no_feedback": 0.09, "trees_ucb": 0.06},
    {"random": 1.0},
]
TARGET = Target(E_F, maximum=-1.5, direction="minimise")
PAIRS = [("Na", "Cl"), ("Li", "F"), ("K", "Br"), ("Mg", "O"), ("Ca", "S"), ("Li", "Cl"), ("Na", "F"), ("K", "F")]
ELEMENTS = sorted({symbol for pair in PAIRS for symbol in pair})


def proposals() -> list[Proposal]:
    kinds = (Prototype.ROCKSALT, Prototype.CSCL)
    return [
        Proposal(decorated(kind, pair), Kind.DECORATED, str(kind), predicted={E_F: -0.1 * i}, sigma=0.1)
        for i, (kind, pair) in enumerate((k, p) for k in kinds for p in PAIRS)
    ]


def offered(**more) -> Offered:
    made = proposals()
    parents = (Base("NaBr:rocksalt_B1", decorated(Prototype.ROCKSALT, ("Na", "Br"))),)
    return replace(Offered(1, TARGET, made, made, parents), **more)


def chooser(shares, seed=5) -> ArmedChooser:
    arms = {name: arm_chooser(name, Greedy(), ELEMENTS, {"AB"}, (charge_balanced(),)) for name in shares}
    return ArmedChooser(shares, arms, seed)


def names(scored) -> dict[str, int]:
    found = [one.arm for one, _ in scored]
    return {name: found.count(name) for name in sorted(set(found))}


# --- seats ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", MANY)
@pytest.mark.parametrize("per_round", [1, 3, 6, 7, 20])
def test_no_arm_is_a_whole_seat_from_its_share_after_any_round(shares, per_round):
    spent, most = dict.fromkeys(shares, 0), 1 - 1 / (2 * len(shares) - 2) if len(shares) > 1 else 0.0
    for round_ in range(1, 60):
        given = seats(shares, spent, per_round)
        assert sum(given.values()) == per_round
        spent = {name: spent[name] + given.get(name, 0) for name in shares}
        assert all(abs(spent[name] - share * round_ * per_round) <= most + 1e-6 for name, share in shares.items())


def test_six_a_round_with_a_tenth_for_each_baseline_comes_out_even():
    assert dealt(SHARES, 60) == {"loop": 48, "ion_exchange": 6, "random": 6}
    assert dealt(SHARES, 20) == {"loop": 16, "ion_exchange": 2, "random": 2}


def test_how_rounds_are_cut_changes_nothing():
    spent = Counter()
    for count in (6, 6, 4, 8, 6):
        spent += Counter(seats(SHARES, spent, count))
    assert spent == dealt(SHARES, 30)


def test_an_arm_that_could_not_choose_is_paid_back_without_taking_over_a_round():
    spent = {"loop": 60, "ion_exchange": 0, "random": 6}  # it had no compound to begin with
    given = seats(SHARES, spent, 6)
    assert given["ion_exchange"] == 2  # its share of a round is one, and one more


def test_seats_of_an_arm_that_cannot_choose_go_to_the_others():
    assert seats(SHARES, {}, 6, able=("loop", "random")) == {"loop": 5, "random": 1}
    assert seats(SHARES, {}, 6, able=()) == {}
    assert seats({"loop": 0.0, "random": 1.0}, {}, 0) == {}


def test_the_smallest_share_that_gets_a_seat_gets_one():
    for total in (3, 18, 60, 99, 250):
        share = smallest_share(total)
        assert dealt({"loop": 1 - share, "random": share}, total)["random"] >= 1


# --- who chooses ---------------------------------------------------------------------------------------------------------


def test_each_arm_chooses_for_its_own_seats_and_no_crystal_twice():
    shares = {"loop": 0.4, "random": 0.3, "ion_exchange": 0.3}
    chosen, note = chooser(shares).choose(offered(), {}, 10)
    assert names(chosen) == {"ion_exchange": 3, "loop": 4, "random": 3}
    assert note == ""
    seen = KnownCrystals()
    assert all(seen.takes(one.crystal) for one, _ in chosen)
    assert {one.kind for one, _ in chosen if one.arm == "ion_exchange"} == {Kind.SUBSTITUTED}
    assert all(np.isfinite(score) for _, score in chosen)


def test_the_same_seed_gives_the_same_choice_and_another_round_another():
    def told(round_, seed=5):
        found, _ = chooser({"loop": 0.5, "random": 0.5}, seed).choose(offered(round=round_), {}, 6)
        return [(one.formula, one.prototype, one.arm) for one, _ in found]

    assert told(1) == told(1)
    assert told(1) != told(2)
    assert told(1, seed=6) != told(1)


def test_what_two_arms_want_is_credited_to_the_one_whose_turn_came_first_and_turns_go_round():
    shares = {"loop": 0.5, "no_feedback": 0.5}
    says = {"no_feedback": list}  # the same predictions: both want the same
    first = [chooser(shares).choose(offered(round=round_, says=says), {}, 2)[0] for round_ in (1, 2)]
    best = [next(one.arm for one, _ in found if one.formula == found[0][0].formula) for found in first]
    assert sorted(best) == ["loop", "no_feedback"]


def test_random_draws_each_crystal_of_the_screen_equally_often():
    arm, made = arm_chooser("random", Greedy()), offered()
    often = dict.fromkeys(map(id, made.screened), 0)
    for seed in range(400):
        for one, _ in arm.choose(made, 4, KnownCrystals(), np.random.default_rng(seed)):
            often[id(one)] += 1
    expected = 400 * 4 / len(often)
    assert sum((n - expected) ** 2 / expected for n in often.values()) < 37.7  # chi squared, 15 degrees, 1 in 1,000


def test_a_baseline_ranks_by_its_own_predictions_and_the_crystal_keeps_those_of_the_loop():
    def contrary(given):
        return [replace(one, predicted={E_F: -(one.value(E_F) or 0.0) - 5}) for one in given]

    chosen, _ = chooser({"no_feedback": 1.0}).choose(offered(says={"no_feedback": contrary}), {}, 1)
    assert chosen[0][0].predicted == {E_F: -0.0}
    loop, _ = chooser({"loop": 1.0}).choose(offered(), {}, 1)
    assert loop[0][0].predicted == {E_F: pytest.approx(-1.5)}


def test_trees_are_followed_to_the_upper_confidence_bound():
    def uncertain(given):  # all alike but one that is worse and very uncertain
        told = [(-0.5, 3.0) if at == 2 else (-1.0, 0.1) for at in range(len(given))]
        return [replace(one, predicted={E_F: mean}, sigma=sd) for one, (mean, sd) in zip(given, told, strict=True)]

    says = {"trees_ucb": uncertain}
    chosen, _ = chooser({"trees_ucb": 1.0}).choose(offered(says=says, target=Target(E_F, direction="minimise")), {}, 1)
    assert chosen[0][0].formula == proposals()[2].formula
    assert chosen[0][1] == pytest.approx(3.5)  # -(-.5 - 3)


def test_ion_exchange_leaves_out_what_is_known_and_what_the_screen_refuses():
    known = KnownCrystals([decorated(Prototype.ROCKSALT, ("Na", "Cl"))])
    arm = arm_chooser("ion_exchange", Greedy(), ELEMENTS, {"AB"}, (charge_balanced(),))
    found = arm.choose(offered(known=known), 50, KnownCrystals(), np.random.default_rng(1))
    formulas = [one.formula for one, _ in found]
    assert "NaCl" not in formulas and "KBr" in formulas
    assert len(formulas) == len(set(formulas))
    assert all(one.prototype == "rocksalt_B1" for one, _ in found)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_exchanged_crystals_get_the_predictions_of_the_loop():
    rank = lambda given: [replace(one, predicted={E_F: -9.0}) for one in given]  # noqa: E731
    chosen, _ = chooser({"ion_exchange": 1.0}).choose(offered(rank=rank), {}, 2)
    assert [one.predicted for one, _ in chosen] == [{E_F: -9.0}] * 2


# --- too few -------------------------------------------------------------------------------------------------------------


def test_without_a_known_compound_other_arms_choose_in_the_place_of_ion_exchange():
    chosen, _ = chooser(SHARES).choose(offered(parents=()), {}, 10)
    assert "ion_exchange" not in names(chosen)
    assert len(chosen) == 10


def test_a_campaign_of_ion_exchange_alone_draws_at_random_while_nothing_is_known():
    chosen, _ = chooser({"ion_exchange": 1.0}).choose(offered(parents=()), {}, 3)
    assert names(chosen) == {"random": 3}


def test_an_arm_that_finds_too_few_says_so_and_others_fill_its_seats():
    arms = {name: arm_chooser(name, Greedy(), ["Na", "Br", "Cl"], {"AB"}) for name in ("loop", "ion_exchange")}
    chosen, note = ArmedChooser({"loop": 0.5, "ion_exchange": 0.5}, arms, 1).choose(offered(), {}, 8)
    assert names(chosen) == {"ion_exchange": 1, "loop": 7}
    assert note == "arms: ion_exchange found 1 for its 4; other arms chose in their place"


def test_with_fewer_candidates_than_seats_all_are_chosen_once():
    few = proposals()[:3]
    chosen, _ = chooser({"loop": 0.5, "random": 0.5}).choose(offered(ranked=few, screened=few), {}, 8)
    assert sorted(one.formula for one, _ in chosen) == sorted(one.formula for one in few)
    assert chooser({"loop": 0.5, "random": 0.5}).choose(offered(ranked=(), screened=()), {}, 8)[0] == []


def test_there_is_no_arm_of_another_name():
    with pytest.raises(ValueError, match="no arm 'greedy'; there are loop, random, ion_exchange"):
        arm_chooser("greedy", Greedy())


# --- what is known -------------------------------------------------------------------------------------------------------


def test_known_compounds_are_bases_and_bound_crystals_and_not_decorations_that_nobody_computed():
    crystals = [decorated(Prototype.ROCKSALT, pair) for pair in PAIRS[:4]]
    ids = ("dft:a", "dft:b", "file:c", "decorated")
    values = [{E_F: -2.0}, {E_F: 0.3}, {}, {}]
    split, groups = np.full(4, "train", dtype="<U5"), ("",) * 4
    corpus = Corpus(ids, tuple(one.formula for one in crystals), tuple(crystals), label_array(values), split, groups)
    assert [one.name for one in known_compounds(corpus, ["LiCl:rocksalt_B1"])] == ["NaCl", "KBr", "LiCl:rocksalt_B1"]


# --- campaigns -----------------------------------------------------------------------------------------------------------


def a_campaign(**more) -> Campaign:
    fields = {
        "name": "a",
        "elements": ["Li", "Na", "F", "Cl"],
        "prototypes": ["rocksalt_B1", "CsCl_B2"],
        "target": {"property": E_F, "maximum": -1.5, "direction": "minimise"},
        "dft": {"per_round": 5},
        "rounds": 4,
    }
    return Campaign.model_validate(fields | more)


def empty_corpus() -> Corpus:
    return Corpus((), (), (), label_array([]).reshape(0, 8), np.array([], dtype="<U5"), ())


def test_a_cold_start_is_shared_between_the_loop_and_those_who_need_no_networks():
    campaign = a_campaign(
        arms={"loop": 0.4, "random": 0.2, "no_feedback": 0.2, "ion_exchange": 0.2}, bases=["NaCl:rocksalt_B1"]
    )
    pool = decorated_pool(campaign)
    arms = CampaignArms(campaign, anonymous_formulas(pool), lambda round_: {})
    choice = arms.choose_decorated(Ask(1, None, empty_corpus(), KnownCrystals(), (), 5), pool)
    assert {one.arm for one, _ in choice.chosen} == {"loop", "random", "ion_exchange"}
    assert len(choice.chosen) == 5


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ({"random": 0.3}, ["1.3", "loop: 0.7 would do"]),
        ({"loop": 0.5}, ["0.5", "loop: 1 would do"]),
        ({"loop": 0}, ["all are 0", "loop: 1 would do"]),
        (
            {"loop": 0.5, "random": 0.8, "ion_exchange": 0.8},
            ["2.1", "random: 0.5, ion_exchange: 0.5 would do with loop: 0"],
        ),
    ],
)
def test_shares_that_do_not_add_up_are_refused_with_shares_that_do(arms, words):
    with pytest.raises(ValueError) as refused:
        Arms.model_validate(arms)
    assert all(word in str(refused.value) for word in words)


def test_networks_are_needed_by_the_loop_and_by_no_feedback_alone():
    assert Arms().need_networks
    assert Arms(loop=0, no_feedback=1).need_networks
    assert not Arms(loop=0, random=0.5, trees_ucb=0.5).need_networks


def test_the_plan_says_who_gets_what_and_who_gets_nothing():
    notes = arm_notes(a_campaign(arms={"loop": 0.99, "random": 0.01}), (), 100)
    assert notes[0] == "arms: of 20 relaxations 20 go to loop, 0 go to random"
    assert notes[1] == "arms: random: 0.01 gets none of 20 relaxations; 0.05 or more would get one"
    assert arm_notes(a_campaign(), (), 100) == []


def test_the_plan_says_where_ion_exchange_has_nothing_to_begin_with():
    arms = {"loop": 0.5, "ion_exchange": 0.5}
    assert any("no known compound" in note for note in arm_notes(a_campaign(arms=arms), (), 100))
    based = a_campaign(arms=arms, bases=["NaCl:rocksalt_B1"])
    assert not any("no known compound" in note for note in arm_notes(based, (), 100))


def test_the_plan_says_where_candidates_run_out_and_where_there_is_no_loop():
    notes = arm_notes(a_campaign(arms={"loop": 0, "random": 1}), (), 12)
    assert any("12 decorations are fewer than 20 relaxations" in note for note in notes)
    assert any("no networks are trained" in note for note in notes)
    assert any("nothing to compare them with" in note for note in notes)
