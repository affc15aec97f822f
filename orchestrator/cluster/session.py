"""The one place where Ray is started and ended, for campaigns and for `train`. What runs on it is elsewhere."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import ray

START_TIMEOUT_S = 300.0
"""So long may the workers of a training take to start: TensorFlow alone takes half a minute on a busy machine."""


class TooFewGpus(Exception):
    """Workers that want GPUs which Ray does not see."""

    exit_kind = "environment"


class WorkerResources(Protocol):
    """What a training asks of Ray; models.learn.job.TrainResources."""

    @property
    def num_workers(self) -> int:
        """0 for a training in this process."""

    @property
    def cpus_per_worker(self) -> float:
        """Logical cores reserved for each."""

    @property
    def use_gpu(self) -> bool:
        """One for each worker."""

    @property
    def start_timeout_s(self) -> float:
        """How long they may take to start."""


def start_ray(address: str | None, cpus: float, start_timeout_s: float = START_TIMEOUT_S) -> None:
    """Connect to a cluster, or start Ray on this machine; does nothing where this process has a session.

    Args:
        address: of the cluster; None for a Ray of our own, which ends with `stop_ray`.
        cpus: logical CPUs that are wanted of a Ray of our own, whatever the number of cores here.
        start_timeout_s: for the workers of a training.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(start_timeout_s))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"address": address or "local"}
    if not address:
        options["num_cpus"] = max(os.cpu_count() or 1, int(cpus))
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(**options, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    signal.signal(signal.SIGTERM, handler)  # Ray puts one of its own there, which aborts this process


def stop_ray() -> None:
    """End the session of this process; a cluster of the user's goes on."""
    if ray.is_initialized():
        ray.shutdown()


@contextmanager
def ray_session(resources: WorkerResources) -> Iterator[None]:
    """Ray for one training: the cluster that RAY_ADDRESS names, else this machine; ended afterwards.

    Raises:
        TooFewGpus: fewer GPUs than workers that want one.
    """
    if resources.num_workers == 0:
        yield
        return
    wanted = resources.num_workers * resources.cpus_per_worker + 1
    start_ray(os.environ.get("RAY_ADDRESS"), wanted, resources.start_timeout_s)
    try:
        gpus = ray.cluster_resources().get("GPU", 0)
        if resources.use_gpu and gpus < resources.num_workers:
            raise TooFewGpus(
                f"{resources.num_workers} workers want a GPU each, Ray sees {gpus:g}; lower --workers, or leave --gpus out"
            )
        yield
    finally:
        stop_ray()
