"""UNet and VAE trained and judged on one accelerator within minutes; needs numpy, scipy, scikit-image, keras and jax alone.

    python bench/prepare_arrays.py cubic_three_classes.jsonl.gz half_heusler.jsonl.gz --out cubic.npz   # where the data are
    KERAS_BACKEND=jax python bench/gpu_reproduce.py cubic.npz --out run [--minutes 9]                   # on the accelerator
    KERAS_BACKEND=jax python bench/gpu_reproduce.py cubic.npz --out run --minutes 9 --resume            # and on from there

The atoms lie on the device; each pass over the data is one compiled loop that draws their maps anew, the UNet's at random
origins and turns. A run stops at its budget and keeps weights and optimiser, so that several runs make one training; `unet`
and `vae` under --out are checkpoints as `crystalloop evaluate` and `crystalloop generate` take them. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measure import environment, peak_rss_mb
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.maps.voxels import VoxelConfig

if TYPE_CHECKING:
    from device_batches import DeviceData

    from crystalloop.models.nets.configs import VAEConfig
    from crystalloop.models.nets.vae import DensityVAE

UNET_SHARE = 0.45  # of the training's time, while the UNet has steps left
EVALUATION_SHARE = 0.15


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    import jax
    import keras
    from arrays import read

    started = time.monotonic()
    if args.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    crystals, labels, digest = read(args.arrays, "train", args.limit)
    held, held_labels, _ = read(args.arrays, args.part, args.evaluate)
    report: dict[str, Any] = {
        **environment(),
        "backend": keras.backend.backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "precision": args.precision,
        "n": args.n,
        "preset": args.preset,
        "training_crystals": len(crystals),
        "resumed": args.resume,
    }
    keras.utils.set_random_seed(args.seed)
    training_s = 60 * args.minutes * (1 - EVALUATION_SHARE)
    report["unet"] = train_unet(args, crystals, digest, UNET_SHARE * training_s)
    left = training_s - (time.monotonic() - started)
    report["vae"] = train_vae(args, crystals, labels, digest, max(1.0, left))
    keras.config.set_dtype_policy("float32")
    report["evaluation"] = {"part": args.part, **evaluate(args, crystals, held, held_labels[:, PROPERTIES.index(E_F)])}
    return report | {"wall_s": round(time.monotonic() - started, 1), "peak_rss_mb": peak_rss_mb()}


def train_unet(args: argparse.Namespace, crystals: Sequence[Crystal], digest: str, seconds: float) -> dict[str, Any]:
    from device_batches import check, unet_data
    from jax_engine import fit
    from work import layers_work

    from crystalloop.models.learn.engine import Share
    from crystalloop.models.learn.map_batches import unet_batches
    from crystalloop.models.nets.checkpoint import save
    from crystalloop.models.nets.configs import UNetConfig
    from crystalloop.models.nets.unet import UNet

    voxels = voxels_of(args)
    config = replace(UNetConfig.preset(args.preset, args.n), **overrides(args, "unet"))
    unet = UNet(config)
    data = unet_data(crystals, voxels, config)
    check(trial(data, 2), next(unet_batches(crystals[:2], voxels, config, 2, 1, 0, Share())))
    steps, batch = steps_of(args.unet_passes, len(crystals), args.batch), min(args.batch, len(crystals))
    folder = args.out / "unet-state"
    done = fit(
        unet.compute_loss, unet.trainable, data, len(crystals), batch, steps, args.unet_rate, seconds, folder, args.seed
    )
    save(args.out / "unet", unet, data_digest=digest, metrics=done.losses, samples=len(crystals), train_s=done.train_s)
    return speed(asdict(done), 3 * layers_work(unet.trained).flops)


def train_vae(
    args: argparse.Namespace,
    crystals: Sequence[Crystal],
    labels: NDArray[np.float64],
    digest: str,
    seconds: float,
) -> dict[str, Any]:
    """Frame, steps, prior and head, as `models.learn.fit_vae`; the UNet is not tuned on decoded maps here."""
    from device_batches import check, head_data, vae_data
    from jax_engine import fit
    from work import layers_work

    from crystalloop.models.crystals.crystal import canonical_origin
    from crystalloop.models.learn.engine import Share
    from crystalloop.models.learn.map_batches import vae_batches
    from crystalloop.models.maps.channels import draw_maps
    from crystalloop.models.nets.checkpoint import load, save
    from crystalloop.models.nets.unet import UNet
    from crystalloop.models.nets.vae import DensityVAE

    voxels, unet = voxels_of(args), load(args.out / "unet", UNet, n=args.n)
    vae = DensityVAE(vae_config(args, crystals, labels))
    steps, batch = steps_of(args.vae_passes, len(crystals), args.batch), min(args.batch, len(crystals))
    data = vae_data(crystals, labels, voxels, vae.config, steps)
    check(trial(data, 2), next(vae_batches(crystals[:2], labels[:2], voxels, vae.config, 2, 1, 0, Share())))
    standing = [canonical_origin(crystal) for crystal in crystals]
    state = args.out / "vae-state"
    if not (state / "state.npz").exists():
        rows = np.sort(np.random.default_rng([args.seed, 5]).permutation(len(standing))[: args.frame])
        vae.start_frame(draw_maps([standing[row] for row in rows], voxels))

    def loss(some: Mapping[str, Any]) -> Mapping[str, Any]:
        return vae.compute_loss(some, unet)

    still = [v for model in (vae.encoder, vae.decoder, unet.model) for v in model.variables]
    trained = {id(variable) for variable in vae.trainable}
    frozen = [variable for variable in still if id(variable) not in trained]
    done = fit(loss, vae.trainable, data, len(crystals), batch, steps, args.vae_rate, seconds, state, args.seed, frozen)
    mean, log_variance, facts = posteriors(vae, standing, labels[:, PROPERTIES.index(E_F)], voxels)
    prior = vae.fit_prior_to(mean, log_variance, np.random.default_rng([args.seed, 9]))
    edges = np.array([crystal.volume_ang3 ** (1 / 3) for crystal in standing])
    fresh = args.out / f"head-state-{done.step}"
    head = fit(
        vae.head_loss,
        vae.head.trainable_variables,
        head_data(facts, labels, edges, vae.config),
        len(mean),
        min(128, len(mean)),
        steps_of(args.head_passes, len(mean), 128),
        2e-3,
        0.1 * seconds,
        fresh,
        args.seed,
    )
    metrics = {**done.losses, **prior, "head_loss": head.losses.get("loss", float("nan"))}
    save(args.out / "vae", vae, data_digest=digest, metrics=metrics, samples=len(crystals), train_s=done.train_s)
    forward = sum(layers_work(part).flops for part in (vae.encoder, vae.decoder, vae.head))
    # The deep features: true maps forward, decoded maps forward and back to the map.
    features = 3 * vae.config.feature_share * layers_work(unet.features).flops if vae.config.alpha > 0 else 0.0
    return speed(asdict(done), 3 * forward + features) | prior | {"head": asdict(head)}


def posteriors(
    vae: DensityVAE, standing: Sequence[Crystal], e_f_ev: NDArray[np.float64], voxels: VoxelConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean, log variance and the head's facts [c, latent] of crystals in their canonical origin, a few maps at a time."""
    from crystalloop.models.maps.channels import draw_maps

    parts = []
    for start in range(0, len(standing), 64):
        some = slice(start, start + 64)
        maps, condition = draw_maps(standing[some], voxels), vae.condition(e_f_ev[some])
        parts.append((*vae.encode(maps, condition), vae.facts_of_maps(maps, condition)))
    mean, log_variance, facts = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return mean, log_variance, facts


