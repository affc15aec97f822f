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
    decoded_batches,
    draw_maps,
    member_weights,
    unet_batches,
    vae_batches,
)
from models.cgcnn import CGCNN, CGCNNConfig, Stage, standardise
from models.checkpoint import Card, load, read_card, save
from models.crystal import Crystal
from models.frame import MOST_CRYSTALS
from models.properties import E_F, PROPERTIES
from models.unet import UNet, UNetConfig
from models.vae import DensityVAE, VAEConfig, decile_edges
from orchestrator.train_job import BATCH, LEARNING_RATE, FittedNetwork, NetworkName, TrainError, TrainJob

Loss = Callable[[Mapping[str, Any]], Mapping[str, Any]]
FROM_DATA = {
    *("a_ang", "cubic", "decile_edges_ev", "property_mean", "property_scale", "components"),
    *("mean", "scale", "labels", "error"),
}
"""Fields of the configurations that the training set decides."""
MOST_FOR_PRIOR = 10_000
TUNING, TUNING_RATE = 0.1, 0.1
"""Of the UNet on decoded maps: share of its steps on true maps, and of its learning rate."""


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
    """Fit and save the UNet on true maps: every crystal counts, labelled or not."""
    started = time.monotonic()
    with engine.begin(job.seed):
        config = UNetConfig(**_fields(UNetConfig.preset(job.preset, job.voxels.n), job, "unet"))
        unet, warm = _from_parent(job, "unet", UNet, config)
    steps = job.steps_of("unet", warm)
    batches = unet_batches(job.crystals, job.voxels, config, _batch(job, "unet"), steps, job.seed, engine.share)
    metrics = engine.minimise("unet", unet.compute_loss, unet.trainable, batches, steps, _rate(job, "unet"))
    return _save(job, engine, unet, metrics, len(job.crystals), started, warm)


def fit_vae(job: TrainJob, engine: Engine, unet: UNet | None = None) -> FittedNetwork:
    """Fit and save the VAE against the frozen UNet (the one in the job's folder unless given).

    The linear frame comes first, then the networks' steps, then the latent's prior; last the UNet of the job's folder is
    tuned on what the VAE makes of the training crystals.
    """
    started = time.monotonic()
    standing = [canonical_origin(crystal) for crystal in job.crystals]
    with engine.begin(job.seed + 1):
        vae, warm = _from_parent(job, "vae", DensityVAE, _vae_config(job))
        frozen = unet or load(job.folder / "unet", UNet, n=vae.config.n)
    if not warm:
        rows = np.random.default_rng([job.seed, 5]).permutation(len(standing))[:MOST_CRYSTALS]
        vae.start_frame(draw_maps([standing[row] for row in sorted(rows)], job.voxels))
    steps, batch = job.steps_of("vae", warm), _batch(job, "vae")
    batches = vae_batches(job.crystals, job.labels, job.voxels, vae.config, batch, steps, job.seed, engine.share)
    metrics = engine.minimise(
        "vae", lambda some: vae.compute_loss(some, frozen), vae.trainable, batches, steps, _rate(job, "vae")
    )
    metrics |= _fit_prior(job, vae, standing) | _reconstruction(job, vae, standing)
    saved = _save(job, engine, vae, metrics, len(job.crystals), started, warm)
    if unet is None:
        _tune_unet(job, engine, frozen, vae, standing)
    return saved


def _vae_config(job: TrainJob) -> VAEConfig:
    config = VAEConfig(**_fields(VAEConfig.preset(job.preset, job.voxels.n), job, "vae"))
    lengths = np.array([crystal.lengths_ang for crystal in job.crystals])
    cubic = all(crystal.is_orthogonal for crystal in job.crystals) and bool((np.ptp(lengths, axis=1) < 1e-3).all())
    mean, scale, counts = standardise(job.labels)
    return replace(
        config,
        cubic=cubic,
        a_ang=float(lengths.mean()),
        decile_edges_ev=decile_edges(job.labels[:, PROPERTIES.index(E_F)]),
        property_mean=mean,
        property_scale=tuple(s if count > 1 else 0.0 for s, count in zip(scale, counts, strict=True)),
    )


def _fit_prior(job: TrainJob, vae: DensityVAE, standing: Sequence[Crystal]) -> dict[str, float]:
    """Encode the training crystals, a batch of maps at a time, and fit the latent's prior to them."""
    rng = np.random.default_rng([job.seed, 6])
    rows = sorted(rng.permutation(len(standing))[:MOST_FOR_PRIOR])
    e_f = job.labels[:, PROPERTIES.index(E_F)]
    parts = []
    for start in range(0, len(rows), 64):
        some = rows[start : start + 64]
        parts.append(vae.encode(draw_maps([standing[row] for row in some], job.voxels), vae.condition(e_f[some])))
    means, log_variances = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    return vae.fit_prior_to(means, log_variances, rng)


def _tune_unet(job: TrainJob, engine: Engine, unet: UNet, vae: DensityVAE, standing: Sequence[Crystal]) -> None:
    """Go on with the UNet, on decoded maps in turn with true ones: it is used on what the VAE makes (science.md, row 10)."""
    started, card = time.monotonic(), read_card(job.folder / "unet")
    steps, batch = max(1, round(TUNING * job.steps_of("unet", warm=False))), _batch(job, "unet")
    e_f = job.labels[:, PROPERTIES.index(E_F)]
    true = unet_batches(job.crystals, job.voxels, unet.config, batch, steps, job.seed + 7, engine.share)
    made = decoded_batches(standing, e_f, vae, job.voxels, unet.config, batch, steps, job.seed + 8, engine.share)
    turns = (one for pair in zip(true, made, strict=True) for one in pair)
    metrics = engine.minimise(
        "unet", unet.compute_loss, unet.trainable, turns, 2 * steps, _rate(job, "unet") * TUNING_RATE
    )
    if engine.share.rank == 0:
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
        notes = {key: value for key, value in card.notes.items() if key != "tuned"}
        if (card.data_digest, notes) == (job.data_digest, _notes(job, network, bool(notes.get("warm")))):
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


def _from_parent(job: TrainJob, network: NetworkName, kind: Any, config: Any) -> tuple[Any, bool]:  # noqa: ANN401
    """A new network, with the parent's weights where it has the same shape; whether it has."""
    made = kind(config)
    if job.parent is None:
        return made, False
    parent = load(job.parent / network, kind)
    if _shape(parent.config) != _shape(config):
        return made, False
    if network == "vae":  # the lattice head's weights mean something only with the edge they were trained from
        if parent.config.cubic != config.cubic:
            return made, False
        made = kind(replace(config, a_ang=parent.config.a_ang, components=parent.config.components))
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
