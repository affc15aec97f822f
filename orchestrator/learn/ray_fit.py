"""The fits of a training, in this process or under Ray Train, on the backend that is asked for. How to fit: models/learn."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from crystalloop.models.learn.checkpoints import fitted
from crystalloop.models.learn.engine import Backend, Engine, Report, progress_writer, use_backend
from crystalloop.models.learn.job import (
    NETWORKS,
    FittedNetwork,
    NetworkName,
    TrainError,
    TrainJob,
    TrainOutcome,
    TrainResources,
)
from crystalloop.orchestrator.cluster.waiting import Tell, wait_for_thread

log = logging.getLogger(__name__)


def fit_networks(
    job: TrainJob,
    resources: TrainResources | None = None,
    networks: Sequence[NetworkName] = NETWORKS,
    tell: Tell | None = None,
) -> TrainOutcome:
    """Fit the networks, in one Ray Train run, and leave a checkpoint folder for each.

    One run for all three, because starting a worker group takes half a minute. Running it again after a crash
    keeps the networks that were finished. Works under an initialised Ray, and initialises one where there is none.

    Args:
        job: data, sizes, steps, folder.
        resources: workers; none of them (`num_workers=0`) trains in this process.
        networks: which to fit, in this order; the VAE needs a UNet before it or in the job's folder.
        tell: hears what is waited for where nothing is seen of the training for minutes.

    Raises:
        TrainError: a worker failed; the message has its error.
        BackendError: the backend is not installed, or Keras runs on another one in this process.
    """
    resources = resources or TrainResources()
    started = time.monotonic()
    spent = (
        _fit_here(job, networks, resources.backend)
        if resources.num_workers == 0
        else _fit_on_ray(job, resources, networks, tell)
    )
    done: dict[str, FittedNetwork] = {name: fitted(job.folder / name) for name in networks}
    return TrainOutcome(done, spent, time.monotonic() - started)


def _fit_here(job: TrainJob, networks: Sequence[NetworkName], backend: Backend) -> float:
    engine = _engine(backend, report=progress_writer(job.progress))
    from crystalloop.models.learn.fit import fit_or_reuse  # Keras, on the backend that the engine has made sure of

    for network in networks:
        fit_or_reuse(job, engine, network)
    return engine.step_s


def _fit_on_ray(job: TrainJob, resources: TrainResources, networks: Sequence[NetworkName], tell: Tell | None) -> float:
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(resources.start_timeout_s))
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # Ray, after its timeout is set in the environment
    from ray.train.tensorflow import TensorflowTrainer  # the same
    from ray.train.v2.api.exceptions import TrainingFailedError  # the same

    storage = job.folder.absolute() / "ray"
    trainer = TensorflowTrainer(
        _train_loop,
        train_loop_config={"job": job, "networks": tuple(networks)},
        scaling_config=ScalingConfig(
            num_workers=resources.num_workers,
            use_gpu=resources.use_gpu,
            resources_per_worker={"CPU": resources.cpus_per_worker} | ({"GPU": 1} if resources.use_gpu else {}),
        ),
        run_config=RunConfig(
            name=f"train-{time.time_ns()}",
            storage_path=str(storage),
            # Ray's own default tries for ever where the workers find no place.
            failure_config=FailureConfig(max_failures=1, controller_failure_limit=0),
        ),
    )
    try:
        result = wait_for_thread(trainer.fit, _what(job, resources), partial(_size, job.progress), tell)
        metrics = result.metrics or {}
    except TrainingFailedError as error:
        raise TrainError(
            f"training in {job.folder} failed: {error}; running it again keeps finished networks"
        ) from error
    finally:
        shutil.rmtree(storage, ignore_errors=True)  # the model registry is the record, not Ray's checkpoint manager
    return float(metrics.get("step_s", 0.0))


def _what(job: TrainJob, resources: TrainResources) -> str:
    count, cpus = resources.num_workers, resources.cpus_per_worker
    gpu = " and a GPU" if resources.use_gpu else ""
    return f"the training in {job.folder} on {count} worker{'s' * (count > 1)} of {cpus:g} CPUs{gpu} each"


def _size(progress: Path | None) -> int:
    """Bytes of the progress file: they grow while a training goes on."""
    return progress.stat().st_size if progress is not None and progress.exists() else 0


def _train_loop(config: Mapping[str, Any]) -> None:
    """What each Ray Train worker runs."""
    # Ray's TensorFlow backend sets this for every worker; with it, Keras 2 would be asked for.
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from ray import train  # where a worker runs, Ray is

    from crystalloop.models.learn.fit import fit_or_reuse  # Keras: seconds that the driver shall not wait for

    job: TrainJob = config["job"]
    context = train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    engine = _engine("tensorflow", rank, world, report=progress_writer(job.progress if rank == 0 else None))
    for network in config["networks"]:
        result = fit_or_reuse(job, engine, network)
        # Without a checkpoint, Result.metrics would be None.
        checkpoint = train.Checkpoint.from_directory(str(result.folder)) if rank == 0 else None
        train.report({"network": network, "step_s": engine.step_s, **result.metrics}, checkpoint=checkpoint)


def _engine(backend: Backend, rank: int = 0, world: int = 1, report: Report | None = None) -> Engine:
    """An engine of this backend, imported now: seconds that neither `--help` nor the driver of Ray shall wait for."""
    use_backend(backend)
    module = import_module(f"crystalloop.models.learn.engine_{backend}")
    made: Engine = (module.JaxEngine if backend == "jax" else module.TensorFlowEngine)(rank, world, report)
    return made
