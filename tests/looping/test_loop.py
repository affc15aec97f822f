"""The loop on a real store with instant parts: what it does, and that a crash at any point changes nothing."""

import dataclasses
from datetime import timedelta

import pytest
from database_fixture import NOON, new_relaxation

from crystalloop.db.ledger.records import (
    REFERENCES,
    CampaignRecord,
    CampaignState,
    Candidate,
    CandidateState,
    CrystalDoc,
    NetworkRecord,
    Origin,
    OriginKind,
)
from crystalloop.dft.work.relax_queue import Repairs
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.loop.contracts import Parts, Trained
from crystalloop.orchestrator.loop.events import Finished, LeasesExpired, RoundClosed
from crystalloop.orchestrator.loop.loop import Loop
from crystalloop.orchestrator.loop.policy import Finish, Wait
from crystalloop.orchestrator.propose.cold_start import Choice, choose_decorated, decorated_pool
from crystalloop.orchestrator.propose.door import LedgerProposer

CAMPAIGN = Campaign.model_validate(
    {
        "name": "first",
        "elements": ["Li", "F", "Mg", "O"],
        "prototypes": ["rocksalt_B1", "CsCl_B2"],
        "target": {"direction": "minimise"},
        "networks": {"minimum_labels": 2},
        "dft": {"per_round": 3},
        "rounds": 2,
    }
)
SOURCES = Sources((), decorated_pool(CAMPAIGN))
NETWORK = NetworkRecord(folder="f", sha256="0" * 64, metrics={}, samples=1, train_s=1.0)


class Crash(Exception):
    """What kill -9 looks like from inside."""


class FakeEnergies:
    """Keys from formula and prototype; every formation energy is -1 eV/atom, and no limit of it."""

    def limited(self, candidate, find):
        return candidate

    def candidate(self, draft, campaign, round_, passed, now, kind="crystal"):
        key = f"{draft.formula}-{draft.prototype}"
        fields = {
            "id": f"{campaign}-{round_}-{key}",
            "key": key,
            "formula": draft.formula,
            "prototype": draft.prototype,
        }
        origin = Origin(kind=OriginKind(draft.kind), model_version=draft.model_version)
        crystal = CrystalDoc.from_structure(draft.structure)
        times = {"created_at": now, "updated_at": now}
        return Candidate(
            campaign=campaign,
            kind=kind,
            round=round_,
            crystal=crystal,
            settings={},
            origin=origin,
            passed=passed,
            **fields,
            **times,
        )

    def references(self, elements, now):
        pairs = [(e, Crystal.from_structure(decorate(Prototype.CSCL, (e, "Na")))) for e in sorted(elements)]
        solids = [Proposal(crystal, Kind.DECORATED, e) for e, crystal in pairs]
        return tuple(self.candidate(solid, REFERENCES, 0, (), now, "reference") for solid in solids)

    def formation_energy(self, relaxation, find):
        return -1.0, None

    def shares_settings(self, candidate):
        return True


class InstantWorkers:
    """Relaxes one queued candidate whenever it is looked after; `fail` names formulas that give up."""

    def __init__(self, store, fail=()):
        self.store, self.fail, self.relaxed = store, fail, []

    def ensure(self):
        queued = self.store.candidates(states=[CandidateState.QUEUED])
        if not queued:
            return
        claimed = self.store.claim(queued[0].id, "w", NOON, 60.0)
        if claimed.formula in self.fail:
            self.store.record_failure(claimed.id, claimed.lease.token, "SCF did not converge", NOON)
        else:
            relaxation = new_relaxation(crystal=claimed.crystal, conventional=claimed.crystal)
            self.store.record_relaxation(claimed.id, claimed.lease.token, relaxation, NOON)
            self.relaxed.append(claimed.id)

    def stop(self):
        pass


class FakeProposer:
    """Decorations; those of a model carry its version."""

    def propose(self, ask):
        proposed = choose_decorated(CAMPAIGN, decorated_pool(CAMPAIGN), ask.known, ask.count)
        if ask.version is None:
            return proposed
        marked = tuple(
            (dataclasses.replace(d, kind="around", model_version=ask.version.id), s) for d, s in proposed.chosen
        )
        return Choice(proposed.counts, marked)


