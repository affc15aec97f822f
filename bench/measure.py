"""What every bench says of its run: machine, load, versions, commit; CPU and wall seconds of a piece of work. No figures here."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "scipy", "scikit-image", "keras", "tensorflow", "jax")


def environment() -> dict[str, Any]:
    """Load average, cores, processor, Python, versions and commit; a load above the free cores makes wall times long."""
    return {
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := installed(name)) is not None},
        "commit": commit(),
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """Short hash of the checkout, with + where files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        head, changed = (
            subprocess.run(["git", *words], check=True, cwd=here, capture_output=True, text=True).stdout.strip()
            for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


@dataclass
class Spent:
    """Seconds of a piece of work, filled in when it ends."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """Measure a block: wall seconds, and CPU seconds of all threads of this process."""
    spent = Spent()
    wall, cpu = time.perf_counter(), time.process_time()
    yield spent
    spent.wall_s, spent.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


def best_of(work: Callable[[], object], count: int, repeats: int = 5) -> dict[str, float]:
    """Rates of repeated work on `count` things: the best repeat (other load only ever slows one) and the worst."""
    runs = []
    for _ in range(repeats):
        with spending() as spent:
            work()
        runs.append(spent)
    wall_s, cpu_s = min(run.wall_s for run in runs), min(run.cpu_s for run in runs)
    return {
        "per_s": round(count / wall_s, 1),
        "per_cpu_s": round(count / cpu_s, 1),
        "wall_s": round(wall_s, 4),
        "cpu_s": round(cpu_s, 4),
        "worst_per_s": round(count / max(run.wall_s for run in runs), 1),
    }


def peak_rss_mb() -> float:
    """Largest resident size of this process so far, megabytes (Linux counts in kilobytes)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def rss_mb() -> float:
    """Resident size of this process now, megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
