"""One candidate under one lease, from claim to record: what runs on a worker. FireWorks is met in firetask alone.

Every ending is a recorded outcome, and nothing that is a crystal's own stops the worker. What is not the crystal's fault is
never written down as one: the database's errors and the machine's hand the candidate back and end the worker, and an
error of this program hands it back a few times. A finished relaxation is written to the candidate's folder before it is
recorded: when the database, the worker or the machine goes away in between, whoever claims the candidate next records
that answer and computes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from crystalloop.db.ledger.access.redaction import without_secrets
from crystalloop.db.ledger.leases import AFRESH, INTERNAL, INTERRUPTED, since_taken_back
from crystalloop.db.ledger.names import path_name
from crystalloop.db.ledger.records import Attempt, Candidate, CandidateState, Lease
from crystalloop.db.ledger.store import Store, StoreRefused, StoreUnavailable
from crystalloop.dft.oracles.base import Job, Oracle
from crystalloop.dft.pw.limit import Clock
from crystalloop.dft.pw.stop_and_restart import Interrupted
from crystalloop.dft.recipe.pseudos import PwEnvironmentError
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.attempt import AttemptReport
from crystalloop.dft.work.heartbeat import Heartbeat
from crystalloop.dft.work.stored_result import StoredResult, attempt_of

logger = logging.getLogger(__name__)

MAX_INTERRUPTIONS = 20
"""A candidate that was interrupted so often takes its workers with it, for example by their memory."""
MAX_SURPRISES = 3
"""So often an error of this program itself is met with the same candidate before it is given up, until the next `run`."""
SURPRISE = "internal_error"
"""The outcome of an attempt that met an error of this program itself."""


class FolderOutside(PwEnvironmentError):
    """The folder of a candidate is not in the runs folder: a link leads elsewhere."""


class Outcome(StrEnum):
    """How the work on one candidate ended."""

    RELAXED = "relaxed"
    GAVE_UP = "gave_up"
    REUSED = "reused"  # the same calculation was done for another candidate
    RECOVERED = "recovered"  # an earlier worker had the answer, but could not record it
    NOT_OURS = "not_ours"  # somebody else was first, or there is nothing to do
    DEFERRED = "deferred"  # the same calculation runs for another candidate; handed back
    RELEASED = "released"  # the worker was told to stop; handed back
    LEASE_LOST = "lease_lost"  # the lease ended and was given away; nothing was recorded
    ENVIRONMENT = "environment"  # this machine cannot run pw.x; handed back
    OUR_FAULT = "our_fault"  # an error of this program itself; handed back


@dataclass(frozen=True)
class WorkContext:
    """What a worker brings: its machine, its store, its clock. Physics comes with the candidate.

    Args:
        oracle: relaxes crystals.
        runs: folder of all runs; each candidate has a subfolder of its id.
        worker: a name that tells people which process on which host.
        ttl_s: seconds without a sign of life after which the lease ends.
        stop: set when the worker is to end; a running pw.x is asked to stop within about a second, see dft.pw.limit.
        ends_at: when the worker's slot ends, on the clock of time.monotonic; pw.x gets no more time than that.
        report: told how each claimed candidate ended, with a sentence.
    """

    store: Store
    oracle: Oracle
    runs: Path
    worker: str
    ttl_s: float = 60.0
    stop: threading.Event = field(default_factory=threading.Event)
    ends_at: float | None = None
    report: Callable[[str, Outcome, str], None] = lambda _id, _outcome, _detail: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def clock(self) -> Clock:
        """How long the worker goes on."""
        return Clock(self.ends_at, self.stop)


def perform(candidate_id: str, context: WorkContext) -> Outcome:
    """Claim the candidate, compute it or find it computed, and record.

    Raises:
        StoreUnavailable: the database went away; the lease will end and somebody repeats this.
        StoreRefused: it answers with an error; the candidate was handed back, or its lease will end.
    """
    candidate = context.store.claim(candidate_id, context.worker, context.now(), context.ttl_s)
    if candidate is None or candidate.lease is None:
        return Outcome.NOT_OURS
    with Heartbeat(context.store, candidate.id, candidate.lease, context.now, context.ttl_s) as heartbeat:
        outcome, detail = _Work(candidate, candidate.lease, heartbeat.lost, context).do()
    logger.info("%s: %s %s", candidate.id, outcome, detail)
    context.report(candidate.id, outcome, detail)
    return outcome


@dataclass(frozen=True)
class _Work:
    """One candidate under one lease."""

    candidate: Candidate
    lease: Lease
    lost: threading.Event
    context: WorkContext

    def do(self) -> tuple[Outcome, str]:
        """How it ended, with a sentence; whose fault an error is, is decided here."""
        try:
            return self._done()
        except Interrupted:
            if self.lost.is_set():
                return Outcome.LEASE_LOST, "another worker has it"
            return self._hand_back(Outcome.RELEASED, "the worker stops, or its slot ends")
        except PwEnvironmentError as error:
            return self._hand_back(Outcome.ENVIRONMENT, str(error))
        except StoreRefused:
            self._let_go()
            raise
        except StoreUnavailable:
            raise
        except (OSError, MemoryError) as error:
            return self._hand_back(Outcome.ENVIRONMENT, _of_the_machine(error, self.context.runs))
        except Exception as error:  # ours, of a crystal nobody thought of: it comes back, but not for ever
            logger.exception("%s: unexpected", self.candidate.id)
            return self._surprised(without_secrets(f"{type(error).__name__}: {error}"))

    def _done(self) -> tuple[Outcome, str]:
        twin, folder = self._twin(), self._folder()
        if twin is not None and twin.relaxation is not None:
            return self._record(Outcome.REUSED, StoredResult.copied_from(twin, twin.relaxation))
        if twin is not None:
            return self._hand_back(Outcome.DEFERRED, f"the same calculation runs for {twin.id}")
        if waiting := StoredResult.read(folder, self.candidate.key):
            return self._record(Outcome.RECOVERED, waiting)
        interruptions = sum(attempt.outcome == INTERRUPTED for attempt in self._counted)
        if interruptions >= MAX_INTERRUPTIONS:
            reason = f"interrupted {interruptions} times; does pw.x need more memory than there is?"
            return self._record(Outcome.GAVE_UP, StoredResult(key=self.candidate.key, reason=reason))
        result = self._compute(folder)
        try:
            result.write(folder)
        except OSError as error:  # a full disk; the file serves only if the store cannot be reached now
            logger.warning("%s: its result is not written to %s: %s", self.candidate.id, folder, error)
        return self._record(Outcome.RELAXED if result.relaxation else Outcome.GAVE_UP, result)

    @property
    def _counted(self) -> tuple[Attempt, ...]:
        return since_taken_back(self.candidate.attempts)

    def _again(self) -> str:
        """The subfolder of a candidate that is computed anew after it was given up; empty the first time."""
        anew = sum(attempt.outcome == AFRESH for attempt in self.candidate.attempts)
        return f"again-{anew}" if anew else ""

    def _folder(self) -> Path:
        """The candidate's folder, which lies in the runs folder.

        Raises:
            FolderOutside: a link leads out of it.
        """
        runs = self.context.runs.resolve()
        own = runs / path_name(self.candidate.id)
        folder = own / self._again()
        inside = folder.iterdir() if folder.is_dir() and not own.is_symlink() else ()
        for place in (own, folder, *inside):
            if place.is_symlink() or not place.resolve().is_relative_to(own):
                raise FolderOutside(
                    f"{place} leads to {place.resolve()}, out of {own}: nothing is written there; remove the link"
                )
        return folder

    def _twin(self) -> Candidate | None:
        """Another candidate of the same calculation that is computed, or that runs and has the older right to it.

        Both of two workers may claim before either looks; then each sees the other and the smaller (time, id) goes on.
        """
        others = [other for other in self.context.store.with_key(self.candidate.key) if other.id != self.candidate.id]
        for other in others:
            if other.state is CandidateState.RELAXED:
                return other
        now, ours = self.context.now(), (self.lease.started_at, self.candidate.id)
        for other in others:
            if other.lease and other.lease.expires_at > now and (other.lease.started_at, other.id) < ours:
                return other
        return None

    def _compute(self, folder: Path) -> StoredResult:
        candidate, context = self.candidate, self.context
        attempts: list[Attempt] = []
        recorded, again = {attempt.folder for attempt in candidate.attempts}, self._again()

        def note(report: AttemptReport) -> None:
            if again and report.folder:
                report = replace(report, folder=f"{again}/{report.folder}")
            if report.folder and report.folder in recorded:
                return
            attempts.append(attempt_of(report, len(candidate.attempts) + len(attempts) + 1, context.worker))
            try:
                context.store.add_attempt(candidate.id, self.lease.token, attempts[-1], context.now())
            except StoreRefused:
                raise
            except StoreUnavailable:
                logger.warning("%s: attempt %d will be recorded with the result", candidate.id, attempts[-1].number)

        structure, settings = candidate.crystal.to_structure(), PwSettings.model_validate(candidate.settings)
        clock = replace(context.clock, lost=self.lost)
        answer = context.oracle(structure, settings, Job(folder, clock, note))
        return StoredResult.of(candidate.key, answer, tuple(attempts))

    def _record(self, outcome: Outcome, result: StoredResult) -> tuple[Outcome, str]:
        """The attempts that the store does not have yet, then the result."""
        store, candidate_id, token = self.context.store, self.candidate.id, self.lease.token
        stored = (store.candidate(candidate_id) or self.candidate).attempts
        known = {(attempt.folder, attempt.outcome) for attempt in stored}  # interrupted attempts have no folder
        missing = [attempt for attempt in result.attempts if (attempt.folder, attempt.outcome) not in known]
        for number, attempt in enumerate(missing, start=len(stored) + 1):
            store.add_attempt(candidate_id, token, attempt.model_copy(update={"number": number}), self.context.now())
        if result.relaxation is not None:
            detail = f"as {result.relaxation.reused_from}" if result.relaxation.reused_from else ""
            recorded = store.record_relaxation(candidate_id, token, result.relaxation, self.context.now())
        else:
            detail = result.reason or "no reason given"
            recorded = store.record_failure(candidate_id, token, detail, self.context.now())
        return (outcome, detail) if recorded else (Outcome.LEASE_LOST, "another worker has it")

    def _hand_back(self, outcome: Outcome, detail: str) -> tuple[Outcome, str]:
        self.context.store.release(self.candidate.id, self.lease.token, self.context.now())
        return outcome, detail

    def _let_go(self) -> None:
        """Hand back what a database that refuses may still take back; else the lease ends by itself."""
        try:
            self.context.store.release(self.candidate.id, self.lease.token, self.context.now())
        except StoreUnavailable as error:
            logger.warning("%s: its lease will end by itself: %s", self.candidate.id, error)

    def _surprised(self, error: str) -> tuple[Outcome, str]:
        """An error of this program: noted, and handed back while it has not come too often."""
        store, candidate_id, token, now = self.context.store, self.candidate.id, self.lease.token, self.context.now()
        stored = (store.candidate(candidate_id) or self.candidate).attempts
        tries = 1 + sum(attempt.outcome == SURPRISE for attempt in since_taken_back(stored))
        noted = Attempt(
            number=len(stored) + 1, started_at=now, outcome=SURPRISE, detail=error, worker=self.context.worker
        )
        store.add_attempt(candidate_id, token, noted, now)
        if tries < MAX_SURPRISES:
            return self._hand_back(Outcome.OUR_FAULT, f"an error of this program, not of the crystal: {error}")
        reason = (
            f"{INTERNAL} ({tries} tries): {error}; an error of this program, please report it: the next run tries again"
        )
        recorded = store.record_failure(candidate_id, token, reason, now)
        return (Outcome.GAVE_UP, reason) if recorded else (Outcome.LEASE_LOST, "another worker has it")


def _of_the_machine(error: OSError | MemoryError, runs: Path) -> str:
    """What this machine lacks, and what to do about it."""
    if isinstance(error, MemoryError):
        return "this machine has no memory left for the worker; run fewer slots, or close other programs"
    what = error.strerror or type(error).__name__
    return f"{what}: {error.filename or runs}; give this machine what it lacks (disk space, permission, open files)"
