"""The VAE's Keras models: encoder, decoder, property head, and the table that holds the prior. Losses are in `vae`."""

from __future__ import annotations

import numpy as np

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.maps.channels import CHANNELS, CLASSES, COORDINATE_SCALE_ANG, fractional_grid
from crystalloop.models.maps.element_codes import CODES
from crystalloop.models.nets.blocks import Tensor, conv_block, down, fold, periodic_conv, strided_conv, unfold, up
from crystalloop.models.nets.configs import DECILES, VAEConfig
from crystalloop.models.nets.keras_import import keras, layers, ops
from crystalloop.models.nets.linear_frame import flatten, lattice_rows, unflatten
from crystalloop.models.nets.prior import standard_normal


def build_encoder(config: VAEConfig) -> keras.Model:
    """Maps [b, n, n, n, 12] and condition [b, 10] -> mean and log variance [b, latent]."""
    maps = keras.Input((config.n,) * 3 + (CHANNELS,), name="maps")
    condition = keras.Input((DECILES,), name="condition")
    seen = maps if config.codes else maps[..., :4]
    x: Tensor = fold(seen, config.patch)
    for level, filters in enumerate(config.filters):
        bias = layers.Dense(filters, use_bias=False, name="condition_in")(condition) if level == 0 else None
        x = _encoder_level(x, filters, config, level, bias)
    parts = [layers.Flatten()(x), condition]
    linear: Tensor = 0.0
    if config.frame:
        linear = layers.Dense(config.latent, kernel_initializer="zeros", trainable=False, name="frame_in")(
            flatten(maps, config.shape)
        )
        parts.append(linear)
    x = ops.concatenate(parts, axis=-1)
    x = layers.LeakyReLU(0.2)(layers.Dense(config.hidden, name="enc_hidden")(x))
    start = "zeros" if config.frame else "glorot_uniform"
    mean = linear + _gain(config) * layers.Dense(config.latent, kernel_initializer=start, name="mean")(x)
    log_variance = layers.Dense(config.latent, name="log_variance", bias_initializer=keras.initializers.Constant(-2.0))(
        x
    )
    return keras.Model([maps, condition], [mean, ops.clip(log_variance, -14.0, 4.0)], name="encoder")


def _gain(config: VAEConfig) -> float:
    """Of the networks beside the frame: what they add is a tenth of what a map is, and learned as slowly."""
    return 0.1 if config.frame else 1.0


def _encoder_level(x: Tensor, filters: int, config: VAEConfig, level: int, bias: Tensor | None) -> Tensor:
    """Half the grid: by a convolution of stride two where maps are folded, else by convolution and pooling as the paper."""
    if config.patch == 1:
        return down(conv_block(x, filters, config.norm, f"enc{level}", bias))
    if level == 0:  # a folded map has hundreds of channels
        x = layers.LeakyReLU(0.2)(layers.Conv3D(filters, 1, name="enc_in")(x))
    x = strided_conv(x, filters, f"enc{level}")
    return layers.LeakyReLU(0.2)(x if bias is None else x + ops.reshape(bias, (-1, 1, 1, 1, filters)))


def build_decoder(config: VAEConfig) -> keras.Model:
    """Latent [b, latent] and condition [b, 10] -> maps [b, n, n, n, 12], lattice [b, 3, 3], element logits [b, 95]."""
    latent = keras.Input((config.latent,), name="latent")
    condition = keras.Input((DECILES,), name="condition")
    z = ops.concatenate([latent, condition], axis=-1)
    hidden = layers.LeakyReLU(0.2)(layers.Dense(config.hidden, name="dec_hidden")(z))
    channels, shape = config.shape.channels, config.shape
    maps = _separable(hidden, channels, config) if config.rank else _mirrored(hidden, channels, config)
    numbers = layers.Dense(1 if config.cubic else 6, kernel_initializer="zeros", name="lattice")(hidden)
    if config.frame:
        rows = layers.Dense(shape.size, kernel_initializer="zeros", trainable=False, name="frame_out")(latent)
        linear_maps, linear_numbers = unflatten(rows, shape)
        maps, numbers = linear_maps + _gain(config) * maps, linear_numbers + _gain(config) * numbers
    density = ops.relu(maps[..., :1]) if config.frame else ops.softplus(maps[..., :1])
    lattice = lattice_rows(numbers, shape)
    coordinates = ops.einsum("ijkf,bfc->bijkc", fractional_grid(config.n) / COORDINATE_SCALE_ANG, lattice)
    codes = maps[..., 1:] if config.codes else ops.zeros_like(ops.repeat(density, CODES, axis=-1))
    named = layers.LeakyReLU(0.2)(layers.Dense(128, name="elements_hidden")(z))
    elements = layers.Dense(CLASSES, name="elements", bias_initializer=keras.initializers.Constant(-4.0))(named)
    maps = ops.concatenate([density, coordinates, codes], axis=-1)
    return keras.Model([latent, condition], {"maps": maps, "lattice": lattice, "elements": elements}, name="decoder")


