"""Floating-point operations and bytes: counted from Keras layers and TensorFlow graphs, and the machine's peak. No networks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

FLOAT_BYTES = 4
FREE = {"Const", "Placeholder", "Identity", "Reshape", "NoOp", "Shape", "ReadVariableOp", "StopGradient", "Squeeze"}
"""Operations of a TensorFlow graph that move no data of their own."""


@dataclass
class Work:
    """What a computation costs; bytes are those of all operands and results if nothing is fused."""

    flops: float = 0.0
    bytes: float = 0.0
    by_kind: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, flops: float, moved: float) -> None:
        """Count one operation."""
        self.flops += flops
        self.bytes += moved
        self.by_kind[kind] += int(flops)


def layers_work(model: Any, batch: int = 1) -> Work:  # noqa: ANN401
    """A forward pass, from the shapes of a functional Keras model's layers and operations.

    Convolutions, dense layers, matrix products and einsums are counted in full (two operations a multiply-add);
    everything else as one operation for each number of its output.
    """
    work = Work()
    for operation in model.operations:
        inputs, outputs = (_shapes(getattr(operation, name), batch) for name in ("input", "output"))
        if type(operation).__name__ == "InputLayer":
            continue
        weights = [tuple(weight.shape) for weight in getattr(operation, "weights", [])]
        moved = FLOAT_BYTES * sum(prod(shape) for shape in (*inputs, *outputs, *weights))
        work.add(type(operation).__name__, _layer_flops(operation, inputs, outputs, weights), moved)
    return work


def _layer_flops(
    operation: Any,  # noqa: ANN401
    inputs: list[tuple[int, ...]],
    outputs: list[tuple[int, ...]],
    weights: list[tuple[int, ...]],
) -> float:
    match type(operation).__name__:
        case "Conv3D" | "Dense":
            return 2.0 * prod(outputs[0]) * prod(weights[0][:-1])
        case "Matmul":
            return 2.0 * prod(outputs[0]) * inputs[0][-1]
        case "Einsum" if len(inputs) == 2:
            return 2.0 * einsum_size(operation.subscripts, inputs)
        case "Einsum":  # one operand is a constant, whose shape the layer does not tell; it shares the output's labels
            return 2.0 * prod(outputs[0]) * max(1, inputs[0][-1])
        case _:
            return float(sum(prod(shape) for shape in outputs))


def _shapes(tensors: Any, batch: int) -> list[tuple[int, ...]]:  # noqa: ANN401
    """Shapes of a tensor or of any nest of them, with the batch filled in."""
    if isinstance(tensors, Mapping):
        tensors = list(tensors.values())
    if isinstance(tensors, list | tuple):
        return [shape for tensor in tensors for shape in _shapes(tensor, batch)]
    if not hasattr(tensors, "shape"):
        return []
    return [tuple(batch if size is None else int(size) for size in tensors.shape)]


def einsum_size(equation: str, shapes: Iterable[tuple[int, ...]]) -> int:
    """How many products a two-operand einsum forms: the product of all labels' sizes."""
    sizes: dict[str, int] = {}
    for labels, shape in zip(equation.replace(" ", "").split("->")[0].split(","), shapes, strict=True):
        sizes |= dict(zip(labels, shape, strict=True))
    return prod(sizes.values())


def graph_work(step: Callable[[Mapping[str, Any]], Any], batch: Mapping[str, Any]) -> Work:
    """All of a TensorFlow function on one batch, forward and backward passes as they are in its graph."""
    import tensorflow as tf

    tensors = {name: tf.convert_to_tensor(array) for name, array in batch.items()}
    graph = tf.function(step, autograph=False).get_concrete_function(tensors).graph
    work = Work()
    for operation in graph.get_operations():
        if operation.type in FREE:
            continue
        shapes = [_static(tensor) for tensor in (*operation.inputs, *operation.outputs)]
        work.add(operation.type, _graph_flops(operation), FLOAT_BYTES * sum(prod(shape) for shape in shapes))
    return work


def _graph_flops(operation: Any) -> float:  # noqa: ANN401
    inputs, out = [_static(tensor) for tensor in operation.inputs], [_static(tensor) for tensor in operation.outputs]
    match operation.type:
        case "Conv3D":
            return 2.0 * prod(out[0]) * prod(inputs[1][:-1])
        case "Conv3DBackpropInputV2":
            return 2.0 * prod(inputs[2]) * prod(inputs[1][:-1])
        case "Conv3DBackpropFilterV2":  # its filter's shape is unknown; the products are those of the forward pass
            forward = [other for other in operation.inputs[0].consumers() if other.type == "Conv3D"]
            return _graph_flops(forward[0])
        case "MatMul":
            rows = inputs[0][0] if operation.get_attr("transpose_a") else inputs[0][1]
            return 2.0 * prod(out[0]) * rows
        case "BatchMatMulV2":
            return 2.0 * prod(out[0]) * inputs[0][-2 if operation.get_attr("adj_x") else -1]
        case "Einsum":
            equation = operation.get_attr("equation").decode()
            return 2.0 * einsum_size(equation, inputs)
        case _:
            return float(sum(prod(shape) for shape in out))


def _static(tensor: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Shape with unknown sizes as 1; steps are traced with every size known but for a few shape computations."""
    return tuple(1 if size is None else int(size) for size in (tensor.shape.as_list() if tensor.shape.rank else ()))


@dataclass(frozen=True)
class Peak:
    """The most that plain numpy reaches on this machine now, under whatever else runs on it."""

    flops_per_s: float
    bytes_per_s: float


def measured_peak(edge: int = 1536, megabytes: int = 64, repeats: int = 6) -> Peak:
    """Peak from a large float32 matrix product, and from a large copy (read once, written once)."""
    rng = np.random.default_rng(0)
    one, two = (rng.random((edge, edge), dtype=np.float32) for _ in range(2))
    out = np.empty_like(one)
    source = np.ones(megabytes * 2**20 // FLOAT_BYTES, np.float32)
    target = np.empty_like(source)
    product_s = _fastest(lambda: np.matmul(one, two, out=out), repeats)
    copy_s = _fastest(lambda: np.copyto(target, source), repeats)
    return Peak(2.0 * edge**3 / product_s, 2.0 * source.nbytes / copy_s)


def _fastest(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def roofline(work: Work, seconds: float, peak: Peak) -> dict[str, float]:
    """What was reached beside the peak: the bound is the slower of arithmetic and traffic."""
    arithmetic, traffic = work.flops / peak.flops_per_s, work.bytes / peak.bytes_per_s
    return {
        "gflop": round(work.flops / 1e9, 4),
        "gbyte_unfused": round(work.bytes / 1e9, 4),
        "flop_per_byte": round(work.flops / max(work.bytes, 1.0), 2),
        "seconds": round(seconds, 5),
        "gflop_per_s": round(work.flops / seconds / 1e9, 2),
        "fraction_of_peak_flops": round(arithmetic / seconds, 3),
        "fraction_of_peak_bytes": round(traffic / seconds, 3),
        "fraction_of_roofline": round(max(arithmetic, traffic) / seconds, 3),
    }