def vae_config(args: argparse.Namespace, crystals: Sequence[Crystal], labels: NDArray[np.float64]) -> VAEConfig:
    """The preset with what the training set decides: edge, deciles, scale of the properties."""
    from crystalloop.models.nets.cgcnn import standardise
    from crystalloop.models.nets.configs import VAEConfig, decile_edges

    lengths = np.array([crystal.lengths_ang for crystal in crystals])
    mean, scale, counts = standardise(labels)
    return replace(
        VAEConfig.preset(args.preset, args.n),
        cubic=bool((np.ptp(lengths, axis=1) < 1e-3).all()),
        a_ang=float(lengths.mean()),
        decile_edges_ev=decile_edges(labels[:, PROPERTIES.index(E_F)]),
        property_mean=mean,
        property_scale=tuple(s if count > 1 else 0.0 for s, count in zip(scale, counts, strict=True)),
        **overrides(args, "vae"),
    )


def evaluate(
    args: argparse.Namespace, crystals: Sequence[Crystal], held: Sequence[Crystal], e_f_ev: NDArray[np.float64]
) -> dict[str, Any]:
    from gpu_evaluate import random_draws, reconstruction

    from crystalloop.models.generate.density_vae import GenerateConfig
    from crystalloop.models.nets.checkpoint import load
    from crystalloop.models.nets.unet import UNet
    from crystalloop.models.nets.vae import DensityVAE

    vae, unet = load(args.out / "vae", DensityVAE, n=args.n), load(args.out / "unet", UNet, n=args.n)
    config = GenerateConfig(voxels=voxels_of(args))
    started = time.monotonic()
    rows = {
        "reconstruction": rounded(reconstruction(vae, unet, held, e_f_ev, config)),
        "random": rounded(random_draws(vae, unet, crystals, args.draws, config, args.seed)),
    }
    return rows | {"evaluation_s": round(time.monotonic() - started, 1)}