def _separable(hidden: Tensor, channels: int, config: VAEConfig) -> Tensor:
    """A sum of `rank` products of three 1-D functions, with an amplitude for each channel: [b, n, n, n, channels]."""
    n, rank = config.n, config.rank
    hidden = hidden + layers.LeakyReLU(0.2)(layers.Dense(config.hidden, name="dec_hidden2")(hidden))
    lines = ops.reshape(layers.Dense(3 * rank * n, name="dec_lines")(hidden), (-1, 3, rank, n))
    start = "zeros" if config.frame else "glorot_uniform"
    heights = layers.Dense(rank * channels, kernel_initializer=start, name="dec_heights")(hidden)
    planes = ops.reshape(ops.expand_dims(lines[:, 0], 3) * ops.expand_dims(lines[:, 1], 2), (-1, rank, n * n))
    last = ops.expand_dims(lines[:, 2], 3) * ops.reshape(heights, (-1, rank, 1, channels))  # [b, rank, n, channels]
    made = ops.matmul(ops.transpose(planes, (0, 2, 1)), ops.reshape(last, (-1, rank, n * channels)))
    return ops.reshape(made, (-1, n, n, n, channels))


def _mirrored(hidden: Tensor, channels: int, config: VAEConfig) -> Tensor:
    """The encoder's levels in reverse, as the paper's: [b, n, n, n, channels]."""
    small = config.n // config.patch // 2 ** len(config.filters)
    x = layers.Dense(small**3 * config.filters[-1], name="dec_grid")(hidden)
    x = layers.LeakyReLU(0.2)(ops.reshape(x, (-1, small, small, small, config.filters[-1])))
    for level in reversed(range(len(config.filters))):
        filters = config.filters[level - 1] if level else max(1, config.filters[0] // 2)
        x = conv_block(up(x), filters, config.norm, f"dec{level}")
    return unfold(periodic_conv(x, config.patch**3 * channels, "density"), config.patch)


def build_head(config: VAEConfig) -> keras.Model:
    """What a latent's crystal is made of, [b, latent] -> the eight properties, standardised, and a lattice number: [b, 9]."""
    facts = keras.Input((config.latent,), name="facts")
    x = layers.LeakyReLU(0.2)(layers.Dense(2 * config.hidden, name="head_hidden")(facts))
    x = x + layers.LeakyReLU(0.2)(layers.Dense(2 * config.hidden, name="head_hidden2")(x))
    out = layers.Dense(len(PROPERTIES) + 1, kernel_initializer="zeros", name="properties")(x)
    return keras.Model(facts, out, name="head")


def build_mixture_table(config: VAEConfig) -> keras.Model:
    """Holds the prior's numbers as weights, so that they travel with the checkpoint: weight, mean, root per component."""
    d = config.latent
    which = keras.Input((), dtype="int32")
    table = layers.Embedding(config.components, 1 + d + d * d, embeddings_initializer="zeros", name="components")
    model = keras.Model(which, table(which), name="prior")
    normal = standard_normal(d)
    rows = np.concatenate([normal.weights[:, None], normal.means, normal.roots.reshape(1, -1)], axis=1)
    table.set_weights([np.repeat(rows, config.components, axis=0).astype(np.float32)])
    table.trainable = False
    return model
