"""How a campaign ends where it cannot go on: by the clock in any phase, with nothing left, without references, by an error."""

import dataclasses
from contextlib import contextmanager
from datetime import timedelta

import pytest
from database_fixture import NOON
from test_loop import CAMPAIGN, SOURCES, FakeEnergies, FakeProposer, FakeTrainer, InstantWorkers, make_loop

from crystalloop.db.ledger.memory import MemoryStore
from crystalloop.db.ledger.records import CampaignRecord, CampaignState, CandidateState
from crystalloop.db.ledger.store import StoreUnavailable
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.orchestrator.account.status import campaign_status
from crystalloop.orchestrator.account.wall_time import account
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.contracts import TimeIsUp
from crystalloop.orchestrator.loop.events import Finished, Note, RoundProposed
from crystalloop.orchestrator.loop.loop import Loop
from crystalloop.orchestrator.loop.policy import Finish, Wait
from crystalloop.orchestrator.propose.cold_start import Choice, choose_decorated, decorated_pool
from crystalloop.orchestrator.propose.door import LedgerProposer
from crystalloop.orchestrator.run import compose
from crystalloop.orchestrator.run.session import outcome_of_errors


@pytest.fixture
def memory():
    return registered()


def registered():
    """A store that knows the campaign, and nothing else."""
    times = {"created_at": NOON, "updated_at": NOON}
    store = MemoryStore()
    store.start_campaign(
        CampaignRecord(
            id="first", spec=CAMPAIGN.spec(), spec_digest="d", folder="f", state=CampaignState.ACTIVE, **times
        )
    )
    return store


def loop_of(store, workers=None, campaign=CAMPAIGN, heard=None, chooser=None, **changes):
    made = make_loop(store, workers or InstantWorkers(store), heard)
    now = made._parts.now
    energies = changes.pop("energies", FakeEnergies())
    proposer = LedgerProposer("first", CAMPAIGN.target, chooser or FakeProposer(), energies, SOURCES, now)
    parts = dataclasses.replace(made._parts, proposer=proposer, energies=energies, **changes)
    return Loop(campaign, parts)


def limited(minutes, **changes):
    return Campaign.model_validate(CAMPAIGN.spec() | {"budget": {"wall_minutes": minutes}} | changes)


class NobodyLeft(FakeProposer):
    """Finds candidates for some rounds, and then none with everything tried."""

    def __init__(self, rounds=1):
        self.rounds = rounds

    def propose(self, ask):
        if ask.round <= self.rounds:
            return super().propose(ask)
        return Choice((("generated", 64), ("new", 0)), (), "everything is computed")


def alarm_at(calls):
    """Parts.within that rings in the call of this number, before any work is done."""
    left = iter(range(calls, -10_000, -1))

    @contextmanager
    def within(seconds):
        if seconds is not None and next(left) == 0:
            raise TimeIsUp
        yield

    return within


@pytest.mark.parametrize(("call", "phase"), [(0, "the proposing of round 1"), (1, "the training after round 1")])
def test_the_alarm_cuts_a_phase_off_and_the_same_command_goes_on_from_there(memory, call, phase):
    heard = []
    finish = loop_of(memory, campaign=limited(1e6), heard=heard, within=alarm_at(call)).run()
    assert finish.reason.startswith(f"the budget of 1e+06 minutes is used: {phase} cut off; ")
    assert not finish.failed
    assert memory.campaign("first").outcome == finish.reason == campaign_status(memory, "first")["outcome"]
    assert heard[-1] == Finished(finish.reason, completed=True)
    assert loop_of(memory).run() == Finish("all 2 rounds are done")


def test_references_that_never_end_are_cut_off_by_the_clock(memory):
    class NoReferences(InstantWorkers):
        def ensure(self):
            if any(c.kind == "crystal" for c in self.store.candidates(states=[CandidateState.QUEUED])):
                for one in self.store.candidates(states=[CandidateState.QUEUED]):
                    if one.kind == "reference":
                        self.store.claim(one.id, "w", NOON, 1e9)
                super().ensure()

    finish = loop_of(memory, NoReferences(memory), limited(2.0)).run()
    assert "elemental references cut off" in finish.reason


