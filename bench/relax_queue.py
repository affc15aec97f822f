"""The queue's figures: pick-up latency, enqueue rate, commands per launch; FireWorks' own way beside them.

Not called queue.py: a script's folder comes first in Python's path, and every script here would get this file in place
of the standard library's `queue`. `python bench/relax_queue.py [--uri mongodb://...]` prints JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fireworks.core.firework import Firework, Workflow
from fireworks.core.launchpad import LaunchPad
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from crystalloop.db.ledger.access.connection import CLIENT_OPTIONS
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.records import Candidate, CandidateState, CrystalDoc, Origin, OriginKind
from crystalloop.db.ledger.store import Store
from crystalloop.db.serving.server import ensure_server
from crystalloop.dft.oracles.base import Job
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.attempt import AttemptReport
from crystalloop.dft.relax.outcome import Relaxed
from crystalloop.dft.work.candidate_work import WorkContext
from crystalloop.dft.work.firetask import RelaxTask, working
from crystalloop.dft.work.queued_work import launch_next
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad
from crystalloop.dft.work.worker import work

DATABASE = "bench_queue"


def at_once(structure: Structure, _settings: PwSettings, job: Job) -> Relaxed:
    """In place of pw.x: an answer without computing, noting when it was asked."""
    report = AttemptReport(1, datetime.now(UTC), "converged", "", "", 0.0, 0.0, "attempt-1")
    job.on_attempt(report)
    return Relaxed.of(structure, structure, energy_ev=-20.0, attempts=(report,))


def candidates(count: int, prefix: str) -> list[Candidate]:
    """Rock-salt LiF under many names."""
    structure = Structure(Lattice([[0, 2, 2], [2, 0, 2], [2, 2, 0]]), ["Li", "F"], [[0.0] * 3, [0.5] * 3])
    now = datetime.now(UTC)
    return [
        Candidate(
            id=f"{prefix}-{number}",
            campaign="bench",
            round=0,
            key=f"{prefix}-{number}",
            formula="LiF",
            prototype="rocksalt_B1",
            crystal=CrystalDoc.from_structure(structure),
            settings={},
            origin=Origin(kind=OriginKind.DECORATED),
            created_at=now,
            updated_at=now,
        )
        for number in range(count)
    ]


def enqueue(store: Store, queue: RelaxQueue, new: list[Candidate]) -> float:
    """Ledger, then queue; seconds for the second."""
    store.add_candidates(new)
    store.queue([candidate.id for candidate in new], datetime.now(UTC))
    started = time.perf_counter()
    queue.submit(new)
    return time.perf_counter() - started


def rates(store: Store, queue: RelaxQueue, count: int) -> dict[str, float]:
    """Candidates per second into the ledger and the queue, and into the queue alone."""
    new = candidates(count, "bulk")
    started = time.perf_counter()
    submit_s = enqueue(store, queue, new)
    return {
        "ledger_and_queue_per_s": count / (time.perf_counter() - started),
        "queue_per_s": count / submit_s,
    }


def add_wf_rate(launchpad: LaunchPad, count: int) -> float:
    """FireWorks' own add_wf, one workflow at a time."""
    started = time.perf_counter()
    for number in range(count):
        launchpad.add_wf(Workflow([Firework([RelaxTask()], {"_category": "nobody"}, name=f"peer-{number}")]))
    return count / (time.perf_counter() - started)


def idle_worker(uri: str, runs: str) -> None:
    """A worker process without pw.x."""
    folder = Path(runs) / "worker"
    folder.mkdir()
    os.chdir(folder)
    logging.disable(logging.INFO)
    store = MongoStore.open(uri, DATABASE)
    work(WorkContext(store, at_once, Path(runs), "bench"), open_launchpad(uri, DATABASE), ["bench"])


def latencies(uri: str, store: Store, queue: RelaxQueue, runs: Path, count: int) -> list[float]:
    """Seconds from submit to the start of the work, with an idle worker."""
    process = multiprocessing.get_context("spawn").Process(target=idle_worker, args=(uri, str(runs)), daemon=True)
    process.start()
    taken = []
    for number, candidate in enumerate(candidates(count + 1, "latency")):
        submitted = datetime.now(UTC)
        enqueue(store, queue, [candidate])
        while (done := store.candidate(candidate.id)) is None or done.state is not CandidateState.RELAXED:
            time.sleep(0.02)
        if number:  # the first waits for the process to start
            taken.append((done.attempts[0].started_at - submitted).total_seconds())
        time.sleep(1.5 + 0.37 * (number % 3))  # until it is idle again, at another phase of its loop
    process.kill()
    process.join()
    return taken


class Counter(CommandListener):
    """Counts database commands."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: CommandStartedEvent) -> None:
        """Count it."""
        self.count += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing."""


def commands(uri: str, store: Store, queue: RelaxQueue, runs: Path, count: int) -> dict[str, float]:
    """Commands per launch: FireWorks' and the store's."""
    enqueue(store, queue, candidates(count, "launch"))
    fireworks, ledger = Counter(), Counter()
    client: MongoClient[dict[str, Any]] = MongoClient(uri, event_listeners=[ledger])
    options = {**CLIENT_OPTIONS, "event_listeners": [fireworks]}
    launchpad = LaunchPad(
        host=uri, name=f"{DATABASE}_fireworks", uri_mode=True, strm_lvl="CRITICAL", mongoclient_kwargs=options
    )
    started = time.perf_counter()
    with working(WorkContext(MongoStore(client[DATABASE]), at_once, runs, "bench")):
        while launch_next("bench", launchpad, ["bench"]):
            pass
    return {
        "fireworks_per_launch": fireworks.count / count,
        "ledger_per_launch": ledger.count / count,
        "launch_ms": (time.perf_counter() - started) / count * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", help="of a MongoDB server; without it the embedded server is started")
    parser.add_argument("--bulk", type=int, default=2000, help="candidates enqueued at once")
    parser.add_argument("--samples", type=int, default=10, help="latencies taken")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="cl-bench-") as folder:
        os.chdir(folder)  # FireWorks writes into the working directory
        server = ensure_server(options.uri, Path(folder) / "db")
        store, launchpad = MongoStore.open(server.uri, DATABASE), open_launchpad(server.uri, DATABASE)
        queue = RelaxQueue(store, launchpad)
        queue.prepare()
        try:
            taken = latencies(server.uri, store, queue, Path(folder), options.samples)
            per_launch = commands(server.uri, store, queue, Path(folder), 20)
            bulk = rates(store, queue, options.bulk)
            figures = {
                "server": server.kind,
                "pick_up_s": {"median": statistics.median(taken), "max": max(taken), "samples": len(taken)},
                "enqueue": {"candidates": options.bulk, **bulk},
                "commands": per_launch,
                "peer": {"fireworks_add_wf_per_s": add_wf_rate(launchpad, 200), "fireworks_idle_sleep_s": 60},
            }
        finally:
            for name in (DATABASE, f"{DATABASE}_fireworks"):
                store.database.client.drop_database(name)
            server.stop()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