class FakeTrainer:
    def train(self, version_id, round_, relaxed, parent):
        training, trained_on = SOURCES.training_set(relaxed)
        labelled = len(training.values(E_F))
        return Trained({"cgcnn": NETWORK}, 1.0, trained_on, labelled, len(training) - labelled, training.digest)


class FakeQueue:
    """Counts its repairs; says once that a lease had ended, where it is told to."""

    def __init__(self, expired=()):
        self.expired, self.repairs = expired, 0

    def submit(self, candidates):
        pass

    def reconcile(self, now):
        self.repairs += 1
        expired, self.expired = self.expired, ()
        return Repairs(expired)


class CrashingStore:
    """The real store, until one call too many: then it dies before or after doing what was asked."""

    def __init__(self, store, calls=10**9, after=False):
        self._store, self._left, self._after = store, calls, after
        self.called = []

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*arguments, **named):
            self.called.append(name)
            if len(self.called) > self._left:
                if self._after:
                    method(*arguments, **named)
                raise Crash
            return method(*arguments, **named)

        return call


def make_loop(store, workers, heard=None, queue=None):
    clock = iter(NOON + timedelta(seconds=i) for i in range(100_000))
    parts = Parts(
        store=store,
        queue=queue or FakeQueue(),
        workers=workers,
        proposer=LedgerProposer("first", CAMPAIGN.target, FakeProposer(), FakeEnergies(), SOURCES, lambda: next(clock)),
        trainer=FakeTrainer(),
        energies=FakeEnergies(),
        settle_hulls=lambda: heard.append("hulls settled") if heard is not None else None,
        meanwhile=lambda: None,
        now=lambda: next(clock),
        sleep=lambda seconds: None,
        tell=heard.append if heard is not None else lambda event: None,
    )
    return Loop(CAMPAIGN, parts)


def register(store, state=CampaignState.ACTIVE):
    store.start_campaign(
        CampaignRecord(id="first", spec={}, spec_digest="d", folder="f", state=state, created_at=NOON, updated_at=NOON)
    )


def story(store):
    """What a campaign leaves, without times."""
    return (
        [(c.id, c.state, c.e_f, c.origin.model_version) for c in store.candidates("first")],
        [(r.number, r.model_version, r.chosen, r.finished_at is not None) for r in store.rounds("first")],
        [(v.id, v.round, v.trained_on, v.labelled, v.parent) for v in store.model_versions("first")],
    )


def test_two_rounds_with_the_second_proposed_by_a_model_trained_on_the_first(store):
    register(store)
    workers = InstantWorkers(store)
    assert make_loop(store, workers).run() == Finish("all 2 rounds are done")
    first, second = store.rounds("first")
    (version,) = store.model_versions("first")
    assert first.model_version is None
    assert second.model_version == version.id
    assert set(version.trained_on) == set(first.chosen)
    assert all(store.candidate(c).origin.model_version == version.id for c in second.chosen)
    assert len(workers.relaxed) == len(set(workers.relaxed))
    assert store.campaign("first").state is CampaignState.FINISHED


def test_hulls_are_settled_before_a_round_closes_and_at_the_end(store):
    register(store)
    heard = []
    make_loop(store, InstantWorkers(store), heard).run()
    told = [event if isinstance(event, str) else type(event) for event in heard]
    told = [event for event in told if event in {"hulls settled", RoundClosed, Finished}]
    assert told == ["hulls settled", RoundClosed] * 2 + ["hulls settled", Finished]


def test_a_failed_relaxation_is_an_outcome_and_the_campaign_goes_on(store):
    register(store)
    assert make_loop(store, InstantWorkers(store, fail=("MgO",))).run().completed
    failed = [c for c in store.candidates("first") if c.state is CandidateState.GAVE_UP]
    assert failed
    assert {c.reason for c in failed} == {"SCF did not converge"}
    assert not {c.id for c in failed} & set(store.model_versions("first")[0].trained_on)