def test_a_target_that_nothing_reaches_is_said_so_with_the_best_that_is_known(memory):
    heard, campaign = [], limited(1e6, target={"maximum": -2.0})
    finish = loop_of(memory, campaign=campaign, heard=heard, chooser=NobodyLeft()).run()
    assert finish.failed
    assert finish.reason.startswith("target out of reach: everything is computed; best known: ")
    assert "formation_energy_per_atom -1.000" in finish.reason
    assert memory.campaign("first").state is CampaignState.FAILED
    assert [e.note for e in heard if isinstance(e, RoundProposed)] == ["", "everything is computed"]
    assert loop_of(memory, campaign=campaign).run() == finish  # and again, without proposing anything


@pytest.mark.parametrize(
    ("height", "ends"), [(0.0, "all 2 rounds are done"), (0.2, "best known: "), (None, "best known: ")]
)
def test_the_height_above_the_hull_decides_whether_the_target_is_met(memory, height, ends):
    def settle_hulls():
        for one in memory.candidates("first", states=[CandidateState.RELAXED]):
            memory.set_above_hull(one.id, height, None if height is not None else "sparse hull")

    wanted = {"maximum": -0.5, "also": [{"property": "energy_above_hull", "maximum": 0.1}]}
    finish = loop_of(memory, campaign=limited(1e6, target=wanted), settle_hulls=settle_hulls).run()
    assert (ends in finish.reason, "nothing met" in finish.reason) == (True, height != 0.0)
    said = "(energy_above_hull of some is not known: `crystalloop results` says why)"
    assert (said in finish.reason) is (height is None)


def test_with_the_target_met_nothing_left_is_a_good_end(memory):
    finish = loop_of(memory, campaign=limited(1e6, target={"maximum": -0.5}), chooser=NobodyLeft()).run()
    assert not finish.failed
    assert finish.reason.startswith("nothing is left to compute after 1 round: everything is computed; best known: ")


def test_a_round_without_anybody_of_an_older_release_is_proposed_anew(memory):
    old = NobodyLeft()
    old.propose = lambda ask: (
        FakeProposer.propose(old, ask) if ask.round == 1 else Choice((("generated", 64), ("new", 0)), ())
    )
    loop = loop_of(memory, chooser=old)
    while len(memory.rounds("first")) < 2 or memory.rounds("first")[-1].finished_at is None:
        loop.step()
    assert loop_of(memory).run() == Finish("all 2 rounds are done")
    assert memory.rounds("first")[1].chosen


def test_a_reference_that_gave_up_ends_the_campaign_with_its_reason(memory):
    reference = next(one.formula for one in FakeEnergies().references(["Li"], NOON))
    finish = loop_of(memory, InstantWorkers(memory, fail=(reference,))).run()
    assert finish.failed
    assert f"the elemental reference {reference} (" in finish.reason
    assert "SCF did not converge" in finish.reason
    assert len(memory.rounds("first")) == 1


def given_up_elsewhere(memory, reason="SCF did not converge"):
    """A store where everything that the campaign would compute has given up in another one."""
    loop_of(memory).run()
    store = registered()
    store.add_candidates(
        [
            c.model_copy(
                update={"campaign": "other", "id": f"x{c.id}", "state": CandidateState.GAVE_UP, "reason": reason}
            )
            for c in memory.candidates("first")
        ]
    )
    return store


def computed_again(store, **changes):
    """Whether the first round proposes any of those that gave up elsewhere."""
    loop_of(store, **changes).step()
    mine, theirs = ({(c.formula, c.prototype) for c in store.candidates(name)} for name in ("first", "other"))
    return bool(mine & theirs)


def test_what_gave_up_in_another_campaign_under_the_same_settings_is_not_proposed(memory):
    assert not computed_again(given_up_elsewhere(memory))


@pytest.mark.parametrize("reason", ["internal error: OSError: disk full", "interrupted 3 times"])
def test_what_the_machine_gave_up_in_another_campaign_is_proposed(memory, reason):
    assert computed_again(given_up_elsewhere(memory, reason))


