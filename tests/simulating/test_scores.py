"""Scores against values worked out by hand."""

import math

import pytest

from crystalloop.orchestrator.simulate.scores import (
    Mean,
    calibration_error,
    calls_to,
    ceiling,
    enhancement,
    hits_curve,
    random_calls,
    random_hits,
    score,
)
from crystalloop.orchestrator.simulate.trials import Call, Trial


def calls(pattern, size=2, **more):
    """One letter a call: H a hit, o none, w wasted; rounds of `size`."""
    values = {"H": -2.0, "o": 0.0, "w": None}
    return tuple(
        Call(1 + i // size, f"{i}", f"{i}", values[letter], letter == "H", **more) for i, letter in enumerate(pattern)
    )


def trial(pattern, seed=0, **more):
    return Trial("mine", seed, "key", calls(pattern, **more))


def test_the_curve_counts_hits_after_each_call_and_a_hit_called_twice_once():
    assert hits_curve(calls("oHHo")).tolist() == [0, 0, 1, 2, 2]
    again = (*calls("H"), *calls("H"))
    assert hits_curve(again).tolist() == [0, 1, 1]


def test_random_choice_finds_the_hypergeometric_mean():
    # 3 hits among 10 rows, 4 calls: sum of k C(3,k) C(7,4-k) / C(10,4)
    exact = sum(k * math.comb(3, k) * math.comb(7, 4 - k) for k in range(4)) / math.comb(10, 4)
    assert random_hits(4, 10, 3) == pytest.approx(exact)
    assert random_hits(50, 10, 3) == 3


def test_random_choice_needs_the_negative_hypergeometric_mean():
    # the second of 3 hits among 5 rows: places of the hits are the C(5,3) subsets; the second one's mean place is 3
    from itertools import combinations

    places = [sorted(subset)[1] for subset in combinations(range(1, 6), 3)]
    assert random_calls(2, 5, 3) == pytest.approx(sum(places) / len(places)) == pytest.approx(3.0)


def test_enhancement_is_hits_over_those_of_random_choice():
    assert enhancement(6, 20, 100, 10) == pytest.approx(6 / 2)
    assert enhancement(0, 0, 100, 10) == 0
    assert ceiling(20, 100, 10) == pytest.approx(10 / 2)  # all ten hits, where random choice has two
    assert ceiling(5, 100, 10) == pytest.approx(10)


def test_calls_to_a_number_of_hits():
    curve = hits_curve(calls("oHoH"))
    assert (calls_to(curve, 1), calls_to(curve, 2), calls_to(curve, 3)) == (2, 4, None)


def test_mean_and_standard_error_over_seeds():
    assert Mean.of([1.0, 3.0]) == Mean(2.0, 1.0, 2)  # deviation sqrt(2), over sqrt(2)
    assert Mean.of([4.0]) == Mean(4.0, None, 1)
    assert Mean.of([]) is None


def test_calibration_error_weighs_the_gaps_of_its_bins():
    # bin .9-1: two at .95, one hit: gap .45; bin .1-.2: two at .15, none: gap .15
    assert calibration_error([0.95, 0.95, 0.15, 0.15], [True, False, False, False]) == pytest.approx(0.3)
    assert calibration_error([1.0], [True]) == 0
    assert calibration_error([], []) is None


def test_scores_of_two_seeds():
    found = score([trial("oHHo"), trial("HoHH", seed=1)], rows=20, hits=4)
    assert (found.hits, found.top) == (Mean(2.5, 0.5, 2), Mean(0.625, 0.125, 2))
    assert found.ef.mean == pytest.approx((2 / 0.8 + 3 / 0.8) / 2)
    assert found.curve == (0.0, 0.5, 1.0, 2.0, 2.5)
    half, most, nearly_all = found.reach
    assert (half.hits, half.calls, half.reached) == (2, Mean(3.0, 0.0, 2), 2)
    assert half.af == pytest.approx(2 * 21 / 5 / 3)
    assert (most.hits, most.calls, most.reached, most.af) == (4, None, 0, None)
    assert nearly_all.hits == 4
    assert found.ef_max == pytest.approx(2 / (3 * 4 / 20))  # after the third call
    assert found.raw_share == pytest.approx(0.2)


def test_a_share_that_one_seed_did_not_reach_gives_no_acceleration():
    reach = score([trial("HHoo"), trial("oooH", seed=1)], rows=20, hits=4).reach[0]
    assert (reach.reached, reach.seeds, reach.calls, reach.af) == (1, 2, Mean(2.0, None, 1), None)


def test_wasted_calls_are_counted_and_are_no_hits():
    found = score([trial("wHwo")], rows=20, hits=4)
    assert (found.wasted.mean, found.hits.mean) == (2, 1)


def test_rounds_over_all_seeds_have_hit_rate_coverage_calibration_and_error():
    expected = {"mean": -1.5, "low": -3.0, "high": -1.0, "chance": 0.75}
    first, second = score([trial("HowH", **expected), trial("ooHH", seed=1, **expected)], rows=20, hits=4).rounds
    assert (first.number, first.calls, first.hit_rate) == (1, 4, 0.25)
    assert (first.coverage, first.covered) == (0.25, 4)  # one -2 inside, three 0 outside
    assert first.ece == pytest.approx(0.5)
    assert first.mae == pytest.approx((0.5 + 3 * 1.5) / 4)
    assert (second.covered, second.coverage, second.ece) == (3, 1.0, 0.25)  # the wasted call is judged by nothing


def test_raw_draws_say_the_share_where_networks_drew():
    drawn = Trial("mine", 0, "key", calls("Ho"), raw_drawn=200, raw_hits=3)
    assert score([drawn], rows=20, hits=4).raw_share == pytest.approx(0.015)


def test_trials_of_different_lengths_end_with_what_they_had():
    assert score([trial("HH"), trial("oooH", seed=1)], rows=20, hits=4).curve == (0.0, 0.5, 1.0, 1.0, 1.5)


@pytest.mark.parametrize(("rows", "hits"), [(20, 0), (3, 4)])
def test_what_cannot_be_scored_is_refused(rows, hits):
    with pytest.raises(ValueError, match="cannot be scored"):
        score([trial("o")], rows, hits)
