"""The product's training and reading on an accelerator; needs numpy, scipy, scikit-image, keras and jax, and no pymatgen.

    python bench/gpu.py pack cubic_three_classes.jsonl.gz half_heusler.jsonl.gz --out cubic.npz    # where the package is
    KERAS_BACKEND=jax python bench/gpu.py fit cubic.npz --out run [--networks unet vae cgcnn]      # on the accelerator

`pack` puts crystals, labels and split into the array file that `crystalloop train` writes, all parts of the split in it.
`fit` trains with the jax engine what `crystalloop train --backend jax` would, and looks at held-out crystals. A network that
is finished in --out is kept, so that several short runs make one training; `unet`, `vae`, `cgcnn` there are checkpoints
that `crystalloop evaluate` judges in full elsewhere. Prints JSON; progress lines go to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measure import environment, peak_rss_mb
from work import layers_work

from crystalloop.models.crystals.contacts import is_valid_paper, is_valid_strict, volume_window_ang3
from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.data.corpus import Corpus, read_corpus
from crystalloop.models.data.corpus_file import load_corpus, save_corpus
from crystalloop.models.draw.latents import draw_random
from crystalloop.models.draw.lookahead import Critic
from crystalloop.models.generate.density_vae import GenerateConfig, read_crystal
from crystalloop.models.judge.glance import glance
from crystalloop.models.judge.metrics import cell_errors_ang, mean
from crystalloop.models.judge.site_metrics import SpeciesTally, same_contents, site_error_ang, tally_species
from crystalloop.models.learn.checkpoints import batch_of
from crystalloop.models.learn.engine import progress_writer, read_progress
from crystalloop.models.learn.fit import fit_or_reuse
from crystalloop.models.learn.job import NETWORKS, NetworkName, TrainJob
from crystalloop.models.maps.channels import Floats, draw_maps
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.checkpoint import load
from crystalloop.models.nets.unet import UNet, segment
from crystalloop.models.nets.vae import Decoded, DensityVAE

MOST_MB = 60


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    return pack(args) if args.work == "pack" else fit(args)


def pack(args: argparse.Namespace) -> dict[str, Any]:
    """Data files to one array file."""
    corpus, refused = read_corpus(args.files, bad_rows=args.bad_rows).with_cell(args.cell)
    save_corpus(args.out, corpus)
    size = args.out.stat().st_size / 2**20
    if size > MOST_MB:
        raise SystemExit(f"{args.out} is {size:.0f} MB, more than {MOST_MB}; give fewer files")
    left_out = [*corpus.left_out, *refused][:20]
    counts = {"crystals": len(corpus), "split": corpus.counts(), "digest": corpus.digest, "left_out": left_out}
    return {"file": args.out.name, "megabytes": round(size, 2), **counts, **environment()}


def fit(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is not finished, and look at what it makes of held-out crystals."""
    import jax

    started = time.monotonic()
    corpus = load_corpus(args.arrays)
    train, held = even(corpus.part("train"), args.limit), even(corpus.part(args.part), args.evaluate)
    voxels = VoxelConfig(n=args.n, width_scale=args.width_scale)
    job = job_of(args, train, corpus.part("val"), voxels)
    report: dict[str, Any] = {
        **environment(),
        "devices": [device.device_kind for device in jax.devices()],
        "n": args.n,
        "preset": args.preset,
        "training_crystals": len(train),
    }
    report |= trained(args.networks, job)
    report["glance"] = {"part": args.part, **{name: glance(args.out, name, held, voxels) for name in args.networks}}
    if {"unet", "vae"} <= {path.name for path in args.out.iterdir()}:
        vae, unet = load(args.out / "vae", DensityVAE, n=args.n), load(args.out / "unet", UNet, n=args.n)
        report["reconstruction"] = rounded(reconstruction(vae, unet, held, GenerateConfig(voxels=voxels)))
        report["random"] = rounded(random_draws(vae, unet, train, args, GenerateConfig(voxels=voxels)))
    return report | {"wall_s": round(time.monotonic() - started, 1), "peak_rss_mb": peak_rss_mb()}


