"""Loop.step(): snapshot -> decide -> act. Resumable at any point: the store is the only memory. No Ray, no pw.x here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

from crystalloop.db.ledger.campaigns import CampaignState, ModelVersion, Round
from crystalloop.db.ledger.leases import INTERNAL, INTERRUPTED
from crystalloop.db.ledger.names import version_id
from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.db.ledger.store import StoreUnavailable
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.contracts import Parts, Proposed, TimeIsUp
from crystalloop.orchestrator.loop.events import (
    EnergySettled,
    Finished,
    LeasesExpired,
    ModelTrained,
    Note,
    Proposing,
    RoundClosed,
    RoundProposed,
    Waiting,
)
from crystalloop.orchestrator.loop.look import Known, Look, Looker
from crystalloop.orchestrator.loop.policy import (
    Action,
    CloseRound,
    Finish,
    Propose,
    Retrain,
    Rules,
    Settle,
    Wait,
    affordable,
    decide,
    is_worth_it,
)
from crystalloop.orchestrator.loop.timekeeper import Timekeeper

log, POLL_S = logging.getLogger(__name__), 1.0
NEVER = 2**63  # more labels than there will be: no arm needs networks, so none are trained
REPAIR = timedelta(seconds=5)
"""While nothing moves, the queue is looked through this often; what a crash left there waits so much longer."""


class Loop:
    """One campaign's loop.

    Args:
        campaign: its elements, limits and name.
        parts: everything with an effect.
        known: what its data files say.
        started: when the run began; None for now.
    """

    def __init__(
        self, campaign: Campaign, parts: Parts, known: Known | None = None, started: datetime | None = None
    ) -> None:
        self._campaign = campaign
        self._parts = parts
        self._rules = Rules(
            rounds=campaign.rounds,
            minimum_labels=campaign.networks.minimum_labels if campaign.arms.need_networks else NEVER,
            relaxations=campaign.budget.relaxations,
            cpu_hours=campaign.budget.cpu_hours,
            wall_minutes=campaign.budget.wall_minutes,
            hits=campaign.stop.hits,
            expected_hits=campaign.stop.expected_hits,
        )
        self._time = Timekeeper(parts.store, campaign.name, parts.now, started, campaign.budget.wall_minutes)
        self._waiting_since: datetime | None = None
        self._cut = ""
        self._repaired: list[tuple[str, CandidateState]] | None = None
        self._repaired_at = self._time.started
        self._looker = Looker(parts.store, campaign, cache(self._reference_ids), known or Known())

    @property
    def parts(self) -> Parts:
        """What it is made of."""
        return self._parts

    def run(self) -> Finish:
        """Step until the campaign ends; the workers are stopped whatever happens."""
        try:
            while not isinstance(action := self.step(), Finish):
                pass
            return action
        except StoreUnavailable:
            self._waiting_since = None  # it cannot be written down, and asking again would take as long once more
            self._parts.tell(Note("the database does not answer any more: ending the workers"))
            raise
        finally:
            try:
                self._end_wait(None)
            finally:
                self._parts.workers.stop()

    def step(self) -> Action:
        """Look, decide, act; returns what was done. Repeating a step that was cut off does no harm."""
        look = self._looker.look(self._time.wall_minutes, self._cut)
        action = decide(look.snapshot, self._rules)
        if isinstance(action, Wait):
            self._wait(look)
            return action
        self._end_wait(look)
        self._looker.forget()
        try:
            with self._parts.within(self._time.left_s if isinstance(action, Propose | Retrain) else None):
                self._act(action, look)
        except TimeIsUp:
            self._cut = _in_words(action)
        return action

    def _act(self, action: Action, look: Look) -> None:
        match action:
            case Propose():
                self._propose(action, look)
            case Retrain():
                self._retrain(action.after_round, look)
            case Settle():
                with self._time.spent_on("settle", _number(look)):
                    self._settle(look)
            case CloseRound():
                with self._time.spent_on("settle", _number(look)):
                    self._close(look)
            case Finish():
                with self._time.spent_on("settle", _number(look)):
                    self._finish(action)

    def _propose(self, action: Propose, look: Look) -> None:
        parts = self._parts
        with self._time.spent_on("generate", action.round):
            started = parts.now()
            version = look.versions[-1] if action.with_model and look.versions else None
            parts.tell(Proposing(action.round, version.id if version else None))
            count = affordable(self._campaign.dft.per_round, look.snapshot, self._rules)
            proposed = parts.proposer.propose(action.round, version, self._earlier(action.round), count)
            if proposed.chosen and not is_worth_it(proposed.expected_hits, self._rules):
                proposed = proposed.not_sent()
            chosen = self._write_down(proposed, action.round, version, started)
            parts.tell(RoundProposed(action.round, proposed.counts, tuple(chosen), proposed.note))
            self._dispatch(chosen)

    def _earlier(self, round_: int) -> list[Candidate]:
        """What earlier rounds computed, and what gave up in other campaigns under the same settings."""
        store, name, energies = self._parts.store, self._campaign.name, self._parts.energies
        # Candidates of this very round may be in the store already, from a run that was cut off here.
        mine = [c for c in store.candidates(name) if c.round < round_]
        theirs = [
            candidate
            for candidate in store.candidates(states=[CandidateState.GAVE_UP])
            if candidate.campaign != name
            and candidate.kind == "crystal"
            and set(candidate.crystal.species) <= set(self._campaign.elements)
            and not (candidate.reason or "").startswith((INTERNAL, INTERRUPTED))
        ]
        return mine + [candidate for candidate in theirs if energies.shares_settings(candidate)]

    def _write_down(
        self, proposed: Proposed, round_: int, version: ModelVersion | None, started: datetime
    ) -> list[Candidate]:
        """Candidates first, then the round that names the chosen: a round in the store is complete."""
        store, name, limited = self._parts.store, self._campaign.name, self._parts.energies.limited
        records = [limited(candidate, store.relaxation_by_key) for candidate in proposed.chosen]
        store.add_candidates(records)
        chosen = [found for record in records if (found := store.candidate(record.id)) is not None]
        store.put_round(
            Round(
                id=f"{name}/{round_}",
                campaign=name,
                number=round_,
                model_version=version.id if version else None,
                funnel=proposed.counts,
                chosen=tuple(candidate.id for candidate in chosen),
                note=proposed.note,
                expected_hits=proposed.expected_hits,
                declined=proposed.declined,
                started_at=started,
            )
        )
        return chosen

    def _dispatch(self, chosen: Sequence[Candidate]) -> None:
        """Ledger first, then queue: whatever is cut off here, the next `_wait` completes."""
        if not chosen:
            return
        store, now = self._parts.store, self._parts.now()
        elements = {symbol for candidate in chosen for symbol in candidate.crystal.species}
        references = self._parts.energies.references(elements, now)
        store.add_candidates(references)
        waiting = [c.id for c in (*references, *chosen)]
        store.queue(waiting, now)
        queued = [found for identity in waiting if (found := store.candidate(identity)) is not None]
        self._parts.queue.submit([c for c in queued if c.state is CandidateState.QUEUED])

    def _wait(self, look: Look) -> None:
        """Keep the workers working, repair the queue, and let a little time pass."""
        parts = self._parts
        if self._waiting_since is None:
            self._waiting_since = parts.now()
            self._dispatch_left(look)
        parts.workers.ensure()
        self._repair(look)
        self._tell_waiting(look)
        if any(one.state is CandidateState.RUNNING for one in look.standings):
            parts.meanwhile()  # pw.x is at work: time spent here costs nothing
        parts.sleep(POLL_S)

    def _tell_waiting(self, look: Look) -> None:
        if look.rounds:
            self._parts.tell(Waiting(look.rounds[-1].number, look.chosen, look.references))

    def _dispatch_left(self, look: Look) -> None:
        """Send on those that were chosen and, where a run was cut off, not queued."""
        left = {one.id for one in look.chosen if one.state is CandidateState.PROPOSED}
        if left:
            found = self._parts.store.candidates(self._campaign.name, round=look.rounds[-1].number)
            self._dispatch([c for c in found if c.id in left])

    def _repair(self, look: Look) -> None:
        """Repair the queue at once where a candidate moved or a lease ended, else every REPAIR_S: it takes a dozen reads."""
        now, states = self._parts.now(), [(one.id, one.state) for one in look.standings]
        lately = timedelta() <= now - self._repaired_at < REPAIR  # not where the clock was set back since
        if states == self._repaired and lately and not look.lease_has_ended(now):
            return
        lost = self._parts.queue.reconcile(now).expired
        if lost:
            self._parts.tell(LeasesExpired(lost))
        self._repaired, self._repaired_at = states, now

    def _settle(self, look: Look) -> None:
        parts = self._parts
        find = parts.store.relaxation_by_key
        for standing in look.chosen:
            candidate = parts.store.candidate(standing.id) if standing.is_unsettled else None
            if candidate is None or candidate.relaxation is None:
                continue
            e_f, reason = parts.energies.formation_energy(candidate.relaxation, find)
            without = (
                parts.energies.formation_energy_without_d2(candidate.relaxation, find)
                if candidate.relaxation.energy_without_d2_ev is not None
                else None
            )
            parts.store.set_formation_energy(candidate.id, e_f, reason, parts.now(), without)
            parts.tell(EnergySettled(candidate, e_f, reason))

    def _close(self, look: Look) -> None:
        self._parts.settle_hulls()
        round_ = look.rounds[-1]
        self._parts.store.put_round(round_.model_copy(update={"finished_at": self._parts.now()}))
        self._parts.tell(RoundClosed(round_.number, look.chosen))

    def _retrain(self, after_round: int, look: Look) -> None:
        parts, versions = self._parts, look.versions
        parent = versions[-1] if versions else None
        relaxed = parts.store.candidates(self._campaign.name, states=[CandidateState.RELAXED])
        busy: list[float] = []
        number = len(versions) + 1
        with self._time.spent_on("train", after_round, lambda: busy[-1]):
            identity = version_id(self._campaign.name, number)
            trained = parts.trainer.train(identity, after_round, relaxed, parent)
            busy.append(trained.busy_s)
            version = trained.version(identity, self._campaign.name, number, after_round, parent, parts.now())
            parts.store.add_model_version(version)
        parts.tell(ModelTrained(version))

    def _finish(self, action: Finish) -> None:
        self._parts.settle_hulls()  # other campaigns of the database may have gone on since the last round was closed
        ended = CampaignState.FAILED if action.failed else CampaignState.FINISHED
        state = ended if action.completed else CampaignState.ACTIVE
        self._parts.store.set_campaign_state(self._campaign.name, state, self._parts.now(), action.reason)
        self._parts.tell(Finished(action.reason, action.completed, action.failed))

    def _reference_ids(self) -> list[str]:
        return [one.id for one in self._parts.energies.references(self._campaign.elements, self._time.started)]

    def _end_wait(self, look: Look | None) -> None:
        """Close the account of a stretch of waiting for DFT; `look` is what it ends with, None where it is cut off."""
        if self._waiting_since is not None:
            if look is not None:
                self._tell_waiting(look)
            rounds = look.rounds if look is not None else self._parts.store.rounds(self._campaign.name)
            self._time.note("dft", rounds[-1].number if rounds else 0, self._waiting_since)
            self._waiting_since = None


def _number(look: Look) -> int:
    """Of the last round."""
    return look.rounds[-1].number if look.rounds else 0


def _in_words(action: Action) -> str:
    """What was cut off; of all actions these two take long and are limited."""
    if isinstance(action, Retrain):
        return f"the training after round {action.after_round}" if action.after_round else "the first training"
    return f"the proposing of round {action.round}" if isinstance(action, Propose) else "work"
