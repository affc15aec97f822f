"""What to do next, decided from a snapshot of the ledger. Pure: no store, no clock, no Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RoundView:
    """What the ledger says about one round.

    Attributes:
        number: 1 for the first.
        open: candidates queued or running.
        unsettled: relaxed, but with neither a formation energy nor a reason for its absence.
        closed: whether the round was ended before.
    """

    number: int
    open: int
    unsettled: int
    closed: bool


@dataclass(frozen=True)
class Snapshot:
    """Everything that `decide` looks at.

    Attributes:
        current: the last round, or None before the first.
        references_open: elemental references queued or running.
        labelled: crystals with a known formation energy, data files included.
        model_round: last round whose results the newest model version was trained on; None without a model.
        stopping: a stop was asked for.
    """

    current: RoundView | None
    references_open: int
    labelled: int
    model_round: int | None
    relaxations: int
    cpu_hours: float
    wall_minutes: float
    stopping: bool = False


@dataclass(frozen=True)
class Rules:
    """The campaign's limits, as `decide` needs them."""

    rounds: int
    minimum_labels: int
    relaxations: int | None = None
    cpu_hours: float | None = None
    wall_minutes: float | None = None


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
    """End the campaign."""

    reason: str
    completed: bool = True


Action = Propose | Wait | Settle | CloseRound | Retrain | Finish


def decide(snapshot: Snapshot, rules: Rules) -> Action:
    """The next action; the same snapshot always gives the same one.

    A round is proposed, computed, settled, closed and trained on, in this order. Work under way is finished before a
    budget ends the campaign: what was paid for is kept.
    """
    if snapshot.stopping:
        return Finish("stopped on request", completed=False)
    current = snapshot.current
    if current is None:
        return _first(snapshot, rules)
    if current.open:
        over = _over_wall(snapshot, rules)
        return Finish(over) if over else Wait()
    if current.unsettled:
        return Wait() if snapshot.references_open else Settle()
    if not current.closed:
        return CloseRound(current.number)
    return _after(current.number, snapshot, rules)


def _first(snapshot: Snapshot, rules: Rules) -> Action:
    """Warm start trains on the data files first; a cold start computes decorated prototypes first."""
    if snapshot.model_round is None and snapshot.labelled >= rules.minimum_labels:
        return Retrain(0)
    return Propose(1, with_model=snapshot.model_round is not None)


def _after(number: int, snapshot: Snapshot, rules: Rules) -> Action:
    """After a closed round: finish, train, or propose the next one."""
    if number >= rules.rounds:
        return Finish(f"all {rules.rounds} rounds are done")
    over = over_budget(snapshot, rules)
    if over:
        return Finish(over)
    if snapshot.labelled < rules.minimum_labels:
        # Too few successes to learn from: compute more decorated prototypes instead of training on nothing.
        return Propose(number + 1, with_model=snapshot.model_round is not None)
    if snapshot.model_round is None or snapshot.model_round < number:
        return Retrain(number)
    return Propose(number + 1, with_model=True)


def over_budget(snapshot: Snapshot, rules: Rules) -> str:
    """Which limit is reached, as a sentence; empty while there is budget left."""
    if rules.relaxations is not None and snapshot.relaxations >= rules.relaxations:
        return f"the budget of {rules.relaxations} relaxations is used"
    if rules.cpu_hours is not None and snapshot.cpu_hours >= rules.cpu_hours:
        return f"the budget of {rules.cpu_hours:g} CPU-hours is used ({snapshot.cpu_hours:.2f})"
    return _over_wall(snapshot, rules)


def _over_wall(snapshot: Snapshot, rules: Rules) -> str:
    if rules.wall_minutes is not None and snapshot.wall_minutes >= rules.wall_minutes:
        return f"the budget of {rules.wall_minutes:g} minutes is used"
    return ""


def affordable(wanted: int, snapshot: Snapshot, rules: Rules) -> int:
    """How many of the wanted relaxations the budget still allows."""
    if rules.relaxations is None:
        return wanted
    return max(0, min(wanted, rules.relaxations - snapshot.relaxations))
