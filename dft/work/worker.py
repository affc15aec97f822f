"""The worker process, `python -m crystalloop.dft.work.worker`: takes fireworks of its campaign and of the references.

It does not use FireWorks' rapidfire, which sleeps a minute when idle, nor its rocket, which makes objects of whatever a
document names: how a firework is taken and done is said in queued_work.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fireworks.core.launchpad import LaunchPad

from crystalloop.db.ledger.access.redaction import guard, keep_secret
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.records import REFERENCES
from crystalloop.db.ledger.store import StoreRefused, StoreUnavailable
from crystalloop.dft.oracles.pwx import PwxOracle
from crystalloop.dft.pw.command import check_command
from crystalloop.dft.pw.limit import LEAST_LEFT_S
from crystalloop.dft.pw.scratch import require_scratch
from crystalloop.dft.recipe.pseudos import PseudoTable, PwEnvironmentError
from crystalloop.dft.work.candidate_work import Outcome, WorkContext
from crystalloop.dft.work.firetask import working
from crystalloop.dft.work.queued_work import launch_next
from crystalloop.dft.work.relax_queue import open_launchpad

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
SOON_S = 0.1  # after a job: the loop often queues the next one at once
SOON_LOOKS = 10
OUTAGE_S = 5.0
EXITS = {"environment": 3, "database": 4}
"""Exit codes of a worker that ends for what it cannot mend; 0 for every other end."""
URI_VARIABLE = "CRYSTALLOOP_MONGODB_URI"


@dataclass(frozen=True)
class Ended:
    """Why it ended: `stopped`, `slot`, `idle`, `orphaned`, `environment` or `database`, and how many fireworks it launched."""

    why: str
    detail: str = ""
    launched: int = 0


def work(
    context: WorkContext,
    launchpad: LaunchPad,
    campaigns: Sequence[str],
    *,
    parent_pid: int | None = None,
    idle_exit_s: float | None = None,
) -> Ended:
    """Take fireworks until told to stop.

    Args:
        context: machine and store; `context.stop` ends the loop, and a running pw.x as soon as it can be gone on from.
        launchpad: the queue.
        campaigns: whose candidates to take; the shared references are taken too.
        parent_pid: when this process has another parent, the one that started it is dead: finish the job and end.
        idle_exit_s: end after so many seconds without work, as a job of a batch system should; None for never.
    """
    environment: list[str] = []

    def report(candidate_id: str, outcome: Outcome, detail: str) -> None:
        if outcome is Outcome.ENVIRONMENT:
            environment.append(f"{candidate_id}: {detail}")
        context.report(candidate_id, outcome, detail)

    launched, looks, busy_at = 0, 0, time.monotonic()
    categories = [*campaigns, REFERENCES]
    with working(replace(context, report=report)):
        while not context.stop.is_set():
            if parent_pid is not None and os.getppid() != parent_pid:
                return Ended("orphaned", f"process {parent_pid} is gone", launched)
            if not context.clock.may_launch():
                return Ended(
                    "slot", f"{context.clock.left_s:.0f} s of it are left, a launch gets {LEAST_LEFT_S:.0f}", launched
                )
            try:
                took = launch_next(context.worker, launchpad, categories)
            except StoreRefused as error:  # it would refuse the next one, too
                return Ended("database", str(error), launched)
            except StoreUnavailable as error:
                logger.warning("the queue is out of reach, trying again: %s", error)
                context.stop.wait(OUTAGE_S)
                continue
            if environment:
                return Ended("environment", environment[0], launched)
            if took:
                launched, looks, busy_at = launched + 1, SOON_LOOKS, time.monotonic()
                continue
            if idle_exit_s is not None and time.monotonic() - busy_at >= idle_exit_s:
                return Ended("idle", f"nothing to do for {idle_exit_s:.0f} s", launched)
            context.stop.wait(SOON_S if looks > 0 else LOOK_AGAIN_S)
            looks -= 1
    return Ended("stopped", launched=launched)


def main(arguments: Sequence[str] | None = None, **replaced: Any) -> int:  # noqa: ANN401
    """Run a worker until SIGTERM or SIGINT.

    Args:
        arguments: see `--help`.
        replaced: fields of PwxOracle, for tests.

    Returns:
        The exit code: 0, or 3 when this machine cannot do the work, or 4 when the database cannot be used.
    """
    options = _options().parse_args(arguments)
    keep_secret(options.uri)
    os.environ.pop(URI_VARIABLE, None)  # pw.x and what starts it have no use for it
    guard(logging.INFO, "%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        ended = _worked(options, stop, replaced)
    except StoreUnavailable as error:
        ended = Ended("database", str(error))
    except (PwEnvironmentError, OSError, MemoryError) as error:
        ended = Ended("environment", str(error) or type(error).__name__)
    failed = ended.why in EXITS
    (logger.error if failed else logger.info)(
        "worker %s ended after %d launches: %s %s", options.name, ended.launched, ended.why, ended.detail
    )
    return EXITS.get(ended.why, 0)


def _worked(options: argparse.Namespace, stop: threading.Event, replaced: Mapping[str, Any]) -> Ended:
    context = _context(options, stop, replaced)
    context.runs.mkdir(parents=True, exist_ok=True)
    launchpad = open_launchpad(options.uri, options.database)
    limits = {"parent_pid": options.parent_pid, "idle_exit_s": options.idle_exit}
    try:
        with _ending_at(context.ends_at, stop):
            return work(context, launchpad, options.category, **limits)
    finally:
        launchpad.connection.close()
        context.store.close()


def _context(options: argparse.Namespace, stop: threading.Event, replaced: Mapping[str, Any]) -> WorkContext:
    """This machine's side of the work, checked before anything is taken."""
    if "run" not in replaced:
        check_command(options.pw_command)
    oracle = PwxOracle(
        table=PseudoTable.load(options.pseudos.resolve()),
        command=options.pw_command,
        scratch=None if options.scratch is None else require_scratch(options.scratch),
        memory_mb=options.memory_mb,
        **replaced,
    )
    return WorkContext(
        store=MongoStore.open(options.uri, options.database),
        oracle=oracle,
        runs=options.runs.resolve(),
        worker=options.name,
        ttl_s=options.ttl,
        stop=stop,
        ends_at=_ends_at(options),
    )


