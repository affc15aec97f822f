"""build(campaign) -> Loop: the only file that knows every concrete class, and what a run needs before and after."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from crystalloop.db.ledger.campaigns import CampaignRecord, CampaignState, Span
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.serving.server import Server
from crystalloop.dft.pw.command import check_command, pw_version
from crystalloop.dft.recipe.element_rules import lanthanide_note
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad
from crystalloop.models.data.files import KnownCrystal
from crystalloop.orchestrator.account.arms import given_before
from crystalloop.orchestrator.account.status import campaign_status
from crystalloop.orchestrator.acquire.by_name import acquirer_of
from crystalloop.orchestrator.campaign.machine import Machine
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.ray_fit import fit_networks
from crystalloop.orchestrator.learn.trainer import NetworkTrainer
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.loop.contracts import Parts, TimeIsUp, now
from crystalloop.orchestrator.loop.events import EventListener, Finished, Note, Preparing, to_all, to_log
from crystalloop.orchestrator.loop.look import Known
from crystalloop.orchestrator.loop.loop import Loop
from crystalloop.orchestrator.loop.patience import Patience
from crystalloop.orchestrator.loop.policy import Finish, Rules, Snapshot, over_wall
from crystalloop.orchestrator.propose.actors import RayRuntime
from crystalloop.orchestrator.propose.baselines.armed_choice import CampaignArms
from crystalloop.orchestrator.propose.cold_start import anonymous_formulas, decorated_pool
from crystalloop.orchestrator.propose.door import LedgerProposer
from crystalloop.orchestrator.propose.proposer import CandidateProposer
from crystalloop.orchestrator.propose.ranking import Ranker, labelled_crystal
from crystalloop.orchestrator.run.arm_notes import arm_notes
from crystalloop.orchestrator.run.clock import asked_often, within
from crystalloop.orchestrator.run.cost import batch_notes
from crystalloop.orchestrator.run.network_keys import check_labels, check_networks
from crystalloop.orchestrator.run.plan import check_dft, check_hull, known_crystals
from crystalloop.orchestrator.run.retry import retry_given_up
from crystalloop.orchestrator.run.session import database, only_runner, open_store, outcome_of_errors
from crystalloop.orchestrator.run.workers import LocalWorkers, python_module
from crystalloop.orchestrator.settle.formation import Energies
from crystalloop.orchestrator.settle.hull_energies import hull_reference
from crystalloop.orchestrator.settle.hulls import hull_by_formula, settle_hulls
from crystalloop.orchestrator.show.report_page import write_report

HERE = Machine()
T = TypeVar("T")
PREPARING = "reading data and checking pw.x and pseudopotentials"
NOTED_S = 0.05
"""Ray runs already where asking for it took less."""


def run_campaign(campaign: Campaign, listener: EventListener, *, again: bool = False) -> dict[str, Any]:
    """Run or resume a campaign to its end, and write its report; `again`: try what was given up once more, first.

    Raises:
        Every error that `orchestrator.cli.exit_codes` knows; whatever was computed before stays.
    """
    started, tell = now(), Patience(to_all(to_log, listener), time.monotonic)
    folder = campaign.run_folder
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(only_runner(folder))
        stack.enter_context(asked_often(tell.check))
        tell(Preparing(PREPARING))
        ready = _ready(campaign, tell)
        server, _ = database(campaign)
        tell(Note(server.description))
        store = stack.enter_context(open_store(campaign))
        _start(store, campaign, folder, ready[2] if ready else ())
        stack.enter_context(_stop_on_signals())
        runtime = RayRuntime(campaign, tell=lambda text: tell(Note(text)))
        stack.callback(runtime.shutdown)
        with outcome_of_errors(store, campaign):
            if ready is None:
                finish = _ended_before(store, campaign, tell, started)
            else:
                runtime.check()
                loop = build(campaign, store, server, *ready[:2], runtime, tell, started)
                store.add_span(campaign.name, Span(what="prepare", round=0, started_at=started, finished_at=now()))
                retry_given_up(campaign, loop.parts, everything=again)
                finish = loop.run()
            tell(Preparing("writing the report"))
            reporting = now()
            report = write_report(store, campaign, folder, now())
            store.add_span(campaign.name, Span(what="report", round=0, started_at=reporting, finished_at=now()))
        return _summary(store, campaign, finish, report)


def _ready(campaign: Campaign, tell: EventListener) -> tuple[PseudoTable, tuple[KnownCrystal, ...], list[str]] | None:
    """What preflight gives; None where the campaign's time was over before it was done."""
    limit_minutes = campaign.budget.wall_minutes
    try:
        with within(None if limit_minutes is None else 60 * limit_minutes):
            return preflight(campaign, tell)
    except TimeIsUp:
        return None


