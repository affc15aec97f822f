"""Optimiser steps with jax, in this process alone. The contract is Engine; the losses are the networks'."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from crystalloop.models.learn.engine import BackendError, Batch, Loss, Report, Share, use_backend
from crystalloop.models.learn.steps import adam, take_steps
from crystalloop.models.nets.keras_import import keras


class JaxEngine:
    """Takes optimiser steps with jax on whatever device it finds first.

    Raises:
        BackendError: Keras runs on another backend, or one of several workers is asked for.
    """

    def __init__(self, rank: int = 0, world: int = 1, report: Report | None = None) -> None:
        use_backend("jax")
        if world != 1:
            raise BackendError(f"jax trains in one process, {world} workers were asked for; take --backend tensorflow")
        self.share = Share(rank, world)
        self.step_s = 0.0
        self._report = report or (lambda line: None)

    @contextmanager
    def begin(self, seed: int) -> Iterator[None]:
        """A scope in which variables are made, with the seed set."""
        keras.utils.set_random_seed(seed)
        yield

    def minimise(
        self, network: str, loss: Loss, variables: list[Any], batches: Iterable[Batch], steps: int, learning_rate: float
    ) -> dict[str, float]:
        """Take the steps; see Engine. The variables get their values at the end."""
        started = time.monotonic()
        run = _Run(loss, variables, steps, learning_rate)
        found = take_steps(network, run.step, batches, steps, self._report)
        run.assign()
        self.step_s += time.monotonic() - started
        return found


class _Touched(keras.StatelessScope):  # type: ignore[misc]  # keras has no types
    """Notes which variables a loss reads or assigns to: frozen networks, running means, seeds."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: dict[int, Any] = {}

    def get_current_value(self, variable: Any) -> Any:  # noqa: ANN401
        """Called by Keras for every reading."""
        self.variables[id(variable)] = variable
        return super().get_current_value(variable)

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Called by Keras for every assignment."""
        self.variables[id(update[0])] = update[0]
        super().add_update(update)


class _Run:
    """One `minimise`: values of the variables, of the optimiser, and of what else the loss touches, on the device."""

    def __init__(self, loss: Loss, variables: list[Any], steps: int, learning_rate: float) -> None:
        self._loss, self._variables = loss, variables
        self._optimizer = adam(variables, steps, learning_rate)
        self._others: list[Any] = []  # known when the first batch is
        self._state: tuple[list[Any], list[Any], list[Any]] | None = None
        self._compiled = jax.jit(self._pure_step, donate_argnums=0)
        self._before: Mapping[str, Any] = {}

    def step(self, batch: Batch) -> Mapping[str, Any]:
        """One step; it is one step ahead of the device, which computes while the host draws the next batch."""
        if self._state is None:
            self._others = self._touched(batch)
            groups = (self._variables, self._optimizer.variables, self._others)
            # Copies: what is donated to the compiled step must not be the variables' own memory.
            self._state = tuple([jnp.array(variable.value) for variable in group] for group in groups)  # type: ignore[assignment]
        jax.block_until_ready(self._before)
        self._state, self._before = self._compiled(self._state, batch)
        return self._before

    def assign(self) -> None:
        """Give the variables their new values."""
        if self._state is None:
            return
        values, _, others = self._state
        for variable, value in zip([*self._variables, *self._others], [*values, *others], strict=True):
            variable.assign(value)

    def _touched(self, batch: Batch) -> list[Any]:
        """Variables beside the trained ones that the loss touches; they travel as arguments, not inside the program."""
        scope = _Touched()

        def trial(some: Mapping[str, Any]) -> Any:  # noqa: ANN401
            with scope:
                return self._loss(some)["loss"]

        jax.eval_shape(trial, batch)
        trained = {id(variable) for variable in self._variables}
        return [variable for key, variable in scope.variables.items() if key not in trained]

    def _pure_step(self, state: tuple[list[Any], list[Any], list[Any]], batch: Mapping[str, Any]) -> Any:  # noqa: ANN401
        values, slots, others = state
        slopes, (parts, others) = jax.grad(self._parts, has_aux=True)(values, others, batch)
        values, slots = self._optimizer.stateless_apply(slots, slopes, values)
        return (values, slots, others), parts

    def _parts(self, values: list[Any], others: list[Any], batch: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """The loss, and beside it its parts and what the loss assigned."""
        pairs = zip([*self._variables, *self._others], [*values, *others], strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)) as scope:
            parts = dict(self._loss(batch))
        left = [scope.get_current_value(variable) for variable in self._others]
        return parts["loss"], (parts, left)
