"""What each arm brought: counts, intervals against values from the literature and by hand, sentences that claim no more."""

from math import inf

import pytest
from example_campaign import attempt, campaign, candidate, candidates, record, rounds, store_of, versions

from crystalloop.orchestrator.account.arms import (
    ArmResult,
    arm_results,
    arm_rows,
    difference_interval,
    gain,
    gains,
    given_before,
    rate_ratio_interval,
)
from crystalloop.orchestrator.account.results import result_rows
from crystalloop.orchestrator.account.rounds import round_results
from crystalloop.orchestrator.account.status import campaign_status


def armed(names):
    """The example's candidates, some of them asked for by other arms."""
    return tuple(one.model_copy(update={"arm": names.get(one.id, "loop")}) for one in candidates())


RANDOM = {"first-2-NaF": "random", "first-3-NaF2": "random"}


def results_of(found):
    return round_results(campaign().target, found, rounds())


def arm(name, hits, hours, ended=20, **more):
    return ArmResult(name, 1, ended, ended, hits, 3600 * hours, **more)


def test_the_interval_of_a_ratio_is_that_of_clopper_and_pearson_given_the_sum():
    # 8 of 10 in equal times: the 90 % Clopper-Pearson interval of 8/10 is 0.4931 to 0.9632 (Clopper and Pearson's table).
    low, high = rate_ratio_interval(8, 1.0, 2, 1.0)
    assert low == pytest.approx(0.49310 / (1 - 0.49310), rel=1e-3)
    assert high == pytest.approx(0.96323 / (1 - 0.96323), rel=1e-3)


def test_with_one_count_the_interval_can_be_written_down():
    # 3 hits against none: p >= .05 ** (1/3); 1 against none with half the time: p >= .05, the odds times 1/2.
    assert rate_ratio_interval(3, 1.0, 0, 1.0) == (pytest.approx(0.05 ** (1 / 3) / (1 - 0.05 ** (1 / 3))), inf)
    assert rate_ratio_interval(1, 2.0, 0, 1.0) == (pytest.approx(0.05 / 0.95 / 2), inf)
    assert rate_ratio_interval(0, 1.0, 1, 1.0) == (0.0, pytest.approx(0.95 / 0.05))


@pytest.mark.parametrize(("first", "hours", "second", "others"), [(0, 1.0, 0, 1.0), (3, 0.0, 1, 1.0), (3, 1.0, 1, 0.0)])
def test_without_counts_or_time_nothing_is_known_of_a_ratio(first, hours, second, others):
    assert rate_ratio_interval(first, hours, second, others) == (0.0, inf)


def test_turning_a_ratio_over_turns_its_interval_over():
    low, high = rate_ratio_interval(7, 1.5, 3, 0.5)
    assert rate_ratio_interval(3, 0.5, 7, 1.5) == (pytest.approx(1 / high), pytest.approx(1 / low))


@pytest.mark.parametrize(
    ("counts", "published"),
    [((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090)), ((10, 10, 0, 20), (0.6791, 1.0))],
)
def test_the_interval_of_a_difference_is_newcombes(counts, published):
    """95 % values of his table II, method 10 (Stat. Med. 17, 873, 1998)."""
    assert difference_interval(*counts, level=0.95) == pytest.approx(published, abs=1e-4)


def test_the_intervals_cover_as_often_as_they_say():
    """Every pair of Poisson counts, weighed with its probability: exact, no draws."""
    from scipy.stats import poisson

    for rate, other in ((6.0, 2.0), (1.0, 1.0), (12.0, 3.0)):
        covered = sum(
            poisson.pmf(x, rate) * poisson.pmf(y, other)
            for x in range(45)
            for y in range(30)
            if (low_high := rate_ratio_interval(x, 1.0, y, 1.0))[0] <= rate / other <= low_high[1]
        )
        assert 0.9 <= covered <= 1.0


def test_each_arm_is_counted_with_what_gave_up_and_what_it_cost():
    found = armed(RANDOM)
    loop, random = arm_results(found, results_of(found))
    assert (loop.name, loop.ended, loop.relaxed, loop.hits) == ("loop", 7, 6, 3)  # LiO gave up; LiF, MgO, LiF2 are hits
    assert (random.name, random.ended, random.relaxed, random.hits, random.first_round) == ("random", 2, 2, 2, 2)
    assert random.cpu_s == pytest.approx(0.95 * (12 + 25 + 30))  # the failed attempt, too


