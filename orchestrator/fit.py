"""Fits of the three networks, one function each, on whatever engine takes the steps. No Ray, no TensorFlow here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.batches import canonical_origin, draw_maps, unet_batches, vae_batches
from models.checkpoint import load, read_card
from models.map_symmetry import common_operations
from models.properties import PROPERTIES
from models.unet import UNet, UNetConfig
from models.vae import DensityVAE, VAEConfig, decile_edges
from orchestrator.fit_cgcnn import fit_cgcnn
from orchestrator.fitting import (
    FROM_DATA,
    Engine,
    as_card_tells,
    batch_of,
    config_fields,
    notes_of,
    rate_of,
    save_fitted,
)
from orchestrator.train_job import FittedNetwork, NetworkName, TrainJob


def fit_unet(job: TrainJob, engine: Engine) -> FittedNetwork:
    """Fit and save the UNet: every crystal counts, labelled or not."""
    started = time.monotonic()
    with engine.begin(job.seed):
        config = UNetConfig(**config_fields(UNetConfig.preset(job.preset, job.voxels.n), job, "unet"))
        unet, warm = _from_parent(job, "unet", UNet, config)
    steps = job.steps_of("unet", warm)
    batches = unet_batches(job.crystals, job.voxels, config, batch_of(job, "unet"), steps, job.seed, engine.share)
    metrics = engine.minimise("unet", unet.compute_loss, unet.trainable, batches, steps, rate_of(job, "unet"))
    return save_fitted(job, engine, unet, metrics, len(job.crystals), started, warm)


def fit_vae(job: TrainJob, engine: Engine, unet: UNet | None = None) -> FittedNetwork:
    """Fit and save the VAE against the frozen UNet (the one in the job's folder unless given)."""
    started = time.monotonic()
    e_f = job.labels[:, PROPERTIES.index("formation_energy_per_atom")]
    with engine.begin(job.seed + 1):
        config = VAEConfig(**config_fields(VAEConfig.preset(job.preset, job.voxels.n), job, "vae"))
        lengths = np.array([crystal.lengths_ang for crystal in job.crystals])
        cubic = all(crystal.is_orthogonal for crystal in job.crystals) and bool((np.ptp(lengths, axis=1) < 1e-3).all())
        standing = [canonical_origin(crystal) for crystal in job.crystals]
        symmetry = common_operations(draw_maps(standing, job.voxels)[..., 0]) if cubic else (0,)
        config = replace(
            config, cubic=cubic, symmetry=symmetry, a_ang=float(lengths.mean()), decile_edges_ev=decile_edges(e_f)
        )
        vae, warm = _from_parent(job, "vae", DensityVAE, config)
        frozen = unet or load(job.folder / "unet", UNet, n=config.n)
    steps = job.steps_of("vae", warm)
    batches = vae_batches(
        job.crystals, e_f, job.voxels, vae.config, batch_of(job, "vae"), steps, job.seed, engine.share
    )
    metrics = engine.minimise(
        "vae", lambda batch: vae.compute_loss(batch, frozen), vae.trainable, batches, steps, rate_of(job, "vae")
    )
    return save_fitted(job, engine, vae, {**metrics, **_reconstruction(job, vae)}, len(job.crystals), started, warm)


FITS: Mapping[NetworkName, Callable[[TrainJob, Engine], FittedNetwork]] = {
    "unet": fit_unet,
    "vae": fit_vae,
    "cgcnn": fit_cgcnn,
}


def fit_or_reuse(job: TrainJob, engine: Engine, network: NetworkName) -> FittedNetwork:
    """Fit a network, unless a finished checkpoint of the same job is there: a restarted training goes on from there."""
    folder = job.folder / network
    if folder.exists():
        card = read_card(folder)
        if (card.data_digest, card.notes) == (job.data_digest, notes_of(job, network, bool(card.notes.get("warm")))):
            return as_card_tells(folder, card)
    return FITS[network](job, engine)


def fitted(folder: Path) -> FittedNetwork:
    """A trained network as its card tells it."""
    return as_card_tells(folder, read_card(folder))


def _reconstruction(job: TrainJob, vae: DensityVAE, most: int = 256) -> dict[str, float]:
    """Fix the latent's frame; how well crystals of the training set come back: density and lattice apart, with units."""
    crystals = [canonical_origin(crystal) for crystal in job.crystals[:most]]
    e_f = job.labels[:most, PROPERTIES.index("formation_energy_per_atom")]
    maps, condition = draw_maps(crystals, job.voxels), vae.condition(e_f)
    frame = vae.whiten(maps, condition)
    mean, _ = vae.encode(maps, condition)
    out = vae.decode(mean, condition)
    lattices = np.array([crystal.lattice for crystal in crystals])
    return {
        "density_rmse_log": float(np.sqrt(np.square(out.maps[..., 0] - maps[..., 0]).mean())),
        "lattice_mae_ang": float(np.abs(np.linalg.norm(out.lattice, axis=2) - np.linalg.norm(lattices, axis=2)).mean()),
        **frame,
    }


def _from_parent(job: TrainJob, network: NetworkName, kind: Any, config: Any) -> tuple[Any, bool]:  # noqa: ANN401
    """A new network, with the parent's weights where it has the same shape; whether it has."""
    made = kind(config)
    if job.parent is None:
        return made, False
    parent = load(job.parent / network, kind)
    if _shape(parent.config) != _shape(config):
        return made, False
    if network == "vae":  # the lattice head's weights mean something only with the edge they were trained from
        if (parent.config.cubic, parent.config.symmetry) != (config.cubic, config.symmetry):
            return made, False
        made = kind(replace(config, a_ang=parent.config.a_ang))
    for name, model in made.networks.items():
        model.set_weights(parent.networks[name].get_weights())
    return made, True


def _shape(config: Any) -> dict[str, Any]:  # noqa: ANN401
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name not in FROM_DATA}
