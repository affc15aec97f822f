"""Ray Train round the Keras step: one run fits all three networks. What depends on the backend lives here alone."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalloop.models.learn.job import (
    NETWORKS,
    FittedNetwork,
    NetworkName,
    TrainError,
    TrainJob,
    TrainOutcome,
    TrainResources,
)

if TYPE_CHECKING:
    from crystalloop.models.learn.engine import Batch

log = logging.getLogger(__name__)
REPORTS = 20  # lines of progress per network
Report = Callable[[Mapping[str, Any]], None]


class TooFewGpus(TrainError):
    """Workers that want GPUs which Ray does not see."""


def fit_networks(
    job: TrainJob, resources: TrainResources | None = None, networks: Sequence[NetworkName] = NETWORKS
) -> TrainOutcome:
    """Fit the networks, in one Ray Train run, and leave a checkpoint folder for each.

    One run for all three, because starting a worker group takes half a minute. Running it again after a crash
    keeps the networks that were finished. Works under an initialised Ray, and initialises one where there is none.

    Args:
        job: data, sizes, steps, folder.
        resources: workers; none of them (`num_workers=0`) trains in this process.
        networks: which to fit, in this order; the VAE needs a UNet before it or in the job's folder.

    Raises:
        TrainError: a worker failed; the message has its error.
    """
    from crystalloop.models.learn.fit import fitted

    resources = resources or TrainResources()
    started = time.monotonic()
    spent = _fit_here(job, networks) if resources.num_workers == 0 else _fit_on_ray(job, resources, networks)
    done: dict[str, FittedNetwork] = {name: fitted(job.folder / name) for name in networks}
    return TrainOutcome(done, spent, time.monotonic() - started)


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


def read_progress(path: Path) -> list[dict[str, Any]]:
    """The lines of a progress file so far: network, step, steps, loss, seconds, cpu_s, memory_mb (of the first worker)."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _fit_here(job: TrainJob, networks: Sequence[NetworkName]) -> float:
    from crystalloop.models.learn.fit import fit_or_reuse

    engine = TensorFlowEngine(report=_progress_writer(job.progress))
    for network in networks:
        fit_or_reuse(job, engine, network)
    return engine.step_s


def _fit_on_ray(job: TrainJob, resources: TrainResources, networks: Sequence[NetworkName]) -> float:
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(resources.start_timeout_s))
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

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
            name=f"train-{time.time_ns()}", storage_path=str(storage), failure_config=FailureConfig(max_failures=1)
        ),
    )
    try:
        metrics = trainer.fit().metrics or {}
    except TrainingFailedError as error:
        raise TrainError(
            f"training in {job.folder} failed: {error}; running it again keeps finished networks"
        ) from error
    finally:
        shutil.rmtree(storage, ignore_errors=True)  # the model registry is the record, not Ray's checkpoint manager
    return float(metrics.get("step_s", 0.0))


def _train_loop(config: Mapping[str, Any]) -> None:
    """What each Ray Train worker runs."""
    # Ray's TensorFlow backend sets this for every worker; with it, Keras 2 would be asked for.
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from ray import train

    from crystalloop.models.learn.fit import fit_or_reuse

    job: TrainJob = config["job"]
    context = train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    engine = TensorFlowEngine(rank, world, report=_progress_writer(job.progress if rank == 0 else None))
    for network in config["networks"]:
        result = fit_or_reuse(job, engine, network)
        # Without a checkpoint, Result.metrics would be None.
        checkpoint = train.Checkpoint.from_directory(str(result.folder)) if rank == 0 else None
        train.report({"network": network, "step_s": engine.step_s, **result.metrics}, checkpoint=checkpoint)


class TensorFlowEngine:
    """Takes optimiser steps with TensorFlow: alone, or as one of several replicas with gradients summed."""

    def __init__(self, rank: int = 0, world: int = 1, report: Report | None = None) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        from crystalloop.models.learn.engine import Share

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # TensorFlow would take all of it
        tf.config.experimental.enable_op_determinism()
        self.share = Share(rank, world)
        self.step_s = 0.0
        self._report = report or (lambda line: None)
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy() if world > 1 else None

    @contextmanager
    def begin(self, seed: int) -> Iterator[None]:
        """A scope in which variables are made, with the seed set."""
        import keras

        keras.utils.set_random_seed(seed)
        scope: AbstractContextManager[object] = self._strategy.scope() if self._strategy else nullcontext()
        with scope:
            yield

    def minimise(
        self,
        network: str,
        loss: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        variables: list[Any],
        batches: Iterable[Batch],
        steps: int,
        learning_rate: float,
    ) -> dict[str, float]:
        """Take the steps under a cosine schedule; the mean over the last tenth of every part of the loss."""
        step = self._compiled_step(loss, variables, steps, learning_rate)
        last: list[dict[str, float]] = []
        started, cpu = time.monotonic(), time.process_time()
        for number, batch in enumerate(batches, start=1):
            parts = {name: float(value) for name, value in step(batch).items()}
            if number > steps - max(1, steps // 10):
                last.append(parts)
            if number == steps or number % max(1, steps // REPORTS) == 0:
                spent = {
                    "seconds": round(time.monotonic() - started, 2),
                    "cpu_s": round(time.process_time() - cpu, 2),
                    "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,  # Linux counts in kB
                }
                self._report({"network": network, "step": number, "steps": steps, **spent, **parts})
        self.step_s += time.monotonic() - started
        return {name: sum(parts[name] for parts in last) / len(last) for name in last[0]} if last else {}

    def _compiled_step(
        self,
        loss: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        variables: list[Any],
        steps: int,
        learning_rate: float,
    ) -> Callable[[Batch], Mapping[str, Any]]:
        """One optimiser step as a graph. Keras' own `fit` fails on several workers (keras#20585), hence a step of ours."""
        import keras
        import tensorflow as tf

        strategy, world = self._strategy, self.share.world
        with strategy.scope() if strategy else nullcontext():
            warm = max(1, steps // 20)
            schedule = keras.optimizers.schedules.CosineDecay(
                learning_rate / 10, max(1, steps - warm), alpha=0.1, warmup_target=learning_rate, warmup_steps=warm
            )
            optimizer = keras.optimizers.Adam(schedule, global_clipnorm=1.0)
            optimizer.build(variables)

        def replica_step(batch: Mapping[str, Any]) -> Mapping[str, Any]:
            with tf.GradientTape() as tape:
                parts = loss(batch)
                shared = parts["loss"] / world  # apply_gradients sums over the replicas
            optimizer.apply_gradients(zip(tape.gradient(shared, variables), variables, strict=True))
            return parts

        @tf.function(autograph=False, jit_compile=False)  # type: ignore[untyped-decorator]  # XLA made 3-D convolutions six to ten times slower on CPU
        def step(batch: Mapping[str, Any]) -> Mapping[str, Any]:
            if strategy is None:
                return replica_step(batch)
            parts = strategy.run(replica_step, args=(batch,))
            return {name: strategy.reduce(tf.distribute.ReduceOp.MEAN, part, axis=None) for name, part in parts.items()}

        return lambda batch: step({name: tf.convert_to_tensor(array) for name, array in batch.items()})


def _progress_writer(path: Path | None) -> Report | None:
    """Appends one JSON line per report."""
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(line: Mapping[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(line)) + "\n")

    return write
