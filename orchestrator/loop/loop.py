"""Loop.step(): snapshot -> decide -> act. Resumable at any point: the store is the only memory. No Ray, no pw.x here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from crystalloop.db.ledger.records import (
    REFERENCES,
    CampaignState,
    Candidate,
    CandidateState,
    ModelVersion,
    Round,
    Span,
)
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.generate.funnel import Draft, KnownStructures
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import E_F, TrainingSet, build_training_set
from crystalloop.orchestrator.loop.contracts import Parts, Proposed
from crystalloop.orchestrator.loop.policy import (
    Action,
    CloseRound,
    Finish,
    Propose,
    Retrain,
    RoundView,
    Rules,
    Settle,
    Snapshot,
    Wait,
    affordable,
    decide,
)

log = logging.getLogger(__name__)
POLL_S = 1.0
OPEN = (CandidateState.PROPOSED, CandidateState.QUEUED, CandidateState.RUNNING)


class Loop:
    """One campaign's loop."""

    def __init__(
        self, campaign: Campaign, parts: Parts, known: Sequence[KnownCrystal], decorated: Sequence[Draft]
    ) -> None:
        self._campaign = campaign
        self._parts = parts
        self._known = known
        self._decorated = decorated
        self._rules = Rules(
            rounds=campaign.rounds,
            minimum_labels=campaign.networks.minimum_labels,
            relaxations=campaign.budget.relaxations,
            cpu_hours=campaign.budget.cpu_hours,
            wall_minutes=campaign.budget.wall_minutes,
        )
        self._started = parts.now()
        self._waiting_since: datetime | None = None
        self._earlier_minutes = self._spent_minutes()

    def run(self) -> Finish:
        """Step until the campaign ends; the workers are stopped whatever happens."""
        try:
            while not isinstance(action := self.step(), Finish):
                pass
            return action
        finally:
            try:
                self._end_wait()
            finally:
                self._parts.workers.stop()

    def step(self) -> Action:
        """Look, decide, act; returns what was done. Repeating a step that was cut off does no harm."""
        action = decide(self.snapshot(), self._rules)
        if not isinstance(action, Wait):
            self._end_wait()
        match action:
            case Propose():
                self._propose(action)
            case Wait():
                self._wait()
            case Settle():
                self._settle()
            case CloseRound():
                self._close(action.round)
            case Retrain():
                self._retrain(action.after_round)
            case Finish():
                self._finish(action)
        return action

    def snapshot(self) -> Snapshot:
        """What the ledger says now."""
        store, name = self._parts.store, self._campaign.name
        record = store.campaign(name)
        candidates = store.candidates(name)
        rounds, versions = store.rounds(name), store.model_versions(name)
        chosen = {identity for round_ in rounds for identity in round_.chosen}
        computed = [c for c in candidates if c.id in chosen]
        return Snapshot(
            current=_view(rounds[-1], computed) if rounds else None,
            references_open=len(self._open_references()),
            labelled=sum(c.is_labelled for c in candidates) + sum(E_F in crystal.labels for crystal in self._known),
            model_round=versions[-1].round if versions else None,
            relaxations=len(computed),
            cpu_hours=sum(attempt.cpu_s for c in computed for attempt in c.attempts) / 3600,
            wall_minutes=self._earlier_minutes + (self._parts.now() - self._started).total_seconds() / 60,
            stopping=record is not None and record.state is CampaignState.STOPPING,
        )

    def _propose(self, action: Propose) -> None:
        parts, name = self._parts, self._campaign.name
        started = parts.now()
        versions = parts.store.model_versions(name)
        version = versions[-1] if action.with_model and versions else None
        parts.tell("proposing", round=action.round, model=version.id if version else None)
        count = affordable(self._campaign.dft.per_round, self.snapshot(), self._rules)
        # Candidates of this very round may be in the store already, from a run that was cut off here.
        earlier = [c for c in parts.store.candidates(name) if c.round < action.round]
        known = KnownStructures(c.crystal.to_structure() for c in earlier)
        for crystal in self._known:
            if E_F in crystal.labels:
                known.add(crystal.structure)
        proposed = parts.proposer.propose(action.round, version, self._training_set(), known, count)
        chosen = self._write_down(proposed, action.round, version, started)
        parts.tell("proposed", round=action.round, counts=proposed.counts, chosen=chosen)
        self._dispatch(chosen)
        parts.store.add_span(name, self._span("generate", action.round, started))

    def _write_down(
        self, proposed: Proposed, round_: int, version: ModelVersion | None, started: datetime
    ) -> list[Candidate]:
        """Candidates first, then the round that names the chosen: a round in the store is complete."""
        store, name, now = self._parts.store, self._campaign.name, self._parts.now()
        passed = tuple(stage for stage, _ in proposed.counts)
        energies = self._parts.energies
        made = [energies.candidate(draft, name, round_, passed, now) for draft, _ in proposed.chosen]
        records = [
            energies.limited(candidate, store.relaxation_by_key).model_copy(update={"score": score})
            for candidate, (_, score) in zip(made, proposed.chosen, strict=True)
        ]
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

    def _wait(self) -> None:
        """Keep the workers working, repair the queue, and let a little time pass."""
        parts, name = self._parts, self._campaign.name
        if self._waiting_since is None:
            self._waiting_since = parts.now()
            self._dispatch([c for c in self._chosen() if c.state is CandidateState.PROPOSED])
        parts.workers.ensure()
        lost = parts.store.expire_leases(parts.now())
        if lost:
            parts.tell("leases expired", candidates=lost)
        parts.queue.reconcile(parts.now())
        round_ = parts.store.rounds(name)[-1]
        chosen, references = self._chosen(), self._references()
        parts.tell("waiting", round=round_.number, candidates=chosen, references=references)
        if any(c.state is CandidateState.RUNNING for c in (*chosen, *references)):
            parts.meanwhile()  # pw.x is at work: time spent here costs nothing
        parts.sleep(POLL_S)

    def _chosen(self) -> list[Candidate]:
        """The candidates of the last round that were sent to DFT."""
        round_ = self._parts.store.rounds(self._campaign.name)[-1]
        return [c for c in self._parts.store.candidates(self._campaign.name) if c.id in round_.chosen]

    def _settle(self) -> None:
        parts = self._parts
        for candidate in parts.store.candidates(self._campaign.name, states=[CandidateState.RELAXED]):
            if candidate.e_f is None and candidate.reason is None and candidate.relaxation is not None:
                find = parts.store.relaxation_by_key
                e_f, reason = parts.energies.formation_energy(candidate.relaxation, find)
                without = (
                    parts.energies.formation_energy_without_d2(candidate.relaxation, find)
                    if candidate.relaxation.energy_without_d2_ev is not None
                    else None
                )
                parts.store.set_formation_energy(candidate.id, e_f, reason, parts.now(), without)
                parts.tell("settled", candidate=candidate, e_f=e_f, reason=reason)

    def _close(self, number: int) -> None:
        store, name = self._parts.store, self._campaign.name
        self._parts.settle_hulls()
        round_ = next(r for r in store.rounds(name) if r.number == number)
        store.put_round(round_.model_copy(update={"finished_at": self._parts.now()}))
        self._parts.tell("round closed", round=number, candidates=store.candidates(name, round=number))

    def _retrain(self, after_round: int) -> None:
        parts, name = self._parts, self._campaign.name
        started = parts.now()
        versions = parts.store.model_versions(name)
        parent = versions[-1] if versions else None
        training = self._training_set()
        version_id = f"{name}-v{len(versions) + 1}"
        parts.tell(
            "training",
            version=version_id,
            labelled=len(training.labelled),
            unlabelled=len(training.unlabelled),
            progress=parts.trainer.progress_file(version_id),
        )
        trained = parts.trainer.train(version_id, after_round, training, parent)
        version = ModelVersion(
            id=version_id,
            campaign=name,
            number=len(versions) + 1,
            round=after_round,
            parent=parent.id if parent else None,
            networks=trained.networks,
            trained_on=training.trained_on,
            labelled=len(training.labelled),
            unlabelled=len(training.unlabelled),
            data_digest=training.digest(),
            created_at=parts.now(),
        )
        parts.store.add_model_version(version)
        span = self._span("train", after_round, started)
        parts.store.add_span(name, span.model_copy(update={"busy_s": trained.busy_s}))
        parts.tell("trained", version=version)

    def _finish(self, action: Finish) -> None:
        self._parts.settle_hulls()  # other campaigns of the database may have gone on since the last round was closed
        state = CampaignState.FINISHED if action.completed else CampaignState.ACTIVE
        self._parts.store.set_campaign_state(self._campaign.name, state, self._parts.now(), action.reason)
        self._parts.tell("finished", reason=action.reason)

    def _training_set(self) -> TrainingSet:
        candidates = self._parts.store.candidates(self._campaign.name, states=[CandidateState.RELAXED])
        return build_training_set(candidates, self._known, self._decorated)

    def _references(self) -> list[Candidate]:
        """The elemental references of this campaign's elements that exist so far."""
        keys = {self._parts.energies.reference_key(element) for element in self._campaign.elements}
        return [c for c in self._parts.store.candidates(REFERENCES) if c.key in keys]

    def _open_references(self) -> list[Candidate]:
        return [c for c in self._references() if c.state in OPEN]

    def _span(self, what: Literal["generate", "dft", "train"], round_: int, started: datetime) -> Span:
        return Span(what=what, round=round_, started_at=started, finished_at=self._parts.now())

    def _end_wait(self) -> None:
        """Close the account of a stretch of waiting for DFT."""
        if self._waiting_since is not None:
            rounds = self._parts.store.rounds(self._campaign.name)
            self._parts.store.add_span(
                self._campaign.name, self._span("dft", rounds[-1].number if rounds else 0, self._waiting_since)
            )
            self._waiting_since = None

    def _spent_minutes(self) -> float:
        """Wall time of earlier runs, as far as their spans were written."""
        record = self._parts.store.campaign(self._campaign.name)
        spans = record.spans if record else ()
        return sum((span.finished_at - span.started_at).total_seconds() for span in spans) / 60


def _view(round_: Round, computed: Sequence[Candidate]) -> RoundView:
    mine = [candidate for candidate in computed if candidate.id in round_.chosen]
    return RoundView(
        number=round_.number,
        open=sum(candidate.state in OPEN for candidate in mine),
        unsettled=sum(c.state is CandidateState.RELAXED and c.e_f is None and c.reason is None for c in mine),
        closed=round_.finished_at is not None,
    )
