"""Trials in a laboratory: the real loop, its ledger, what it asks for, and what a resumed study does again: nothing."""

import json

import numpy as np
import pytest
from laboratories import TARGET, Separable, campaign, laboratory, policy, rows

from crystalloop.models.crystals.crystal import Crystal, translate
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.simulate.policies import Policy, acquirer_of_file, policy_of, variant_of
from crystalloop.orchestrator.simulate.study import run_study
from crystalloop.orchestrator.simulate.table import RowFinder
from crystalloop.orchestrator.simulate.trial import for_laboratory, run_trial
from crystalloop.orchestrator.simulate.trials import read_trials
from crystalloop.orchestrator.simulate.truth.laboratory import LaboratoryError


def run(policy, seed=0, lab=None, **more):
    return run_trial(laboratory() if lab is None else lab, policy, seed, "key", Separable, **more)


RANDOM = Policy("random", campaign(), None)


def test_a_trial_makes_its_calls_in_rounds_and_no_row_twice():
    trial = run(policy())
    assert [len(calls) for calls in trial.rounds] == [6, 4, 4, 4, 4, 2]
    assert len({call.row for call in trial.calls}) == len(trial.calls) == 24
    assert "relaxations is used" in trial.ended or "rounds are done" in trial.ended


def test_a_laboratory_runs_to_its_last_call_whatever_would_end_or_pause_a_campaign():
    asked = campaign(stop={"hits": 1}, surrogate={"pause_at_drift": True}, budget={"wall_minutes": 1})
    made = for_laboratory(asked, laboratory(), seed=3)
    assert (made.stop.hits, made.surrogate.pause_at_drift, made.budget.wall_minutes) == (None, False, None)
    assert made.budget.relaxations == asked.laboratory.calls


def test_values_and_hits_of_the_calls_are_those_of_the_table():
    lab, trial = laboratory(), run(policy())
    truth = {row.id: lab.value(row) for row in lab.rows}
    assert all(call.value == truth[call.row] for call in trial.calls)
    assert all(call.hit == (call.value <= TARGET.maximum) for call in trial.calls)
    assert {call.cost_s for call in trial.calls} == {10.0}


def test_every_policy_starts_from_the_same_rows_and_another_seed_from_others():
    own, random, other = run(policy()), run(RANDOM), run(RANDOM, seed=1)
    first = [[call.row for call in trial.calls[:6]] for trial in (own, random, other)]
    assert first[0] == first[1] != first[2]


def test_the_same_seed_makes_the_same_calls():
    assert run(policy()).calls == run(policy()).calls


def test_a_policy_that_learns_finds_more_than_random_choice():
    own = np.mean([run(policy(), seed).hits for seed in range(5)])
    chance = np.mean([run(RANDOM, seed).hits for seed in range(5)])
    assert own > chance + 2


def test_forecasts_are_kept_from_the_second_round_on():
    trial = run(policy())
    assert all(call.mean is None and call.chance is None for call in trial.rounds[0])
    assert all(call.low < call.mean < call.high for calls in trial.rounds[1:] for call in calls)


def test_a_row_without_a_value_is_a_wasted_call_and_teaches_nothing():
    made = rows()
    for i in range(0, 60, 2):
        made[i] = rows(values={})[i]
    trial = run(policy(), lab=laboratory(made))
    wasted = [call for call in trial.calls if call.wasted]
    assert wasted and not any(call.hit for call in wasted)
    assert {call.row for call in wasted} <= {made[i].id for i in range(0, 60, 2)}


def test_calls_that_all_were_wasted_are_followed_by_more_at_random():
    made = rows(values={})
    for i in (3, 33):  # one hit, one none
        made[i] = rows()[i]
    made[14] = rows()[24]
    trial = run(policy(), lab=laboratory([*made[:14], *made[15:]], TARGET, top=0.02))
    assert len(trial.calls) == 24


def test_a_laboratory_that_is_used_up_ends_the_trial():
    small = policy(laboratory={"start": 6, "batch": 4, "calls": 200})
    trial = run(small, lab=laboratory(rows()[:20]))
    assert len(trial.calls) == 20
    assert "nothing is left to compute" in trial.ended


def test_a_study_goes_on_where_it_was_cut_off(tmp_path):
    file, asked = tmp_path / "trials.jsonl", []

    class Counting(Separable):
        def __init__(self, policy, lab):
            asked.append((policy.name, policy.campaign.seed))
            super().__init__(policy, lab)

    first = run_study(laboratory(), [policy(), RANDOM], range(2), file, Counting)
    assert asked == [("campaign", 0), ("campaign", 1)]
    file.write_bytes(file.read_bytes()[:-40])  # the last trial was cut off
    again = run_study(laboratory(), [policy(), RANDOM], range(3), file, Counting)
    assert asked[2:] == [("campaign", 2)]
    assert again.trials[:2] == first.trials[:2]
    assert [(t.policy, t.seed) for t in again.trials] == [(p, s) for p in ("campaign", "random") for s in range(3)]
    assert len(file.read_text().splitlines()) == 7  # six trials, and the line that was cut off


