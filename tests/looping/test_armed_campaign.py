"""Whole campaigns with arms on a store in memory: shares over rounds, networks where an arm needs them, parents pw.x found."""

from collections import Counter
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from database_fixture import NOON, new_relaxation

from crystalloop.db.ledger.campaigns import CampaignRecord, CampaignState, NetworkRecord
from crystalloop.db.ledger.memory import MemoryStore
from crystalloop.db.ledger.records import Candidate, CandidateState, CrystalDoc, Origin, OriginKind
from crystalloop.dft.work.relax_queue import Repairs
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.draw.proposal import Proposals
from crystalloop.orchestrator.account.arms import given_before
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.loop.contracts import Parts, Trained
from crystalloop.orchestrator.loop.loop import Loop
from crystalloop.orchestrator.propose.ask import Ask
from crystalloop.orchestrator.propose.baselines.armed_choice import CampaignArms
from crystalloop.orchestrator.propose.cold_start import anonymous_formulas, decorated_pool
from crystalloop.orchestrator.propose.door import LedgerProposer
from crystalloop.orchestrator.propose.proposer import CandidateProposer

SALTS = {"LiF", "NaF", "LiCl", "NaCl", "MgO"}
NETWORK = NetworkRecord(folder="f", sha256="0" * 64, metrics={}, samples=1, train_s=1.0)


def campaign(**changes) -> Campaign:
    fields = {
        "name": "armed",
        "elements": ["Li", "Na", "Mg", "O", "F", "Cl"],
        "prototypes": ["rocksalt_B1", "CsCl_B2", "zincblende_B3"],
        "target": {"maximum": -1.5},
        "networks": {"minimum_labels": 2},
        "dft": {"per_round": 5},
        "rounds": 3,
    }
    return Campaign.model_validate(fields | changes)


def first_round(pool, count) -> Ask:
    """What is asked before anything is computed."""
    return Ask(1, None, Sources((), pool).training_set(())[0], KnownCrystals(), (), count)


class Energies:
    """Salts are bound, everything else is not; keys from formula and prototype."""

    def candidate(self, draft, campaign, round_, passed, now):
        key = f"{draft.formula}-{draft.prototype}"
        return Candidate(
            id=f"{campaign}-{round_}-{key}",
            campaign=campaign,
            round=round_,
            key=key,
            formula=draft.formula,
            prototype=draft.prototype,
            crystal=CrystalDoc.from_structure(draft.structure),
            settings={},
            origin=Origin(kind=OriginKind(draft.kind), model_version=draft.model_version, bases=draft.bases),
            passed=passed,
            predicted=dict(draft.predicted),
            created_at=now,
            updated_at=now,
        )

    def limited(self, candidate, find):
        return candidate

    def references(self, elements, now):
        return ()

    def formation_energy(self, relaxation, find):
        formula = relaxation.crystal.to_structure().composition.reduced_formula
        return (-2.0 if formula in SALTS else 0.5), None

    def shares_settings(self, candidate):
        return True


class Workers:
    def __init__(self, store):
        self.store = store

    def ensure(self):
        for one in self.store.candidates(states=[CandidateState.QUEUED])[:1]:
            claimed = self.store.claim(one.id, "w", NOON, 60.0)
            found = new_relaxation(crystal=claimed.crystal, conventional=claimed.crystal)
            self.store.record_relaxation(claimed.id, claimed.lease.token, found, NOON)

    def stop(self):
        pass


class Runtime:
    """Stands for Ray's actors: draws nothing that is a crystal, predicts 0 for all; keeps whose networks were asked."""

    def __init__(self):
        self.folders, self.started = [], False

    def start(self):
        self.started = True

    def actors(self):
        return SimpleNamespace(generators=self, screeners=self)

    def map(self, method, folder, batches):
        self.folders.append((method, folder.name))
        if method == "predict":
            return [
                ([{"formation_energy_per_atom": -1.6}] * len(b), [{"formation_energy_per_atom": 0.1}] * len(b))
                for b in batches
            ]
        return [Proposals(("no atoms",) * request.count) for request in batches]


def run(asked, runtime=None):
    """The store after a campaign, and the rounds after which something was trained."""
    store, trained, runtime = MemoryStore(), [], runtime or Runtime()
    clock = iter(NOON + timedelta(seconds=i) for i in range(100_000))
    pool = decorated_pool(asked)

    def train(version_id, round_, relaxed, parent):
        trained.append(round_)
        return Trained({"cgcnn": NETWORK}, 1.0, (), 1, 1, "digest")

    arms = CampaignArms(
        asked, anonymous_formulas(pool), lambda round_: given_before(store.candidates(asked.name), round_)
    )
    chooser = CandidateProposer(asked, Path("models"), runtime, arms=arms)
    parts = Parts(
        store=store,
        queue=SimpleNamespace(submit=lambda some: None, reconcile=lambda now: Repairs(())),
        workers=Workers(store),
        proposer=LedgerProposer(asked.name, asked.target, chooser, Energies(), Sources((), pool), lambda: next(clock)),
        trainer=SimpleNamespace(train=train),
        energies=Energies(),
        settle_hulls=lambda: None,
        meanwhile=lambda: None,
        now=lambda: next(clock),
        sleep=lambda seconds: None,
        tell=lambda event: None,
    )
    store.start_campaign(
        CampaignRecord(
            id=asked.name,
            spec={},
            spec_digest="d",
            folder="f",
            state=CampaignState.ACTIVE,
            created_at=NOON,
            updated_at=NOON,
        )
    )
    ended = Loop(asked, parts).run()
    assert ended.completed, ended
    return store.candidates(asked.name), trained


