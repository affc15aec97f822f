"""CPU seconds per sample of each network's training step beside those of making its batch, and peak memory; prints JSON.

    bench/train.py [--n 16 32] [--preset compact] [--steps 20] [--networks unet vae cgcnn] [--batch 8]

Each network is trained for some steps on the public engine in a process of its own, so that peaks of memory are its own.
The first two steps trace the graph and are reported apart. Aims at 32^3 on two cores: VAE with its deep-feature loss
.10 CPU s a sample (aim .05), UNet .15; the paper's own code takes .54 and 2.90. Making a batch must not cost more than
the step on it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measure import environment, peak_rss_mb
from voxelize import decorated

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.learn.engine import Batch, Share
from crystalloop.models.learn.engine_tensorflow import TensorFlowEngine
from crystalloop.models.learn.graph_batches import cgcnn_batches
from crystalloop.models.learn.job import BATCH, LEARNING_RATE, NETWORKS
from crystalloop.models.learn.map_batches import unet_batches, vae_batches
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.blocks import count_weights
from crystalloop.models.nets.cgcnn import CGCNN
from crystalloop.models.nets.configs import CGCNNConfig, UNetConfig, VAEConfig, decile_edges
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE

CRYSTALS = 64
TRACED = 2  # steps
AIM_CPU_S = {"unet": 0.15, "vae": 0.10}
PAPERS_CODE_CPU_S = {"unet": 2.90, "vae": 0.54}


@dataclass
class Marks:
    """Wall and CPU clock, and samples, when a batch was asked for and when it was made."""

    asked: list[tuple[float, float]] = field(default_factory=list)
    made: list[tuple[float, float, int]] = field(default_factory=list)

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, with marks; one more at the end."""
        for batch in self._asking(batches):
            size = len(batch["maps"] if "maps" in batch else batch["targets"])
            self.made.append((time.perf_counter(), time.process_time(), size))
            yield batch

    def _asking(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            self.asked.append((time.perf_counter(), time.process_time()))
            try:
                yield next(batches)
            except StopIteration:
                return


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    if args.one:
        return measure(args.networks[0], args.n[0], args)
    report: dict[str, Any] = {"preset": args.preset, "steps": args.steps, **environment()}
    for n in args.n:
        report[f"n{n}"] = {network: alone(network, n, args) for network in args.networks}
    return report


def alone(network: str, n: int, args: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", "--networks", network, "--n", str(n)]
    command += ["--preset", args.preset, "--steps", str(args.steps), "--batch", str(args.batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:], "exit": done.returncode}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(network: str, n: int, args: argparse.Namespace) -> dict[str, Any]:
    crystals = decorated(CRYSTALS)
    steps, batch, marks = args.steps + TRACED, args.batch or BATCH[network], Marks()
    engine = TensorFlowEngine()
    with engine.begin(0):
        model, variables, loss, batches = made(network, crystals, n, args.preset, batch, steps)
    engine.minimise(network, loss, variables, marks.watch(batches), steps, LEARNING_RATE[network])
    weights = sum(count_weights(part) for part in model.networks.values())
    return {"batch": batch, "weights": weights, **rates(marks, network), "peak_rss_mb": peak_rss_mb()}


def made(
    network: str, crystals: list[Crystal], n: int, preset: str, batch: int, steps: int
) -> tuple[Any, list[Any], Any, Iterator[Batch]]:
    """A network, what is trained of it, its loss and its batches. Formation energies are made up."""
    voxels, share = VoxelConfig(n=n), Share()
    unet = UNet(UNetConfig.preset(preset, n))
    labels = np.full((len(crystals), len(PROPERTIES)), np.nan)
    labels[:, 0] = np.random.default_rng(0).normal(-1.0, 1.0, len(crystals))
    if network == "unet":
        batches = unet_batches(crystals, voxels, unet.config, batch, steps, 0, share)
        return unet, unet.trainable, unet.compute_loss, batches
    if network == "vae":
        edges, scale = decile_edges(labels[:, 0]), (1.0,) + (0.0,) * (len(PROPERTIES) - 1)
        vae = DensityVAE(replace(VAEConfig.preset(preset, n), decile_edges_ev=edges, property_scale=scale))
        batches = vae_batches(crystals, labels, voxels, vae.config, batch, steps, 0, share)
        return vae, vae.trainable, lambda some: vae.compute_loss(some, unet), batches
    cgcnn = CGCNN(CGCNNConfig.preset(preset))
    batches = cgcnn_batches(cgcnn, cgcnn.graphs(crystals), labels, "energies", batch, steps, 0, share)
    return cgcnn, cgcnn.stage_variables("energies"), lambda some: cgcnn.compute_loss(some, "energies"), batches


def rates(marks: Marks, network: str) -> dict[str, Any]:
    """Seconds of steps and of making batches, per sample, without the first steps."""
    samples = sum(size for *_, size in marks.made[TRACED:])
    pairs = list(zip(marks.asked, marks.made, strict=False))[TRACED:]  # asked once more than made
    load_wall, load_cpu = (sum(made[k] - asked[k] for asked, made in pairs) for k in (0, 1))
    wall, cpu = (marks.asked[-1][k] - marks.asked[TRACED][k] for k in (0, 1))
    step_cpu = (cpu - load_cpu) / samples
    return {
        "samples": samples,
        "trace_wall_s": round(marks.asked[TRACED][0] - marks.asked[0][0], 2),
        "step_wall_s_per_sample": round((wall - load_wall) / samples, 5),
        "step_cpu_s_per_sample": round(step_cpu, 5),
        "load_wall_s_per_sample": round(load_wall / samples, 5),
        "load_cpu_s_per_sample": round(load_cpu / samples, 5),
        "load_is_cheaper": load_cpu < cpu - load_cpu,
        "aim_cpu_s_per_sample": AIM_CPU_S.get(network),
        "papers_code_cpu_s_per_sample": PAPERS_CODE_CPU_S.get(network),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--preset", choices=("compact", "paper"), default="compact")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=0, help="samples in a step; the trainings' own when 0")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
