"""What the steps of every engine have in common: Adam under a cosine, the loop, its progress lines. No backend is named."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crystalloop.models.learn.engine import Batch, Report
from crystalloop.models.nets.keras_import import keras

REPORTS = 20  # lines of progress per network


def adam(variables: list[Any], steps: int, learning_rate: float) -> Any:  # noqa: ANN401
    """The optimiser: a warm-up over a twentieth of the steps, then a cosine to a tenth of the rate; gradients' norm <= 1."""
    warm = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, max(1, steps - warm), alpha=0.1, warmup_target=learning_rate, warmup_steps=warm
    )
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=1.0)
    optimizer.build(variables)
    return optimizer


def take_steps(
    network: str,
    step: Callable[[Batch], Mapping[str, Any]],
    batches: Iterable[Batch],
    steps: int,
    report: Report,
) -> dict[str, float]:
    """Take a step for every batch and report now and then; the mean over the last tenth of every part of the loss."""
    last: list[Mapping[str, Any]] = []
    started, cpu = time.monotonic(), time.process_time()
    for number, batch in enumerate(batches, start=1):
        parts = step(batch)
        if number > steps - max(1, steps // 10):
            last.append(parts)
        if number == steps or number % max(1, steps // REPORTS) == 0:
            told = {name: float(value) for name, value in parts.items()}
            spent = {
                "seconds": round(time.monotonic() - started, 2),
                "cpu_s": round(time.process_time() - cpu, 2),
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,  # Linux counts in kB
            }
            report({"network": network, "step": number, "steps": steps, **spent, **told})
    return {name: sum(float(parts[name]) for parts in last) / len(last) for name in last[0]} if last else {}
