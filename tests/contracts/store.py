"""The promises of db.ledger.store.Store as tests: a new store is one file and a class of three lines in test_store."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from database_fixture import NOON, new_campaign, new_candidate, new_relaxation

from crystalloop.db.ledger.records import (
    Attempt,
    CampaignState,
    CandidateState,
    ModelVersion,
    ReferenceEnergy,
    Round,
    Span,
)
from crystalloop.db.ledger.standing import Standing
from crystalloop.db.ledger.store import CampaignMismatch

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


def relaxed(store, **changes):
    candidate_id, token = claimed(store, **changes)
    store.record_relaxation(candidate_id, token, new_relaxation(), NOON)
    return candidate_id


def imported(name, energy_ev, scheme="pw6.7"):
    fields = {"name": name, "formula": "LiF", "energy_per_atom_ev": energy_ev, "source": "set.csv", "created_at": NOON}
    return ReferenceEnergy(id=f"{scheme}/{name}", scheme=scheme, **fields)


class StoreContract:
    """Every store; `store` is a fixture with an empty one: of conftest for MongoDB, the subclass's own for others."""

    def test_a_candidate_comes_back_as_it_was_stored(self, store):
        candidate = new_candidate(3, score=0.25, passed=("distance", "charge"))
        store.add_candidates([candidate])
        assert store.candidate(candidate.id) == candidate

    def test_standings_say_what_the_records_say_in_the_order_asked_for(self, store):
        store.add_candidates([new_candidate(number) for number in range(4)])
        ids = [new_candidate(number).id for number in range(4)]
        store.queue(ids[:3], NOON)
        for one in ids[:2]:
            token = store.claim(one, "w", NOON, 60).lease.token
            for number, cpu_s in ((1, 1.5), (2, 2.0)):
                tried = Attempt(number=number, started_at=NOON, outcome="x", cpu_s=cpu_s)
                store.add_attempt(one, token, tried, NOON)
        store.record_relaxation(ids[0], store.candidate(ids[0]).lease.token, new_relaxation(), NOON)
        standings = store.standings([ids[2], "nobody", *ids[:2], ids[3]])
        assert [one.id for one in standings] == [ids[2], ids[0], ids[1], ids[3]]
        assert standings == tuple(Standing.of(store.candidate(one.id)) for one in standings)
        assert (standings[1].a_ang, standings[1].steps, standings[1].cpu_s) == (4.06, 4, 3.5)
        assert (standings[2].state, standings[2].lease_ends > NOON) == (CandidateState.RUNNING, True)
        assert [one.is_unsettled for one in standings] == [False, True, False, False]
        store.set_formation_energy(ids[0], -1.0, None, NOON)
        assert [one.is_labelled for one in store.standings(ids)] == [True, False, False, False]
        assert store.standings([]) == ()

    def test_an_unknown_candidate_is_none(self, store):
        assert store.candidate("nobody") is None

    def test_datetimes_keep_their_zone_and_milliseconds(self, store):
        moment = NOON + timedelta(microseconds=123456)
        store.add_candidates([new_candidate(created_at=moment)])
        assert store.candidate("first-0000").created_at == NOON + timedelta(milliseconds=123)

    def test_a_crystal_is_added_once_per_campaign(self, store):
        same_key = new_candidate(7, key="key-0000")
        elsewhere = new_candidate(8, key="key-0000", campaign="second")
        assert store.add_candidates([new_candidate(0), same_key, elsewhere]) == ("first-0000", "first-0008")
        assert store.add_candidates([new_candidate(0), new_candidate(1)]) == ("first-0001",)
        assert store.add_candidates([]) == ()

    def test_ten_threads_add_the_same_crystals_once(self, store):
        candidates = [new_candidate(number) for number in range(20)]
        with ThreadPoolExecutor(10) as pool:
            added = [id_ for ids in pool.map(lambda _: store.add_candidates(candidates), range(10)) for id_ in ids]
        assert sorted(added) == [candidate.id for candidate in candidates]

    def test_candidates_are_found_by_every_condition_and_ordered(self, store):
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

    def test_only_proposed_candidates_are_queued_and_only_once(self, store):
        store.add_candidates([new_candidate(0), new_candidate(1)])
        assert store.queue(["first-0001", "first-0000", "first-0001", "nobody"], NOON) == ("first-0001", "first-0000")
        assert store.queue(["first-0000"], NOON) == ()

    def test_of_many_threads_exactly_one_claims(self, store):
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

    def test_a_claim_carries_a_lease(self, store):
        candidate = store.claim(queued(store), "worker-1", NOON, 60)
        assert candidate.state is CandidateState.RUNNING
        assert (candidate.lease.worker, candidate.lease.expires_at) == ("worker-1", NOON + MINUTE)
        assert store.candidate(candidate.id) == candidate

    def test_a_heartbeat_extends_the_lease_of_its_holder_only(self, store):
        candidate_id, token = claimed(store)
        assert store.heartbeat(candidate_id, token, NOON + MINUTE, 60)
        assert not store.heartbeat(candidate_id, "stale", NOON + 9 * MINUTE, 60)
        assert store.candidate(candidate_id).lease.expires_at == NOON + 2 * MINUTE

    def test_attempts_are_appended_in_order(self, store):
        candidate_id, token = claimed(store)
        assert store.add_attempt(candidate_id, token, attempt(1, "SCF_NOT_CONVERGED"), NOON)
        assert store.add_attempt(candidate_id, token, attempt(2), NOON)
        assert [done.number for done in store.candidate(candidate_id).attempts] == [1, 2]

    def test_a_relaxation_is_recorded_under_the_lease_and_drops_it(self, store):
        candidate_id, token = claimed(store)
        assert store.record_relaxation(candidate_id, token, new_relaxation(), NOON + MINUTE)
        candidate = store.candidate(candidate_id)
        assert (candidate.state, candidate.lease, candidate.relaxation) == (
            CandidateState.RELAXED,
            None,
            new_relaxation(),
        )
        assert candidate.updated_at == NOON + MINUTE
        assert not store.record_relaxation(candidate_id, token, new_relaxation(steps=9), NOON)

    def test_a_failure_is_recorded_with_its_reason(self, store):
        candidate_id, token = claimed(store)
        assert store.record_failure(candidate_id, token, "SCF did not converge in 4 attempts", NOON)
        candidate = store.candidate(candidate_id)
        assert (candidate.state, candidate.reason) == (CandidateState.GAVE_UP, "SCF did not converge in 4 attempts")

    def test_a_released_candidate_can_be_claimed_again(self, store):
        candidate_id, token = claimed(store)
        assert store.release(candidate_id, token, NOON)
        assert store.candidate(candidate_id).attempts == ()
        assert store.claim(candidate_id, "worker-2", NOON, 60).lease.token != token

    def test_a_stale_token_writes_nothing(self, store):
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

    def test_an_ended_lease_goes_back_with_an_interrupted_attempt(self, store):
        candidate_id, token = claimed(store)
        store.add_attempt(candidate_id, token, attempt(1, "MAX_SECONDS"), NOON)
        assert store.expire_leases(NOON + MINUTE) == ()  # ends then, has not ended before
        assert store.expire_leases(NOON + 2 * MINUTE) == (candidate_id,)
        assert store.expire_leases(NOON + 2 * MINUTE) == ()
        candidate = store.candidate(candidate_id)
        assert (candidate.state, candidate.lease) == (CandidateState.QUEUED, None)
        assert [(done.number, done.outcome) for done in candidate.attempts] == [(1, "MAX_SECONDS"), (2, "interrupted")]

    def test_a_lease_extended_in_time_is_not_expired(self, store):
        candidate_id, token = claimed(store)
        store.heartbeat(candidate_id, token, NOON + MINUTE, 600)
        assert store.expire_leases(NOON + 5 * MINUTE) == ()

    def test_of_many_reapers_one_expires_a_lease(self, store):
        candidate_id, _ = claimed(store)
        with ThreadPoolExecutor(8) as pool:
            expired = [ids for ids in pool.map(lambda _: store.expire_leases(NOON + 2 * MINUTE), range(8)) if ids]
        assert expired == [(candidate_id,)]
        assert len(store.candidate(candidate_id).attempts) == 1

    def test_a_relaxation_is_found_by_its_key_in_any_campaign(self, store):
        assert store.relaxation_by_key("key-0000") is None
        candidate_id, token = claimed(store, campaign="second")
        assert store.relaxation_by_key("key-0000") is None
        store.record_relaxation(candidate_id, token, new_relaxation(), NOON)
        assert store.relaxation_by_key("key-0000").id == candidate_id

    def test_a_formation_energy_is_set_on_relaxed_candidates_only(self, store):
        candidate_id, token = claimed(store)
        assert not store.set_formation_energy(candidate_id, -2.9, None, NOON)
        store.record_relaxation(candidate_id, token, new_relaxation(), NOON)
        assert store.set_formation_energy(candidate_id, None, "no reference for F", NOON)
        assert store.candidate(candidate_id).reason == "no reference for F"
        assert store.set_formation_energy(candidate_id, -2.9, None, NOON)
        assert (store.candidate(candidate_id).e_f, store.candidate(candidate_id).reason) == (-2.9, None)

    def test_a_campaign_starts_once_and_is_resumed(self, store):
        assert store.campaign("first") is None
        assert store.start_campaign(new_campaign()) == new_campaign()
        store.set_campaign_state("first", CampaignState.FINISHED, NOON + MINUTE, "all rounds done")
        resumed = store.start_campaign(new_campaign())
        assert (resumed.state, resumed.outcome) == (CampaignState.FINISHED, "all rounds done")
        assert store.campaigns() == (resumed,)

    def test_a_campaign_with_another_specification_is_refused(self, store):
        store.start_campaign(new_campaign())
        with pytest.raises(CampaignMismatch, match=r"'first'.*another name"):
            store.start_campaign(new_campaign(digest="b" * 64))

    def test_spans_of_time_are_kept(self, store):
        store.start_campaign(new_campaign())
        span = Span(what="dft", round=0, started_at=NOON, finished_at=NOON + MINUTE, busy_s=50.0)
        later = span.model_copy(update={"round": 1})
        for written in (span, span, later):
            store.add_span("first", written)
        assert store.campaign("first").spans == (span, later)

    def test_a_campaign_that_was_never_started_has_no_state(self, store):
        with pytest.raises(LookupError, match="'nobody'"):
            store.set_campaign_state("nobody", CampaignState.STOPPING, NOON)

    def test_model_versions_are_registered_once_and_listed_by_number(self, store):
        fields = {"campaign": "first", "round": 0, "parent": None, "networks": {}, "trained_on": ("first-0001",)}
        fields |= {"labelled": 1, "unlabelled": 0, "data_digest": "d", "created_at": NOON}
        versions = [ModelVersion(id=f"first/{number}", number=number, **fields) for number in (10, 2)]
        for version in versions:
            assert store.add_model_version(version) == version
        again = versions[0].model_copy(update={"labelled": 99})
        assert store.add_model_version(again) == versions[0]
        assert store.model_versions("first") == (versions[1], versions[0])
        assert store.model_version("first/3") is None

    def test_a_round_is_replaced_by_its_later_self(self, store):
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

    @pytest.mark.parametrize(
        ("condition", "found"),
        [
            ({}, [0, 1, 2, 3]),
            ({"_id": "first-0002"}, [2]),
            ({"campaign": "first", "round": 3}, [3]),
            ({"score": {"$lt": 0.5}}, [0, 1]),
            ({"score": {"$lte": 0.5}}, [0, 1, 2]),
            ({"score": {"$gt": 0.0, "$lt": 0.5}}, [1]),
            ({"score": {"$gte": 0.25}}, [1, 2]),
            ({"score": None}, [3]),
            ({"score": {"$ne": None}}, [0, 1, 2]),
            ({"score": {"$ne": 0}}, [1, 2, 3]),
            ({"score": {"$lt": "a"}}, []),
            ({"score": {"$in": [0.25, None]}}, [1, 3]),
            ({"formula": {"$nin": ["LiF", "MgO"]}}, [1, 3]),
            ({"predicted.e_f": {"$eq": -1.5}}, [0, 1, 2]),
            ({"predicted.bandgap": None}, [0, 1, 2, 3]),
            ({"predicted.nothing": {"$lt": 1.0}}, []),
            ({"relaxation.a_ang": None}, [0, 1, 2, 3]),
            ({"relaxation.a_ang": {"$gt": 0.0}}, []),
            ({"relaxation.a_ang": {"$ne": None}}, []),
            ({"relaxation.a_ang": {"$ne": 4.06}}, [0, 1, 2, 3]),
            ({"relaxation.a_ang": {"$nin": [None]}}, []),
            ({"origin.bases": "NaCl"}, [3]),
            ({"origin.bases": {"$ne": "NaCl"}}, [0, 1, 2]),
            ({"origin.bases": {"$in": ["KCl"]}}, [3]),
            ({"crystal.species": {"$eq": "Li"}}, [0, 1, 2, 3]),
            ({"$or": [{"round": 0}, {"round": 2}]}, [0, 2]),
            ({"$and": [{"formula": "LiF"}, {"$nor": [{"round": 0}]}]}, [2]),
            ({"created_at": {"$lt": NOON}}, []),
            ({"created_at": {"$lte": NOON}}, [0, 1, 2, 3]),
        ],
        ids=str,
    )
    def test_a_filter_finds_what_it_says(self, store, condition, found):
        origin = new_candidate().origin.model_copy(update={"bases": ("NaCl", "KCl")})
        more = [{"score": 0.0}, {"score": 0.25}, {"score": 0.5}, {"predicted": {}, "origin": origin}]
        formulas = ["LiF", "NaF", "LiF", "NaF"]
        store.add_candidates(
            [new_candidate(i, round=i, formula=formulas[i], **changes) for i, changes in enumerate(more)]
        )
        assert [candidate.round for candidate in store.matching(condition)] == found

    def test_what_was_read_is_the_callers_own(self, store):
        store.add_candidates([new_candidate(settings={"hubbard": {"Fe": 4.0}})])
        store.candidate("first-0000").settings["hubbard"]["Fe"] = 0.0
        assert store.candidate("first-0000").settings == {"hubbard": {"Fe": 4.0}}

    def test_of_several_relaxations_with_one_key_the_oldest_is_given(self, store):
        copied = relaxed(store, campaign="second")
        computed = new_candidate(1, key="key-0000", updated_at=NOON - MINUTE, state=CandidateState.RELAXED)
        waiting = new_candidate(2, key="key-0000", campaign="third")
        store.add_candidates([computed, waiting])
        assert store.relaxation_by_key("key-0000") == computed
        assert [c.id for c in store.with_key("key-0000")] == [copied, computed.id, waiting.id]

    def test_an_energy_above_the_hull_is_set_on_relaxed_candidates_only_and_is_no_change_of_state(self, store):
        waiting = queued(store, 1, campaign="second")
        assert not store.set_above_hull(waiting, 0.1, None)
        candidate_id = relaxed(store)
        before = store.candidate(candidate_id)
        assert store.set_above_hull(candidate_id, 0.1, None)
        assert store.candidate(candidate_id) == before.model_copy(update={"e_above_hull": 0.1})
        assert store.set_above_hull(candidate_id, 0.1, None, "mp.json.gz", 0.03)
        assert (store.candidate(candidate_id).hull_source, store.candidate(candidate_id).hull_error) == (
            "mp.json.gz",
            0.03,
        )
        assert store.set_above_hull(candidate_id, None, "sparse hull")
        assert store.candidate(candidate_id) == before.model_copy(update={"hull_reason": "sparse hull"})

    def test_imported_energies_are_replaced_by_id_and_listed_in_order(self, store):
        assert store.imported_energies() == ()
        assert store.import_energies([imported("b", -9.0), imported("a", -8.0)]) == (2, 0)
        assert store.import_energies([imported("b", -9.5), imported("b", -7.0, "pw7.3")]) == (1, 1)
        assert store.imported_energies() == (imported("a", -8.0), imported("b", -9.5), imported("b", -7.0, "pw7.3"))

    def test_time_of_a_campaign_that_was_never_started_is_refused(self, store):
        with pytest.raises(LookupError, match="'nobody'"):
            store.add_span("nobody", Span(what="dft", round=0, started_at=NOON, finished_at=NOON))
