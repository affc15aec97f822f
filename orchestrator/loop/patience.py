"""Notices that nothing moves, and says what is waited for. Hears every event, is asked now and then; no thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crystalloop.db.ledger.records import CandidateState
from crystalloop.db.ledger.standing import Standing
from crystalloop.orchestrator.loop.events import (
    Event,
    EventListener,
    Finished,
    Preparing,
    Proposing,
    Stalled,
    Training,
    Waiting,
)

PATIENCE_S = 120.0
"""Without news for this long, it is said what is waited for; then after twice as long, and so on."""


def bytes_written(path: Path) -> int:
    """How much a progress file holds; nothing before it is there."""
    return path.stat().st_size if path.is_file() else 0


class Patience:
    """A listener that passes every event on and keeps the time since the last news.

    News is any event but a `Waiting` in which nothing moved, and any growth of a training's progress file.

    Args:
        tell: who hears every event, and `Stalled`.
        clock: seconds.
        written: how much the progress file of a training holds.
    """

    def __init__(
        self, tell: EventListener, clock: Callable[[], float], written: Callable[[Path], int] = bytes_written
    ) -> None:
        self._tell, self._clock, self._written = tell, clock, written
        self._waits_for, self._progress = "the start", Path()
        self._seen: object = None
        self._since, self._limit_s = clock(), PATIENCE_S

    def __call__(self, event: Event, /) -> None:
        """See loop.events.EventListener."""
        if not isinstance(event, Waiting):
            self._news(None)
        elif (moved := _standings(event)) != self._seen:
            self._news(moved)
        self._progress = event.progress or Path() if isinstance(event, Training) else Path()
        self._waits_for = waits_for(event) or self._waits_for
        self._tell(event)

    def check(self) -> None:
        """Tell `Stalled` where there was no news for too long."""
        if self._progress != Path() and (written := self._written(self._progress)) != self._seen:
            self._news(written)
        silent_s = self._clock() - self._since
        if self._waits_for and silent_s >= self._limit_s:
            self._limit_s *= 2
            self._tell(Stalled(self._waits_for, silent_s))

    def _news(self, seen: object) -> None:
        self._seen, self._since, self._limit_s = seen, self._clock(), PATIENCE_S


def waits_for(event: Event) -> str:
    """What is waited for after an event, in words; empty where the event says nothing of it."""
    match event:
        case Preparing():
            return event.what
        case Proposing():
            source = "Ray to start, load the networks and draw" if event.model else "the decorations of the prototypes"
            return f"the candidates of round {event.round}: {source}"
        case Training():
            return f"the training {event.version}: Ray's workers to start, or their next step"
        case Waiting():
            return _of_round(event)
        case Finished():
            return "the workers to end and the report"
        case _:
            return ""


def _of_round(event: Waiting) -> str:
    both = [*event.references, *event.candidates]
    at_work = [one.formula for one in both if one.state is CandidateState.RUNNING]
    queued = [one.formula for one in both if one.state in (CandidateState.QUEUED, CandidateState.PROPOSED)]
    if at_work:
        return f"pw.x on {', '.join(at_work)}" + (f", {len(queued)} more in the queue" if queued else "")
    if queued:
        return (
            f"a worker to take one of the {len(queued)} crystals in the queue; none is at work. With `dft.slots: 0` start "
            "`crystalloop worker FILE`, else look into the folder `logs` of the campaign"
        )
    return f"the energies of round {event.round} to be settled"


def _standings(event: Waiting) -> object:
    both: list[Standing] = [*event.references, *event.candidates]
    return tuple((one.id, one.state, one.cpu_s) for one in both)
