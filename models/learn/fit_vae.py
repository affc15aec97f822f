"""The fit of the VAE: frame, steps, prior, and the UNet's tuning on what it makes. On whatever engine takes the steps."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.learn.checkpoints import batch_of, config_fields, from_parent, rate_of, save_fitted
from crystalloop.models.learn.engine import Engine
from crystalloop.models.learn.job import HEAD_BATCH, UNTUNED, FittedNetwork, TrainJob
from crystalloop.models.learn.map_batches import decoded_maps, head_batches, unet_batches, vae_batches
from crystalloop.models.maps.channels import Floats, draw_maps
from crystalloop.models.nets.cgcnn import standardise
from crystalloop.models.nets.checkpoint import load, read_card, save
from crystalloop.models.nets.configs import VAEConfig, decile_edges
from crystalloop.models.nets.linear_frame import MOST_CRYSTALS
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE

MOST_FOR_PRIOR = 10_000
HEAD_PASSES, HEAD_MOST_STEPS, HEAD_RATE = 100, 8_000, 2e-3
TUNING, TUNING_RATE = 0.1, 0.1
"""Of the UNet on decoded maps: share of its steps on true maps, and of its learning rate."""


def fit_vae(job: TrainJob, engine: Engine, unet: UNet | None = None) -> FittedNetwork:
    """Fit and save the VAE against the frozen UNet (the one in the job's folder unless given).

    The linear frame comes first, then the networks' steps, then the latent's prior; last the UNet of the job's folder is
    tuned on what the VAE makes of the training crystals.
    """
    started = time.monotonic()
    standing = [canonical_origin(crystal) for crystal in job.crystals]
    with engine.begin(job.seed + 1):
        vae, warm = from_parent(job, "vae", DensityVAE, _vae_config(job))
        frozen = unet or load(_true_maps_unet(job.folder), UNet, n=vae.config.n)
    if not warm:
        rows = np.random.default_rng([job.seed, 5]).permutation(len(standing))[:MOST_CRYSTALS]
        vae.start_frame(draw_maps([standing[row] for row in sorted(rows)], job.voxels))
    steps, batch = job.steps_of("vae", warm), batch_of(job, "vae")
    batches = vae_batches(job.crystals, job.labels, job.voxels, vae.config, batch, steps, job.seed, engine.share)
    metrics = engine.minimise(
        "vae", lambda some: vae.compute_loss(some, frozen), vae.trainable, batches, steps, rate_of(job, "vae")
    )
    seen = _seen(job, vae, standing)
    metrics |= vae.fit_prior_to(seen.mean, seen.log_variance, np.random.default_rng([job.seed, 9]))
    metrics |= _fit_head(job, engine, vae, seen, standing) | _reconstruction(job, vae, standing)
    saved = save_fitted(job, engine, vae, metrics, len(job.crystals), started, warm)
    if unet is None:
        _tune_unet(job, engine, frozen, vae, standing, warm)
    return saved


def _vae_config(job: TrainJob) -> VAEConfig:
    config = VAEConfig(**config_fields(VAEConfig.preset(job.preset, job.voxels.n), job, "vae"))
    lengths = np.array([crystal.lengths_ang for crystal in job.crystals])
    mean, scale, counts = standardise(job.labels)
    return replace(
        config,
        cubic=all(crystal.is_cubic() for crystal in job.crystals),
        a_ang=float(lengths.mean()),
        decile_edges_ev=decile_edges(job.labels[:, PROPERTIES.index(E_F)]),
        property_mean=mean,
        property_scale=tuple(s if count > 1 else 0.0 for s, count in zip(scale, counts, strict=True)),
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the trained encoder says of training crystals: their rows in the job [r], posteriors and facts [r, latent]."""

    rows: NDArray[np.intp]
    mean: Floats
    log_variance: Floats
    facts: Floats


def _seen(job: TrainJob, vae: DensityVAE, standing: Sequence[Crystal]) -> _Seen:
    """Encode training crystals, a batch of maps at a time."""
    rows = np.sort(np.random.default_rng([job.seed, 6]).permutation(len(standing))[:MOST_FOR_PRIOR])
    e_f = job.labels[:, PROPERTIES.index(E_F)]
    parts = []
    for start in range(0, len(rows), 64):
        some = rows[start : start + 64]
        maps, condition = draw_maps([standing[row] for row in some], job.voxels), vae.condition(e_f[some])
        parts.append((*vae.encode(maps, condition), vae.facts_of_maps(maps, condition)))
    return _Seen(rows, *(np.concatenate([part[k] for part in parts]) for k in range(3)))


def _fit_head(
    job: TrainJob, engine: Engine, vae: DensityVAE, seen: _Seen, standing: Sequence[Crystal]
) -> dict[str, float]:
    """The head alone, last: its input stands still by then, and it sees each crystal often in the time of one map."""
    labels = job.labels[seen.rows]
    edges = np.array([standing[row].volume_ang3 ** (1 / 3) for row in seen.rows])
    steps = int(np.clip(HEAD_PASSES * len(labels) // HEAD_BATCH, HEAD_PASSES, HEAD_MOST_STEPS))
    batches = head_batches(seen.facts, labels, edges, vae.config, HEAD_BATCH, steps, job.seed, engine.share)
    parts = engine.minimise("head", vae.head_loss, vae.head.trainable_variables, batches, steps, HEAD_RATE)
    return {"head_loss": parts["loss"]}


def _true_maps_unet(folder: Path) -> Path:
    """The UNet before it was tuned, where it was: a VAE that is trained again meets the same one."""
    return folder / UNTUNED if (folder / UNTUNED).exists() else folder / "unet"


def _tune_unet(
    job: TrainJob, engine: Engine, unet: UNet, vae: DensityVAE, standing: Sequence[Crystal], warm: bool
) -> None:
    """Go on with the UNet, on decoded maps in turn with true ones: those it is used on (docs/science/networks.md, row 10)."""
    started, card = time.monotonic(), read_card(job.folder / "unet")
    steps, batch = max(1, round(TUNING * job.steps_of("unet", warm))), batch_of(job, "unet")
    e_f = job.labels[:, PROPERTIES.index(E_F)]
    ask, share = (job.voxels, unet.config, batch, steps), engine.share
    true = unet_batches(job.crystals, *ask, job.seed + 7, share)
    made = unet_batches(standing, *ask, job.seed + 8, share, decoded_maps(standing, e_f, vae, job.voxels))
    turns = (one for pair in zip(true, made, strict=True) for one in pair)
    metrics = engine.minimise(
        "tuning", unet.compute_loss, unet.trainable, turns, 2 * steps, rate_of(job, "unet") * TUNING_RATE
    )
    if engine.share.rank == 0:
        if not (job.folder / UNTUNED).exists():
            draft = job.folder / f".{UNTUNED}.part"
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(job.folder / "unet", draft)
            draft.rename(job.folder / UNTUNED)
        seconds, notes = (
            card.train_s + time.monotonic() - started,
            card.notes | {"tuned": read_card(job.folder / "vae").digest},
        )
        save(
            job.folder / "unet",
            unet,
            data_digest=job.data_digest,
            metrics=metrics,
            samples=card.samples,
            train_s=seconds,
            notes=notes,
        )


def _reconstruction(job: TrainJob, vae: DensityVAE, standing: Sequence[Crystal], most: int = 256) -> dict[str, float]:
    """How well crystals of the training set come back: density and lattice apart, with units."""
    crystals = standing[:most]
    condition = vae.condition(job.labels[:most, PROPERTIES.index(E_F)])
    maps = draw_maps(crystals, job.voxels)
    mean, _ = vae.encode(maps, condition)
    out = vae.decode(mean, condition)
    lattices = np.array([crystal.lattice for crystal in crystals])
    return {
        "density_rmse_log": float(np.sqrt(np.square(out.maps[..., 0] - maps[..., 0]).mean())),
        "lattice_mae_ang": float(np.abs(np.linalg.norm(out.lattice, axis=2) - np.linalg.norm(lattices, axis=2)).mean()),
    }
