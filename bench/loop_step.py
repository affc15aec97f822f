"""What a waiting loop costs: database commands of an idle minute, seconds and CPU seconds of a step; prints JSON.

    python bench/loop_step.py [--candidates 10000] [--per-round 100] [--steps 60] [--uri mongodb://...]

A campaign of many closed rounds waits for its last one, of which two candidates are at work and the others are queued.
The clock goes on by a second a step, and nothing sleeps.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from measure import environment
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent, register

from crystalloop.db.embedded.folder import read_state
from crystalloop.db.ledger.campaigns import CampaignRecord, CampaignState, Round
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.records import (
    REFERENCES,
    Attempt,
    Candidate,
    CandidateState,
    CrystalDoc,
    Origin,
    OriginKind,
    Relaxation,
)
from crystalloop.db.serving.server import ensure_server
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.contracts import Parts
from crystalloop.orchestrator.loop.loop import Loop

DATABASE = "bench_loop"
START = datetime.now(UTC).replace(microsecond=0)
ROCKSALT = CrystalDoc(
    lattice=((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0)),
    species=("Li",) * 4 + ("F",) * 4,
    frac_coords=tuple((i / 8, 0.0, 0.5) for i in range(8)),
)
RELAXED = Relaxation(
    crystal=ROCKSALT,
    conventional=ROCKSALT,
    energy_ev=-2700.0,
    energy_per_atom_ev=-337.5,
    a_ang=4.0,
    spacegroup=225,
    volume_per_atom_ang3=8.0,
    pressure_kbar=0.1,
    fmax_ev_ang=0.0,
    steps=5,
    bond_change_percent=0.1,
    cell_change_percent=0.1,
    cpu_s=20.0,
    wall_s=21.0,
    pw_version="6.7",
    pseudos={"Li": "0" * 32, "F": "1" * 32},
)


class Commands(CommandListener):
    """Counts what every client of this process sends."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        """Count it."""
        self.seen[event.command_name] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Counted before."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Counted before."""


class References:
    """Elemental references without pseudopotentials; nothing else is asked of energies while waiting."""

    def references(self, elements: Iterable[str], now: datetime) -> tuple[Candidate, ...]:
        """One for each element, computed already."""
        return tuple(
            candidate(REFERENCES, 0, f"ref-{e}", CandidateState.RELAXED, kind="reference")
            for e in sorted(set(elements))
        )


class Nobody:
    """Workers that were started elsewhere."""

    def ensure(self) -> None:
        """None is missing."""

    def stop(self) -> None:
        """None is to be stopped."""


def candidate(campaign: str, round_: int, name: str, state: CandidateState, **changes: Any) -> Candidate:  # noqa: ANN401
    relaxed = state is CandidateState.RELAXED
    attempts = [Attempt(number=n, started_at=START, outcome="converged", cpu_s=10.0, wall_s=11.0) for n in (1, 2)]
    fields = {
        "id": name,
        "campaign": campaign,
        "round": round_,
        "key": f"key-{name}",
        "formula": "LiF",
        "prototype": "rocksalt_B1",
        "crystal": ROCKSALT,
        "settings": {"preset": "fast", "d2": False, "kspacing_inv_ang": 0.5, "degauss_ry": 0.02, "nspin": 1},
        "origin": Origin(kind=OriginKind.RANDOM, latent=(0.123456,) * 64, condition=(0.0,) * 10),
        "predicted": dict.fromkeys(("formation_energy_per_atom", "band_gap", "poisson_ratio"), -1.0),
        "state": state,
        "attempts": tuple(attempts) if relaxed else (),
        "relaxation": RELAXED if relaxed else None,
        "e_f": -2.5 if relaxed else None,
        "created_at": START,
        "updated_at": START,
    }
    return Candidate.model_validate({**fields, **changes})