def test_the_loop_is_compared_from_the_round_in_which_a_baseline_began():
    found = armed(RANDOM)
    (one,) = gains(found, results_of(found))
    assert (one.loop.ended, one.loop.hits) == (2, 1)  # rounds 2 and 3 alone
    assert one.ratio == pytest.approx((1 / (0.95 * 58)) / (2 / (0.95 * 67)))
    assert one.rate_difference == pytest.approx(1 / 2 - 2 / 2)


def test_copies_of_what_another_campaign_computed_are_left_out():
    found = tuple(
        one.model_copy(update={"relaxation": one.relaxation.model_copy(update={"reused_from": "other-1"})})
        if one.id == "first-2-NaF"
        else one
        for one in armed(RANDOM)
    )
    random = arm_results(found, results_of(found))[1]
    assert (random.ended, random.hits, random.reused) == (1, 1, 1)
    assert random.cpu_s == pytest.approx(0.95 * 30)


def test_a_campaign_of_the_loop_alone_has_no_account_of_arms():
    assert arm_rows(candidates(), results_of(candidates())) == []
    assert gains(candidates(), results_of(candidates())) == ()
    assert arm_results((), ()) == ()


def test_a_baseline_campaign_without_the_loop_is_counted_and_compared_with_nothing():
    found = armed({one.id: "random" for one in candidates()})
    assert [row["arm"] for row in arm_rows(found, results_of(found))] == ["random"]
    assert gains(found, results_of(found)) == ()


def test_what_was_given_before_a_round_is_what_was_sent():
    assert given_before(armed(RANDOM), 3) == {"loop": 6, "random": 1}  # NaO of round 2 was never sent
    assert given_before(armed(RANDOM), 1) == {}


def test_a_gain_is_claimed_only_where_the_interval_leaves_no_other():
    assert (
        "the loop finds more hits per CPU-hour than random: 10 times as many (90 %: 2.9..60;"
        in gain(arm("loop", 20, 2), arm("random", 2, 2)).sentence()
    )
    assert "the loop finds fewer hits" in gain(arm("loop", 1, 2), arm("random", 15, 2)).sentence()
    few = gain(arm("loop", 4, 2), arm("random", 1, 1)).sentence()
    assert few.startswith("no difference in hits per CPU-hour can be told between the loop and random: 2 times as many")
    none = gain(arm("loop", 5, 2), arm("random", 0, 1)).sentence()
    assert "no difference" in none and "random has found none" in none and "no bound" in none
    assert "neither the loop nor random has found a hit" in gain(arm("loop", 0, 2), arm("random", 0, 1)).sentence()
    assert "random has used no CPU time yet" in gain(arm("loop", 3, 2), arm("random", 0, 0, 0)).sentence()


def test_rows_of_json_have_no_infinity():
    found = armed({"first-2-MgF": "random"})  # no hit
    row = arm_rows(found, results_of(found))[1]
    assert row["loop_over_arm"] is None
    assert row["loop_over_arm_90"][1] is None and row["loop_over_arm_90"][0] > 0


def test_results_status_and_its_sentences_name_the_arms():
    found = armed(RANDOM)
    store = store_of(record(), found, rounds(), versions())
    status = campaign_status(store, "first")
    assert [row["arm"] for row in status["arms"]] == ["loop", "random"]
    assert any("between the loop and random" in line for line in status["lines"])
    assert {row["arm"] for row in result_rows(found)} == {"loop", "random"}


def test_a_relaxation_under_way_is_open_and_counts_nowhere_else():
    running = candidate("NaMg", 3, ["Na", "Mg"], state="running", attempts=(attempt(1, 400, 10.0),), arm="random")
    found = (*armed(RANDOM), running)
    random = arm_results(found, results_of(found))[1]
    assert (random.ended, random.open) == (2, 1)
    assert random.cpu_s == pytest.approx(0.95 * (12 + 25 + 30))
