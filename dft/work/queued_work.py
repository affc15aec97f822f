"""One firework taken from the queue and done: claimed by one command, run by our own code, noted as FireWorks notes it.

Whoever can write to the queue's database could name any Python class in a firework. So nothing of a document is made an
object here, by FireWorks or by Monty: a document that does not look exactly like ours is left alone, the one that is
claimed is looked at once more as it was at that moment, and what runs is RelaxTask with the one id that was read from it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fireworks.core.firework import FWAction, Launch
from fireworks.core.fworker import FWorker
from fireworks.core.launchpad import LaunchPad
from pymongo import ReturnDocument

from crystalloop.db.ledger.access.connection import Document, Retry, server_name
from crystalloop.db.ledger.names import path_name
from crystalloop.dft.work.firetask import RelaxTask

logger = logging.getLogger(__name__)

PEEK = 20  # fireworks sent at a time; foreign ones at the top of the queue do not hide ours
SPEC_FIELDS = frozenset({"_tasks", "_category", "_priority", "candidate_id", "key"})
LOOKED_AT = {"_id": 1, "fw_id": 1, "spec": 1, "state": 1}


@dataclass(frozen=True)
class Taken:
    """What was read of the document that was claimed."""

    candidate_id: str
    fw_id: int
    launch_id: int


def launch_next(name: str, launchpad: LaunchPad, categories: Sequence[str]) -> bool:
    """Do the first firework of ours; False when there is none or another worker was faster. Needs `working` around it.

    Raises:
        StoreUnavailable: the database is out of reach, or answers with an error.
    """
    retry = Retry(server_name(launchpad.connection, launchpad.name))
    taken = _take(name, launchpad, categories, retry)
    if taken is None:
        return False
    action = RelaxTask().run_task({"candidate_id": taken.candidate_id})
    _complete(taken, action, launchpad, retry)
    return True


def is_ours(firework: Mapping[str, Any]) -> bool:
    """Whether a firework, not made an object, holds our task and plain values only: nothing that names a class."""
    spec = firework.get("spec")
    ours = isinstance(spec, Mapping) and _is_plain(spec) and _is_one_candidate(firework, spec)
    if not ours:
        _say_foreign(str(firework.get("_id"))[:100])
    return ours


def _is_plain(spec: Mapping[str, Any]) -> bool:
    plain = all(type(value) in (str, int, float) for name, value in spec.items() if name != "_tasks")
    return plain and set(spec) <= SPEC_FIELDS and spec.get("_tasks") == [RelaxTask().to_dict()]


def _is_one_candidate(firework: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    candidate_id = firework.get("_id")
    if not isinstance(candidate_id, str) or candidate_id != spec.get("candidate_id"):
        return False
    try:
        path_name(candidate_id)
    except ValueError:
        return False
    return isinstance(firework.get("fw_id"), int)


@cache
def _say_foreign(name: str) -> None:
    logger.error("firework %r is not one of ours and is left alone", name)


def _take(name: str, launchpad: LaunchPad, categories: Sequence[str], retry: Retry) -> Taken | None:
    """Claim one firework, READY -> RUNNING, by a command that matches only what was looked at."""
    fireworks = launchpad.fireworks
    condition = {"state": "READY", "spec._category": {"$in": list(categories)}}

    def first() -> Document | None:
        with fireworks.find(condition, LOOKED_AT, sort=[("spec._priority", -1)], batch_size=PEEK) as waiting:
            return next((document for document in waiting if is_ours(document)), None)

    found: Document | None = retry(first)
    if found is None:
        return None
    launch_id = _launch_id(launchpad, retry) or found["fw_id"]
    same = {"_id": found["_id"], "fw_id": found["fw_id"], "state": "READY", "spec": found["spec"]}
    running = {"$set": {"state": "RUNNING", "updated_on": _now()}, "$push": {"launches": launch_id}}
    claimed: Document | None = retry(
        lambda: fireworks.find_one_and_update(same, running, LOOKED_AT, return_document=ReturnDocument.AFTER)
    )
    if claimed is None:
        return None
    if not is_ours(claimed):
        retry(fireworks.update_one, {"_id": claimed["_id"], "state": "RUNNING"}, {"$set": {"state": "READY"}})
        return None
    taken = Taken(claimed["_id"], claimed["fw_id"], launch_id)
    _note_launch(taken, name, launchpad, retry)
    return taken


def _launch_id(launchpad: LaunchPad, retry: Retry) -> int | None:
    counter: Document | None = retry(
        launchpad.fw_id_assigner.find_one_and_update, {"_id": "ids"}, {"$inc": {"next_launch_id": 1}}
    )
    number = (counter or {}).get("next_launch_id")
    return number if isinstance(number, int) else None


def _note_launch(taken: Taken, name: str, launchpad: LaunchPad, retry: Retry) -> None:
    """For FireWorks' own tools, and for the reconciler, which asks when anything was last heard of a firework."""
    host, folder = socket.gethostname(), str(Path.cwd())
    launch = Launch("RUNNING", folder, FWorker(name), host, host, launch_id=taken.launch_id, fw_id=taken.fw_id)
    retry(launchpad.launches.replace_one, {"launch_id": taken.launch_id}, launch.to_db_dict(), upsert=True)
    _note_state(taken, "RUNNING", launchpad, retry)


def _complete(taken: Taken, action: FWAction, launchpad: LaunchPad, retry: Retry) -> None:
    """RUNNING -> COMPLETED: the outcome stands in the store, whatever it is."""
    ended = {"state": "COMPLETED", "updated_on": _now()}
    retry(
        launchpad.launches.update_one,
        {"launch_id": taken.launch_id},
        {"$set": {"state": "COMPLETED", "time_end": _now(), "action": action.to_dict()}},
    )
    _note_state(taken, "COMPLETED", launchpad, retry)
    mine = {"_id": taken.candidate_id, "fw_id": taken.fw_id, "state": "RUNNING"}
    retry(launchpad.fireworks.update_one, mine, {"$set": ended})


def _note_state(taken: Taken, state: str, launchpad: LaunchPad, retry: Retry) -> None:
    states = {"state": state, f"fw_states.{taken.fw_id}": state, "updated_on": _now()}
    retry(launchpad.workflows.update_one, {"_id": taken.candidate_id, "nodes": taken.fw_id}, {"$set": states})


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)  # as FireWorks stores it