def job_of(args: argparse.Namespace, train: Corpus, validation: Corpus, voxels: VoxelConfig) -> TrainJob:
    """As `crystalloop train` would make it; the CGCNN's intervals are calibrated on the val part."""
    epochs: dict[str, float] = {
        name: value for name in NETWORKS if (value := getattr(args, f"{name}_epochs")) is not None
    }
    return TrainJob.by_epochs(
        epochs,
        NETWORKS,
        folder=args.out,
        crystals=train.crystals,
        labels=train.labels,
        data_digest=train.digest,
        voxels=voxels,
        preset=args.preset,
        overrides=json.loads(args.overrides),
        seed=args.seed,
        progress=args.out / "progress.jsonl",
        validation=validation.crystals,
        validation_labels=validation.labels,
    )


def trained(networks: Sequence[NetworkName], job: TrainJob) -> dict[str, Any]:
    """Fit the networks; of each what its card says, and samples and operations per second of its steps."""
    from crystalloop.models.learn.engine_jax import JaxEngine

    write = progress_writer(job.progress)

    def report(line: Any) -> None:  # noqa: ANN401
        print(json.dumps(line), file=sys.stderr, flush=True)
        if write is not None:
            write(line)

    engine, rows = JaxEngine(report=report), dict[str, Any]()
    for network in networks:
        done = fit_or_reuse(job, engine, network)
        rows[network] = {"metrics": rounded(done.metrics), "samples": done.samples, "train_s": round(done.train_s, 1)}
        rows[network] |= speed(job, network)
    return {"networks": rows}


def speed(job: TrainJob, network: NetworkName) -> dict[str, float]:
    """Samples per second after the first progress line (before it, steps are compiled), and the layers' operations."""
    lines = [line for line in read_progress(job.progress) if line["network"] == network] if job.progress else []
    seconds = lines[-1]["seconds"] - lines[0]["seconds"] if len(lines) > 1 else 0.0
    if seconds <= 0:
        return {}
    rate = batch_of(job, network) * (lines[-1]["step"] - lines[0]["step"]) / seconds
    flops = 3 * forward_flops(job.folder, network)  # forward and backward; normalisation and updates are not counted
    found = {"compile_s": lines[0]["seconds"], "samples_per_s": round(rate, 1), "tflop_per_s": rate * flops / 1e12}
    return rounded({"gflop_per_sample": flops / 1e9, **found})


def forward_flops(folder: Path, network: NetworkName) -> float:
    """Of a sample, from the layers' shapes; 0 for the CGCNN, whose graphs have no one size."""
    if network == "unet":
        return layers_work(load(folder / network, UNet).trained).flops
    if network == "vae":
        vae = load(folder / network, DensityVAE)
        return sum(layers_work(part).flops for part in (vae.encoder, vae.decoder))
    return 0.0


def reconstruction(vae: DensityVAE, unet: UNet, held: Corpus, config: GenerateConfig) -> dict[str, Any]:
    """Crystals through encoder (posterior mean), decoder, UNet and reading; strict: every failure counts."""
    true = [canonical_origin(crystal) for crystal in held.crystals]
    condition = vae.condition(held.labels[:, PROPERTIES.index(E_F)])
    maps = (draw_maps(true[i : i + 64], config.voxels) for i in range(0, len(true), 64))
    latent = np.concatenate([vae.encode(some, condition[64 * i : 64 * (i + 1)])[0] for i, some in enumerate(maps)])
    failures: Counter[str] = Counter()
    found = list(crystals_of(vae, unet, latent, condition, config, failures))
    pairs = list(zip(true, found, strict=True))
    tally = sum((tally_species(one, other) for one, other in pairs), SpeciesTally())
    missing = [abs(len(one) - (len(other) if other is not None else 0)) for one, other in pairs]
    cells = [cell_errors_ang(one.lattice, other.lattice).mean() for one, other in pairs if other is not None]
    return {
        "crystals": len(true),
        "failures": dict(failures),
        "cell_mae_ang": mean(cells),
        "site_error_strict_ang": mean(site_error_ang(one, other) for one, other in pairs),
        "d_sites": mean(missing),
        "exact_count": mean(gap == 0 for gap in missing),
        "species_of_sites": tally.right / max(1, tally.sites),
        "sites_found": tally.found / max(1, tally.sites),
        "same_contents": mean(same_contents(one, other) for one, other in pairs),
    }


