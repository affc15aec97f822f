import pytest
from example_campaign import NAME, at, attempt, candidate, empty_store, example_store, record, reference

from crystalloop.db.ledger.campaigns import Span
from crystalloop.orchestrator.account.wall_time import account, merge


def span(what, start, end, busy=None):
    return Span(what=what, round=1, started_at=at(start), finished_at=at(end), busy_s=busy)


def computed(*attempts):
    return candidate("LiF", 1, ["Li", "F"], -3.0, attempts=attempts)


def one_run(*spans, made=(), **changes):
    ends = max(s.finished_at for s in spans)
    return account(record(spans=spans, created_at=spans[0].started_at, updated_at=ends, **changes), made)


def parts(found):
    names = ("pw_s", "train_steps_s", "train_start_s", "generate_s", "ray_s", "wait_s", "prepare_s", "settle_s")
    return {name: getattr(found, name) for name in (*names, "report_s", "other_s")}


def test_two_pw_at_a_time_count_once():
    found = one_run(span("dft", 0, 50), made=[computed(attempt(1, 10, 20.0), attempt(2, 20, 20.0))])
    assert found.pw_s == pytest.approx(30)
    assert found.pw_cpu_s == pytest.approx(0.95 * 40)
    assert found.overhead_s == pytest.approx(20)


def test_the_gap_between_two_runs_is_not_counted():
    found = one_run(span("dft", 0, 40), span("dft", 1040, 1060))
    assert (found.sessions, found.wall_s) == (2, pytest.approx(60))


def test_a_short_gap_belongs_to_the_run():
    found = one_run(span("generate", 0, 10), span("dft", 15, 30))
    assert (found.sessions, found.wall_s, found.other_s) == (1, pytest.approx(30), pytest.approx(5))
    assert (found.generate_s, found.wait_s) == (pytest.approx(10), pytest.approx(15))


def test_every_phase_has_a_place_in_the_account_and_little_is_left_over():
    found = one_run(
        span("prepare", 0, 5),
        span("generate", 5, 20),
        span("ray", 7, 17),
        span("dft", 20, 60),
        span("settle", 60, 61),
        span("train", 61, 91, busy=18.0),
        span("ray", 62, 65),
        span("report", 92, 94),
        made=[computed(attempt(1, 25, 30.0))],
    )
    wanted = {"pw_s": 30, "ray_s": 13, "train_steps_s": 18, "train_start_s": 9, "generate_s": 5, "wait_s": 10}
    assert parts(found) == pytest.approx(wanted | {"prepare_s": 5, "settle_s": 1, "report_s": 2, "other_s": 1})
    assert sum(parts(found).values()) == pytest.approx(found.wall_s) == pytest.approx(94)


def test_the_start_before_the_first_span_is_counted():
    found = account(record(spans=(span("generate", 20, 30),), created_at=at(0), updated_at=at(32)), [])
    assert found.wall_s == pytest.approx(32)


def test_a_killed_run_is_known_by_its_attempts():
    found = one_run(span("generate", 0, 5), span("dft", 500, 520), made=[computed(attempt(1, 8, 30.0))])
    assert (found.sessions, found.wall_s) == (2, pytest.approx(38 + 20))
    assert found.pw_s == pytest.approx(30)


def test_overhead_with_and_without_the_start_of_training():
    found = one_run(span("generate", 0, 10), span("train", 10, 70, busy=35.0), span("dft", 70, 100))
    assert (found.train_steps_s, found.train_start_s) == (pytest.approx(35), pytest.approx(25))
    assert found.overhead_s == pytest.approx(40)
    assert found.overhead_strict_s == pytest.approx(65)
    assert found.overhead_strict_share == pytest.approx(0.65)


def test_pw_beside_training_is_counted_once_and_as_pw():
    found = one_run(span("train", 0, 40, busy=40.0), made=[computed(attempt(1, 0, 30.0))])
    assert (found.pw_s, found.train_s, found.overhead_s) == (pytest.approx(30), pytest.approx(10), pytest.approx(0))


def test_references_count_while_the_campaign_waits_for_them_and_not_before():
    early, mine, other = reference("Li", start=-900), reference("F", start=5), reference("Mg", start=20)
    found = one_run(span("dft", 0, 60), made=[early, mine, other], spec={"elements": ["Li", "F"]})
    assert found.pw_s == pytest.approx(4)
    assert (found.sessions, found.pw_cpu_s) == (1, 0)
    assert found.reference_cpu_s == pytest.approx(0.95 * 8)


def test_the_parts_add_up_to_the_wall_time():
    store = example_store()
    found = account(store.campaign(NAME), store.candidates())
    assert sum(parts(found).values()) == pytest.approx(found.wall_s)
    assert found.sessions == 2
    assert found.wall_s == pytest.approx(134 + 163)
    assert all(value >= 0 for value in parts(found).values())


def test_a_campaign_without_a_span_has_no_time_and_no_division_by_zero():
    found = account(empty_store().campaign(NAME), [])
    assert (found.wall_s, found.sessions, found.overhead_share, found.overhead_strict_share) == (0, 0, 0, 0)


def test_the_attempt_of_a_lost_worker_takes_no_time():
    found = one_run(span("dft", 0, 50), made=[computed(attempt(1, 10, 0.0, "interrupted"), attempt(2, 30, 10.0))])
    assert found.pw_s == pytest.approx(10)


def test_merging_joins_what_touches():
    a, b, c = (at(0), at(10)), (at(2), at(5)), (at(10), at(12))
    assert merge([c, b, a]) == ((at(0), at(12)),)
