"""Fits of the three networks, one function each, on whatever engine takes the steps. No Ray, no TensorFlow here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.batches import (
    Batch,
    Share,
    canonical_origin,
    cgcnn_batches,
    draw_maps,
    member_weights,
    unet_batches,
    vae_batches,
)
from models.cgcnn import CGCNN, CGCNNConfig, Stage, standardise
from models.checkpoint import Card, load, read_card, save
from models.crystal import Crystal
from models.map_symmetry import common_operations
from models.properties import PROPERTIES
from models.unet import UNet, UNetConfig
from models.vae import DensityVAE, VAEConfig, decile_edges
from orchestrator.train_job import BATCH, LEARNING_RATE, FittedNetwork, NetworkName, TrainError, TrainJob

Loss = Callable[[Mapping[str, Any]], Mapping[str, Any]]
FROM_DATA = {"a_ang", "cubic", "symmetry", "decile_edges_ev", "mean", "scale", "labels", "error"}
"""Fields of the configurations that the training set decides."""


class Engine(Protocol):
    """Takes optimiser steps: in this process, or as one of several workers."""

    share: Share
    step_s: float

    def begin(self, seed: int) -> AbstractContextManager[object]:
        """A scope in which variables are made, with the seed set."""

    def minimise(
        self, network: str, loss: Loss, variables: list[Any], batches: Iterable[Batch], steps: int, learning_rate: float
    ) -> dict[str, float]:
        """Take the steps; the last steps' mean of every part of the loss."""


def fit_unet(job: TrainJob, engine: Engine) -> FittedNetwork:
    """Fit and save the UNet: every crystal counts, labelled or not."""
    started = time.monotonic()
    with engine.begin(job.seed):
        config = UNetConfig(**_fields(UNetConfig.preset(job.preset, job.voxels.n), job, "unet"))
        unet, warm = _from_parent(job, "unet", UNet, config)
    steps = job.steps_of("unet", warm)
    batches = unet_batches(job.crystals, job.voxels, config, _batch(job, "unet"), steps, job.seed, engine.share)
    metrics = engine.minimise("unet", unet.compute_loss, unet.trainable, batches, steps, _rate(job, "unet"))
    return _save(job, engine, unet, metrics, len(job.crystals), started, warm)


def fit_vae(job: TrainJob, engine: Engine, unet: UNet | None = None) -> FittedNetwork:
    """Fit and save the VAE against the frozen UNet (the one in the job's folder unless given)."""
    started = time.monotonic()
    e_f = job.labels[:, PROPERTIES.index("formation_energy_per_atom")]
    with engine.begin(job.seed + 1):
        config = VAEConfig(**_fields(VAEConfig.preset(job.preset, job.voxels.n), job, "vae"))
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
    batches = vae_batches(job.crystals, e_f, job.voxels, vae.config, _batch(job, "vae"), steps, job.seed, engine.share)
    metrics = engine.minimise(
        "vae", lambda batch: vae.compute_loss(batch, frozen), vae.trainable, batches, steps, _rate(job, "vae")
    )
    return _save(job, engine, vae, {**metrics, **_reconstruction(job, vae)}, len(job.crystals), started, warm)


def fit_cgcnn(job: TrainJob, engine: Engine) -> FittedNetwork:
    """Fit and save the CGCNN: energies first, then the other heads from a copy of their convolution."""
    started = time.monotonic()
    labelled = np.flatnonzero(np.isfinite(job.labels).any(axis=1))
    crystals, labels = [job.crystals[i] for i in labelled], job.labels[labelled]
    mean, scale, counts = standardise(labels)
    with engine.begin(job.seed + 2):
        config = CGCNNConfig(**_fields(CGCNNConfig.preset(job.preset), job, "cgcnn"))
        model = CGCNN(replace(config, mean=mean, scale=scale, labels=counts))
    metrics: dict[str, float] = {}
    stages: tuple[tuple[Stage, int], ...] = (("energies", sum(counts[:2])), ("transfer", sum(counts[2:])))
    for stage, known in stages:
        if stage == "transfer":
            model.start_transfer()
        if known:
            metrics |= _fit_stage(job, engine, model, stage, crystals, labels)
    errors = _left_out_errors(model, crystals, labels)
    model.config = replace(model.config, error=errors)
    metrics |= {f"rmse_{name}": e for name, e, n in zip(PROPERTIES, errors, counts, strict=True) if n}
    return _save(job, engine, model, metrics, len(crystals), started, warm=False)


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
        if (card.data_digest, card.notes) == (job.data_digest, _notes(job, network, bool(card.notes.get("warm")))):
            return _fitted(folder, card)
    return FITS[network](job, engine)