def _ends_at(options: argparse.Namespace) -> float | None:
    """When the slot ends, on the clock of time.monotonic; the first of what the options say."""
    lefts = [options.slot_seconds, options.slot_ends and options.slot_ends - time.time()]
    known = [left for left in lefts if left is not None]
    return time.monotonic() + min(known) if known else None


@contextmanager
def _ending_at(moment: float | None, stop: threading.Event) -> Iterator[None]:
    """Tell the worker to stop when its slot ends: a running pw.x is asked to, and its candidate handed back."""
    timer = None if moment is None else threading.Timer(max(0.0, moment - time.monotonic()), stop.set)
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crystalloop.dft.work.worker", description="Relax queued candidates with pw.x."
    )
    uri = os.environ.get(URI_VARIABLE)  # rather than on the command line, which other users can read
    parser.add_argument("--uri", default=uri, required=uri is None, help=f"of the database server; else {URI_VARIABLE}")
    parser.add_argument("--database", required=True, help="its queue is <database>_fireworks on the same server")
    parser.add_argument("--runs", required=True, type=Path, help="folder for the files of the relaxations")
    parser.add_argument("--pseudos", required=True, type=Path, help="folder of the pseudopotentials")
    parser.add_argument("--pw-command", default="pw.x", help="pw.x with what stands before it; {folder}, {pseudos}")
    parser.add_argument("--scratch", type=Path, help="fast local folder for wave functions; else that of the launch")
    parser.add_argument("--memory-mb", type=_positive, help="refuse crystals that need more; else what the machine has")
    parser.add_argument("--category", action="append", default=[], help="campaign to work for; may be given again")
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}", help="shown in leases and attempts")
    parser.add_argument(
        "--ttl", type=float, default=60.0, help="seconds after which a silent worker's job is given away"
    )
    parser.add_argument("--idle-exit", type=_positive, help="end after so many seconds without work")
    parser.add_argument("--slot-seconds", type=_positive, help="hand work back and end after so many seconds")
    parser.add_argument("--slot-ends", type=_positive, help="the same as a moment, in seconds since 1970")
    parser.add_argument("--parent-pid", type=int, help="end after the current job when this process is gone")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