def test_what_gave_up_under_other_settings_is_proposed(memory):
    energies = FakeEnergies()
    energies.shares_settings = lambda candidate: False
    assert computed_again(given_up_elsewhere(memory), energies=energies)


class Passing:
    """A clock on which every effect takes ten seconds, and looking at it none."""

    def __init__(self):
        self.at = NOON

    def now(self):
        return self.at

    def after(self, work):
        def timed(*arguments):
            self.at += timedelta(seconds=10)
            return work(*arguments)

        return timed


def test_the_time_of_every_phase_is_accounted_for(memory):
    clock, proposer, trainer = Passing(), FakeProposer(), FakeTrainer()
    proposer.propose, trainer.train = clock.after(proposer.propose), clock.after(trainer.train)
    effects = {"sleep": clock.after(lambda s: None), "settle_hulls": clock.after(lambda: None), "trainer": trainer}
    loop_of(memory, chooser=proposer, now=clock.now, **effects).run()
    found = account(memory.campaign("first"), memory.candidates())
    parts = {"train_s": found.train_s, "generate_s": found.generate_s, "settle_s": found.settle_s}
    assert parts == {"train_s": 10.0, "generate_s": 20.0, "settle_s": 30.0}
    assert (found.other_s, found.wait_s) == (0.0, found.wall_s - 60)


def test_an_error_that_ends_a_run_is_the_outcome_that_status_shows(memory):
    class Broken(Exception):
        exit_kind = "environment"

    with pytest.raises(Broken), outcome_of_errors(memory, CAMPAIGN):
        raise Broken("3 workers ended within 30 s")
    assert memory.campaign("first").outcome == "3 workers ended within 30 s"
    with pytest.raises(KeyboardInterrupt), outcome_of_errors(memory, CAMPAIGN):
        raise KeyboardInterrupt
    assert memory.campaign("first").outcome.startswith("interrupted")
    assert memory.campaign("first").state is CampaignState.ACTIVE


def test_an_error_of_the_database_is_not_written_into_the_database():
    class Away:
        def set_campaign_state(self, *arguments):
            raise AssertionError("asked a second time")

    with pytest.raises(StoreUnavailable), outcome_of_errors(Away(), CAMPAIGN):
        raise StoreUnavailable("gone")


def test_a_database_that_goes_away_while_pw_x_works_is_said_and_not_asked_once_more(memory, monkeypatch):
    def away(*arguments):
        asked.append(arguments)
        raise StoreUnavailable("gone")

    asked, heard, workers = [], [], InstantWorkers(memory)
    loop = loop_of(memory, workers, heard=heard)
    while not isinstance(loop.step(), Wait):
        pass
    for name in ("standings", "add_span"):
        monkeypatch.setattr(memory, name, away)
    with pytest.raises(StoreUnavailable):
        loop.run()
    assert len(asked) == 1
    assert heard[-1] == Note("the database does not answer any more: ending the workers")


def test_a_cold_start_with_every_decoration_done_says_so():
    pool = decorated_pool(CAMPAIGN)
    none = choose_decorated(CAMPAIGN, pool, known_of(pool), 3)
    assert none.chosen == ()
    assert none.note.startswith(f"each of the {len(pool)} decorations")
    some = choose_decorated(CAMPAIGN, pool, known_of(pool[:1]), 3)
    assert (len(some.chosen), some.note) == (3, "")


def known_of(pool):
    return KnownCrystals(one.crystal for one in pool)


def test_time_that_is_over_while_data_are_read_is_in_the_account(
    store, mongodb_uri, database_name, tmp_path, monkeypatch
):
    def reads_for_long(*arguments):
        raise TimeIsUp

    monkeypatch.setattr(compose, "preflight", reads_for_long)
    monkeypatch.chdir(tmp_path)
    place = {"folder": str(tmp_path / "runs"), "database": {"uri": mongodb_uri, "name": database_name}}
    summary = compose.run_campaign(limited(1e-3, **place), lambda event: None)
    assert summary["outcome"].startswith("the budget of")
    assert [span.what for span in store.campaign("first").spans] == ["prepare", "report"]
