"""Fits of the three networks, one function each, on whatever engine takes the steps. No Ray, no TensorFlow here."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping

from crystalloop.models.learn.checkpoints import (
    as_card_tells,
    batch_of,
    config_fields,
    from_parent,
    notes_of,
    rate_of,
    save_fitted,
)
from crystalloop.models.learn.engine import Engine
from crystalloop.models.learn.fit_cgcnn import fit_cgcnn
from crystalloop.models.learn.fit_vae import fit_vae
from crystalloop.models.learn.job import UNTUNED, FittedNetwork, NetworkName, TrainJob
from crystalloop.models.learn.map_batches import unet_batches
from crystalloop.models.nets.checkpoint import read_card
from crystalloop.models.nets.configs import UNetConfig
from crystalloop.models.nets.unet import UNet


def fit_unet(job: TrainJob, engine: Engine) -> FittedNetwork:
    """Fit and save the UNet on true maps: every crystal counts, labelled or not."""
    started = time.monotonic()
    with engine.begin(job.seed):
        config = UNetConfig(**config_fields(UNetConfig.preset(job.preset, job.voxels.n), job, "unet"))
        unet, warm = from_parent(job, "unet", UNet, config)
    if engine.share.rank == 0:
        shutil.rmtree(job.folder / UNTUNED, ignore_errors=True)
    steps = job.steps_of("unet", warm)
    batches = unet_batches(job.crystals, job.voxels, config, batch_of(job, "unet"), steps, job.seed, engine.share)
    metrics = engine.minimise("unet", unet.compute_loss, unet.trainable, batches, steps, rate_of(job, "unet"))
    return save_fitted(job, engine, unet, metrics, len(job.crystals), started, warm)


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
        notes = {key: value for key, value in card.notes.items() if key != "tuned"}
        if (card.data_digest, notes) == (job.data_digest, notes_of(job, network, bool(notes.get("warm")))):
            return as_card_tells(folder, card)
    return FITS[network](job, engine)
