"""Optimiser steps with TensorFlow: alone, or as one of several workers. The contract is Engine; the losses are the networks'."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import tensorflow as tf

from crystalloop.models.learn.engine import Batch, Report, Share
from crystalloop.models.nets.keras_import import keras


class TensorFlowEngine:
    """Takes optimiser steps with TensorFlow: alone, or as one of several replicas with gradients summed."""

    def __init__(self, rank: int = 0, world: int = 1, report: Report | None = None) -> None:
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


REPORTS = 20  # lines of progress per network
