"""One policy with one seed in a laboratory: the product's own Loop over a ledger in memory and a table. How many: study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from crystalloop.db.ledger.campaigns import CampaignRecord, CampaignState, ModelVersion
from crystalloop.db.ledger.memory import MemoryStore
from crystalloop.db.ledger.records import Candidate
from crystalloop.orchestrator.campaign.choice.sections import StopSection
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.contracts import Parts, Proposer, Trained, Trainer
from crystalloop.orchestrator.loop.events import Event, EventListener
from crystalloop.orchestrator.loop.loop import Loop
from crystalloop.orchestrator.simulate.policies import Policy
from crystalloop.orchestrator.simulate.pool import PoolProposer, RowRanker
from crystalloop.orchestrator.simulate.stopwatch import Stopwatch
from crystalloop.orchestrator.simulate.table import RowFinder, TableQueue, TableRecords, listed_proposals
from crystalloop.orchestrator.simulate.trials import Call, Trial
from crystalloop.orchestrator.simulate.truth.laboratory import Laboratory

NOON = datetime(2000, 1, 1, 12, tzinfo=UTC)
MakeRanker = Callable[[Policy, Laboratory], RowRanker]
"""The ranker of one trial: of a policy's campaign, with the trial's seed in it."""


class Ticking:
    """A clock that goes on by a millisecond at every look: the same trial writes the same moments."""

    def __init__(self) -> None:
        self._moment = NOON

    def __call__(self) -> datetime:
        """The next moment."""
        self._moment += timedelta(milliseconds=1)
        return self._moment


class NoNetworks:
    """The trainer where no network takes part: a version without any, so that the loop goes on. See contracts.Trainer."""

    def train(self, version_id: str, round_: int, relaxed: Sequence[Candidate], parent: ModelVersion | None) -> Trained:
        """Nothing is fitted: rankers fit their surrogates themselves."""
        labelled = tuple(one.id for one in relaxed if one.is_labelled)
        return Trained({}, 0.0, labelled, len(labelled), 0, "none")


def run_trial(
    laboratory: Laboratory,
    policy: Policy,
    seed: int,
    key: str,
    make_ranker: MakeRanker,
    tell: EventListener | None = None,
) -> Trial:
    """Run one policy with one seed to the end of its calls.

    Args:
        laboratory: the truth; its rows are the pool.
        policy: with its campaign, whose section `laboratory` says how many calls.
        seed: in the place of the campaign's.
        key: kept in the trial.
        make_ranker: makes what predicts; not asked where the policy draws at random.
        tell: hears the loop's events.
    """
    watch, clock, store = Stopwatch(), Ticking(), MemoryStore()
    campaign = for_laboratory(policy.campaign, laboratory, seed)
    mine = Policy(policy.name, campaign, policy.acquirer)
    with watch.on("prepare"):
        ranker = None if policy.acquirer is None else make_ranker(mine, laboratory)
        pool = listed_proposals(laboratory, seed)
    records = TableRecords(laboratory)
    start = campaign.laboratory.start
    proposer = PoolProposer(
        campaign.name, seed, pool, laboratory.target, start, ranker, policy.acquirer, records, clock, watch
    )
    finder = RowFinder(laboratory)
    ended = run_loop(campaign, laboratory, store, proposer, NoNetworks(), records, finder, clock, tell)
    return Trial(policy.name, seed, key, calls_of(store, campaign.name, laboratory, finder), ended, watch.seconds())


def run_loop(
    campaign: Campaign,
    laboratory: Laboratory,
    store: MemoryStore,
    proposer: Proposer,
    trainer: Trainer,
    records: TableRecords,
    finder: RowFinder,
    clock: Callable[[], datetime],
    tell: EventListener | None = None,
) -> str:
    """The loop over the table, to its end; why it ended."""
    queue = TableQueue(store, laboratory, finder, clock)
    moment = clock()
    store.start_campaign(
        CampaignRecord(
            id=campaign.name,
            spec={},
            spec_digest=laboratory.digest,
            folder="",
            state=CampaignState.ACTIVE,
            created_at=moment,
            updated_at=moment,
        )
    )
    parts = Parts(
        store=store,
        queue=queue,
        workers=queue,
        proposer=proposer,
        trainer=trainer,
        energies=records,
        settle_hulls=_nothing,
        meanwhile=_nothing,
        now=clock,
        sleep=_no_sleep,
        tell=tell or _unheard,
    )
    return Loop(campaign, parts).run().reason


def for_laboratory(campaign: Campaign, laboratory: Laboratory, seed: int) -> Campaign:
    """The campaign as it runs in a laboratory: calls in the place of budgets and rounds, the trial's seed, no early end."""
    section = campaign.laboratory
    more = section.calls - section.start
    budget = campaign.budget.model_copy(update={"relaxations": section.calls, "cpu_hours": None, "wall_minutes": None})
    return campaign.model_copy(
        update={
            "seed": seed,
            "budget": budget,
            "rounds": 2 + more // section.batch,
            "dft": campaign.dft.model_copy(update={"per_round": max(section.batch, 1)}),
            "networks": campaign.networks.model_copy(update={"minimum_labels": 1}),
            "stop": StopSection(),
            "surrogate": campaign.surrogate.model_copy(update={"pause_at_drift": False}),
        }
    )


def calls_of(store: MemoryStore, campaign: str, laboratory: Laboratory, finder: RowFinder) -> tuple[Call, ...]:
    """The calls of a trial's ledger, in the order in which they were asked for."""
    found = {candidate.id: candidate for candidate in store.candidates(campaign)}
    return tuple(
        _call(found[identity], laboratory, finder.listed(found[identity]))
        for round_ in store.rounds(campaign)
        for identity in round_.chosen
    )


def _call(candidate: Candidate, laboratory: Laboratory, index: int | None) -> Call:
    row = None if index is None else laboratory.rows[index]
    forecast = candidate.forecast
    return Call(
        round=candidate.round,
        row=None if row is None else row.id,
        formula=candidate.formula if row is None else row.formula,
        value=None if row is None else laboratory.value(row),
        hit=index in laboratory.hits,
        cost_s=0.0 if row is None else row.cost_s,
        mean=None if forecast is None else forecast.mean,
        low=None if forecast is None else forecast.low,
        high=None if forecast is None else forecast.high,
        chance=None if forecast is None else forecast.hit,
        arm=candidate.arm,
    )


def _nothing() -> None:
    """Nothing is to be done."""


def _no_sleep(seconds: float) -> None:
    """Nothing is waited for."""


def _unheard(event: Event, /) -> None:
    """Nobody listens."""
