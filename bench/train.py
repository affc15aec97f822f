"""Samples per second and CPU seconds per sample of each network's training step, in this process; prints JSON.

    bench/train.py [--n 16] [--preset compact] [--steps 30]

Tracing the step's graph is reported apart. Peer: a plain VAE and a UNet of 16 channels at 32^3 on two cores took
0.03 to 0.04 and 0.06 to 0.09 s of wall time per sample.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from models.batches import Batch
from models.crystal import Crystal
from models.properties import PROPERTIES
from models.prototypes import Prototype, decorate, decorations
from models.voxels import VoxelConfig
from orchestrator.fit import FITS
from orchestrator.train import TensorFlowEngine
from orchestrator.train_job import NETWORKS, TrainJob

PEER_WALL_S_PER_SAMPLE = {"unet": 0.075, "vae": 0.035}


class TimedEngine(TensorFlowEngine):
    """Notes when each batch is asked for: the first two are tracing, the rest are steps."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[tuple[float, float, int]] = []  # wall, CPU, samples of the batch

    def minimise(
        self,
        network: str,
        loss: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        variables: list[Any],
        batches: Iterable[Batch],
        steps: int,
        learning_rate: float,
    ) -> dict[str, float]:
        """As its parent, with marks."""
        return super().minimise(network, loss, variables, self._marked(batches), steps, learning_rate)

    def _marked(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        self.marks.clear()
        for batch in batches:
            size = len(batch["maps"] if "maps" in batch else batch["numbers"])
            self.marks.append((time.perf_counter(), time.process_time(), size))
            yield batch
        self.marks.append((time.perf_counter(), time.process_time(), 0))


def main(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--preset", choices=("compact", "paper"), default="compact")
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args(arguments)
    report: dict[str, Any] = {"n": args.n, "preset": args.preset, "cores": os.cpu_count()}
    engine = TimedEngine()
    with tempfile.TemporaryDirectory() as folder:
        job = example_job(Path(folder), args.n, args.preset, args.steps)
        for network in NETWORKS:
            FITS[network](job, engine)
            report[network] = rates(engine.marks) | {"peer_wall_s_per_sample": PEER_WALL_S_PER_SAMPLE.get(network)}
    return report


def example_job(folder: Path, n: int, preset: str, steps: int) -> TrainJob:
    """Decorated prototypes with made-up formation energies: what is timed does not depend on them."""
    chosen = list(decorations((Prototype.ROCKSALT, Prototype.PEROVSKITE), ("Li", "Mg", "Al", "O", "F")))[:40]
    crystals = tuple(Crystal.from_structure(decorate(prototype, elements)) for prototype, elements in chosen)
    labels = np.full((len(crystals), len(PROPERTIES)), np.nan)
    labels[:, 0] = np.random.default_rng(0).normal(-1.0, 1.0, len(crystals))
    voxels = VoxelConfig(n=n, width_scale=0.5)
    return TrainJob(
        folder, crystals, labels, "bench", voxels=voxels, preset=preset, steps=dict.fromkeys(NETWORKS, steps)
    )


def rates(marks: list[tuple[float, float, int]]) -> dict[str, float]:
    """Figures of a training from its marks."""
    first, last = marks[2], marks[-1]
    samples = sum(size for _, _, size in marks[2:-1])
    wall, cpu = last[0] - first[0], last[1] - first[1]
    return {
        "trace_s": round(first[0] - marks[0][0], 2),
        "samples_per_s": round(samples / wall, 1),
        "wall_s_per_sample": round(wall / samples, 5),
        "cpu_s_per_sample": round(cpu / samples, 5),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
