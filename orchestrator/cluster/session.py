"""The one place where Ray is started and ended, for campaigns and for `train`. What runs on it is elsewhere."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import ray

from crystalloop.orchestrator.cluster.demand import WORKER_CPUS, ClusterTooSmall, Demand, Node, fit_demand
from crystalloop.orchestrator.cluster.reach import require_cluster, said_of, use_token

START_TIMEOUT_S = 300.0
"""So long may the workers of a training take to start: TensorFlow alone takes half a minute on a busy machine."""
FREE_S = 6.0
"""So long is waited for what others hold on a cluster; what ended a moment ago is free by then."""


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


def start_ray(address: str | None, demand: Demand, start_timeout_s: float = START_TIMEOUT_S) -> float:
    """Connect to a cluster, or start Ray on this machine; keeps the session of this process where there is one.

    Args:
        address: of the cluster; None for a Ray of our own, which ends with `stop_ray`.
        demand: what will be asked; a Ray of our own gets as many logical CPUs, whatever the number of cores here.
        start_timeout_s: for the workers of a training.

    Returns:
        Logical CPUs for each training worker.

    Raises:
        ClusterUnreachable: no cluster that takes us, said within seconds.
        ClusterTooSmall: it has no room for what is asked, or others hold it.
    """
    if ray.is_initialized():
        return fit_demand(demand, _nodes())
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(start_timeout_s))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"address": address or "local"}
    if _is_ours(address):
        use_token(start_here=True)
        options |= {"address": "local", "num_cpus": max(os.cpu_count() or 1, int(_cpus_wanted(demand)) + 1)}
    else:
        require_cluster(str(address))
    handler = signal.getsignal(signal.SIGTERM)
    with said_of(options["address"]):
        ray.init(**options, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    signal.signal(signal.SIGTERM, handler)  # Ray puts one of its own there, which aborts this process
    try:
        cpus = fit_demand(demand, _nodes())
        return cpus if _is_ours(address) else _free_of_others(demand, cpus)
    except ClusterTooSmall:
        stop_ray()
        raise


def stop_ray() -> None:
    """End the session of this process; a cluster of the user's goes on."""
    if ray.is_initialized():
        ray.shutdown()


@contextmanager
def ray_session(resources: WorkerResources) -> Iterator[None]:
    """Ray for one training: the cluster that RAY_ADDRESS names, else this machine; ended afterwards.

    Raises:
        TooFewGpus: fewer GPUs than workers that want one.
        ClusterTooSmall, ClusterUnreachable: see `start_ray`.
    """
    if resources.num_workers == 0:
        yield
        return
    demand = Demand(resources.num_workers, resources.cpus_per_worker, resources.use_gpu, keys="")
    start_ray(os.environ.get("RAY_ADDRESS"), demand, resources.start_timeout_s)
    try:
        yield
    finally:
        stop_ray()


def _is_ours(address: str | None) -> bool:
    return not address or address == "local"


def _cpus_wanted(demand: Demand) -> float:
    """Logical CPUs of a Ray of our own, where nothing has to wait for anything else."""
    return demand.at_once(demand.cpus_per_train_worker or 2.0)[0]


def _nodes() -> list[Node]:
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(float(one.get("CPU", 0)), float(one.get("GPU", 0))) for one in resources]


def _free_of_others(demand: Demand, cpus: float) -> float:
    """CPUs for each training worker, at most `cpus`, with which all that is asked is free now.

    Raises:
        ClusterTooSmall: the work of others holds it, and goes on to.
    """
    choices = [cpus] if demand.cpus_per_train_worker else [one for one in WORKER_CPUS if one <= cpus]
    ends = time.monotonic() + FREE_S
    while time.monotonic() < ends:
        free = ray.available_resources()
        for one in choices:
            if all(
                free.get(kind, 0) >= wanted for kind, wanted in zip(("CPU", "GPU"), demand.at_once(one), strict=True)
            ):
                return one
        time.sleep(0.5)
    (least, gpus), total = demand.at_once(choices[-1]), ray.cluster_resources()
    raise ClusterTooSmall(
        f"the Ray cluster is in use by others: {free.get('CPU', 0):g} of {total.get('CPU', 0):g} CPUs and "
        f"{free.get('GPU', 0):g} of {total.get('GPU', 0):g} GPUs are free, {least:g} and {gpus:g} are wanted; wait until "
        "their work has ended (`ray status`) and repeat the command, or leave the address out"
    )
