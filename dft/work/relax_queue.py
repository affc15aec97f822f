"""RelaxQueue: candidates -> FireWorks workflows, and the repair of what is between. What a worker does is in firetask.

The store's candidates are the truth; a workflow only says "somebody should look at this candidate". So a workflow that
is in doubt is thrown away and made again: a worker that still holds the old one writes under its lease, or not at all.
One candidate is one workflow of one firework, and both carry the candidate's id as `_id`: submitting twice adds nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from fireworks.core.firework import Firework, Workflow
from fireworks.core.launchpad import LaunchPad

from crystalloop.db.ledger.access.connection import (
    CLIENT_OPTIONS,
    Document,
    Retry,
    insert_new,
    require_usable,
    server_name,
)
from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.db.ledger.store import Store, StoreUnavailable
from crystalloop.dft.work.firetask import RelaxTask

logger = logging.getLogger(__name__)

GRACE = timedelta(seconds=30)
"""A lock, or a firework that runs, may belong to a worker between two steps while it is younger than this."""
AGAIN = timedelta(seconds=5)
"""A candidate that was handed back is offered again after this, since what was in its way may still be there."""
REFERENCE_FIRST = 1e10  # larger than any time in seconds since 1970
FINISHED = frozenset({CandidateState.RELAXED, CandidateState.GAVE_UP})
ACTIVE = ["READY", "RESERVED", "RUNNING"]
HELD = frozenset({"PAUSED", "DEFUSED"})  # set by hand with FireWorks' own tools: respected
DOCUMENTS = 1000  # documents per command: far below 16 MB


@dataclass(frozen=True)
class Repairs:
    """What one reconciliation did, as candidate ids."""

    expired: tuple[str, ...] = ()  # leases that ended: RUNNING -> QUEUED
    submitted: tuple[str, ...] = ()  # QUEUED without a workflow: got one
    rebuilt: tuple[str, ...] = ()  # QUEUED with a workflow that no worker would take: got a new one
    unlocked: tuple[str, ...] = ()  # workflow locks left by a dead process
    closed: tuple[str, ...] = ()  # finished candidates whose workflow still said otherwise
    failed: tuple[str, ...] = ()  # items that could not be repaired; the log says why

    def __bool__(self) -> bool:
        """Whether anything was done or failed."""
        return any(getattr(self, field.name) for field in fields(self))


def open_launchpad(uri: str, database: str) -> LaunchPad:
    """The LaunchPad of a database of ours: on the same server, in `<database>_fireworks`.

    Raises:
        UnusableUri: it cannot be read as a connection string.
    """
    require_usable(uri)
    return LaunchPad(
        host=uri,
        name=f"{database}_fireworks",
        uri_mode=True,
        strm_lvl="CRITICAL",
        mongoclient_kwargs=dict(CLIENT_OPTIONS),
    )


class RelaxQueue:
    """The queue of relaxations.

    Args:
        store: the candidates.
        launchpad: FireWorks' database, as `open_launchpad` gives it.
        now: the clock.
    """

    def __init__(
        self, store: Store, launchpad: LaunchPad, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store, self._launchpad, self._now = store, launchpad, now
        self._retry = Retry(server_name(launchpad.connection, launchpad.name))
        self._prepared = False

    def prepare(self) -> None:
        """Make ids and indexes where they are missing; never resets, never deletes."""
        pad = self._launchpad
        if self._retry(pad.fw_id_assigner.find_one) is None:
            start = {"_id": "ids", "next_fw_id": 1, "next_launch_id": 1}
            self._retry(insert_new, pad.fw_id_assigner, [start])
        for collection, keys, unique in (
            (pad.fireworks, ["fw_id"], True),
            (pad.fireworks, ["state", "spec._category", "spec._priority"], False),
            (pad.fireworks, ["launches"], False),
            (pad.launches, ["launch_id"], True),
            (pad.launches, ["fw_id"], False),
            (pad.workflows, ["nodes"], False),
        ):
            self._retry(collection.create_index, [(key, 1) for key in keys], unique=unique)
        self._prepared = True

    def submit(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Give every candidate a workflow that has none; the order given is the order of work, references first.

        Returns:
            The ids that had no complete workflow before.

        Raises:
            StoreUnavailable: the database cannot be reached; submit again.
        """
        if not self._prepared:
            self.prepare()
        added: list[str] = []
        for start in range(0, len(candidates), DOCUMENTS):
            added += self._submit_chunk(candidates[start : start + DOCUMENTS], start)
        return tuple(added)

    def _submit_chunk(self, candidates: Sequence[Candidate], offset: int) -> list[str]:
        pad, ids = self._launchpad, [candidate.id for candidate in candidates]
        complete = {document["_id"] for document in self._find(pad.fireworks, ids)}
        missing = {
            candidate.id: (offset + i, candidate)
            for i, candidate in enumerate(candidates)
            if candidate.id not in complete
        }
        if not missing:
            return []
        first_id = self._retry(pad.get_new_fw_id, quantity=len(missing))
        built = {
            candidate_id: _workflow(candidate, _priority(candidate, self._now(), position), first_id + i)
            for i, (candidate_id, (position, candidate)) in enumerate(missing.items())
        }
        # Workflows first: a firework without one would be taken and could not be finished. Where another process
        # was faster, its workflow stays and decides the number of the firework.
        self._retry(insert_new, pad.workflows, [workflow for workflow, _ in built.values()])
        numbers = {
            document["_id"]: nodes[0]
            for document in self._find(pad.workflows, list(built))
            if isinstance(nodes := document.get("nodes"), list) and nodes
        }
        fireworks = [
            {**firework, "fw_id": numbers[candidate_id]}
            for candidate_id, (_, firework) in built.items()
            if candidate_id in numbers
        ]
        self._retry(insert_new, pad.fireworks, fireworks)
        return list(built)

    def reconcile(self, now: datetime) -> Repairs:
        """Repair both directions between candidates and workflows; cheap enough to call every second.

        Raises:
            StoreUnavailable: the database cannot be reached; every other trouble stays with its candidate.
        """
        expired = self._store.expire_leases(now)
        queued = {candidate.id: candidate for candidate in self._store.candidates(states=[CandidateState.QUEUED])}
        pad, ids = self._launchpad, list(queued)
        fireworks = {document["_id"]: document for document in self._find(pad.fireworks, ids)}
        workflows = {document["_id"]: document for document in self._find(pad.workflows, ids)}
        submitted = self.submit([queued[id_] for id_ in ids if id_ not in fireworks])
        repairs = {
            id_: partial(self._repair_queued, queued[id_], firework, workflows.get(id_), now)
            for id_, firework in fireworks.items()
        }
        for firework in self._retry(_documents, pad.fireworks, {"state": {"$in": ACTIVE}}):
            if not isinstance(firework["_id"], str):
                continue  # somebody else's
            repairs.setdefault(firework["_id"], partial(self._repair_other, firework, now))
        done: dict[str, list[str]] = {"rebuilt": [], "unlocked": [], "closed": [], "failed": []}
        for id_, repair in repairs.items():
            if what := _isolated(id_, repair):
                done[what].append(id_)
        return Repairs(expired=expired, submitted=submitted, **{what: tuple(names) for what, names in done.items()})

    def counts(self) -> dict[str, int]:
        """Number of fireworks in each FireWorks state; states without any are left out."""
        stages = [{"$group": {"_id": "$state", "n": {"$sum": 1}}}]
        found = self._retry(lambda: list(self._launchpad.fireworks.aggregate(stages)))
        return {document["_id"]: document["n"] for document in found}

    def _repair_queued(
        self, candidate: Candidate, firework: Document, workflow: Document | None, now: datetime
    ) -> str | None:
        state = firework["state"]
        if state in HELD or (state == "READY" and workflow is not None and not workflow.get("locked")):
            return None
        sign = self._last_sign(firework, workflow)
        came_back = state in ACTIVE and candidate.updated_at > sign  # claimed since it was taken, and given up again
        if not came_back and now - sign < (GRACE if state in ACTIVE else AGAIN):
            return None
        if state == "READY" and workflow is not None:  # locked, else it had been left alone above
            return self._unlock(candidate.id)
        self._discard(candidate.id, firework["fw_id"])
        self.submit([candidate])
        return "rebuilt"

    def _repair_other(self, firework: Document, now: datetime) -> str | None:
        """A firework that waits or runs although its candidate is not QUEUED."""
        candidate_id = firework["_id"]
        candidate = self._store.candidate(candidate_id)
        if candidate is None or candidate.state is CandidateState.QUEUED:  # queued a moment ago: the next time
            return None
        workflow: Document | None = self._retry(self._launchpad.workflows.find_one, {"_id": candidate_id})
        if now - self._last_sign(firework, workflow) < GRACE:
            return None
        if candidate.state in FINISHED:
            return self._close(candidate_id, firework["fw_id"])
        return self._unlock(candidate_id) if workflow and workflow.get("locked") else None

    def _discard(self, candidate_id: str, fw_id: int) -> None:
        """Remove the workflow, firework first: in between, nobody can take it and submit makes it whole."""
        pad = self._launchpad
        self._retry(pad.fireworks.delete_one, {"_id": candidate_id, "fw_id": fw_id})
        self._retry(pad.workflows.delete_one, {"_id": candidate_id, "nodes": fw_id})
        open_launches = {"fw_id": fw_id, "state": {"$in": ["RESERVED", "RUNNING"]}}
        self._retry(pad.launches.update_many, open_launches, {"$set": {"state": "FIZZLED"}})

    def _close(self, candidate_id: str, fw_id: int) -> str:
        pad, completed = self._launchpad, {"state": "COMPLETED"}
        workflow = {"$set": {**completed, f"fw_states.{fw_id}": "COMPLETED"}, "$unset": {"locked": ""}}
        self._retry(pad.launches.update_many, {"fw_id": fw_id, "state": "RUNNING"}, {"$set": completed})
        self._retry(pad.workflows.update_one, {"_id": candidate_id}, workflow)
        self._retry(pad.fireworks.update_one, {"_id": candidate_id}, {"$set": completed})
        return "closed"

    def _unlock(self, candidate_id: str) -> str:
        self._retry(self._launchpad.workflows.update_one, {"_id": candidate_id}, {"$unset": {"locked": ""}})
        return "unlocked"

    def _last_sign(self, firework: Document, workflow: Document | None) -> datetime:
        """When FireWorks last wrote anything about this firework."""
        stamps = [firework.get("updated_on"), firework.get("created_on"), (workflow or {}).get("updated_on")]
        for launch in self._retry(_documents, self._launchpad.launches, {"fw_id": firework["fw_id"]}):
            stamps += [entry.get("updated_on") for entry in launch.get("state_history", [])]
        return max(_moment(stamp) for stamp in stamps if stamp)

    def _find(self, collection: Any, ids: Sequence[str]) -> Iterable[Document]:  # noqa: ANN401  (FireWorks is untyped)
        for start in range(0, len(ids), DOCUMENTS):
            condition = {"_id": {"$in": list(ids[start : start + DOCUMENTS])}}
            yield from self._retry(_documents, collection, condition)


