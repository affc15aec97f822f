"""Optimiser steps with TensorFlow: alone, or as one of several workers. The contract is Engine; the losses are the networks'."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import tensorflow as tf

from crystalloop.models.learn.engine import Batch, Loss, Report, Share, use_backend
from crystalloop.models.learn.steps import adam, take_steps
from crystalloop.models.nets.keras_import import keras


class TensorFlowEngine:
    """Takes optimiser steps with TensorFlow: alone, or as one of several replicas with gradients summed."""

    def __init__(self, rank: int = 0, world: int = 1, report: Report | None = None) -> None:
        use_backend("tensorflow")
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
        self, network: str, loss: Loss, variables: list[Any], batches: Iterable[Batch], steps: int, learning_rate: float
    ) -> dict[str, float]:
        """Take the steps; see Engine."""
        started = time.monotonic()
        step = self._compiled_step(loss, variables, steps, learning_rate)
        found = take_steps(network, step, batches, steps, self._report)
        self.step_s += time.monotonic() - started
        return found

    def _compiled_step(
        self, loss: Loss, variables: list[Any], steps: int, learning_rate: float
    ) -> Callable[[Batch], Mapping[str, Any]]:
        """One optimiser step as a graph. Keras' own `fit` fails on several workers (keras#20585), hence a step of ours."""
        strategy, world = self._strategy, self.share.world
        with strategy.scope() if strategy else nullcontext():
            optimizer = adam(variables, steps, learning_rate)

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