def fitted(folder: Path) -> FittedNetwork:
    """A trained network as its card tells it."""
    return _fitted(folder, read_card(folder))


def _fitted(folder: Path, card: Card) -> FittedNetwork:
    return FittedNetwork(folder, card.digest, card.metrics, card.samples, card.train_s)


def _fit_stage(
    job: TrainJob, engine: Engine, model: CGCNN, stage: Stage, crystals: Sequence[Crystal], labels: NDArray[np.float64]
) -> dict[str, float]:
    steps = job.steps_of("cgcnn", warm=False)
    batches = cgcnn_batches(model, crystals, labels, _batch(job, "cgcnn"), steps, job.seed, engine.share)
    parts = engine.minimise(
        "cgcnn",
        lambda batch: model.compute_loss(batch, stage),
        model.stage_variables(stage),
        batches,
        steps,
        _rate(job, "cgcnn"),
    )
    return {f"loss_{stage}": parts["loss"]}


def _left_out_errors(model: CGCNN, crystals: Sequence[Crystal], labels: NDArray[np.float64]) -> tuple[float, ...]:
    """Root mean square error of each property where the member had not seen the label; its spread where all had."""
    if not len(crystals):
        return (0.0,) * len(PROPERTIES)
    unseen = np.isfinite(labels)[:, None, :] & (member_weights(labels, model.config.members) == 0)  # [c, m, 8]
    squares = np.square(model.member_predictions(model.graphs(crystals)) - labels[:, None, :])
    errors = []
    for p, scale in enumerate(model.config.scale):
        here = squares[..., p][unseen[..., p]]
        errors.append(float(np.sqrt(here.mean())) if here.size else (scale if model.config.labels[p] else 0.0))
    return tuple(errors)


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


def _fields(preset: Any, job: TrainJob, network: NetworkName) -> dict[str, Any]:  # noqa: ANN401
    """The preset's fields with the job's overrides, lists as tuples."""
    known = {f.name for f in fields(preset)} - FROM_DATA - {"n"}
    given = job.overrides.get(network, {})
    odd = sorted(set(given) - known)
    if odd:
        raise TrainError(f"networks.{network} has no field {odd[0]!r}; known: {', '.join(sorted(known))}")
    values = {f.name: getattr(preset, f.name) for f in fields(preset)}
    return values | {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def _save(
    job: TrainJob,
    engine: Engine,
    network: UNet | DensityVAE | CGCNN,
    metrics: Mapping[str, float],
    samples: int,
    started: float,
    warm: bool,
) -> FittedNetwork:
    """Write the checkpoint from the first worker; the others hold the same weights."""
    folder, seconds = job.folder / network.kind, time.monotonic() - started
    if engine.share.rank:
        return FittedNetwork(folder, "", dict(metrics), samples, seconds)
    card = save(
        folder,
        network,
        data_digest=job.data_digest,
        metrics=metrics,
        samples=samples,
        train_s=seconds,
        notes=_notes(job, network.kind, warm),
    )
    return _fitted(folder, card)


def _notes(job: TrainJob, network: str, warm: bool) -> dict[str, Any]:
    return {"seed": job.seed, "steps": job.steps_of(network, warm), "warm": warm, "preset": job.preset}


def _batch(job: TrainJob, network: NetworkName) -> int:
    return job.batch.get(network, BATCH[network])


def _rate(job: TrainJob, network: NetworkName) -> float:
    return job.learning_rate.get(network, LEARNING_RATE[network])
