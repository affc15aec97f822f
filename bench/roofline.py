"""How near the machine's peak the training steps and the voxel maps come, and each kernel beside a plain one; prints JSON.

    bench/roofline.py [--n 32] [--preset compact] [--batch 8] [--data FOLDER]

The peak is measured in the same minute: a large float32 matrix product and a large copy. Operations of a training step
are those of its TensorFlow graph, backward pass included; a forward pass is also counted from the Keras layers. Bytes
are those of every operand and result, as if nothing were fused: an upper bound of the traffic.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measure import environment
from plain import differences
from train import made
from voxelize import compare, decorated, load
from work import Peak, Work, graph_work, layers_work, measured_peak, roofline

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.maps.voxels import VoxelConfig, voxelize_batch, widths_and_radii_ang


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    peak = measured_peak()
    crystals, source = load(args.data, 256)
    report: dict[str, Any] = {
        **environment(),
        "peak_gflop_per_s": round(peak.flops_per_s / 1e9, 1),
        "peak_gbyte_per_s": round(peak.bytes_per_s / 1e9, 1),
        "crystals": source,
    }
    report["voxelize"] = voxels(crystals, args.n, peak)
    for network in ("unet", "vae"):
        report[network] = training_step(network, args, peak)
    report["largest_difference_from_a_plain_kernel"] = {
        **differences(),
        "voxelize": compare(crystals, VoxelConfig(n=8))["max_difference_of_the_peak"],
    }
    return report


def training_step(network: str, args: argparse.Namespace, peak: Peak) -> dict[str, Any]:
    """One optimiser-free step (loss and gradients), per sample; the update of the weights is a per cent of it."""
    import tensorflow as tf

    model, variables, loss, batches = made(network, decorated(64), args.n, args.preset, args.batch, 1)
    batch = next(batches)

    def step(some: Any) -> Any:  # noqa: ANN401
        with tf.GradientTape() as tape:
            parts = loss(some)
        return parts["loss"], [g for g in tape.gradient(parts["loss"], variables) if g is not None]

    whole = graph_work(step, batch)
    compiled = tf.function(step, autograph=False)
    tensors = {name: tf.convert_to_tensor(array) for name, array in batch.items()}
    compiled(tensors)  # traces
    seconds = []
    for _ in range(args.steps):
        started = time.perf_counter()
        float(compiled(tensors)[0])
        seconds.append(time.perf_counter() - started)
    per_sample = Work(whole.flops / args.batch, whole.bytes / args.batch)
    return {
        "step_per_sample": roofline(per_sample, min(seconds) / args.batch, peak),
        "operations": {kind: round(flops / whole.flops, 3) for kind, flops in whole.by_kind.most_common(6)},
        "forward_mflop_of_layers": {
            name: round(layers_work(part).flops / 1e6, 2) for name, part in model.networks.items()
        },
    }


def voxels(crystals: list[Crystal], n: int, peak: Peak) -> dict[str, Any]:
    config = VoxelConfig(n=n)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        voxelize_batch(crystals, config)
        seconds.append(time.perf_counter() - started)
    found = roofline(voxels_work(crystals, config), min(seconds) / len(crystals), peak)
    return {**found, "what": "density and species of one crystal, one thread; the peak is of all cores"}


def voxels_work(crystals: Sequence[Crystal], config: VoxelConfig) -> Work:
    """The separable sum of whole maps per crystal: tables, planes and one product, the maps written once.

    The kernel draws a quarter of face-centred maps, so that it may do less than this.
    """
    work = Work()
    n = config.n
    for crystal in crystals:
        widths, _ = widths_and_radii_ang(crystal.numbers, float(crystal.lengths_ang.max()), config)
        images = (
            2 * int(np.ceil(np.sqrt(-2 * np.log(config.tail)) * widths.max() / crystal.lengths_ang.min() + 0.5)) + 1
        )
        levels = len(np.unique(np.column_stack([crystal.numbers, crystal.frac_coords[:, 2].round(9)]), axis=0))
        atoms = len(crystal)
        work.add("tables", 3 * atoms * n * images * 12, 0)  # an exponential is about ten operations
        work.add("planes", 2 * atoms * n * n * 2, 0)  # of density and of squared distances
        work.add("product", 2 * n**3 * levels, 0)
        work.add("nearest", 2 * n**3 * levels, 6 * n**3)  # a sum and a comparison; float32 and int16 written
    share = 1.0 / len(crystals)
    return Work(work.flops * share, work.bytes * share, work.by_kind)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--preset", choices=("compact", "paper"), default="compact")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--data", type=Path, default=None, help="folder with cubic_three_classes.jsonl.gz")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
