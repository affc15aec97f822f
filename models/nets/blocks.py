"""The 3-D pieces that VAE and UNet share: periodic convolution, normalisation, down and up. No whole network here."""

from __future__ import annotations

from typing import Any

from crystalloop.models.nets.configs import Norm
from crystalloop.models.nets.keras_import import keras, layers, ops

Tensor = Any  # a backend tensor: keras has no type of its own for it


def wrap(x: Tensor, width: int) -> Tensor:
    """Continue a map periodically by `width` voxels on each side: [b, n, n, n, c] -> [b, n+2w, n+2w, n+2w, c]."""
    # Slices, not a gather: its gradient is one operation, a gather's is dozens, and it is traced for every layer.
    x = ops.concatenate([x[:, -width:], x, x[:, :width]], axis=1)
    x = ops.concatenate([x[:, :, -width:], x, x[:, :, :width]], axis=2)
    return ops.concatenate([x[:, :, :, -width:], x, x[:, :, :, :width]], axis=3)


def periodic_conv(x: Tensor, filters: int, name: str, kernel: int = 3) -> Tensor:
    """Convolution of a periodic map (circular padding; the published code pads with zeros, docs/science/networks.md row 2)."""
    conv = layers.Conv3D(filters, kernel, padding="valid", kernel_initializer="he_normal", name=name)
    return conv(wrap(x, kernel // 2)) if kernel > 1 else conv(x)


def strided_conv(x: Tensor, filters: int, name: str) -> Tensor:
    """Periodic 3^3 convolution with stride 2: half the grid at an eighth of the work."""
    for axis in (1, 2, 3):
        last = [slice(None)] * 5
        last[axis] = slice(-1, None)
        x = ops.concatenate([x[tuple(last)], x], axis=axis)
    return layers.Conv3D(filters, 3, strides=2, padding="valid", kernel_initializer="he_normal", name=name)(x)


def normalise(x: Tensor, norm: Norm, name: str) -> Tensor:
    """Normalisation as configured; groups of 4 channels or all of them where that does not divide."""
    if norm == "batch":
        return layers.BatchNormalization(name=name)(x)
    if norm == "group":
        channels = int(x.shape[-1])
        return layers.GroupNormalization(channels // 4 if channels % 4 == 0 else 1, name=name)(x)
    return x


def conv_block(x: Tensor, filters: int, norm: Norm, name: str, bias: Tensor | None = None) -> Tensor:
    """Convolution, normalisation, leaky ReLU.

    Args:
        x: [b, n, n, n, c].
        filters: output channels.
        norm: see `Norm`.
        name: prefix of the layers' names.
        bias: [b, filters] added at every voxel after the convolution. A condition enters like this: with periodic
            padding it is the same linear map as the condition appended as constant channels, at no cost.
    """
    x = periodic_conv(x, filters, f"{name}_conv")
    if bias is not None:
        x = x + ops.reshape(bias, (-1, 1, 1, 1, filters))
    return layers.LeakyReLU(0.2, name=f"{name}_act")(normalise(x, norm, f"{name}_norm"))


def down(x: Tensor) -> Tensor:
    """Halve the grid by averaging, which keeps integrals."""
    return layers.AveragePooling3D(2)(x)


def up(x: Tensor) -> Tensor:
    """Double the grid."""
    return layers.UpSampling3D(2)(x)


def fold(x: Tensor, patch: int) -> Tensor:
    """Blocks of patch^3 voxels become channels: [b, n, n, n, c] -> [b, n/p, n/p, n/p, p^3 c]. Nothing is lost.

    Convolutions with few channels on the full grid are where a CPU spends its time; on folded maps they are several
    times faster.
    """
    if patch == 1:
        return x
    n, c = int(x.shape[1]), int(x.shape[-1])
    x = ops.reshape(x, (-1, n // patch, patch, n // patch, patch, n // patch, patch, c))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 5, 2, 4, 6, 7)), (-1, *(n // patch,) * 3, patch**3 * c))


def unfold(x: Tensor, patch: int) -> Tensor:
    """Inverse of `fold`: [b, m, m, m, p^3 c] -> [b, mp, mp, mp, c]."""
    if patch == 1:
        return x
    m, c = int(x.shape[1]), int(x.shape[-1]) // patch**3
    x = ops.reshape(x, (-1, m, m, m, patch, patch, patch, c))
    return ops.reshape(ops.transpose(x, (0, 1, 4, 2, 5, 3, 6, 7)), (-1, *(m * patch,) * 3, c))


def count_weights(model: keras.Model) -> int:
    """Trainable numbers of a model."""
    return int(sum(int(ops.size(v)) for v in model.trainable_variables))