def _documents(collection: Any, condition: Document) -> list[Document]:  # noqa: ANN401
    return list(collection.find(condition, {"spec": 0}))


def _isolated(candidate_id: str, repair: Callable[[], str | None]) -> str | None:
    try:
        return repair()
    except StoreUnavailable:
        raise
    except Exception:  # one bad document must not keep the others from being repaired
        logger.exception("cannot repair the workflow of %s", candidate_id)
        return "failed"


def _workflow(candidate: Candidate, priority: float, fw_id: int) -> tuple[Document, Document]:
    """The documents of a workflow and its firework. The spec carries names only; physics stays with the candidate."""
    spec = {"_category": candidate.campaign, "_priority": priority, "candidate_id": candidate.id, "key": candidate.key}
    firework = Firework([RelaxTask()], spec, name=candidate.id, fw_id=fw_id, state="READY")
    workflow = Workflow([firework], name=candidate.id)
    return {"_id": candidate.id, **workflow.to_db_dict()}, {"_id": candidate.id, **firework.to_db_dict()}


def _priority(candidate: Candidate, now: datetime, position: int) -> float:
    """References, then first come first served: FireWorks takes the largest number, and equal ones in any order."""
    return (REFERENCE_FIRST if candidate.kind == "reference" else 0.0) - now.timestamp() - position * 1e-4


def _moment(stamp: datetime | str) -> datetime:
    """FireWorks writes times as dates or as ISO text, some without a zone; all are UTC."""
    moment = datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