def fill(store: MongoStore, queue: RelaxQueue, campaign: Campaign, count: int, per_round: int) -> None:
    """Closed rounds up to `count` candidates, and an open one."""
    name = campaign.name
    store.start_campaign(
        CampaignRecord(
            id=name,
            spec=campaign.spec(),
            spec_digest="d",
            folder="f",
            state=CampaignState.ACTIVE,
            created_at=START,
            updated_at=START,
        )
    )
    store.add_candidates(References().references(campaign.elements, START))
    rounds = count // per_round
    for number in range(1, rounds + 1):
        state = CandidateState.RELAXED if number < rounds else CandidateState.PROPOSED
        made = [candidate(name, number, f"{name}-{number}-{i}", state) for i in range(per_round)]
        store.add_candidates(made)
        store.put_round(
            Round(
                id=f"{name}/{number}",
                campaign=name,
                number=number,
                model_version=None,
                funnel=(("generated", 5000), ("unique", 900)),
                chosen=tuple(one.id for one in made),
                started_at=START,
                finished_at=START if number < rounds else None,
            )
        )
    ids = [one.id for one in made]
    store.queue(ids, START)
    queue.submit([found for identity in ids if (found := store.candidate(identity)) is not None])
    for identity in ids[:2]:
        store.claim(identity, "worker", START, 7 * 86400.0)


def server_cpu_s(pid: int | None) -> float:
    """Processor seconds of a process so far."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(arguments: argparse.Namespace, uri: str, pid: int | None) -> dict[str, Any]:
    commands = Commands()
    register(commands)
    campaign = Campaign.model_validate(
        {
            "name": "long",
            "elements": ["Li", "F"],
            "prototypes": ["rocksalt_B1"],
            "target": {"direction": "minimise"},
            "rounds": 1000,
            "dft": {"per_round": arguments.per_round},
        }
    )
    store = MongoStore.open(uri, DATABASE)
    for name in (DATABASE, f"{DATABASE}_fireworks"):
        store.database.client.drop_database(name)
    store.ensure_indexes()
    queue = RelaxQueue(store, open_launchpad(uri, DATABASE))
    fill(store, queue, campaign, arguments.candidates, arguments.per_round)
    clock = [START]

    def sleep(seconds: float) -> None:
        clock[0] += timedelta(seconds=seconds)

    parts = Parts(
        store=store,
        queue=queue,
        workers=Nobody(),
        proposer=None,  # type: ignore[arg-type]
        trainer=None,  # type: ignore[arg-type]
        energies=References(),  # type: ignore[arg-type]
        settle_hulls=lambda: None,
        meanwhile=lambda: None,
        now=lambda: clock[0],
        sleep=sleep,
        tell=lambda event: None,
    )
    started = time.perf_counter()
    loop = Loop(campaign, parts)
    loop.step()
    first_s = time.perf_counter() - started
    commands.seen.clear()
    started, cpu, server = time.perf_counter(), time.process_time(), server_cpu_s(pid)
    for _ in range(arguments.steps):
        loop.step()
    wall, steps = time.perf_counter() - started, arguments.steps
    return {
        "candidates": arguments.candidates,
        "per_round": arguments.per_round,
        "steps": steps,
        "commands_per_idle_minute": round(sum(commands.seen.values()) * 60 / steps, 1),
        "commands": dict(commands.seen.most_common()),
        "first_step_s": round(first_s, 3),
        "step_s": round(wall / steps, 4),
        "step_cpu_s": round((time.process_time() - cpu) / steps, 4),
        "step_server_cpu_s": round((server_cpu_s(pid) - server) / steps, 4) if pid else None,
        **environment(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--per-round", type=int, default=100)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--uri", help="a server to measure on; an embedded one of its own by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        folder = Path(name)
        server = ensure_server(arguments.uri, folder)
        state = None if arguments.uri else read_state(folder / "embedded")
        try:
            print(json.dumps(measure(arguments, server.uri, state.pid if state else None), indent=2))
        finally:
            if not arguments.uri:
                server.stop()


if __name__ == "__main__":
    main()