def random_draws(
    vae: DensityVAE, unet: UNet, train: Corpus, args: argparse.Namespace, config: GenerateConfig
) -> dict[str, Any]:
    """Crystals of the prior, as read and not symmetrised: the share that is valid, of all that were drawn."""
    draws = draw_random(vae, np.random.default_rng(args.seed), args.draws, critic=Critic(config.voxels))
    made = crystals_of(vae, unet, draws.latent, draws.condition, config, Counter())
    read = [crystal for crystal in made if crystal is not None]
    window = volume_window_ang3(train.crystals)
    valid: dict[str, Callable[[Crystal], bool]] = {
        "read": lambda crystal: True,
        "valid_paper": is_valid_paper,
        "valid_strict": lambda crystal: is_valid_strict(crystal, window),
    }
    return {"drawn": args.draws, **{name: sum(map(test, read)) / args.draws for name, test in valid.items()}}


def crystals_of(
    vae: DensityVAE,
    unet: UNet,
    latent: Floats,
    condition: Floats,
    config: GenerateConfig,
    failures: Counter[str],
) -> Iterator[Crystal | None]:
    """What latents decode to, 64 at a time; None where nothing can be read, and the reason counted."""
    for start in range(0, len(latent), 64):
        decoded: Decoded = vae.decode(latent[start : start + 64], condition[start : start + 64])
        segmentation = segment(unet, decoded.maps)
        for i in range(len(decoded.maps)):
            read = read_crystal(decoded, segmentation, i, config)
            if isinstance(read, str):
                failures[read] += 1
            yield None if isinstance(read, str) else read[0]


def even(corpus: Corpus, most: int) -> Corpus:
    """At most so many crystals (0: all), evenly over the part, so that all classes are among them."""
    if not most or most >= len(corpus):
        return corpus
    return corpus.take(np.linspace(0, len(corpus) - 1, most).round().astype(np.intp))


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = parser.add_subparsers(dest="work", required=True)
    packing = works.add_parser("pack", help="data files to one array file")
    packing.add_argument("files", type=Path, nargs="+")
    packing.add_argument("--out", type=Path, required=True)
    packing.add_argument("--cell", choices=("cubic", "orthorhombic"), default="cubic", help="others are left out")
    packing.add_argument("--bad-rows", choices=("stop", "skip"), default="skip")
    fitting = works.add_parser("fit", help="train and look at held-out crystals")
    fitting.add_argument("arrays", type=Path, help="file of `pack`")
    fitting.add_argument("--out", type=Path, required=True, help="folder of checkpoints")
    fitting.add_argument("--networks", nargs="+", choices=NETWORKS, default=["unet", "vae"])
    fitting.add_argument("--n", type=int, default=32)
    fitting.add_argument("--width-scale", type=float, default=1.0)
    fitting.add_argument("--preset", choices=("compact", "paper"), default="compact")
    fitting.add_argument("--overrides", default="{}", help="JSON: network -> fields of its configuration")
    for name in NETWORKS:
        fitting.add_argument(f"--{name}-epochs", type=float, help="times each crystal is seen; default: the preset's")
    fitting.add_argument("--limit", type=int, default=0, help="training crystals; 0: all")
    fitting.add_argument("--part", choices=("val", "test"), default="val", help="looked at; test only at the very end")
    fitting.add_argument("--evaluate", type=int, default=256, help="held-out crystals; 0: all")
    fitting.add_argument("--draws", type=int, default=256, help="random draws")
    fitting.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
