import pytest
from example_campaign import campaign, candidate, candidates, rounds

from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.account.judged import best_candidate
from crystalloop.orchestrator.account.rounds import hit_definition, merged_order, round_results


def results(**target):
    return round_results(Target(**target), candidates(), rounds())


def test_with_a_range_a_hit_lies_inside_it():
    found = round_results(campaign().target, candidates(), rounds())
    assert [result.hits for result in found] == [
        ("first-1-LiF", "first-1-MgO"),
        ("first-2-NaF",),
        ("first-3-LiF2", "first-3-NaF2"),
    ]
    assert [result.total_hits for result in found] == [2, 3, 5]


def test_both_ends_of_a_range_count():
    found = results(minimum=-2.7, maximum=-2.0)
    assert [result.hits for result in found] == [("first-1-MgO",), ("first-2-MgF",), ("first-3-NaF2",)]


def test_with_a_direction_a_hit_beats_everything_before_its_round():
    assert [len(result.hits) for result in results(direction="minimise")] == [0, 0, 0]
    assert [result.hits for result in results(direction="maximise")] == [(), (), ()]
    better = candidate("MgO2", 2, ["Mg", "O"], -3.5, -3.0)
    more = rounds()[1].model_copy(update={"chosen": (*rounds()[1].chosen, better.id)})
    found = round_results(Target(direction="minimise"), [*candidates(), better], (rounds()[0], more, rounds()[2]))
    assert [result.hits for result in found] == [(), (better.id,), ()]


def test_what_was_not_relaxed_is_never_a_hit():
    hits = {hit for result in results(maximum=100.0) for hit in result.hits}
    assert hits == {c.id for c in candidates() if c.e_f is not None}


def test_hits_per_cpu_hour_counts_failed_attempts():
    first = results(maximum=-2.5)[0]
    assert first.cpu_s == pytest.approx(0.95 * (20 + 24 + 26 + 18 + 6))
    assert first.total_hits_per_cpu_hour == pytest.approx(2 / (first.cpu_s / 3600))


def test_the_error_of_each_round_says_of_how_many():
    first, second, third = results(maximum=-2.5)
    assert (first.compared, first.mae_ev, first.bias_ev) == (0, None, None)
    assert (second.compared, second.mae_ev) == (2, pytest.approx(0.575))
    assert (third.mae_ev, third.bias_ev) == (pytest.approx(0.1), pytest.approx(0.0))


def test_the_funnel_goes_on_to_the_hits():
    assert results(maximum=-2.5)[0].funnel[-3:] == (("sent to DFT", 5), ("relaxed", 4), ("hits", 2))


def test_the_best_candidate_follows_the_target():
    wanted = {"minimise": "first-1-LiF", "maximise": "first-1-LiCl"}
    for direction, name in wanted.items():
        assert best_candidate(candidates(), Target(direction=direction)).id == name
    assert best_candidate(candidates(), Target(minimum=-2.2, maximum=-2.0)).id == "first-2-MgF"


def test_nothing_computed_has_no_best():
    assert best_candidate([], campaign().target) is None
    assert round_results(campaign().target, [], []) == ()


def test_the_definition_says_unit_and_limits():
    assert "at most −2.5 eV/atom" in hit_definition(campaign().target)
    assert "from 1 to 2 eV" in hit_definition(Target(property="band_gap", minimum=1, maximum=2))
    assert "does not compute" in hit_definition(Target(property="band_gap", minimum=1))
    assert "lower than the best" in hit_definition(Target(direction="minimise"))


def test_stages_of_unequal_funnels_come_in_one_order():
    assert merged_order([["a", "c"], ["a", "b", "c", "d"], ["x", "c"]]) == ["x", "a", "b", "c", "d"]
    assert merged_order([]) == []
