"""The fit of the CGCNN: two stages, then its uncertainty on crystals that it had not seen. No Ray, no TensorFlow here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.properties import PROPERTIES, TABLE
from crystalloop.models.learn.checkpoints import batch_of, config_fields, rate_of, save_fitted
from crystalloop.models.learn.engine import Engine
from crystalloop.models.learn.graph_batches import MANY_LABELS, cgcnn_batches, member_weights
from crystalloop.models.learn.job import EPOCHS, STEPS, FittedNetwork, TrainError, TrainJob
from crystalloop.models.nets.cgcnn import CGCNN, Stage, calibrate, heads_of, standardise, to_units, to_working
from crystalloop.models.nets.configs import CGCNNConfig
from crystalloop.models.nets.graphs import CrystalGraph

MOST_VISITS = 600_000
"""Most times that a stage looks at a crystal unless steps are asked for: a quarter of an hour on one core."""
ENOUGH = 50
"""From this many validation labels of a property on, its members need not be kept from any crystal."""


def fit_cgcnn(job: TrainJob, engine: Engine) -> FittedNetwork:
    """Fit and save the CGCNN: energies first, then the other heads from a copy of their convolutions.

    With validation crystals in the job every member sees every label, and the intervals are calibrated on those
    crystals; without them each member misses some labels, and its errors there are taken.

    Raises:
        TrainError: a label out of its property's range.
    """
    started = time.monotonic()
    check_labels(job.labels)
    labelled = np.flatnonzero(np.isfinite(job.labels).any(axis=1))
    crystals, labels = [job.crystals[i] for i in labelled], job.labels[labelled]
    mean, scale, counts = standardise(labels)
    with engine.begin(job.seed + 2):
        few = job.preset != "paper" and len(labelled) <= MANY_LABELS
        sizes = CGCNNConfig.of_few() if few else CGCNNConfig.preset(job.preset)
        config = CGCNNConfig(**config_fields(sizes, job, "cgcnn"))
        model = CGCNN(replace(config, mean=mean, scale=scale, labels=counts))
    graphs = model.graphs(crystals)
    metrics: dict[str, float] = {}
    stages: tuple[Stage, ...] = ("energies", "transfer")
    for stage in stages:
        if stage == "transfer":
            model.start_transfer()
        if sum(counts[heads_of(stage)]):
            metrics |= _fit_stage(job, engine, model, stage, graphs, labels)
    metrics |= _set_uncertainty(job, model, graphs, labels)
    return save_fitted(job, engine, model, metrics, len(crystals), started, warm=False)


def check_labels(labels: NDArray[np.floating]) -> None:
    """Refuse labels [c, 8] that cannot be in their unit; NaN is a missing one.

    Raises:
        TrainError: with the first of them.
    """
    for row, column in zip(TABLE, labels.T, strict=True):
        odd = np.flatnonzero((column < row.lowest) | (column > row.highest))
        if odd.size:
            raise TrainError(
                f"{row.name} of crystal {odd[0]} is {column[odd[0]]:g}, outside {row.lowest:g} to {row.highest:g}"
                f"{' ' + row.unit if row.unit else ''} ({odd.size} such labels); check the unit, or leave them empty"
            )


def stage_steps(job: TrainJob, rows: int) -> int:
    """Optimiser steps of a stage with so many labelled crystals; the job's, where it names them."""
    if "cgcnn" in job.steps:
        return job.steps["cgcnn"]
    batch = min(batch_of(job, "cgcnn"), rows)
    return max(STEPS["cgcnn"], ceil(min(EPOCHS["cgcnn"] * rows, MOST_VISITS) / batch))


def _fit_stage(
    job: TrainJob,
    engine: Engine,
    model: CGCNN,
    stage: Stage,
    graphs: Sequence[CrystalGraph],
    labels: NDArray[np.float64],
) -> dict[str, float]:
    rows = int(np.isfinite(labels[:, heads_of(stage)]).any(axis=1).sum())
    steps = stage_steps(job, rows)
    batches = cgcnn_batches(
        model, graphs, labels, stage, batch_of(job, "cgcnn"), steps, job.seed, engine.share, see_all=_validated(job)
    )
    parts = engine.minimise(
        "cgcnn",
        lambda batch: model.compute_loss(batch, stage),
        model.stage_variables(stage),
        batches,
        steps,
        rate_of(job, "cgcnn"),
    )
    return {f"loss_{stage}": parts["loss"], f"steps_{stage}": float(steps)}


def _validated(job: TrainJob) -> bool:
    """Whether every property with labels has enough of them in the validation crystals."""
    if job.validation_labels is None:
        return False
    trained, kept = (np.isfinite(labels).sum(axis=0) for labels in (job.labels, job.validation_labels))
    return bool((kept[trained > 0] >= ENOUGH).all())


def _set_uncertainty(
    job: TrainJob, model: CGCNN, graphs: Sequence[CrystalGraph], labels: NDArray[np.float64]
) -> dict[str, float]:
    """Calibrate on validation crystals, else where a member had not seen the label; root mean square errors there."""
    if _validated(job):
        labels = np.asarray(job.validation_labels)
        outputs = model.member_outputs(model.graphs(job.validation))
        errors = (outputs.mean(axis=1, dtype=np.float64) - to_working(labels))[:, None]  # [c, 1, 8]
        in_units = (to_units(outputs.mean(axis=1)) - labels)[:, None]
        unseen = np.isfinite(labels)[:, None]
    else:
        outputs = model.member_outputs(graphs)
        errors, in_units = outputs - to_working(labels)[:, None], to_units(outputs) - labels[:, None]
        unseen = np.isfinite(labels)[:, None] & (member_weights(labels, model.config.members) == 0)
    spread = np.broadcast_to(outputs.std(axis=1, keepdims=True), errors.shape)
    found, metrics = [], {}
    for p, name in enumerate(PROPERTIES):
        chosen = unseen[..., p]
        if not model.config.labels[p]:
            found.append((0.0, 1.0))
        elif chosen.any():
            found.append(calibrate(errors[..., p][chosen], spread[..., p][chosen]))
            metrics[f"rmse_{name}"] = float(np.sqrt(np.square(in_units[..., p][chosen]).mean()))
            metrics[f"mae_{name}"] = float(np.abs(in_units[..., p][chosen]).mean())
        else:  # all members saw the few labels: their spread must do
            found.append((model.config.scale[p], 1.0))
            metrics[f"rmse_{name}"] = model.config.scale[p]
    errors_, factors = zip(*found, strict=True)
    model.config = replace(model.config, error=tuple(errors_), factor=tuple(factors))
    return metrics
