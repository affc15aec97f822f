"""How fast the database of a fresh machine is, and whether it keeps its promises; prints JSON.

    python bench/database.py [--documents 10000] [--uri mongodb://...] [--processes 6]

With --uri the same figures are taken on that server (a real mongod, for comparison); restart and memory are then left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from crystalloop.db.ledger.access.connection import Document, connect
from crystalloop.db.serving.server import Server, ensure_server

CLAIMS = """
import sys
from crystalloop.db.ledger.access.connection import connect
uri, name, worker = sys.argv[1:]
with connect(uri) as client:
    jobs = client[name].jobs
    while jobs.find_one_and_update({"state": "ready"}, {"$set": {"state": "done"}, "$push": {"workers": worker}},
                                   sort=[("rank", -1)]):
        pass
"""


def main() -> None:
    """Take the figures and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--uri")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cl-bench-") as folder:
        server = ensure_server(options.uri, Path(folder))
        name = f"bench_{uuid.uuid4().hex[:8]}"
        try:
            report = {
                "server": server.description.replace(folder, "a temporary folder"),
                "documents": options.documents,
            }
            with connect(server.uri) as client:
                report |= _timings(client[name], options.documents) | _exactly_once(
                    client[name], server.uri, options.processes
                )
            if server.pid is not None:
                server, restart = _restart(server, Path(folder), name, options.documents)
                report |= restart
        finally:
            with connect(server.uri) as client:
                client.drop_database(name)
            server.stop()
    print(json.dumps(report, indent=1))


def candidate(number: int, rng: random.Random) -> Document:
    """A document of the size and shape of a stored candidate, about 2 kB."""
    states = ["proposed"] * 6 + ["queued"] * 2 + ["relaxed"] * 2
    return {
        "_id": f"bench-{number:07d}",
        "round": number // 500,
        "key": f"{number:064x}",
        "formula": "NaCl",
        "state": states[number % 10],
        "score": rng.random(),
        "crystal": {
            "lattice": [[rng.random() for _ in range(3)] for _ in range(3)],
            "species": ["Na", "Cl"] * 4,
            "frac_coords": [[rng.random() for _ in range(3)] for _ in range(8)],
        },
        "predicted": {f"property_{i}": rng.random() for i in range(8)},
        "origin": {"latent": [rng.random() for _ in range(32)]},
    }


def _timings(database: Database[Document], documents: int) -> dict[str, Any]:
    rng = random.Random(1)
    collection: Collection[Document] = database.candidates
    collection.create_index("key", unique=True)
    collection.create_index([("state", 1), ("score", -1)])
    fresh = [candidate(i, rng) for i in range(documents)]
    before = time.perf_counter()
    for start in range(0, documents, 1000):
        collection.insert_many(fresh[start : start + 1000])
    inserting_s = time.perf_counter() - before

    def someone() -> str:
        return f"bench-{rng.randrange(documents):07d}"

    group = [{"$group": {"_id": "$state", "n": {"$sum": 1}, "best": {"$max": "$score"}}}]
    actions: dict[str, Callable[[], object]] = {
        "find_by_id_ms": lambda: collection.find_one({"_id": someone()}),
        "find_by_unique_key_ms": lambda: collection.find_one({"key": f"{rng.randrange(documents):064x}"}),
        "find_and_modify_by_id_ms": lambda: collection.find_one_and_update(
            {"_id": someone()}, {"$set": {"z": rng.random()}}
        ),
        "claim_best_of_a_fifth_ms": lambda: collection.find_one_and_update(
            {"state": "queued"}, {"$set": {"state": "running"}}, sort=[("score", -1)]
        ),
        "insert_one_ms": lambda: collection.insert_one(candidate(10**6 + rng.randrange(10**6) * 1000, rng)),
        "count_a_fifth_ms": lambda: collection.count_documents({"state": "relaxed"}),
        "group_all_ms": lambda: list(collection.aggregate(group)),
        "read_all_ms": lambda: sum(1 for _ in collection.find()),
    }
    slow = {"group_all_ms", "read_all_ms"}
    timings = {name: _median_ms(action, 3 if name in slow else 50) for name, action in actions.items()}
    return {"insert_per_s": round(documents / inserting_s), **timings}


def _median_ms(action: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        before = time.perf_counter()
        action()
        taken.append(time.perf_counter() - before)
    return round(1000 * statistics.median(taken), 3)


def _exactly_once(database: Database[Document], uri: str, processes: int, jobs: int = 600) -> dict[str, Any]:
    """Processes that claim jobs from one collection; every job must have been claimed by one of them, once."""
    database.jobs.create_index("state")
    database.jobs.insert_many({"_id": i, "state": "ready", "rank": i % 7} for i in range(jobs))
    command = [sys.executable, "-c", CLAIMS, uri, database.name]
    before = time.perf_counter()
    workers = [subprocess.Popen([*command, str(number)]) for number in range(processes)]
    failed = sum(worker.wait() != 0 for worker in workers)
    claims = [len(document.get("workers", ())) for document in database.jobs.find()]
    return {
        "claims": {
            "processes": processes,
            "jobs": jobs,
            "once": claims.count(1),
            "twice_or_more": sum(n > 1 for n in claims),
            "never": claims.count(0),
            "failed_processes": failed,
            "s_with_process_start": round(time.perf_counter() - before, 2),
        }
    }


def _restart(server: Server, folder: Path, name: str, documents: int) -> tuple[Server, dict[str, Any]]:
    """Kill the server with signal 9 and start it again on its data."""
    memory = _memory_mb(server)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    time.sleep(0.5)
    before = time.perf_counter()
    again = ensure_server(None, folder)
    restart_s = time.perf_counter() - before
    with connect(again.uri) as client:
        left = client[name].candidates.count_documents({"_id": {"$lt": f"bench-{documents:07d}"}})
    return again, {
        "memory_mb": memory,
        "restart_after_kill_9_s": round(restart_s, 2),
        "restart_includes": "process start, reading the data, the start-up probe",
        "documents_lost_by_kill_9": documents - left,
    }


def _memory_mb(server: Server) -> int | None:
    status = Path(f"/proc/{server.pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), None)


if __name__ == "__main__":
    main()