def _ended_before(store: MongoStore, campaign: Campaign, tell: EventListener, started: datetime) -> Finish:
    """The end of a campaign whose time was over before its loop began."""
    store.add_span(campaign.name, Span(what="prepare", round=0, started_at=started, finished_at=now()))
    rules = Rules(rounds=campaign.rounds, minimum_labels=1, wall_minutes=campaign.budget.wall_minutes)
    finish = Finish(over_wall(Snapshot.at_start(cut=PREPARING), rules))
    store.set_campaign_state(campaign.name, CampaignState.FINISHED, now(), finish.reason)
    tell(Finished(finish.reason, finish.completed))
    return finish


def preflight(campaign: Campaign, tell: EventListener) -> tuple[PseudoTable, tuple[KnownCrystal, ...], list[str]]:
    """What must be right before anything is started: pw.x, pseudopotentials, data files.

    Raises:
        PwEnvironmentError, DataError: the first thing that is wrong, with the next move.
    """
    check_networks(campaign)
    check_command(campaign.dft.pw_command)
    settings, table = check_dft(campaign)
    if text := lanthanide_note(campaign.elements, settings.d2):
        tell(Note(text))
    known, notes = known_crystals(campaign)
    check_labels(campaign, known)
    arms = arm_notes(campaign, known, len(decorated_pool(campaign)))
    for note in (*notes, *check_hull(campaign), *batch_notes(campaign), *arms):
        tell(Note(note))
    return table, known, notes


def build(
    campaign: Campaign,
    store: MongoStore,
    server: Server,
    table: PseudoTable,
    known: tuple[KnownCrystal, ...],
    runtime: RayRuntime,
    tell: EventListener,
    started: datetime | None = None,
) -> Loop:
    """Put the loop together; `started` is when the run began, None for now."""
    queue = RelaxQueue(store, open_launchpad(server.uri, campaign.database.name))
    queue.prepare()
    models = campaign.run_folder / "models"
    sources = Sources(known, decorated_pool(campaign))
    reference = hull_reference(campaign, store.imported_energies())
    version = pw_version(campaign.dft.pw_command)
    energies = Energies(dft_settings(campaign), table, version, campaign.dft.reject_above_e_f)
    start = partial(_on_ray, runtime.start, store, campaign)
    ranker = Ranker(
        campaign, [labelled_crystal(one) for one in known], partial(hull_by_formula, store, campaign, reference)
    )
    arms = None
    if campaign.arms.loop < 1:
        spent, say = partial(_spent, store, campaign.name), partial(_tell_note, tell)
        arms = CampaignArms(campaign, anonymous_formulas(sources.decorated), spent, tell=say)
    acquirer = acquirer_of(campaign.acquire)
    chooser = CandidateProposer(campaign, models, runtime, ranker, acquirer, tell, start, arms)
    before_training = partial(_on_ray, runtime.before_training, store, campaign)
    fit = partial(fit_networks, tell=lambda text: tell(Note(text)))
    parts = Parts(
        store=store,
        queue=queue,
        workers=local_workers(campaign, server, campaign.dft.slots),
        proposer=LedgerProposer(campaign.name, campaign.target, chooser, energies, sources, now),
        trainer=NetworkTrainer(campaign, models, fit, before_training, sources, tell),
        energies=energies,
        settle_hulls=partial(settle_hulls, store, campaign, reference),
        meanwhile=start if campaign.arms.need_networks else _nothing,
        now=now,
        sleep=time.sleep,
        tell=tell,
        within=within,
    )
    return Loop(campaign, parts, _known(campaign, sources), started)