def test_a_stop_ends_at_the_next_step_and_a_later_run_goes_on(store):
    register(store)
    workers = InstantWorkers(store)
    loop = make_loop(store, workers)
    loop.step()
    store.set_campaign_state("first", CampaignState.STOPPING, NOON)
    assert loop.run() == Finish("stopped on request", completed=False)
    assert make_loop(store, workers).run().completed


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_crash_at_any_call_of_the_store_changes_nothing_in_the_end(store, after):
    register(store)
    workers = InstantWorkers(store)
    counted = CrashingStore(store)
    make_loop(counted, workers).run()
    wanted, relaxations = story(store), sorted(workers.relaxed)
    for calls in range(0, len(counted.called), len(counted.called) // 17):
        store.database.client.drop_database(store.database.name)
        store.ensure_indexes()
        register(store)
        workers = InstantWorkers(store)
        with pytest.raises(Crash):
            crashing = CrashingStore(store, calls, after)
            make_loop(crashing, workers).run()
        assert make_loop(store, workers).run().completed
        assert story(store) == wanted, f"crash at call {calls}"
        assert sorted(workers.relaxed) == relaxations, f"crash at call {calls}"


class BusyWorkers:
    """Two candidates are at work, and nothing else happens."""

    def __init__(self, store):
        self.store = store

    def ensure(self):
        if not self.store.candidates(states=[CandidateState.RUNNING]):
            for one in self.store.candidates("first", states=[CandidateState.QUEUED])[:2]:
                self.store.claim(one.id, "w", NOON, 1e6)

    def stop(self):
        pass


def test_an_idle_minute_reads_standings_and_the_campaigns_state_once_a_step(store):
    register(store)
    counted, heard = CrashingStore(store), []
    loop = make_loop(counted, BusyWorkers(store), heard)
    for _ in range(4):
        loop.step()
    before = len(counted.called)
    for _ in range(60):
        assert loop.step() == Wait()
    assert sorted(counted.called[before:]) == ["campaign"] * 60 + ["standings"] * 60
    assert [one.state for one in heard[-1].candidates].count(CandidateState.RUNNING) == 2


def test_the_queue_is_repaired_when_a_candidate_moves_and_every_five_seconds(store):
    register(store)
    clock, queue = [NOON], FakeQueue()
    loop = make_loop(store, BusyWorkers(store), queue=queue)
    loop._parts = dataclasses.replace(loop._parts, now=lambda: clock[0])
    for _ in range(3):  # proposed, claimed, and looked at since
        loop.step()
    done = queue.repairs
    for _ in range(20):
        clock[0] += timedelta(seconds=1)
        loop.step()
    assert queue.repairs - done == 4
    at_work = store.candidates("first", states=[CandidateState.RUNNING])[0]
    store.release(at_work.id, at_work.lease.token, NOON)
    loop.step()
    assert queue.repairs - done == 5


def test_a_clock_that_is_set_back_does_not_stop_the_repairs(store):
    register(store)
    clock, queue = [NOON], FakeQueue()
    loop = make_loop(store, BusyWorkers(store), queue=queue)
    loop._parts = dataclasses.replace(loop._parts, now=lambda: clock[0])
    for _ in range(3):
        loop.step()
    done = queue.repairs
    clock[0] -= timedelta(hours=1)
    for _ in range(10):
        loop.step()
        clock[0] += timedelta(seconds=1)
    assert queue.repairs - done == 2


def test_an_ended_lease_is_told_and_repaired_at_once(store):
    register(store)
    clock, queue, heard = [NOON], FakeQueue(), []
    loop = make_loop(store, BusyWorkers(store), heard, queue)
    loop._parts = dataclasses.replace(loop._parts, now=lambda: clock[0])
    for _ in range(3):
        loop.step()
    done, queue.expired = queue.repairs, ("first-1",)
    clock[0] += timedelta(seconds=2)
    loop.step()
    assert queue.repairs == done
    clock[0] += timedelta(seconds=2e6)
    loop.step()
    assert queue.repairs == done + 1
    assert LeasesExpired(("first-1",)) in heard
