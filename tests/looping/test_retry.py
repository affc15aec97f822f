"""What was given up wrongly comes back by itself at the next run, and what was given up rightly where it is asked for."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from database_fixture import NOON, new_candidate, new_relaxation

from crystalloop.db.ledger.campaigns import CampaignRecord, CampaignState, Span
from crystalloop.db.ledger.leases import AFRESH, TAKEN_BACK
from crystalloop.db.ledger.memory import MemoryStore
from crystalloop.db.ledger.records import REFERENCES, CandidateState
from crystalloop.db.ledger.store import StoreUnavailable
from crystalloop.dft.work.relax_queue import Repairs
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.events import EnergySettled, Note
from crystalloop.orchestrator.run.retry import retry_given_up

CAMPAIGN = Campaign.model_validate(
    {"name": "first", "elements": ["Li", "F"], "prototypes": ["rocksalt_B1"], "budget": {"wall_minutes": 5}}
    | {"target": {"direction": "minimise"}}
)
OLD = (
    "internal error: OperationFailure: nothing was changed: data.sqlite could not be written (database or disk is full)"
)
NEW = "internal error (3 tries): KeyError: 'x'; an error of this program, please report it: the next run tries again"
MISSING = "the elemental reference of Li was not computed; `crystalloop trace` its ref- id says why"


def reference(number, **changes):
    return new_candidate(
        number, id=f"ref-{number}", key=f"ref-key-{number}", campaign=REFERENCES, kind="reference", **changes
    )


class Energies:
    """A formation energy once both references are there."""

    def references(self, elements, now):
        return tuple(reference(number) for number in range(2))

    def formation_energy(self, relaxation, find):
        found = [find(f"ref-key-{number}") for number in range(2)]
        return (-1.0, None) if all(found) else (None, MISSING)

    def formation_energy_without_d2(self, relaxation, find):
        return None


class Workers:
    """Relaxes what is queued, one at a time."""

    def __init__(self, store):
        self.store, self.relaxed, self.stopped = store, [], False

    def ensure(self):
        for one in self.store.candidates(states=[CandidateState.QUEUED])[:1]:
            token = self.store.claim(one.id, "w", NOON, 60).lease.token
            self.store.record_relaxation(one.id, token, new_relaxation(), NOON)
            self.relaxed.append(one.id)

    def stop(self):
        self.stopped = True


class Idle(Workers):
    def ensure(self):
        pass


@pytest.fixture
def store():
    store = MemoryStore()
    times = {"created_at": NOON, "updated_at": NOON}
    store.start_campaign(
        CampaignRecord(id="first", spec={}, spec_digest="d", folder="f", state=CampaignState.ACTIVE, **times)
    )
    return store


def made(store, workers=Workers, minute=timedelta(seconds=1)):
    clock, heard = iter(NOON + i * minute for i in range(10_000)), []
    parts = SimpleNamespace(
        store=store,
        queue=SimpleNamespace(reconcile=lambda now: Repairs()),
        workers=workers(store),
        energies=Energies(),
        now=lambda: next(clock),
        sleep=lambda seconds: None,
        tell=heard.append,
    )
    return parts, heard


def given_up(make, number, reason):
    return make(number, state=CandidateState.GAVE_UP, reason=reason)


@pytest.mark.parametrize("reason", [OLD, NEW])
def test_errors_of_the_program_are_taken_back_by_themselves_for_crystals_and_references_alike(store, reason):
    waiting = new_candidate(5, state=CandidateState.RELAXED, relaxation=new_relaxation(), reason=MISSING)
    store.add_candidates([given_up(reference, 0, reason), reference(1, state=CandidateState.RELAXED), waiting])
    store.add_candidates([given_up(new_candidate, 1, reason), given_up(new_candidate, 2, "SCF did not converge")])
    parts, heard = made(store)
    retry_given_up(CAMPAIGN, parts, everything=False)
    assert sorted(parts.workers.relaxed) == ["first-0001", "ref-0"]
    assert store.candidate("first-0002").reason == "SCF did not converge"
    assert [store.candidate(id_).e_f for id_ in ("first-0001", "first-0005")] == [-1.0, -1.0]
    (note,) = [event.text for event in heard if isinstance(event, Note)]
    assert note == "ref-0, first-0001 were given up for an error that was not the crystal's: taken back"
    assert store.candidate("first-0001").attempts[0].outcome == TAKEN_BACK
    assert {event.candidate.id for event in heard if isinstance(event, EnergySettled)} == {"first-0001", "first-0005"}
    assert [span.what for span in store.campaign("first").spans] == ["dft"]


def test_everything_is_taken_back_and_computed_afresh_where_that_is_asked_for(store):
    store.add_candidates([given_up(new_candidate, 1, "SCF did not converge"), given_up(reference, 0, "unsuitable")])
    store.add_candidates(
        [given_up(new_candidate, 2, "interrupted 20 times; does pw.x need more memory than there is?")]
    )
    other = new_candidate(3, campaign="second", state=CandidateState.GAVE_UP, reason="SCF did not converge")
    store.add_candidates([other])
    parts, heard = made(store)
    retry_given_up(CAMPAIGN, parts, everything=True)
    assert sorted(parts.workers.relaxed) == ["first-0001", "first-0002", "ref-0"]
    outcomes = [store.candidate(id_).attempts[0].outcome for id_ in ("first-0001", "first-0002", "ref-0")]
    assert outcomes == [AFRESH, TAKEN_BACK, AFRESH]
    assert store.candidate(other.id) == other
    assert any("as was asked for" in event.text for event in heard if isinstance(event, Note))


def test_where_nothing_was_given_up_wrongly_nothing_happens(store):
    store.add_candidates([given_up(new_candidate, 2, "SCF did not converge")])
    parts, heard = made(store)
    retry_given_up(CAMPAIGN, parts, everything=False)
    assert (heard, parts.workers.relaxed, store.campaign("first").spans) == ([], [], ())


def test_a_stop_and_the_budget_of_time_end_the_waiting(store):
    store.add_candidates([given_up(new_candidate, 1, NEW)])
    parts, _ = made(store, Idle, timedelta(minutes=1))
    retry_given_up(CAMPAIGN, parts, everything=False)
    assert store.candidate("first-0001").state is CandidateState.QUEUED
    store.set_campaign_state("first", CampaignState.STOPPING, NOON)
    store.add_candidates([given_up(new_candidate, 2, NEW)])
    parts, _ = made(store, Idle)
    retry_given_up(CAMPAIGN, parts, everything=False)


def test_an_error_meanwhile_ends_the_workers(store):
    class Dies(Idle):
        def ensure(self):
            raise KeyboardInterrupt

    store.add_candidates([given_up(new_candidate, 1, NEW)])
    parts, _ = made(store, Dies)
    with pytest.raises(KeyboardInterrupt):
        retry_given_up(CAMPAIGN, parts, everything=False)
    assert parts.workers.stopped


def test_the_minutes_of_earlier_runs_count(store):
    used = {"what": "train", "round": 1, "started_at": NOON - timedelta(minutes=9), "finished_at": NOON}
    store.add_span("first", Span.model_validate(used))
    store.add_candidates([given_up(new_candidate, 1, NEW)])
    parts, _ = made(store)
    retry_given_up(CAMPAIGN, parts, everything=False)
    assert (store.candidate("first-0001").state, parts.workers.relaxed) == (CandidateState.QUEUED, [])


def test_an_error_while_energies_are_settled_ends_the_workers_too(store):
    class Away(Energies):
        def formation_energy(self, relaxation, find):
            raise StoreUnavailable("away")

    store.add_candidates([given_up(new_candidate, 1, NEW)])
    parts, _ = made(store)
    parts.energies = Away()
    with pytest.raises(StoreUnavailable):
        retry_given_up(CAMPAIGN, parts, everything=False)
    assert parts.workers.stopped
