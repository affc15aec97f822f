"""Crystals per second through `models.maps.voxels`, beside a plain voxel-by-voxel reference; prints JSON.

    bench/voxelize.py [--data FOLDER] [--crystals 1000] [--n 16 32] [--threads 1 2]

The aim is 3,000 conventional cells/s at 32^3 on two cores; a plain separable numpy version does 1,000 per CPU second.
"""

from __future__ import annotations

import argparse
import gzip
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from measure import best_of, environment, spending
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number, atomic_numbers
from crystalloop.models.crystals.prototypes import Prototype, roles, sites
from crystalloop.models.crystals.structures import estimate_a_ang
from crystalloop.models.maps.voxels import VoxelConfig, density_batch, voxelize_batch, widths_and_radii_ang


def main() -> None:
    options = parse()
    crystals, source = load(options.data, options.crystals)
    report: dict[str, Any] = {
        "what": "conventional cells to n^3 maps, in batches of 256, float32 and int16",
        "crystals": len(crystals),
        "source": source,
        "atoms_mean": round(float(np.mean([len(crystal) for crystal in crystals])), 2),
        **environment(),
    }
    for n in options.n:
        config = VoxelConfig(n=n)
        report[f"n{n}"] = {f"threads{threads}": rates(crystals, config, threads) for threads in options.threads}
    report["peer"] = compare(crystals, VoxelConfig(n=max(options.n)))
    print(json.dumps(report, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder with cubic_three_classes.jsonl.gz")
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--n", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    return parser.parse_args()


def rates(crystals: list[Crystal], config: VoxelConfig, threads: int) -> dict[str, Any]:
    batches = [crystals[start : start + 256] for start in range(0, len(crystals), 256)]
    voxelize_batch(crystals[:64], config, threads)  # warm caches
    plain = crystals[:: max(1, len(crystals) // 100)]
    found: dict[str, Any] = {
        "density": best_of(lambda: [density_batch(batch, config, threads) for batch in batches], len(crystals)),
        "density_and_species": best_of(
            lambda: [voxelize_batch(batch, config, threads) for batch in batches], len(crystals)
        ),
        "plain_separable_numpy": best_of(lambda: [atom_by_atom(crystal, config) for crystal in plain], len(plain)),
    }
    ratio = found["density_and_species"]["per_cpu_s"] / found["plain_separable_numpy"]["per_cpu_s"]
    found["times_the_plain_one_per_cpu_s"] = round(ratio, 2)  # both under the same load
    return found


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


def compare(crystals: list[Crystal], config: VoxelConfig) -> dict[str, Any]:
    """Time the reference on one small cell, and compare it on a few coarse ones."""
    small = min(crystals, key=len)
    with spending() as spent:
        voxel_by_voxel(small, config)
    coarse = VoxelConfig(n=8)
    differences, plain_differences, labels = [], [], 0
    for crystal in crystals[:: max(1, len(crystals) // 6)][:6]:
        density, species = voxel_by_voxel(crystal, coarse)
        batch = voxelize_batch([crystal], coarse)
        plain, _ = atom_by_atom(crystal, coarse)
        plain_differences.append(float(np.abs(plain - density).max() / density.max()))
        differences.append(float(np.abs(batch.density[0] - density).max() / density.max()))
        labels += int((batch.species[0] != species).sum())
    return {
        "what": "one voxel and one atom at a time, in Python",
        "crystals_per_s": round(1.0 / spent.wall_s, 4),
        "cpu_s": round(spent.cpu_s, 3),
        "atoms": len(small),
        "max_difference_of_the_peak": max(differences),
        "max_difference_of_the_peak_plain": max(plain_differences),
        "voxels_of_other_species": labels,
    }


def atom_by_atom(crystal: Crystal, config: VoxelConfig) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Plain separable numpy, one orthogonal cell at a time: a peer for speed that a reader can check at a glance."""
    n, edges = config.n, crystal.lengths_ang
    widths, radii = widths_and_radii_ang(crystal.numbers, float(edges.max()), config)
    images = int(np.ceil(np.sqrt(-2 * np.log(config.tail)) * widths.max() / edges.min() + 0.5))
    offset = np.arange(n) / n - crystal.frac_coords[..., None]  # [a, 3, n]
    offset -= np.round(offset)
    shifted = (offset[..., None] + np.arange(-images, images + 1)) * edges[:, None, None]
    norm = (np.sqrt(2 * np.pi) * widths)[:, None, None]
    tables = (np.exp(-np.square(shifted / widths[:, None, None, None]) / 2).sum(-1) / norm).astype(np.float32)
    planes = tables[:, 0, :, None] * tables[:, 1, None, :]
    density = np.tensordot(planes, tables[:, 2] * crystal.numbers[:, None].astype(np.float32), (0, 0))
    nearest, species = np.full((n, n, n), np.inf), np.zeros((n, n, n), np.int64)
    for atom in np.argsort(crystal.numbers, kind="stable"):
        x, y, z = np.square(offset[atom] * edges[:, None])
        squared = x[:, None, None] + y[:, None] + z
        closer = (squared < radii[atom] ** 2) & (squared < nearest - 1e-6)
        nearest[closer], species[closer] = squared[closer], crystal.numbers[atom]
    return density, species


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