def _spent(store: MongoStore, name: str, round_: int) -> Mapping[str, int]:
    """Relaxations that each arm was given before a round."""
    return given_before(store.candidates(name), round_)


def _tell_note(tell: EventListener, text: str) -> None:
    tell(Note(text))


def _nothing() -> None:
    """No networks, no Ray to be started beside pw.x."""


def _on_ray(work: Callable[[], T], store: MongoStore, campaign: Campaign) -> T:
    """Start Ray or its actors, and note how long it took; called again when they run, it takes no time."""
    started = now()
    made = work()
    if (now() - started).total_seconds() > NOTED_S:
        store.add_span(campaign.name, Span(what="ray", round=0, started_at=started, finished_at=now()))
    return made


def _known(campaign: Campaign, sources: Sources) -> Known:
    """What the data files say of the campaign's target, for crystals of its elements."""
    target, elements = campaign.target, set(campaign.elements)
    values = []
    for one in sources.files:
        value = one.labels.get(target.property)
        if value is not None and elements.issuperset(one.structure.symbol_set):
            amounts = one.structure.composition.get_el_amt_dict()
            met = target.distance(value) == 0 and target.others_hold(one.labels.get) and target.admits(amounts)
            values.append((value, one.structure.composition.reduced_formula, met))
    return Known(sources.labelled, tuple(values))


def local_workers(campaign: Campaign, server: Server, slots: int, machine: Machine = HERE) -> LocalWorkers:
    """Worker processes of this machine for a campaign."""
    # The URI may hold a password: it travels in the environment, which other users cannot read.
    return LocalWorkers(
        python_module("crystalloop.dft.work.worker", *machine.worker_options(campaign)),
        slots,
        campaign.run_folder / "logs",
        {"CRYSTALLOOP_MONGODB_URI": server.uri},
        keep=not machine.ends,
    )


def run_workers(campaign: Campaign, slots: int, say: Callable[[str], None], machine: Machine = HERE) -> None:
    """Keep workers for a campaign on this machine until Ctrl-C or SIGTERM, or until they end by themselves.

    Raises:
        PwEnvironmentError, ConfigError: this machine cannot do the campaign's work.
    """
    check_command(machine.command_of(campaign))
    version = pw_version(machine.command_of(campaign))  # an MPI that cannot start is found here, not by candidates
    check_dft(
        campaign.model_copy(update={"dft": campaign.dft.model_copy(update={"pseudos": machine.pseudos_of(campaign)})})
    )
    server, _ = database(campaign)
    workers = local_workers(campaign, server, slots, machine)
    say(f"{slots} workers for {campaign.name} on {socket.gethostname()} with pw.x {version}; Ctrl-C ends them")
    with _stop_on_signals():
        try:
            while workers.ensure():
                time.sleep(1.0)
            say("every worker has ended by itself")
        finally:
            workers.stop()


def _start(store: MongoStore, campaign: Campaign, folder: Path, notes: Sequence[str]) -> None:
    """Register the campaign, or take it up again."""
    moment = now()
    stored = store.campaign(campaign.name)
    same = stored is not None and campaign.goes_on_with(stored.spec)
    record = CampaignRecord(
        id=campaign.name,
        spec=campaign.spec(),
        spec_digest=stored.spec_digest if stored is not None and same else campaign.spec_digest(),
        folder=str(folder),
        state=CampaignState.ACTIVE,
        data_notes=tuple(notes),
        created_at=moment,
        updated_at=moment,
    )
    store.start_campaign(record)
    store.set_campaign_state(campaign.name, CampaignState.ACTIVE, moment)


def _summary(store: MongoStore, campaign: Campaign, finish: Finish, report: Path) -> dict[str, Any]:
    status = campaign_status(store, campaign.name)
    lines = [*status["lines"], f"report: {report}"]
    if not finish.completed and not finish.paused:
        lines.append("the same command goes on from here")
    return {**status, "completed": finish.completed, "outcome": finish.reason, "report": str(report), "lines": lines}


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: workers are told, work under way is handed back."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
