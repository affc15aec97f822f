"""Clock, how long somebody may wait for a calculation, and Limit, the launcher that keeps to it. Knows no worker."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from crystalloop.dft.pw.input import with_time_limit
from crystalloop.dft.pw.launch import Launcher, LaunchOptions, PwRun, ScfProgress
from crystalloop.dft.pw.stop_and_restart import Interrupted, StopKindly, drop_scratch, in_fresh_cell, stopped_cleanly

LEAST_LEFT_S = 60.0
"""With less left of its slot a worker starts no pw.x: the first SCF cycle of most cells would not end."""
SLOT_MARGIN_S = 30.0
"""pw.x is told to stop so long before the slot ends: time to write its files, and for an iteration that takes long."""
SIGNALLED_S = 1.0
"""Where a batch system signals every process of a job, pw.x may be gone a moment before this process hears of it."""


@dataclass(frozen=True)
class Clock:
    """How long a calculation may go on.

    Args:
        ends_at: when the time is over, on the clock of time.monotonic; pw.x gets no more than that. None for no end.
        stop: set when it is to end as soon as it can be gone on from.
        lost: set when its answer is of no use any more: a running pw.x is killed.
    """

    ends_at: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)

    @property
    def left_s(self) -> float:
        """Seconds to the end of the time."""
        return math.inf if self.ends_at is None else self.ends_at - time.monotonic()

    def may_launch(self) -> bool:
        """Whether there is reason to start another pw.x."""
        return not self.stop.is_set() and self.left_s >= LEAST_LEFT_S

    def check(self) -> None:
        """Whether to go on, for whoever is computing to ask about once a second.

        Raises:
            Interrupted: no; what was computed is of no use.
            StopKindly: no; leave what another one can go on from.
        """
        if self.lost.is_set():
            raise Interrupted
        if self.stop.is_set():
            raise StopKindly


class Limit:
    """The Launcher that gives pw.x no more time than a clock has left, and ends it when the clock says so.

    Args:
        clock: how long.
        inner: launches pw.x.
    """

    def __init__(self, clock: Clock, inner: Launcher) -> None:
        self._clock, self._inner = clock, inner

    def __call__(self, input_text: str, folder: Path, options: LaunchOptions) -> PwRun:
        """See Launcher.

        Raises:
            Interrupted: the time is over; what pw.x left can be gone on from, or says nothing of the crystal.
        """
        clock = self._clock
        if clock.lost.is_set() or not clock.may_launch():
            raise Interrupted
        if clock.ends_at is not None:
            input_text = with_time_limit(input_text, int(clock.left_s - SLOT_MARGIN_S))
        try:
            ran = self._inner(input_text, folder, options.heard_by(self._look))
        except StopKindly:
            if not clock.stop.is_set():
                raise  # somebody else's
            raise Interrupted from None
        if ran.returncode != 0 and "JOB DONE" not in ran.stdout and clock.stop.wait(SIGNALLED_S):
            raise Interrupted  # killed with the rest of the job: not the crystal's doing
        if stopped_cleanly(ran.stdout) and in_fresh_cell(ran.stdout) and not clock.may_launch():
            drop_scratch(folder)
            raise Interrupted  # nobody can go on from its files: the next worker begins with its last cell
        return ran

    def _look(self, _progress: ScfProgress) -> None:
        self._clock.check()
