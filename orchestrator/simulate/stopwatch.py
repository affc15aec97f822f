"""Stopwatch: processor seconds of this program, by what they went to. No clock of a campaign: loop.timekeeper."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up processor seconds under names; stretches do not overlap."""

    def __init__(self) -> None:
        self._started = time.process_time()
        self._spent: dict[str, float] = {}

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """What is done within goes to this name."""
        started = time.process_time()
        try:
            yield
        finally:
            self._spent[what] = self._spent.get(what, 0.0) + time.process_time() - started

    def seconds(self) -> dict[str, float]:
        """By name; what no name was given is the loop's own."""
        rest = time.process_time() - self._started - sum(self._spent.values())
        return {**{name: round(spent, 4) for name, spent in self._spent.items()}, "loop": round(max(0.0, rest), 4)}
