"""TODO."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crystalloop.models.learn.job import TrainResources
from crystalloop.orchestrator.learn.ray_fit import TooFewGpus

if TYPE_CHECKING:
    pass


@contextmanager
def ray_session(resources: TrainResources) -> Iterator[None]:
    """Ray for one training: the cluster that RAY_ADDRESS names, else this machine; ended afterwards.

    Raises:
        TooFewGpus: fewer GPUs than workers that want one.
    """
    if resources.num_workers == 0:
        yield
        return
    import ray

    address = os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": address or "local"}
    if not address:  # logical CPUs, whatever the number of cores here
        options["num_cpus"] = max(os.cpu_count() or 1, int(resources.num_workers * resources.cpus_per_worker) + 1)
    ray.init(**options, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        gpus = ray.cluster_resources().get("GPU", 0)
        if resources.use_gpu and gpus < resources.num_workers:
            raise TooFewGpus(
                f"{resources.num_workers} workers want a GPU each, Ray sees {gpus:g}; lower --workers, or leave --gpus out"
            )
        yield
    finally:
        ray.shutdown()
