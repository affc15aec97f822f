"""A campaign's clock: how long it has run, how much of its time is left, and its account of what the time went to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from crystalloop.db.ledger.campaigns import Span
from crystalloop.db.ledger.store import Store

log = logging.getLogger(__name__)


class Timekeeper:
    """Keeps the time of one run.

    Args:
        store: gets the spans.
        campaign: its name.
        now: the clock.
        started: when the run began, which is before its loop did; None for now.
        limit_minutes: of all runs together; None for no limit.
    """

    def __init__(
        self,
        store: Store,
        campaign: str,
        now: Callable[[], datetime],
        started: datetime | None = None,
        limit_minutes: float | None = None,
    ) -> None:
        self._store, self._campaign, self._now = store, campaign, now
        self.started = now() if started is None else started
        self._limit_minutes = limit_minutes
        self._earlier_minutes = self._spent_minutes()

    @property
    def wall_minutes(self) -> float:
        """What the campaign has run so far, earlier runs included as far as their spans were written."""
        return self._earlier_minutes + (self._now() - self.started).total_seconds() / 60

    @property
    def left_s(self) -> float | None:
        """Seconds until the limit; None without one."""
        if self._limit_minutes is None:
            return None
        return max(0.0, 60 * (self._limit_minutes - self.wall_minutes))

    @contextmanager
    def spent_on(self, what: str, round_: int, busy: Callable[[], float | None] = lambda: None) -> Iterator[None]:
        """Note what the time within goes to, also where it is cut off; `busy` is asked at the end, see records.Span."""
        started = self._now()
        try:
            yield
        except BaseException:
            self._note_what_is_cut(what, round_, started)
            raise
        self.note(what, round_, started, busy())

    def note(self, what: str, round_: int, started: datetime, busy_s: float | None = None) -> None:
        """Write a span that ends now."""
        fields = {"what": what, "round": round_, "started_at": started, "finished_at": self._now(), "busy_s": busy_s}
        self._store.add_span(self._campaign, Span.model_validate(fields))

    def _note_what_is_cut(self, what: str, round_: int, started: datetime) -> None:
        """The same where an error is on its way, which is more worth telling than that its time could not be noted."""
        try:
            self.note(what, round_, started, 0.0 if what == "train" else None)
        except Exception:  # whatever the store says: the first error is raised
            log.warning("the time of %r could not be noted", what, exc_info=True)

    def _spent_minutes(self) -> float:
        """Wall time of earlier runs; spans may lie within each other."""
        record = self._store.campaign(self._campaign)
        spans = sorted((span.started_at, span.finished_at) for span in record.spans) if record else []
        total, reached = timedelta(), None
        for begun, ended in spans:
            if reached is None or ended > reached:
                total += ended - (begun if reached is None else max(begun, reached))
                reached = ended
        return total.total_seconds() / 60
