"""Time that passes while the loop is busy: the alarm that cuts work off, and the thread that asks whether anything moves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from crystalloop.orchestrator.loop.contracts import TimeIsUp

ASKED_S = 5.0


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Cut off what is done within after so many seconds, as Ctrl-C would; in the main thread alone.

    Raises:
        TimeIsUp: the time was over before the work was done.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    rung = threading.Event()

    def ring(number: int, frame: FrameType | None) -> None:
        rung.set()
        raise KeyboardInterrupt  # what every library passes on, Ray's calls too

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    except KeyboardInterrupt:
        if rung.is_set():
            raise TimeIsUp(f"cut off after {seconds:.0f} s") from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def asked_often(check: Callable[[], None], every_s: float = ASKED_S) -> Iterator[None]:
    """Call this every few seconds from a thread of its own, until the block ends."""
    end = threading.Event()

    def ask() -> None:
        while not end.wait(every_s):
            check()

    thread = threading.Thread(target=ask, name="patience", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
