"""Whole passes over the data as one compiled loop, with a budget of time and a state that a later run goes on from. jax only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from device_batches import Arrays, DeviceData

Loss = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Fit:
    """How a network was trained in this run.

    Attributes:
        step, steps: optimiser steps done over all runs, and planned.
        samples_per_s: in this run, compilation left out.
        compile_s: seconds before the first pass was done.
        losses: parts of the loss, mean of the last pass.
    """

    step: int
    steps: int
    samples: int
    train_s: float
    samples_per_s: float
    compile_s: float
    losses: dict[str, float]


class Recording(keras.StatelessScope):  # type: ignore[misc]  # keras has no types
    """Notes which variables a call assigns to: running means, seeds of dropout."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        super().__init__(state_mapping=pairs)
        self.assigned: list[Any] = []

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Called by Keras for every assignment."""
        self.assigned.append(update[0])
        super().add_update(update)


def fit(
    loss: Loss,
    variables: list[Any],
    data: DeviceData,
    count: int,
    batch: int,
    steps: int,
    learning_rate: float,
    seconds: float,
    folder: Path,
    seed: int = 0,
    frozen: Sequence[Any] = (),
) -> Fit:
    """Train until `steps` are done or `seconds` have passed, from the state in the folder if there is one.

    Args:
        loss: of a batch; parts of the loss, `loss` first of all.
        variables: what is trained; changed in place at the end.
        data: on the device.
        count: crystals.
        batch: samples in a step; the last few crystals of a shuffled pass that fill no batch are left out of it.
        steps: planned over all runs: the cosine schedule ends there.
        learning_rate: peak of the schedule.
        seconds: budget of this run, looked at after every pass.
        folder: of the state, `state.npz`.
        seed: order, turns, noise.
        frozen: variables that the loss reads and nothing changes; they travel as arguments, not inside the program.
    """
    optimizer = _optimizer(learning_rate, steps)
    optimizer.build(variables)
    per_pass = max(1, count // batch)
    assigned = _assigned(loss, variables, data, batch)
    moving = list({id(variable): variable for variable in (*assigned, *frozen)}.values())
    state, step = _restored(folder, (variables, optimizer.variables, moving))
    run = jax.jit(_one_pass(loss, variables, moving, optimizer, data, count, batch, per_pass, seed), donate_argnums=0)
    carry = (*state, jnp.asarray(step))
    started = time.monotonic()
    marks, parts = [started], {}
    while step < steps and time.monotonic() - started < seconds:
        carry, parts = run(carry, data.arrays)
        jax.block_until_ready(parts)
        step = int(carry[3])
        marks.append(time.monotonic())
    for variable, value in zip([*variables, *moving], [*carry[0], *carry[2]], strict=True):
        variable.assign(value)
    _keep(folder, carry, step, steps)
    timed, passes = marks[-1] - marks[min(1, len(marks) - 1)], max(0, len(marks) - 2)
    return Fit(
        step=step,
        steps=steps,
        samples=(len(marks) - 1) * per_pass * batch,
        train_s=round(marks[-1] - started, 2),
        samples_per_s=round(passes * per_pass * batch / timed, 1) if timed > 0 else 0.0,
        compile_s=round(marks[min(1, len(marks) - 1)] - started, 2),
        losses={name: round(float(values.mean()), 5) for name, values in parts.items()},
    )


def _one_pass(
    loss: Loss,
    variables: list[Any],
    moving: list[Any],
    optimizer: Any,  # noqa: ANN401
    data: DeviceData,
    count: int,
    batch: int,
    per_pass: int,
    seed: int,
) -> Callable[[Any, Arrays], Any]:
    """A pass over the data in a new order, as a function of weights, optimiser and step."""

    def total(values: Any, others: Any, some: Arrays) -> Any:  # noqa: ANN401
        pairs = [*zip(variables, values, strict=True), *zip(moving, others, strict=True)]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            parts = dict(loss(some))
        left = [scope.get_current_value(variable) for variable in moving]
        parts = {name: jnp.asarray(part, jnp.float32) for name, part in parts.items()}
        return parts["loss"], (parts, left)

    gradient = jax.grad(total, has_aux=True)

    def run(carry: Any, arrays: Arrays) -> Any:  # noqa: ANN401
        key = jax.random.fold_in(jax.random.key(seed), carry[3])
        order = jax.random.permutation(key, count)[: per_pass * batch]
        order = jnp.resize(order, (per_pass, batch))

        def one(state: Any, rows: jax.Array) -> Any:  # noqa: ANN401
            values, slots, others, step = state
            some = data.recipe(arrays, rows, jax.random.fold_in(key, step), step)
            slopes, (parts, others) = gradient(values, others, some)
            values, slots = optimizer.stateless_apply(slots, slopes, values)
            return (values, slots, others, step + 1), parts

        return jax.lax.scan(one, carry, order)

    return run


def _assigned(loss: Loss, variables: list[Any], data: DeviceData, batch: int) -> list[Any]:
    """Variables outside the trained ones that the loss assigns to."""
    found: list[Any] = []

    def trial(arrays: Arrays) -> Any:  # noqa: ANN401
        some = data.recipe(arrays, jnp.zeros(batch, jnp.int32), jax.random.key(0), jnp.asarray(0))
        with Recording([(v, jnp.asarray(v.value)) for v in variables]) as scope:
            parts = loss(some)
        found.extend(scope.assigned)
        return parts["loss"]

    jax.eval_shape(trial, data.arrays)
    return list({id(variable): variable for variable in found}.values())


def _optimizer(learning_rate: float, steps: int) -> Any:  # noqa: ANN401
    """As in training on TensorFlow: Adam under a cosine with a warm-up, gradients clipped to norm 1."""
    warm = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, max(1, steps - warm), alpha=0.1, warmup_target=learning_rate, warmup_steps=warm
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=1.0)


def _restored(folder: Path, groups: Sequence[Sequence[Any]]) -> tuple[list[list[Any]], int]:
    """Values of groups of variables and the step: those of an earlier run, or of a new one."""
    sizes = [len(group) for group in groups]
    variables = [variable for group in groups for variable in group]
    path = folder / "state.npz"
    if path.exists():
        with np.load(path) as stored:
            kept = [stored[f"{i:05d}"] for i in range(len(stored.files) - 1)]
            step = int(stored["step"])
    else:
        kept, step = [np.asarray(variable.value) for variable in variables], 0
    if [array.shape for array in kept] != [tuple(variable.shape) for variable in variables]:
        raise ValueError(f"{path} is of another network; give another --out, or the settings of the first run")
    loaded = [jnp.array(array, variable.value.dtype) for array, variable in zip(kept, variables, strict=True)]
    ends = np.cumsum([0, *sizes])
    return [loaded[first:last] for first, last in pairwise(ends.tolist())], step


def _keep(folder: Path, carry: Any, step: int, steps: int) -> None:  # noqa: ANN401
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"{i:05d}": np.asarray(value) for i, value in enumerate((*carry[0], *carry[1], *carry[2]))}
    draft = folder / "draft.npz"
    np.savez(draft, step=step, **arrays)  # type: ignore[arg-type]
    draft.replace(folder / "state.npz")
    (folder / "progress.json").write_text(json.dumps({"step": step, "steps": steps}), encoding="utf-8")
