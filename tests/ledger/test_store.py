"""The promises of db.ledger.store.Store, held by MongoStore on whatever server the tests were given."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from database_fixture import NOON, new_campaign, new_candidate, new_relaxation

from crystalloop.db.ledger.connection import connect
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.records import Attempt, CampaignState, CandidateState, ModelVersion, Round, Span
from crystalloop.db.ledger.store import CampaignMismatch, StoreUnavailable

MINUTE = timedelta(minutes=1)


def queued(store, *numbers, **changes):
    candidates = [new_candidate(number, **changes) for number in numbers or (0,)]
    store.add_candidates(candidates)
    store.queue([candidate.id for candidate in candidates], NOON)
    return candidates[0].id


def claimed(store, ttl_s=60.0, **changes):
    candidate = store.claim(queued(store, **changes), "worker-1", NOON, ttl_s)
    return candidate.id, candidate.lease.token


def attempt(number=1, outcome="converged"):
    return Attempt(number=number, started_at=NOON, outcome=outcome)


def test_a_candidate_comes_back_as_it_was_stored(store):
    candidate = new_candidate(3, score=0.25, passed=("distance", "charge"))
    store.add_candidates([candidate])
    assert store.candidate(candidate.id) == candidate


def test_an_unknown_candidate_is_none(store):
    assert store.candidate("nobody") is None


def test_datetimes_keep_their_zone_and_milliseconds(store):
    moment = NOON + timedelta(microseconds=123456)
    store.add_candidates([new_candidate(created_at=moment)])
    assert store.candidate("first-0000").created_at == NOON + timedelta(milliseconds=123)


def test_a_crystal_is_added_once_per_campaign(store):
    same_key = new_candidate(7, key="key-0000")
    elsewhere = new_candidate(8, key="key-0000", campaign="second")
    assert store.add_candidates([new_candidate(0), same_key, elsewhere]) == ("first-0000", "first-0008")
    assert store.add_candidates([new_candidate(0), new_candidate(1)]) == ("first-0001",)
    assert store.add_candidates([]) == ()


def test_ten_threads_add_the_same_crystals_once(store):
    candidates = [new_candidate(number) for number in range(20)]
    with ThreadPoolExecutor(10) as pool:
        added = [id_ for ids in pool.map(lambda _: store.add_candidates(candidates), range(10)) for id_ in ids]
    assert sorted(added) == [candidate.id for candidate in candidates]


def test_candidates_are_found_by_every_condition_and_ordered(store):
    rounds = [2, 0, 1, 0]
    store.add_candidates([new_candidate(number, round=round_) for number, round_ in enumerate(rounds)])
    store.add_candidates([new_candidate(9, campaign="second", formula="NaCl")])
    store.queue(["first-0001"], NOON)
    found = [candidate.id for candidate in store.candidates("first")]
    assert found == ["first-0001", "first-0003", "first-0002", "first-0000"]
    assert [candidate.id for candidate in store.candidates("first", round=1)] == ["first-0002"]
    assert [candidate.id for candidate in store.candidates(formula="NaCl")] == ["first-0009"]
    assert [candidate.id for candidate in store.candidates(states=[CandidateState.QUEUED])] == ["first-0001"]
    assert store.candidates(states=[]) == ()


def test_only_proposed_candidates_are_queued_and_only_once(store):
    store.add_candidates([new_candidate(0), new_candidate(1)])
    assert store.queue(["first-0001", "first-0000", "first-0001", "nobody"], NOON) == ("first-0001", "first-0000")
    assert store.queue(["first-0000"], NOON) == ()


def test_of_many_threads_exactly_one_claims(store):
    ids = [new_candidate(number).id for number in range(8)]
    queued(store, *range(8))
    start = Barrier(16)

    def race(number):
        order = random.Random(number).sample(ids, len(ids))
        start.wait()
        return [id_ for id_ in order if store.claim(id_, f"worker-{number}", NOON, 60)]

    with ThreadPoolExecutor(16) as pool:
        won = [id_ for ids_ in pool.map(race, range(16)) for id_ in ids_]
    assert sorted(won) == ids


def test_a_claim_carries_a_lease(store):
    candidate = store.claim(queued(store), "worker-1", NOON, 60)
    assert candidate.state is CandidateState.RUNNING
    assert (candidate.lease.worker, candidate.lease.expires_at) == ("worker-1", NOON + MINUTE)
    assert store.candidate(candidate.id) == candidate


def test_a_heartbeat_extends_the_lease_of_its_holder_only(store):
    candidate_id, token = claimed(store)
    assert store.heartbeat(candidate_id, token, NOON + MINUTE, 60)
    assert not store.heartbeat(candidate_id, "stale", NOON + 9 * MINUTE, 60)
    assert store.candidate(candidate_id).lease.expires_at == NOON + 2 * MINUTE


def test_attempts_are_appended_in_order(store):
    candidate_id, token = claimed(store)
    assert store.add_attempt(candidate_id, token, attempt(1, "SCF_NOT_CONVERGED"), NOON)
    assert store.add_attempt(candidate_id, token, attempt(2), NOON)
    assert [done.number for done in store.candidate(candidate_id).attempts] == [1, 2]


def test_a_relaxation_is_recorded_under_the_lease_and_drops_it(store):
    candidate_id, token = claimed(store)
    assert store.record_relaxation(candidate_id, token, new_relaxation(), NOON + MINUTE)
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.lease, candidate.relaxation) == (CandidateState.RELAXED, None, new_relaxation())
    assert candidate.updated_at == NOON + MINUTE
    assert not store.record_relaxation(candidate_id, token, new_relaxation(steps=9), NOON)


def test_a_failure_is_recorded_with_its_reason(store):
    candidate_id, token = claimed(store)
    assert store.record_failure(candidate_id, token, "SCF did not converge in 4 attempts", NOON)
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.reason) == (CandidateState.GAVE_UP, "SCF did not converge in 4 attempts")


def test_a_released_candidate_can_be_claimed_again(store):
    candidate_id, token = claimed(store)
    assert store.release(candidate_id, token, NOON)
    assert store.candidate(candidate_id).attempts == ()
    assert store.claim(candidate_id, "worker-2", NOON, 60).lease.token != token


def test_a_stale_token_writes_nothing(store):
    candidate_id, stale = claimed(store)
    store.expire_leases(NOON + 2 * MINUTE)
    before = store.claim(candidate_id, "worker-2", NOON + 2 * MINUTE, 60)
    writes = [
        store.heartbeat(candidate_id, stale, NOON, 600),
        store.add_attempt(candidate_id, stale, attempt(), NOON),
        store.record_relaxation(candidate_id, stale, new_relaxation(), NOON),
        store.record_failure(candidate_id, stale, "zombie", NOON),
        store.release(candidate_id, stale, NOON),
    ]
    assert writes == [False] * 5
    assert store.candidate(candidate_id) == before


def test_an_ended_lease_goes_back_with_an_interrupted_attempt(store):
    candidate_id, token = claimed(store)
    store.add_attempt(candidate_id, token, attempt(1, "MAX_SECONDS"), NOON)
    assert store.expire_leases(NOON + MINUTE) == ()  # ends then, has not ended before
    assert store.expire_leases(NOON + 2 * MINUTE) == (candidate_id,)
    assert store.expire_leases(NOON + 2 * MINUTE) == ()
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.lease) == (CandidateState.QUEUED, None)
    assert [(done.number, done.outcome) for done in candidate.attempts] == [(1, "MAX_SECONDS"), (2, "interrupted")]


def test_a_lease_extended_in_time_is_not_expired(store):
    candidate_id, token = claimed(store)
    store.heartbeat(candidate_id, token, NOON + MINUTE, 600)
    assert store.expire_leases(NOON + 5 * MINUTE) == ()


def test_of_many_reapers_one_expires_a_lease(store):
    candidate_id, _ = claimed(store)
    with ThreadPoolExecutor(8) as pool:
        expired = [ids for ids in pool.map(lambda _: store.expire_leases(NOON + 2 * MINUTE), range(8)) if ids]
    assert expired == [(candidate_id,)]
    assert len(store.candidate(candidate_id).attempts) == 1


def test_a_relaxation_is_found_by_its_key_in_any_campaign(store):
    assert store.relaxation_by_key("key-0000") is None
    candidate_id, token = claimed(store, campaign="second")
    assert store.relaxation_by_key("key-0000") is None
    store.record_relaxation(candidate_id, token, new_relaxation(), NOON)
    assert store.relaxation_by_key("key-0000").id == candidate_id


def test_a_formation_energy_is_set_on_relaxed_candidates_only(store):
    candidate_id, token = claimed(store)
    assert not store.set_formation_energy(candidate_id, -2.9, None, NOON)
    store.record_relaxation(candidate_id, token, new_relaxation(), NOON)
    assert store.set_formation_energy(candidate_id, None, "no reference for F", NOON)
    assert store.candidate(candidate_id).reason == "no reference for F"
    assert store.set_formation_energy(candidate_id, -2.9, None, NOON)
    assert (store.candidate(candidate_id).e_f, store.candidate(candidate_id).reason) == (-2.9, None)


def test_a_campaign_starts_once_and_is_resumed(store):
    assert store.campaign("first") is None
    assert store.start_campaign(new_campaign()) == new_campaign()
    store.set_campaign_state("first", CampaignState.FINISHED, NOON + MINUTE, "all rounds done")
    resumed = store.start_campaign(new_campaign())
    assert (resumed.state, resumed.outcome) == (CampaignState.FINISHED, "all rounds done")
    assert store.campaigns() == (resumed,)


def test_a_campaign_with_another_specification_is_refused(store):
    store.start_campaign(new_campaign())
    with pytest.raises(CampaignMismatch, match=r"'first'.*another name"):
        store.start_campaign(new_campaign(digest="b" * 64))


def test_spans_of_time_are_kept(store):
    store.start_campaign(new_campaign())
    span = Span(what="dft", round=0, started_at=NOON, finished_at=NOON + MINUTE, busy_s=50.0)
    later = span.model_copy(update={"round": 1})
    for written in (span, span, later):
        store.add_span("first", written)
    assert store.campaign("first").spans == (span, later)


def test_a_campaign_that_was_never_started_has_no_state(store):
    with pytest.raises(LookupError, match="'nobody'"):
        store.set_campaign_state("nobody", CampaignState.STOPPING, NOON)


def test_model_versions_are_registered_once_and_listed_by_number(store):
    fields = {"campaign": "first", "round": 0, "parent": None, "networks": {}, "trained_on": ("first-0001",)}
    fields |= {"labelled": 1, "unlabelled": 0, "data_digest": "d", "created_at": NOON}
    versions = [ModelVersion(id=f"first/{number}", number=number, **fields) for number in (10, 2)]
    for version in versions:
        assert store.add_model_version(version) == version
    again = versions[0].model_copy(update={"labelled": 99})
    assert store.add_model_version(again) == versions[0]
    assert store.model_versions("first") == (versions[1], versions[0])
    assert store.model_version("first/3") is None


def test_a_round_is_replaced_by_its_later_self(store):
    first = Round(
        id="first/1",
        campaign="first",
        number=1,
        model_version=None,
        funnel=(("generated", 9),),
        chosen=(),
        started_at=NOON,
    )
    store.put_round(first)
    store.put_round(first.model_copy(update={"finished_at": NOON + MINUTE}))
    assert [round_.finished_at for round_ in store.rounds("first")] == [NOON + MINUTE]


def test_indexes_are_made_once(store):
    names = {name for name, _ in store.database["candidates"].index_information().items()}
    store.ensure_indexes()
    assert {name for name, _ in store.database["candidates"].index_information().items()} == names
    assert "campaign_1_key_1" in names


def test_a_database_out_of_reach_is_retried_then_reported_without_the_password():
    pauses = []
    client = connect("mongodb://user:secret@127.0.0.1:9", select_ms=10)
    store = MongoStore(client.get_database("crystals"), sleep=pauses.append)
    with pytest.raises(StoreUnavailable, match=r"mongodb://127\.0\.0\.1:9/crystals") as caught:
        store.candidate("first-0000")
    client.close()
    assert "secret" not in str(caught.value)
    assert sum(pauses) == pytest.approx(10.3)
