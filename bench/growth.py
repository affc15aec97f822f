"""Cost per crystal of feeding the networks from 10^3 to 10^5 crystals; each size in a process of its own; prints JSON.

    bench/growth.py [--sizes 1000 10000 100000] [--n 32] [--networks unet vae] [--steps 40]

A flat line is the aim: what a step costs, and what memory is added, must not depend on how many crystals there are. The
crystals themselves stay in memory as arrays of atoms (about a kilobyte each); their maps must not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measure import environment, peak_rss_mb, rss_mb, spending
from voxelize import decorated

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.learn.engine import Batch, Share
from crystalloop.models.learn.map_batches import unet_batches, vae_batches
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.configs import UNetConfig, VAEConfig

BATCH = 16
FLAT = 1.5  # a cost this many times the smallest set's is called growth


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    if args.one:
        return measure(args.one, args.networks[0], args.n, args.steps)
    report: dict[str, Any] = {"n": args.n, "batch": BATCH, "steps": args.steps, **environment()}
    for network in args.networks:
        rows = {str(size): alone(size, network, args) for size in args.sizes}
        report[network] = {**rows, "flat": is_flat(list(rows.values()))}
    return report


def alone(size: int, network: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure in a fresh process, so that one size's peak is not the next one's."""
    command = [sys.executable, __file__, "--one", str(size), "--networks", network]
    command += ["--n", str(args.n), "--steps", str(args.steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:], "exit": done.returncode}  # killed for memory: -9
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(size: int, network: str, n: int, steps: int) -> dict[str, Any]:
    crystals = many(size)
    next(batches(network, crystals[:BATCH], n, 1))  # imports, tables and caches
    held = rss_mb()
    with spending() as first:
        stream = batches(network, crystals, n, steps + 1)
        next(stream)
    with spending() as rest:
        for _ in range(steps):
            next(stream)
    return {
        "crystals": size,
        "setup_wall_s": round(first.wall_s, 3),
        "setup_cpu_ms_per_crystal": round(1e3 * first.cpu_s / size, 4),
        "cpu_ms_per_sample": round(1e3 * rest.cpu_s / (steps * BATCH), 4),
        "wall_ms_per_sample": round(1e3 * rest.wall_s / (steps * BATCH), 4),
        "rss_before_mb": held,
        "rss_added_mb": round(rss_mb() - held, 1),
        "peak_rss_mb": peak_rss_mb(),
    }


def many(size: int) -> list[Crystal]:
    """Decorated prototypes, each at its own cell edge."""
    pool = decorated(min(size, 2000))
    scales = np.random.default_rng(1).uniform(0.95, 1.05, size)
    chosen = (pool[index % len(pool)] for index in range(size))
    return [Crystal(c.lattice * s, c.numbers, c.frac_coords) for c, s in zip(chosen, scales, strict=True)]


def batches(network: str, crystals: list[Crystal], n: int, steps: int) -> Iterator[Batch]:
    voxels = VoxelConfig(n=n)
    if network == "unet":
        return unet_batches(crystals, voxels, UNetConfig.preset("compact", n), BATCH, steps, 0, Share())
    labels = np.full((len(crystals), len(PROPERTIES)), np.nan)
    labels[:, 0] = np.random.default_rng(2).normal(-1.0, 1.0, len(crystals))
    return vae_batches(crystals, labels, voxels, VAEConfig.preset("compact", n), BATCH, steps, 0, Share())


def is_flat(rows: list[dict[str, Any]]) -> bool:
    """Whether no size failed, no cost per crystal grew, and no memory beyond a kilobyte a crystal was taken."""
    if any("failed" in row for row in rows):
        return False
    costs = all(
        max(row[key] for row in rows) <= FLAT * rows[0][key]
        for key in ("setup_cpu_ms_per_crystal", "cpu_ms_per_sample")
    )
    last = rows[-1]
    return costs and last["peak_rss_mb"] - last["rss_before_mb"] <= 100 + last["crystals"] / 1024


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--networks", nargs="+", choices=("unet", "vae"), default=["unet", "vae"])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--one", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
