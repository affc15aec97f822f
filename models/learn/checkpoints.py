"""What the three fits share: the engine that takes steps, configurations from a job, and saving. No fit lives here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from crystalloop.models.learn.engine import Engine
from crystalloop.models.learn.job import BATCH, LEARNING_RATE, FittedNetwork, NetworkName, TrainError, TrainJob
from crystalloop.models.nets.checkpoint import Card, Network, load, read_card, save
from crystalloop.models.nets.configs import FROM_DATA


def config_fields(preset: Any, job: TrainJob, network: NetworkName) -> dict[str, Any]:  # noqa: ANN401
    """The preset's fields with the job's overrides, lists as tuples.

    Raises:
        TrainError: an override of a field that the configuration does not have.
    """
    known = {f.name for f in fields(preset)} - FROM_DATA - {"n"}
    given = job.overrides.get(network, {})
    odd = sorted(set(given) - known)
    if odd:
        raise TrainError(f"networks.{network} has no field {odd[0]!r}; known: {', '.join(sorted(known))}")
    values = {f.name: getattr(preset, f.name) for f in fields(preset)}
    return values | {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def save_fitted(
    job: TrainJob,
    engine: Engine,
    network: Network,
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
        notes=notes_of(job, network.kind, warm),
    )
    return as_card_tells(folder, card)


def as_card_tells(folder: Path, card: Card) -> FittedNetwork:
    """A trained network as its card tells it."""
    return FittedNetwork(folder, card.digest, card.metrics, card.samples, card.train_s)


def fitted(folder: Path) -> FittedNetwork:
    """A trained network on disk, as its card tells it."""
    return as_card_tells(folder, read_card(folder))


def notes_of(job: TrainJob, network: str, warm: bool) -> dict[str, Any]:
    """How a network is trained; the same notes and data give the same network."""
    return {"seed": job.seed, "steps": job.steps_of(network, warm), "warm": warm, "preset": job.preset}


def batch_of(job: TrainJob, network: NetworkName) -> int:
    """Crystals in a step over all workers."""
    return job.batch.get(network, BATCH[network])


def rate_of(job: TrainJob, network: NetworkName) -> float:
    """Peak of the learning rate."""
    return job.learning_rate.get(network, LEARNING_RATE[network])


def from_parent(job: TrainJob, network: NetworkName, kind: Any, config: Any) -> tuple[Any, bool]:  # noqa: ANN401
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
