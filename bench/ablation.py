"""The rows of the paper's Table 5 on our data: no deep features and s = 1, deep features and s = 1, deep features and s = r.

Density alone, as in the paper: no element codes. The VAE has its linear frame in all rows, because without it a
training of minutes decodes nothing that could be read. All widths are halved (`--scale`): in a whole cell with its
periodic images, Gaussians as wide as the ionic radius run together, and a short training finds no atoms in what is left.
Crystals are of one size and of the commonest elements, so that few species are to be learned. Each row is trained with
every seed, on a UNet that rows of one width share, and judged on held-out crystals through encoder, decoder and UNet.
Prints JSON; the order of the rows is the claim, not the values: these are short trainings of small networks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
from measure import environment
from scipy.optimize import linear_sum_assignment

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.data.corpus import Corpus, read_corpus
from crystalloop.models.learn.job import TrainJob, TrainResources
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.orchestrator.learn.ray_fit import fit_networks

ROWS: dict[str, tuple[float, float | None]] = {
    "no DFC, s = 1": (0.0, 1.0),
    "DFC, s = 1": (1.0, 1.0),
    "DFC, s = r": (1.0, None),
}
"""Row -> alpha, and the one Gaussian width for all elements (angstrom) or None for each element's radius; times `--scale`."""
PAPER = {
    "no DFC, s = 1": {"mse": 0.012, "recall": 0.55, "emd_ang": 0.150, "dn_sites": 1.0},
    "DFC, s = 1": {"mse": 0.013, "recall": 0.55, "emd_ang": 0.112, "dn_sites": 0.25},
    "DFC, s = r": {"mse": 0.013, "recall": 0.87, "emd_ang": 0.090, "dn_sites": 0.198},
}
DENSITY_ALONE: dict[str, dict[str, Any]] = {
    "unet": {"codes": False, "norm": "batch"},
    "vae": {"codes": False, "latent": 64, "feature_share": 1.0},
}
"""The UNet normalises as the paper's does: `group` takes out the heights, which without codes alone tell the elements."""


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    return joined([json.loads(path.read_text(encoding="utf-8")) for path in args.join]) if args.join else trained(args)