def test_a_campaign_of_baselines_trains_no_networks_and_starts_no_ray():
    runtime = Runtime()
    found, trained = run(campaign(arms={"loop": 0, "random": 0.6, "ion_exchange": 0.4}), runtime)
    assert (trained, runtime.started) == ([], False)
    assert len(found) == 15
    assert set(Counter(one.arm for one in found)) == {"random", "ion_exchange"}


def test_ion_exchange_starts_from_what_pw_x_found_to_be_bound_and_is_paid_back():
    found, _ = run(campaign(arms={"loop": 0, "random": 0.6, "ion_exchange": 0.4}))
    by_round = {round_: Counter(one.arm for one in found if one.round == round_) for round_ in (1, 2, 3)}
    assert by_round[1] == {"random": 5}  # nothing is known
    assert by_round[2]["ion_exchange"] == 3  # two are its share, and one more
    exchanged = [one for one in found if one.arm == "ion_exchange"]
    assert all(one.origin.kind is OriginKind.SUBSTITUTED and set(one.origin.bases) <= SALTS for one in exchanged)


@pytest.mark.parametrize("arm", ["random", "ion_exchange", "no_feedback", "trees_ucb"])
def test_shares_hold_over_a_campaign_with_networks(arm):
    found, trained = run(campaign(arms={"loop": 0.6, arm: 0.4}, bases=["NaCl:rocksalt_B1"]))
    counted = Counter(one.arm for one in found)
    assert trained == [1, 2]
    assert counted["loop"] + counted[arm] == 15
    assert abs(counted[arm] - 6) <= 1


def test_no_feedback_asks_the_first_networks_in_every_round():
    runtime = Runtime()
    run(campaign(arms={"loop": 0.6, "no_feedback": 0.4}), runtime)
    assert {folder for method, folder in runtime.folders if method == "predict"} == {"armed-v1", "armed-v2"}
    assert runtime.folders.count(("predict", "armed-v1")) > runtime.folders.count(("predict", "armed-v2"))


@cache
def mixed():
    """Loop and two baselines, computed once for the tests that only look."""
    return run(campaign(arms={"loop": 0.4, "ion_exchange": 0.3, "random": 0.3}, bases=["NaCl:rocksalt_B1"]))[0]


def test_crystals_of_baselines_carry_the_predictions_of_the_loop():
    later = [one for one in mixed() if one.round > 1]
    assert {one.arm for one in later} == {"loop", "ion_exchange", "random"}
    assert all(one.forecast.parts["networks"] == -1.6 for one in later)
    assert all(one.predicted["formation_energy_per_atom"] == one.forecast.mean for one in later)


def test_the_same_campaign_chooses_the_same_again():
    arms = {"loop": 0.4, "ion_exchange": 0.3, "random": 0.3}
    again, _ = run(campaign(arms=arms, bases=["NaCl:rocksalt_B1"]))
    assert [(one.id, one.arm) for one in mixed()] == [(one.id, one.arm) for one in again]


def test_no_crystal_is_computed_twice():
    assert len({one.key for one in mixed()}) == len(mixed())


def test_an_arm_that_finds_too_few_is_told_of_and_the_round_is_full_all_the_same():
    asked = campaign(arms={"loop": 0, "ion_exchange": 1}, elements=["Na", "Cl", "Li"], bases=["NaCl:rocksalt_B1"])
    pool, heard = decorated_pool(asked), []
    arms = CampaignArms(asked, anonymous_formulas(pool), lambda round_: {}, tell=heard.append)
    choice = arms.choose_decorated(first_round(pool, 5), pool)
    assert Counter(one.arm for one, _ in choice.chosen) == {"ion_exchange": 1, "random": 4}
    assert (heard, choice.note) == (["arms: ion_exchange found 1 for its 5; other arms chose in their place"], "")


def test_trees_choose_from_the_first_round_where_they_can_be_fitted():
    asked = campaign(arms={"loop": 0.5, "trees_ucb": 0.5})
    pool = decorated_pool(asked)
    arms = CampaignArms(asked, anonymous_formulas(pool), lambda round_: {})
    without = arms.choose_decorated(first_round(pool, 4), pool)
    given = arms.choose_decorated(first_round(pool, 4), pool, trees=list)
    assert Counter(one.arm for one, _ in without.chosen) == {"loop": 4}
    assert Counter(one.arm for one, _ in given.chosen) == {"loop": 2, "trees_ucb": 2}
