"""What to do next, decided from a snapshot of the ledger. Pure: no store, no clock, no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from crystalloop.orchestrator.loop.outlook import Forecasted, hits_text, no_gain, what_more


@dataclass(frozen=True)
class RoundView:
    """What the ledger says about one round.

    Attributes:
        number: 1 for the first.
        open: candidates queued or running.
        unsettled: relaxed, but with neither a formation energy nor a reason for its absence.
        closed: whether the round was ended before.
        chosen: candidates that were sent to DFT.
        note: why there were fewer than the batch, or none; empty where nothing was short, and in rounds of before 0.3.
        expected_hits: how many hits the ranking expected of the batch; None where nobody said.
        declined: candidates that were chosen and not sent on, because too few hits were expected of them.
    """

    number: int
    open: int
    unsettled: int
    closed: bool
    chosen: int = 1
    note: str = ""
    expected_hits: float | None = None
    declined: int = 0


@dataclass(frozen=True)
class Snapshot:
    """Everything that `decide` looks at.

    Attributes:
        current: the last round, or None before the first.
        references_open: elemental references queued or running.
        labelled: crystals with a known formation energy, data files included.
        model_round: last round whose results the newest model version was trained on; None without a model.
        stopping: a stop was asked for.
        references_gave_up: elemental references that gave up, each with its reason; none of them can be done without.
        is_met: whether the target asks for a range and something known lies in it; None where it asks for none. Looked
            up, as `best` is, where the campaign may end with its last round.
        best: the best that is known, in words; empty where nothing is.
        cut: what the alarm at `wall_minutes` cut off, in words; empty where it has not rung.
        hits: of all closed rounds; looked up where a round is closed.
        forecast: the last round of which hits were expected; None before the first, and without a ranking.
        drift: why the campaign is to pause, its forecasts being no longer true; empty where it goes on, and where it may not pause.
    """

    current: RoundView | None
    references_open: int
    labelled: int
    model_round: int | None
    relaxations: int
    cpu_hours: float
    wall_minutes: float
    stopping: bool = False
    references_gave_up: tuple[str, ...] = ()
    is_met: bool | None = None
    best: str = ""
    cut: str = ""
    hits: int = 0
    forecast: Forecasted | None = None
    drift: str = ""

    @classmethod
    def at_start(cls, cut: str = "") -> Snapshot:
        """Of a campaign that has done nothing yet."""
        return cls(None, 0, 0, None, 0, 0.0, 0.0, cut=cut)


@dataclass(frozen=True)
class Rules:
    """The campaign's limits, as `decide` needs them."""

    rounds: int
    minimum_labels: int
    relaxations: int | None = None
    cpu_hours: float | None = None
    wall_minutes: float | None = None
    hits: int | None = None
    expected_hits: float | None = None


@dataclass(frozen=True)
class Propose:
    """Generate, screen, choose and queue the candidates of a round."""

    round: int
    with_model: bool


@dataclass(frozen=True)
class Wait:
    """Let the workers work; look after leases and the queue meanwhile."""


@dataclass(frozen=True)
class Settle:
    """Turn total energies into formation energies."""


@dataclass(frozen=True)
class CloseRound:
    """Note that everything of a round has ended."""

    round: int


@dataclass(frozen=True)
class Retrain:
    """Fit the networks on everything known after a round (0: the data files alone)."""

    after_round: int


@dataclass(frozen=True)
class Finish:
    """End the campaign.

    Attributes:
        reason: why, as a sentence; the same for terminal, status and report.
        completed: False where it was asked to end, or to pause.
        failed: it ended without what it was asked for, and going on would not change that.
        paused: it goes on once its file is changed as the reason says.
    """

    reason: str
    completed: bool = True
    failed: bool = False
    paused: bool = False


Action = Propose | Wait | Settle | CloseRound | Retrain | Finish


def decide(snapshot: Snapshot, rules: Rules) -> Action:
    """The next action; the same snapshot always gives the same one.

    A round is proposed, computed, settled, closed and trained on, in this order. Work under way is finished before a
    budget ends the campaign: what was paid for is kept. The clock alone cuts it off.
    """
    if snapshot.stopping:
        return Finish("stopped on request", completed=False)
    current = snapshot.current
    if current is None:
        return _first(snapshot, rules)
    if current.open or (current.unsettled and snapshot.references_open):
        over = over_wall(snapshot, rules)
        return Finish(over) if over else Wait()
    if current.unsettled:
        return Settle()
    if not current.closed:
        return CloseRound(current.number)
    return _after(current, snapshot, rules)


def _first(snapshot: Snapshot, rules: Rules) -> Action:
    """Warm start trains on the data files first; a cold start computes decorated prototypes first."""
    if snapshot.references_gave_up:
        return Finish(_no_references(snapshot), failed=True)
    if over := over_wall(snapshot, rules):
        return Finish(over)
    if snapshot.model_round is None and snapshot.labelled >= rules.minimum_labels:
        return Retrain(0)
    return Propose(1, with_model=snapshot.model_round is not None)