def trained(args: argparse.Namespace) -> dict[str, Any]:
    train, held = corpora(args)
    started, cpu = time.monotonic(), time.process_time()
    rows: dict[str, Any] = {name: {"paper": PAPER[name], "runs": []} for name in ROWS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            for name, (alpha, width) in ROWS.items():
                place = Path(folder) / f"{seed} {width}"
                run = {"seed": seed, **one(train, held, widths(args, width), alpha, seed, args, place)}
                rows[name]["runs"].append(run)
                print(json.dumps({name: run}), file=sys.stderr, flush=True)
    settings = {key: value for key, value in vars(args).items() if key not in ("data", "join", "seeds")}
    return {
        "rows": {name: row | {"mean": mean_of(row["runs"])} for name, row in rows.items()},
        "train": len(train.crystals),
        "held_out": len(held.crystals),
        "settings": settings,
        "data": [path.name for path in args.data],
        "wall_s": round(time.monotonic() - started, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        **environment(),
    }


def joined(outputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One output of several that differ in their seeds alone; seconds are added up."""
    first = outputs[0]
    if any(other["settings"] != first["settings"] or other["train"] != first["train"] for other in outputs):
        raise SystemExit("outputs of other settings or crystals cannot be joined; run them with the same options")
    rows = {}
    for name, row in first["rows"].items():
        runs = sorted((run for output in outputs for run in output["rows"][name]["runs"]), key=lambda run: run["seed"])
        rows[name] = {"paper": row["paper"], "runs": runs, "mean": mean_of(runs)}
    spent = {key: round(sum(output[key] for output in outputs), 1) for key in ("wall_s", "cpu_s")}
    return first | {"rows": rows} | spent


def corpora(args: argparse.Namespace) -> tuple[Corpus, Corpus]:
    """What is trained on and what is held out (of the val part): crystals of one size and of the commonest elements."""
    corpus = read_corpus(args.data, bad_rows="skip")
    train, held = corpus.part("train"), corpus.part("val")
    sized = [crystal for crystal in train.crystals if len(crystal) == args.atoms]
    counts = Counter(z for crystal in sized for z in set(crystal.numbers.tolist()))
    common = {z for z, _ in counts.most_common(args.elements)}
    train, held = (
        part.take(np.array([len(c) == args.atoms and set(c.numbers.tolist()) <= common for c in part.crystals]))
        for part in (train, held)
    )
    return sample(train, args.crystals), sample(held, args.held)


def widths(args: argparse.Namespace, width: float | None) -> VoxelConfig:
    if width is None:
        return VoxelConfig(n=args.n, width_scale=args.scale)
    return VoxelConfig(n=args.n, constant_width_ang=args.scale * width)


def sample(corpus: Corpus, most: int) -> Corpus:
    rows = np.sort(np.random.default_rng(0).permutation(len(corpus.crystals))[:most])
    return corpus.take(rows)


def one(
    train: Corpus, held: Corpus, voxels: VoxelConfig, alpha: float, seed: int, args: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Train the VAE for one row and seed, and the UNet where the folder has none yet, and judge them."""
    job = TrainJob(
        folder,
        train.crystals,
        train.labels,
        train.digest,
        voxels=voxels,
        overrides={**DENSITY_ALONE, "vae": {**DENSITY_ALONE["vae"], "alpha": alpha}},
        steps={"unet": args.unet_steps, "vae": args.vae_steps},
        batch={"unet": args.unet_batch},
        learning_rate={"unet": args.unet_rate, "vae": 1e-3},
        seed=seed,
    )
    folder.mkdir(exist_ok=True)
    shutil.rmtree(folder / "vae", ignore_errors=True)
    fit_networks(job, TrainResources(num_workers=0), ("vae",) if (folder / "unet").exists() else ("unet", "vae"))
    return judged(folder, held, voxels)


def judged(folder: Path, held: Corpus, voxels: VoxelConfig) -> dict[str, Any]:
    """Density error, non-zero recall, and the seed's EMD and site counts of held-out crystals that could be read."""
    from crystalloop.models.generate.density_vae import GenerateConfig
    from crystalloop.models.judge.metrics import VoxelTally
    from crystalloop.models.judge.round_trip import round_trip
    from crystalloop.models.judge.site_metrics import emd_ang
    from crystalloop.models.nets.checkpoint import load
    from crystalloop.models.nets.unet import UNet
    from crystalloop.models.nets.vae import DensityVAE

    vae, unet = load(folder / "vae", DensityVAE), load(folder / "unet", UNet)
    trips = list(round_trip(vae, unet, held.crystals, held.labels[:, 0], GenerateConfig(voxels=voxels)))
    read = [(trip.true, trip.raw) for trip in trips if trip.raw is not None]
    made, true = (sum((getattr(trip, key) for trip in trips), VoxelTally()) for key in ("voxels", "voxels_of_true"))
    return {
        "mse": mean(trip.errors.compressed for trip in trips),
        "recall": made.recall,
        "recall_of_true_maps": true.recall,
        "occupancy_iou": made.occupancy_iou,
        "emd_ang": mean(emd_ang(*pair) for pair in read),
        "emd_periodic_ang": mean(emd_periodic_ang(*pair) for pair in read),
        "dn_sites": mean(abs(len(true) - len(raw)) for true, raw in read),
        "failures": len(trips) - len(read),
        "reasons": dict(Counter(trip.failure for trip in trips if trip.failure)),
    }


def emd_periodic_ang(true: Crystal, found: Crystal) -> float:
    """The paper's EMD between nearest images: without them an atom read at .999 for 0 is a whole cell away."""
    from crystalloop.models.crystals.contacts import periodic_distances_ang

    distances = periodic_distances_ang(true.frac_coords, found.frac_coords, true.lattice)
    return float(distances[linear_sum_assignment(distances)].mean())


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean; NaN of none."""
    known = list(values)
    return float(np.mean(known)) if known else float("nan")


def mean_of(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    figures = [name for name, value in runs[0].items() if name != "seed" and isinstance(value, int | float)]
    return {name: round(mean(run[name] for run in runs), 4) for name in figures}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", help="cubic_three_classes.jsonl.gz or the like")
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--scale", type=float, default=0.5, help="of all widths; 1 is the paper's")
    parser.add_argument("--atoms", type=int, default=16, help="in the cell; 16 are Heuslers")
    parser.add_argument("--elements", type=int, default=16, help="the commonest ones; crystals of others are left out")
    parser.add_argument("--crystals", type=int, default=1500, help="to train on, at most")
    parser.add_argument("--held", type=int, default=60, help="of the val part, at most")
    parser.add_argument("--unet-steps", type=int, default=300)
    parser.add_argument("--unet-batch", type=int, default=8)
    parser.add_argument("--unet-rate", type=float, default=5e-3)
    parser.add_argument("--vae-steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--join", type=Path, nargs="+", default=[], help="outputs of other seeds, instead of training")
    args = parser.parse_args(arguments)
    if not args.data and not args.join:
        parser.error("give --data FILE to train, or --join OUTPUT to put outputs together")
    return args


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