def test_trials_of_another_campaign_truth_or_policy_are_not_taken(tmp_path):
    file = tmp_path / "trials.jsonl"
    run_study(laboratory(), [RANDOM], [0], file, Separable)
    key = run_study(laboratory(), [RANDOM], [0], file, Separable).trials[0].key
    assert len(read_trials(file, [key])) == 1
    run_study(laboratory(rows()[:50]), [RANDOM], [0], file, Separable)
    run_study(laboratory(), [Policy("random", campaign(target={"maximum": -1.8}), None)], [0], file, Separable)
    assert len(file.read_text().splitlines()) == 3


def test_the_told_study_is_json_with_every_score(tmp_path):
    study = run_study(laboratory(), [policy(), RANDOM], range(2), tmp_path / "t.jsonl", Separable)
    told = json.loads(json.dumps(study.told(), allow_nan=False))
    assert told["laboratory"]["hits"] == 10 and told["laboratory"]["random_hits"] == 4
    assert [one["policy"] for one in told["policies"]] == ["campaign", "random"]
    assert len(told["policies"][0]["curve"]) == 25


def test_a_policy_named_twice_is_refused(tmp_path):
    with pytest.raises(LaboratoryError, match="named twice"):
        run_study(laboratory(), [RANDOM, RANDOM], [0], tmp_path / "t.jsonl", Separable)


def test_a_crystal_is_found_in_the_table_whatever_its_volume_and_origin():
    lab = laboratory()
    finder, one = RowFinder(lab), lab.rows[7].crystal
    moved = translate(Crystal(one.lattice * 1.1, one.numbers, one.frac_coords), np.array([0.3, 0.1, 0.2]))
    assert finder.row_of(moved) == 7
    primitive = Crystal.from_structure(one.to_structure().get_primitive_structure())
    assert finder.row_of(primitive) == 7
    assert finder.row_of(Crystal(one.lattice, one.numbers[::-1] * 0 + 79, one.frac_coords)) is None


OWN = """
class First:
    def choose(self, proposals, target, count, rng):
        return [(one, 1.0) for one in proposals[:count]]


class Same:
    def choose(self, proposals, target, count, rng):
        return [(proposals[0], 1.0)] * count


class Broken:
    def choose(self, proposals, target, count, rng):
        return proposals[0].nothing


class Needs:
    def __init__(self, what): ...


class Silent: ...


class Nan:
    def choose(self, proposals, target, count, rng):
        return [(proposals[0], float("nan"))]


class Alien:
    def choose(self, proposals, target, count, rng):
        return [("LiF", 1.0)] * count
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


class Named(Greedy):
    """Greedy, which remembers the section that it was made of."""

    def __init__(self, section):
        super().__init__()
        object.__setattr__(self, "section", section)


def named(text, **changes):
    return policy_of(text, campaign(**changes), Named)


def test_a_policy_of_a_strangers_file_runs(own):
    trial = run(named(f"{own}:First"))
    assert len(trial.calls) == 24


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (":Missing", "no class 'Missing'"),
        (":Frist", r"did you mean First\?"),
        (":Needs", r"cannot be made without arguments: TypeError: [^(]*\(\) missing [^(]*$"),
        (":Silent", "has no method choose"),
        ("", "write the file and its class"),
    ],
)
def test_a_file_that_holds_no_policy_is_told_in_a_sentence(own, name, said):
    with pytest.raises(LaboratoryError, match=said):
        named(f"{own}{name}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Same", "different ones; choose each once"),
        ("Broken", r"no attribute 'nothing' \(line 14\)"),
        ("Alien", "chose LiF, which it was not given"),
        ("Nan", "score nan; a score is a finite number"),
    ],
)
def test_a_policy_that_breaks_its_promises_is_told_in_a_sentence(own, name, said):
    with pytest.raises(LaboratoryError, match=said):
        run(named(f"{own}:{name}"))


def test_a_file_with_an_error_and_a_file_that_is_not_there(tmp_path):
    (tmp_path / "bad.py").write_text("x = 1\ny = = 2\n")
    with pytest.raises(LaboratoryError, match=r"cannot be imported: SyntaxError: .*\(line 2\)"):
        acquirer_of_file(f"{tmp_path}/bad.py:X")
    with pytest.raises(LaboratoryError, match="there is no file"):
        acquirer_of_file(f"{tmp_path}/none.py:X")


def test_policies_by_name_change_what_they_name_and_nothing_else():
    assert named("random").acquirer is None
    assert named("campaign", acquire={"policy": "random"}).acquirer is None
    ucb = named("ucb@trees", acquire={"kappa": 2.5})
    assert (ucb.campaign.acquire.policy, ucb.campaign.surrogate.model, ucb.acquirer.section.kappa) == (
        "ucb",
        "trees",
        2.5,
    )
    assert named("greedy").campaign.surrogate.model == "stack"


@pytest.mark.parametrize(
    ("text", "said"), [("gredy", "did you mean greedy"), ("ucb@tree", "did you mean trees"), ("", "no policy")]
)
def test_an_unknown_policy_is_answered_with_those_that_there_are(text, said):
    with pytest.raises(LaboratoryError, match=said):
        named(text)


def test_a_variant_changes_keys_of_the_campaign():
    made = variant_of("no diversity", campaign(), {"acquire.diversity": 0}, Named)
    assert (made.campaign.acquire.diversity, made.acquirer.section.diversity) == (0, 0)
    with pytest.raises(LaboratoryError, match=r"no key 'acquire.nothing'"):
        variant_of("x", campaign(), {"acquire.nothing": 0}, Named)