def trial(data: DeviceData, batch: int) -> dict[str, Any]:
    """Shapes of a device batch, without drawing it."""
    import jax
    import jax.numpy as jnp

    rows = jnp.zeros(batch, jnp.int32)
    made: dict[str, Any] = jax.eval_shape(
        lambda arrays: data.recipe(arrays, rows, jax.random.key(0), jnp.asarray(0)), data.arrays
    )
    return made


def speed(done: dict[str, Any], flops: float) -> dict[str, Any]:
    """Samples and operations per second; those of the layers, forward and backward, without normalisation and updates."""
    tflops = flops * done["samples_per_s"] / 1e12
    return done | {"gflop_per_sample": round(flops / 1e9, 4), "tflop_per_s": round(tflops, 4)}


def steps_of(passes: int, crystals: int, batch: int) -> int:
    return passes * max(1, crystals // min(batch, crystals))


def voxels_of(args: argparse.Namespace) -> VoxelConfig:
    return VoxelConfig(n=args.n, width_scale=args.width_scale)


def overrides(args: argparse.Namespace, network: str) -> dict[str, Any]:
    given = json.loads(args.overrides).get(network, {})
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arrays", type=Path, help="file of prepare_arrays.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and states")
    parser.add_argument("--resume", action="store_true", help="go on from the states in --out")
    parser.add_argument("--minutes", type=float, default=9.0, help="of this run, evaluation included")
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--width-scale", type=float, default=1.0)
    parser.add_argument("--preset", choices=("compact", "paper"), default="compact")
    parser.add_argument("--overrides", default="{}", help="JSON: unet or vae -> fields of its configuration")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--unet-passes", type=int, default=100, help="over the data, in all runs together")
    parser.add_argument("--vae-passes", type=int, default=300)
    parser.add_argument(
        "--head-passes", type=int, default=100, help="of the latent's head, when the VAE's time is over"
    )
    parser.add_argument("--frame", type=int, default=2000, help="most crystals that the linear frame is made of")
    parser.add_argument("--unet-rate", type=float, default=5e-3)
    parser.add_argument("--vae-rate", type=float, default=3e-3)
    parser.add_argument("--limit", type=int, default=0, help="training crystals; 0: all")
    parser.add_argument("--part", choices=("val", "test"), default="val", help="judged on; test only at the very end")
    parser.add_argument("--evaluate", type=int, default=256, help="held-out crystals; 0: all")
    parser.add_argument("--draws", type=int, default=256, help="random draws")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    states = [args.out / f"{name}-state" / "state.npz" for name in ("unet", "vae")]
    if args.resume and not states[0].exists():
        parser.error(f"nothing to resume: {states[0]} is missing; leave --resume out for the first run")
    if not args.resume and any(path.exists() for path in states):
        parser.error(f"{args.out} holds the state of an earlier run; give --resume to go on, or another --out")
    return args


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