def _after(current: RoundView, snapshot: Snapshot, rules: Rules) -> Action:
    """After a closed round: finish, train, or propose the next one."""
    number = current.number
    if snapshot.references_gave_up:
        return Finish(_no_references(snapshot), failed=True)
    if current.declined and not is_worth_it(current.expected_hits, rules):
        return Finish(
            no_gain(current.declined, current.expected_hits, rules.expected_hits, snapshot.forecast, snapshot.hits)
        )
    if current.chosen == 0 and current.note and not current.declined:
        return _used_up(current, snapshot)
    if rules.hits is not None and snapshot.hits >= rules.hits:
        return Finish(
            f"enough is found: {hits_text(snapshot.hits)}, `stop.hits` is {rules.hits}{what_more(snapshot.forecast)}"
        )
    if number >= rules.rounds and current.chosen:
        missed = (
            f"; nothing met the target, best known: {snapshot.best or 'nothing'}" if snapshot.is_met is False else ""
        )
        return Finish(f"all {rules.rounds} rounds are done{missed}{what_more(snapshot.forecast)}")
    if over := over_budget(snapshot, rules):
        return Finish(f"{over}{what_more(snapshot.forecast)}")
    if snapshot.drift:
        return Finish(snapshot.drift, completed=False, paused=True)
    following = number + 1 if current.chosen else number  # what chose nobody before enumeration was tried is repeated
    if snapshot.labelled < rules.minimum_labels:
        # Too few successes to learn from: compute more decorated prototypes instead of training on nothing.
        return Propose(following, with_model=snapshot.model_round is not None)
    if snapshot.model_round is None or snapshot.model_round < following - 1:
        return Retrain(following - 1)
    return Propose(following, with_model=True)


def is_worth_it(expected_hits: float | None, rules: Rules) -> bool:
    """Whether a batch is to be computed, by the hits that are expected of it; a batch without a forecast always is."""
    return expected_hits is None or rules.expected_hits is None or expected_hits >= rules.expected_hits


def _used_up(current: RoundView, snapshot: Snapshot) -> Finish:
    """A round that found nobody to compute, with everything tried: the target is met, or out of reach."""
    best = f"; best known: {snapshot.best}" if snapshot.best else "; nothing is known of these elements"
    if snapshot.is_met is False:
        move = "ask for less in `target`, or allow more `elements`, `prototypes` or `bases`, under another `name`"
        return Finish(f"target out of reach: {current.note}{best}; {move}", failed=True)
    if not snapshot.best:
        move = "allow more `elements`, `prototypes` or `bases`, under another `name`"
        return Finish(f"nothing is left to compute: {current.note}{best}; {move}", failed=True)
    rounds = "1 round" if current.number == 2 else f"{current.number - 1} rounds"
    return Finish(f"nothing is left to compute after {rounds}: {current.note}{best}")


def _no_references(snapshot: Snapshot) -> str:
    return (
        f"no formation energy can be had: {'; '.join(snapshot.references_gave_up)}; `crystalloop trace` its id says "
        "more. Take it up again with `crystalloop run FILE --retry-given-up`, or leave the element out under another "
        "`name`: what is computed is used again"
    )


def over_budget(snapshot: Snapshot, rules: Rules) -> str:
    """Which limit is reached, as a sentence; empty while there is budget left."""
    if rules.relaxations is not None and snapshot.relaxations >= rules.relaxations:
        return f"the budget of {rules.relaxations} relaxations is used"
    if rules.cpu_hours is not None and snapshot.cpu_hours >= rules.cpu_hours:
        return f"the budget of {rules.cpu_hours:g} CPU-hours is used ({snapshot.cpu_hours:.2f})"
    return over_wall(snapshot, rules)


def over_wall(snapshot: Snapshot, rules: Rules) -> str:
    """Whether the time is up, as a sentence that says what was cut off and what is kept; empty while some is left."""
    if rules.wall_minutes is None or (snapshot.wall_minutes < rules.wall_minutes and not snapshot.cut):
        return ""
    return f"the budget of {rules.wall_minutes:g} minutes is used{_cut_off(snapshot)}"


def _cut_off(snapshot: Snapshot) -> str:
    """What was under way."""
    current = snapshot.current
    under_way = snapshot.cut
    if not under_way and current is not None and current.open:
        under_way = f"{current.open} relaxations of round {current.number}"
    elif not under_way and current is not None and current.unsettled and snapshot.references_open:
        under_way = f"{snapshot.references_open} elemental references"
    if not under_way:
        return ""
    return (
        f": {under_way} cut off; relaxations and networks that were finished are kept, and the same command goes on "
        "once `budget.wall_minutes` is raised"
    )


def affordable(wanted: int, snapshot: Snapshot, rules: Rules) -> int:
    """How many of the wanted relaxations the budget still allows."""
    if rules.relaxations is None:
        return wanted
    return max(0, min(wanted, rules.relaxations - snapshot.relaxations))
