"""Candidates per second through decode, segment, reconstruct, symmetrise and properties, and the share that is good.

    bench/generate.py --cold            train on decorated prototypes first, as a campaign without data does
    bench/generate.py --models FOLDER   use trained networks (with the same --elements, --n)
    bench/generate.py ... --profile     also where the time goes: seconds of each stage and the costliest functions

Peers: 0.28 candidates/s on one GPU (the seed paper); this project's floor is 2/s on two cores, its aim 20/s.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measure import environment, peak_rss_mb, spending
from numpy.typing import NDArray
from pymatgen.symmetry.analyzer import SymmetryUndeterminedError

from crystalloop.models.crystals.contacts import STRICT_CONTACT, contact_ratio
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.crystals.prototypes import (
    Prototype,
    decorate,
    decorations,
    match_prototype,
    plausible_oxidation,
)
from crystalloop.models.draw.latents import draw_around, draw_between, draw_random
from crystalloop.models.draw.lookahead import Critic
from crystalloop.models.draw.proposal import Base, Draws, Proposal
from crystalloop.models.generate.density_vae import GenerateConfig, propose
from crystalloop.models.learn.job import TrainJob, TrainOutcome, TrainResources
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.cgcnn import CGCNN, predict_properties, predicted_by
from crystalloop.models.nets.checkpoint import load
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE
from crystalloop.orchestrator.learn.ray_fit import fit_networks

PROTOTYPES = (
    Prototype.ROCKSALT,
    Prototype.CSCL,
    Prototype.ZINCBLENDE,
    Prototype.PEROVSKITE,
    Prototype.HEUSLER,
)
STAGES = {
    *("decode", "segment", "likely_elements", "_read", "structure_from_map", "segment_atoms", "nearly_symmetric"),
    *("site_orbits", "assign_elements", "symmetrise", "predict_properties", "build_graph", "choose_species"),
    *("refine_positions", "residual", "expand", "match_prototype", "predict", "graphs"),
}


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    crystals, names, labels = training_set(args.elements.split(","), args.crystals, args.labels, args.seed)
    voxels = VoxelConfig(n=args.n, width_scale=args.width_scale)
    folder = args.models or Path(tempfile.mkdtemp())
    report: dict[str, Any] = {"n": args.n, "training_crystals": len(crystals), "labels": args.labels, **environment()}
    if args.cold:
        report["training"] = train(folder, crystals, labels, voxels, args)
    networks = load(folder / "vae", DensityVAE, n=args.n), load(folder / "unet", UNet, n=args.n)
    cgcnn = load(folder / "cgcnn", CGCNN)
    bases = [
        Base(name, crystal, None if np.isnan(label[0]) else float(label[0]))
        for name, crystal, label in zip(names, crystals, labels, strict=True)
    ]
    known = {fingerprint(crystal) for crystal in crystals}
    allowed = [atomic_number(symbol) for symbol in args.elements.split(",")]
    config = GenerateConfig(voxels=voxels)
    rng = np.random.default_rng(args.seed)
    vae, unet = networks
    first = propose(vae, unet, draw_random(vae, rng, 64), config, allowed)  # the first call compiles
    predict_properties(cgcnn, [proposal.crystal for proposal in first.made])
    critic = Critic(voxels, predicted_by(cgcnn), tuple(allowed))
    draws: dict[str, Callable[[], Draws]] = {
        "around": lambda: draw_around(vae, rng, args.count, bases, voxels, args.scale, critic=critic),
        "between": lambda: draw_between(vae, rng, args.count, bases, voxels, critic=critic),
        "random": lambda: draw_random(vae, rng, args.count, critic=critic),
    }
    report |= {kind: measure(vae, unet, cgcnn, drawn, config, allowed, known) for kind, drawn in draws.items()}
    if args.profile:
        report["profile"] = profile(vae, unet, cgcnn, draws["random"], config, allowed)
    report["peak_rss_mb"] = peak_rss_mb()
    report["floor_per_s"], report["aim_per_s"], report["seed_per_s_on_a_gpu"] = 2.0, 20.0, 0.28
    return report


def training_set(
    elements: list[str], count: int, labelled: int, seed: int
) -> tuple[list[Crystal], list[str], NDArray[np.float64]]:
    """Some of all decorations, a few with a made-up formation energy (lower where charges balance)."""
    every = list(decorations(PROTOTYPES, elements))
    rng = np.random.default_rng(seed)
    chosen = [every[i] for i in rng.permutation(len(every))[:count]]
    crystals = [Crystal.from_structure(decorate(prototype, symbols)) for prototype, symbols in chosen]
    names = ["".join(symbols) + ":" + prototype.value for prototype, symbols in chosen]
    labels = np.full((len(crystals), len(PROPERTIES)), np.nan)
    for row, (prototype, symbols) in enumerate(chosen[:labelled]):
        labels[row, 0] = (-2.5 if plausible_oxidation(symbols, prototype) else 0.2) + 0.3 * rng.standard_normal()
    return crystals, names, labels


def train(
    folder: Path,
    crystals: list[Crystal],
    labels: NDArray[np.float64],
    voxels: VoxelConfig,
    args: argparse.Namespace,
) -> dict[str, Any]:
    job = TrainJob(
        folder,
        tuple(crystals),
        labels,
        data_digest="bench",
        voxels=voxels,
        seed=args.seed,
        steps=json.loads(args.steps),
        overrides=json.loads(args.overrides),
    )
    cpu = time.process_time()
    outcome: TrainOutcome = fit_networks(job, TrainResources(num_workers=0))
    networks = {name: {"train_s": round(n.train_s, 1), **rounded(n.metrics)} for name, n in outcome.networks.items()}
    return {"wall_s": round(outcome.wall_s, 1), "cpu_s": round(time.process_time() - cpu, 1), **networks}


def measure(
    vae: DensityVAE,
    unet: UNet,
    cgcnn: CGCNN,
    draw: Callable[[], Draws],
    config: GenerateConfig,
    allowed: list[int],
    known: set[tuple[str, str | None]],
) -> dict[str, Any]:
    """Time and funnel of some draws."""
    with spending() as spent:
        draws = draw()
        proposals = propose(vae, unet, draws, config, allowed)
        predict_properties(cgcnn, [proposal.crystal for proposal in proposals.made])
    found = [judge(proposal, known) for proposal in proposals.made]
    good = [row for row in found if row["valid"] and row["cubic"] and row["prototype"]]
    new = {row["fingerprint"] for row in good if row["novel"]}
    total = len(draws)
    return {
        "candidates_per_s": round(total / spent.wall_s, 1),
        "wall_s": round(spent.wall_s, 3),
        "cpu_s_per_candidate": round(spent.cpu_s / total, 4),
        "read": round(len(found) / total, 3),
        "valid": round(sum(row["valid"] for row in found) / total, 3),
        "cubic": round(sum(row["valid"] and row["cubic"] for row in found) / total, 3),
        "prototype": round(len(good) / total, 3),
        "novel": round(sum(row["novel"] for row in good) / total, 3),
        "distinct_novel": sorted(f"{formula} {prototype}" for formula, prototype in new)[:40],
        "failures": dict(proposals.failures),
        "prototypes": dict(Counter(str(row["prototype"]) for row in found)),
    }


def profile(
    vae: DensityVAE,
    unet: UNet,
    cgcnn: CGCNN,
    draw: Callable[[], Draws],
    config: GenerateConfig,
    allowed: list[int],
    top: int = 25,
) -> dict[str, Any]:
    """Milliseconds per candidate: of the stages with all inside them, and of the functions without what they call.

    The profiler's own work is in the figures; compare them with each other, not with `cpu_s_per_candidate`.
    """
    profiler = cProfile.Profile()
    profiler.enable()
    draws = draw()
    proposals = propose(vae, unet, draws, config, allowed)
    predict_properties(cgcnn, [proposal.crystal for proposal in proposals.made])
    profiler.disable()
    rows = pstats.Stats(profiler).get_stats_profile().func_profiles
    per = 1e3 / len(draws)
    stages = {name: round(row.cumtime * per, 3) for name, row in rows.items() if name in STAGES}
    costly = sorted(rows.items(), key=lambda item: -item[1].tottime)[:top]
    return {
        "ms_with_callees": dict(sorted(stages.items(), key=lambda item: -item[1])),
        "ms_alone": [f"{row.tottime * per:.3f} {name} ({Path(row.file_name).name})" for name, row in costly],
    }


def judge(proposal: Proposal, known: set[tuple[str, str | None]]) -> dict[str, Any]:
    crystal = proposal.crystal
    mark = fingerprint(crystal)
    lengths = crystal.lengths_ang
    return {
        "valid": len(crystal.composition) >= 2 and contact_ratio(crystal) >= STRICT_CONTACT,
        "cubic": bool(crystal.is_orthogonal and np.ptp(lengths) < 0.01 * lengths.mean()),
        "prototype": mark[1],
        "novel": mark not in known,
        "fingerprint": mark,
    }


def fingerprint(crystal: Crystal) -> tuple[str, str | None]:
    try:
        prototype = match_prototype(crystal.to_structure())
    except SymmetryUndeterminedError:  # atoms on top of each other
        prototype = None
    return crystal.formula, None if prototype is None else prototype.value


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cold", action="store_true", help="train on decorated prototypes first")
    parser.add_argument("--models", type=Path, help="folder with unet, vae and cgcnn; --cold writes them there")
    parser.add_argument("--elements", default="Li,Mg,Al,O,F")
    parser.add_argument("--crystals", type=int, default=40, help="decorated prototypes in the training set")
    parser.add_argument("--labels", type=int, default=10, help="of them with a formation energy")
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--width-scale", type=float, default=1.0)
    parser.add_argument("--count", type=int, default=200, help="candidates of each kind")
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--steps", default="{}", help="JSON: network -> optimiser steps")
    parser.add_argument("--overrides", default="{}", help="JSON: network -> configuration fields")
    args = parser.parse_args(arguments)
    if not args.cold and args.models is None:
        parser.error("give --cold or --models FOLDER")
    return args


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
