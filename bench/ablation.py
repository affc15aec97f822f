"""The rows of the paper's Table 5 on our data: no deep features and s = 1, deep features and s = 1, deep features and s = r.

Density alone, as in the paper: no element codes. The VAE has its linear frame in all rows, because without it a
training of minutes decodes nothing that could be read. Each row is trained with every seed, on a UNet that rows of one
width share, and judged on held-out crystals through encoder, decoder and UNet. Prints JSON; the order of the rows is the
claim, not the values: these are short trainings of small networks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np

from models.voxels import VoxelConfig
from orchestrator.corpus import Corpus, read_corpus
from orchestrator.train import fit_networks
from orchestrator.train_job import TrainJob, TrainResources

ROWS: dict[str, tuple[float, float | None]] = {
    "no DFC, s = 1": (0.0, 1.0),
    "DFC, s = 1": (1.0, 1.0),
    "DFC, s = r": (1.0, None),
}
"""Row -> alpha, and the one Gaussian width for all elements (angstrom) or None for each element's radius."""
PAPER = {
    "no DFC, s = 1": {"mse": 0.012, "recall": 0.55, "emd_ang": 0.150, "dn_sites": 1.0},
    "DFC, s = 1": {"mse": 0.013, "recall": 0.55, "emd_ang": 0.112, "dn_sites": 0.25},
    "DFC, s = r": {"mse": 0.013, "recall": 0.87, "emd_ang": 0.090, "dn_sites": 0.198},
}
DENSITY_ALONE: dict[str, dict[str, Any]] = {
    "unet": {"codes": False},
    "vae": {"codes": False, "latent": 64, "feature_share": 1.0},
}


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    corpus = read_corpus(args.data, bad_rows="skip")
    train, held = sample(corpus.part("train"), args.crystals), sample(corpus.part("val"), args.held)
    started, cpu = time.monotonic(), time.process_time()
    rows: dict[str, Any] = {name: {"paper": PAPER[name], "runs": []} for name in ROWS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seeds):
            for name, (alpha, width) in ROWS.items():
                voxels = VoxelConfig(n=args.n, constant_width_ang=width)
                place = Path(folder) / f"{seed} {width}"
                rows[name]["runs"].append(one(train, held, voxels, alpha, seed, args, place))
                print(json.dumps({name: rows[name]["runs"][-1]}), file=sys.stderr, flush=True)
    for row in rows.values():
        row["mean"] = mean_of(row["runs"])
    return {
        "rows": rows,
        "train": len(train.crystals),
        "held_out": len(held.crystals),
        "steps": {"unet": args.unet_steps, "vae": args.vae_steps},
        "n": args.n,
        "wall_s": round(time.monotonic() - started, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "load": os.getloadavg(),
    }


def sample(corpus: Corpus, most: int) -> Corpus:
    rows = np.sort(np.random.default_rng(0).permutation(len(corpus.crystals))[:most])
    return corpus.take(rows)


def one(
    train: Corpus, held: Corpus, voxels: VoxelConfig, alpha: float, seed: int, args: argparse.Namespace, folder: Path
) -> dict[str, float]:
    """Train the VAE for one row and seed, and the UNet where the folder has none yet, and judge them."""
    job = TrainJob(
        folder,
        train.crystals,
        train.labels,
        train.digest,
        voxels=voxels,
        overrides={**DENSITY_ALONE, "vae": {**DENSITY_ALONE["vae"], "alpha": alpha}},
        steps={"unet": args.unet_steps, "vae": args.vae_steps},
        learning_rate={"vae": 1e-3},
        seed=seed,
    )
    folder.mkdir(exist_ok=True)
    shutil.rmtree(folder / "vae", ignore_errors=True)
    fit_networks(job, TrainResources(num_workers=0), ("vae",) if (folder / "unet").exists() else ("unet", "vae"))
    return judged(folder, held, voxels)


def judged(folder: Path, held: Corpus, voxels: VoxelConfig) -> dict[str, float]:
    """Density error, non-zero recall, and the seed's EMD and site counts of held-out crystals."""
    from models.checkpoint import load
    from models.generate import GenerateConfig
    from models.metrics import VoxelTally
    from models.round_trip import round_trip
    from models.site_metrics import emd_ang
    from models.unet import UNet
    from models.vae import DensityVAE

    vae, unet = load(folder / "vae", DensityVAE), load(folder / "unet", UNet)
    trips = list(round_trip(vae, unet, held.crystals, held.labels[:, 0], GenerateConfig(voxels=voxels)))
    read = [(trip.true, trip.raw) for trip in trips if trip.raw is not None]
    voxels_seen = sum((trip.voxels for trip in trips), VoxelTally())
    return {
        "mse": float(np.mean([trip.errors.compressed for trip in trips])),
        "recall": float(voxels_seen.recall),
        "emd_ang": float(np.mean([emd_ang(*pair) for pair in read])) if read else float("nan"),
        "dn_sites": float(np.mean([abs(len(true) - len(raw)) for true, raw in read])) if read else float("nan"),
        "failures": float(len(trips) - len(read)),
    }


def mean_of(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([run[name] for run in runs])), 4) for name in runs[0]}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="cubic_three_classes.jsonl.gz or the like")
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--crystals", type=int, default=1500, help="to train on")
    parser.add_argument("--held", type=int, default=200, help="of the val part")
    parser.add_argument("--unet-steps", type=int, default=800)
    parser.add_argument("--vae-steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
