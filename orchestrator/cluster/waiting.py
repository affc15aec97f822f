"""wait_for: Ray's answers, waited for with a deadline and never in silence. What is asked of Ray is elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, TypeVar

import ray

Answer = TypeVar("Answer")
Tell = Callable[[str], object]
"""Hears a sentence about what is waited for."""
SAY_AFTER_S = 120.0
"""So long without progress, and again after as much, until a sentence says what is waited for."""
LOOK_S = 1.0


class RayDeadline(Exception):
    """The time that was given to a piece of work on Ray is over."""

    exit_kind = "failed"


def wait_for(
    calls: Sequence[ray.ObjectRef[Any]],
    what: str,
    deadline: float | None = None,
    tell: Tell | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Any]:
    """The values of calls, in their order; the thread looks up once a second, so that signals and alarms come through.

    Args:
        calls: what `.remote()` gave.
        what: the work in words, as in "64 draws by 2 generators".
        deadline: on `clock`, seconds; None for no limit.
        tell: hears after every SAY_AFTER_S in which no call ended what is waited for; None hears nothing.
        clock: seconds, monotonic.

    Raises:
        RayDeadline: the deadline came first; the calls that had not ended are cancelled where they had not begun.
        ray.exceptions.RayError: a call failed; the first one, as soon as it does.
    """
    left, since = list(calls), clock()
    said = since
    while left:
        ended, left = ray.wait(left, num_returns=1, timeout=LOOK_S, fetch_local=False)
        ray.get(ended)  # a failure is heard now, not after the slowest call
        now = clock()
        since, said = (now, now) if ended else (since, said)
        if left and deadline is not None and now >= deadline:
            _cancel(left)
            raise RayDeadline(f"the time is up for {what}: {len(left)} of {len(calls)} calls had not ended")
        if left and tell is not None and now - said >= SAY_AFTER_S:
            said = now
            tell(_sentence(what, len(left), len(calls), now - since))
    return list(ray.get(list(calls)))


def wait_for_thread(
    work: Callable[[], Answer],
    what: str,
    progress: Callable[[], object],
    tell: Tell | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """The value of work that waits for Ray by itself, done in a thread of its own.

    In the main thread Ray Train takes Ctrl-C for itself, and keeps it when the training is over: the program then ends
    with code 0 and says nothing. Here Ctrl-C and alarms come through; what the thread began ends with Ray's session.

    Args:
        work: what to do.
        what: in words.
        progress: something that changes while it gets on.
        tell: hears after every SAY_AFTER_S in which it did not what is waited for.
        clock: seconds, monotonic.

    Raises:
        Whatever the work raises.
    """
    ended: Future[Answer] = Future()
    Thread(target=_into, args=(ended, work), daemon=True).start()
    seen, since = progress(), clock()
    said = since
    while True:
        if wait([ended], timeout=LOOK_S).done:
            return ended.result()
        now, seen_now = clock(), progress()
        if seen_now != seen:
            seen, since, said = seen_now, now, now
        if tell is not None and now - said >= SAY_AFTER_S:
            said = now
            tell(_sentence(what, 1, 1, now - since))


def _into(ended: Future[Answer], work: Callable[[], Answer]) -> None:
    try:
        ended.set_result(work())
    except BaseException as error:  # noqa: BLE001  (it is raised where the result is asked for)
        ended.set_exception(error)


def _cancel(calls: Sequence[ray.ObjectRef[Any]]) -> None:
    for call in calls:
        ray.cancel(call, recursive=False)


def _sentence(what: str, left: int, all_: int, seconds: float) -> str:
    total, free = ray.cluster_resources(), ray.available_resources()
    return (
        f"waiting for Ray: {what}, {left} of {all_} calls, nothing ended for {seconds / 60:.0f} min; "
        f"{free.get('CPU', 0):g} of {total.get('CPU', 0):g} CPUs are free"
    )
