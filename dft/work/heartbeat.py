"""Heartbeat: extends a lease while its candidate is worked on. What the work is, is no concern of this module."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from crystalloop.db.ledger.records import Lease
from crystalloop.db.ledger.store import Store, StoreUnavailable

logger = logging.getLogger(__name__)


class Heartbeat:
    """Extends a lease from a thread of its own until the `with` ends; outlives database trouble, unlike FireWorks'.

    `lost` is set when the lease is somebody else's.
    """

    def __init__(
        self, store: Store, candidate_id: str, lease: Lease, now: Callable[[], datetime], ttl_s: float
    ) -> None:
        self.lost = threading.Event()
        self._store, self._candidate_id, self._token = store, candidate_id, lease.token
        self._now, self._ttl_s = now, ttl_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {candidate_id}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join(timeout=self._ttl_s)

    def _beat(self) -> None:
        while not self._ended.wait(self._ttl_s / 4):
            try:
                ours = self._store.heartbeat(self._candidate_id, self._token, self._now(), self._ttl_s)
            except StoreUnavailable as error:
                logger.warning("%s: no heartbeat, trying again: %s", self._candidate_id, error)
                continue
            if not ours:
                if not self._ended.is_set():  # else it was recorded a moment ago
                    self.lost.set()
                return
