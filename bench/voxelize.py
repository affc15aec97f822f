"""Crystals per second through `models.voxels`, beside a plain voxel-by-voxel reference; prints JSON.

Run: python bench/voxelize.py [--data FOLDER] [--crystals 1000] [--n 32] [--threads 1]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.crystal import Crystal
from models.elements import atomic_number, atomic_numbers
from models.prototypes import Prototype, estimate_a_ang, roles, sites
from models.voxels import VoxelConfig, density_batch, voxelize_batch, widths_and_radii_ang


def main() -> None:
    options = parse()
    crystals, source = load(options.data, options.crystals)
    config = VoxelConfig(n=options.n)
    voxelize_batch(crystals[:64], config, options.threads)  # warm caches and thread pools
    batches = [crystals[start : start + 256] for start in range(0, len(crystals), 256)]
    report: dict[str, Any] = {
        "what": "conventional cells to n^3 maps, in batches of 256",
        "crystals": len(crystals),
        "source": source,
        "atoms_mean": round(float(np.mean([len(crystal) for crystal in crystals])), 2),
        "n": config.n,
        "threads": options.threads,
        "cpus": os.cpu_count(),
        "density": timed(lambda: [density_batch(batch, config, options.threads) for batch in batches], len(crystals)),
        "density_and_species": timed(
            lambda: [voxelize_batch(batch, config, options.threads) for batch in batches], len(crystals)
        ),
        "peer": compare(crystals, config),
    }
    print(json.dumps(report, indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=None, help="folder with cubic_three_classes.jsonl.gz")
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def load(folder: Path | None, count: int) -> tuple[list[Crystal], str]:
    """Return evenly spread crystals of the data file, or decorated prototypes where there is none."""
    if folder is None:
        return decorated(count), "decorated prototypes"
    path = folder / "cubic_three_classes.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    chosen = records[:: max(1, len(records) // count)][:count]
    return [from_record(record) for record in chosen], path.name


def from_record(record: dict[str, Any]) -> Crystal:
    numbers = np.array([atomic_number(symbol) for symbol in record["species"]])
    return Crystal(np.eye(3) * record["a"], numbers, np.array(record["frac_coords"]))


def decorated(count: int) -> list[Crystal]:
    rng = np.random.default_rng(0)
    pool = list(atomic_numbers())[:83]
    crystals = []
    for index in range(count):
        prototype = list(Prototype)[index % len(Prototype)]
        elements = [str(symbol) for symbol in rng.choice(pool, len(roles(prototype)), replace=False)]
        role_of, frac_coords = sites(prototype)
        numbers = np.array([atomic_number(elements[role]) for role in role_of])
        crystals.append(Crystal(np.eye(3) * estimate_a_ang(prototype, elements), numbers, frac_coords))
    return crystals


def timed(work: Callable[[], object], count: int, repeats: int = 3) -> dict[str, float]:
    """Run a few times and report the best: other load on the machine only ever slows it."""
    runs = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall_s, cpu_s = min(runs)
    return {
        "crystals_per_s": round(count / wall_s, 1),
        "wall_s": round(wall_s, 4),
        "cpu_s": round(cpu_s, 4),
        "worst_crystals_per_s": round(count / max(runs)[0], 1),
    }


def compare(crystals: list[Crystal], config: VoxelConfig) -> dict[str, Any]:
    """Time the reference on one small cell, and compare it on a few coarse ones."""
    small = min(crystals, key=len)
    wall = time.perf_counter()
    voxel_by_voxel(small, config)
    wall = time.perf_counter() - wall
    coarse = VoxelConfig(n=8)
    differences, labels = [], 0
    for crystal in crystals[:: max(1, len(crystals) // 6)][:6]:
        density, species = voxel_by_voxel(crystal, coarse)
        batch = voxelize_batch([crystal], coarse)
        differences.append(float(np.abs(batch.density[0] - density).max()))
        labels += int((batch.species[0] != species).sum())
    return {
        "what": "one voxel and one atom at a time, in Python",
        "crystals_per_s": round(1.0 / wall, 4),
        "atoms": len(small),
        "max_abs_difference_e_ang3": max(differences),
        "voxels_of_other_species": labels,
    }


def voxel_by_voxel(crystal: Crystal, config: VoxelConfig) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The definition, written down plainly: for every voxel, every atom, every image."""
    n = config.n
    widths, radii = widths_and_radii_ang(crystal.numbers, float(crystal.lengths_ang.max()), config)
    density, species = np.zeros((n, n, n)), np.zeros((n, n, n), dtype=np.int64)
    cutoff = np.sqrt(-2 * np.log(config.tail)) * widths.max()
    reach = int(np.ceil(cutoff / crystal.lengths_ang.min())) + 1
    shifts = np.array(list(product(range(-reach, reach + 1), repeat=3)))
    for voxel in product(range(n), repeat=3):
        nearest = np.inf
        for number, frac, width, radius in zip(crystal.numbers, crystal.frac_coords, widths, radii, strict=True):
            squared = np.square((frac + shifts - np.array(voxel) / n) @ crystal.lattice).sum(axis=1)
            amplitude = number / ((2 * np.pi) ** 1.5 * width**3)
            density[voxel] += amplitude * np.exp(-squared / (2 * width**2)).sum()
            closer = squared.min() < nearest - 1e-5 or (squared.min() < nearest + 1e-5 and number < species[voxel])
            if squared.min() < radius**2 and closer:
                nearest, species[voxel] = squared.min(), number
    return density, species


if __name__ == "__main__":
    main()
