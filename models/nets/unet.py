"""UNet: a density map to species and occupancy per voxel. Atoms are placed in `reconstruct`, not here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import ionic_radii_ang
from crystalloop.models.maps.channels import CHANNELS, CLASSES, COORDINATE_SCALE_ANG, Floats
from crystalloop.models.maps.element_codes import CODES, element_codes
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.blocks import Tensor, conv_block, down, fold, periodic_conv, unfold, up
from crystalloop.models.nets.configs import UNetConfig
from crystalloop.models.nets.keras_import import keras, layers, ops

LEAST_OCCUPANCY = 0.2
"""Voxels that are less likely an atom's are background in the species map. At 16^3 every third voxel of an atom lies on
its border: one half would miss many, and what is missed costs an atom, what is too much a voxel."""
_FAINT = 0.03  # length of a code below which its direction is noise: a decoded map's errors are about 0.01
_SHARPNESS = 8.0  # of the first guess: two codes differ by at least 0.85, so the wrong one starts below exp(-2.9)


@dataclass(frozen=True)
class Segmentation:
    """What the UNet says of each voxel: species is an atomic number (0 background), occupancy a probability."""

    species: NDArray[np.int16]  # [b, n, n, n]
    occupancy: Floats  # [b, n, n, n]


class UNet:
    """The network with its configuration. Build it with `build_unet` or load it with `checkpoint.load`."""

    kind: ClassVar[str] = "unet"
    config_type: ClassVar[type[UNetConfig]] = UNetConfig

    def __init__(self, config: UNetConfig, model: keras.Model | None = None) -> None:
        self.config = config
        self.model = model if model is not None else build_unet(config)
        out = self.model.output
        self.features = keras.Model(self.model.input, out["features"], name="features")
        self.trained = keras.Model(self.model.input, {name: out[name] for name in ("voxels", "occupancy")})

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The parts whose weights make a checkpoint."""
        return {"unet": self.model}

    @property
    def trainable(self) -> list[Any]:
        """Variables that training changes."""
        return list(self.model.trainable_variables)

    @property
    def species_table(self) -> tuple[Floats, Floats]:
        """What makes species logits of a voxel's features: kernel [c, 95] and bias [95]."""
        kernel, bias = self.model.get_layer("species").get_weights()
        return kernel, bias

    def compute_loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weighted cross-entropy over species plus binary cross-entropy of occupancy.

        Args:
            batch: `maps` [b, n, n, n, 12], `occupied` [b, n, n, n] 0 or 1; and for the voxels at one of the eight
                `corner`s (a scalar) of every 2^3 block: `species` [b, n/2, n/2, n/2] int32 and `weights` of
                `voxel_weights`. Ninety-five logits for every voxel would be half of a step's time.

        Returns:
            `loss` and its parts, scalars.
        """
        out = self.trained(batch["maps"], training=True)
        voxels = fold(out["voxels"], 2)  # [b, n/2, n/2, n/2, 8 c]
        voxels = ops.reshape(voxels, (*voxels.shape[:4], 8, voxels.shape[-1] // 8))
        logits = self.model.get_layer("species")(ops.take(voxels, batch["corner"], axis=4))
        species = keras.losses.sparse_categorical_crossentropy(batch["species"], logits, from_logits=True)
        species = ops.sum(species * batch["weights"]) / ops.sum(batch["weights"])
        occupancy = ops.mean(ops.binary_crossentropy(batch["occupied"], out["occupancy"], from_logits=True))
        named = 1 + ops.cast(ops.argmax(logits[..., 1:], axis=-1), "int32")
        inside = ops.cast(batch["species"] > 0, "float32")
        right = ops.cast(ops.equal(named, ops.cast(batch["species"], "int32")), "float32")
        recall = ops.sum(right * inside) / ops.maximum(ops.sum(inside), 1.0)
        loss = species + self.config.occupied_weight * occupancy
        return {"loss": loss, "species": species, "occupancy": occupancy, "species_recall": recall}


def build_unet(config: UNetConfig) -> keras.Model:
    """The Keras model: maps [b, n, n, n, 12] -> species logits, occupancy logits, features of the down path and voxels."""
    n = config.n
    maps = keras.Input((n, n, n, CHANNELS), name="maps")
    codes = maps[..., 4:] if config.codes else None
    seen = maps[..., :1] if codes is None else ops.concatenate([maps[..., :1], codes], axis=-1)
    raw, skips = seen, []
    x = fold(seen, config.patch)
    if config.patch > 1:
        x = layers.LeakyReLU(0.2)(layers.Conv3D(2 * config.base, 1, name="down_in")(x))
    if config.coordinates:
        edges = _voxel_edges(maps, n)
        raw = ops.concatenate([seen, edges], axis=-1)
        x = ops.concatenate([x, edges[:, :: config.patch, :: config.patch, :: config.patch]], axis=-1)
    for level in range(config.levels):
        x = conv_block(x, config.base * 2**level, config.norm, f"down{level}a")
        x = conv_block(x, config.base * 2**level, config.norm, f"down{level}b")
        skips.append(x)
        x = down(x)
    x = conv_block(x, config.base * 2**config.levels, config.norm, "bottom")
    features = [*skips, x]  # [b, m, m, m, base], [b, m/2, ...], ..., bottom; m = n / patch
    for level in reversed(range(config.levels)):
        filters = config.base * 2**level
        x = skips[level] + periodic_conv(up(x), filters, f"join{level}", kernel=1)
        x = conv_block(x, filters, config.norm, f"up{level}")
    if config.patch > 1:
        x = unfold(periodic_conv(x, config.base // 2 * config.patch**3, "unfold", kernel=1), config.patch)
    # Heights that normalisation removed are needed to tell neighbours of the periodic table apart.
    x = ops.concatenate([x, raw], axis=-1)
    if codes is None:
        x = layers.LeakyReLU(0.2)(layers.Conv3D(16, 1, name="head")(x))
        occupancy = layers.Conv3D(1, 1, name="occupancy")(x)[..., 0]  # [b, n, n, n]
    else:
        length = ops.sqrt(ops.sum(ops.square(codes), axis=-1, keepdims=True) + 1e-6)
        direction = codes / (length + _FAINT)  # says which element, however faint the code is
        inside = _inside_sphere(length, direction, _voxel_edges(maps, n), n)
        x = layers.LeakyReLU(0.2)(layers.Conv3D(16, 1, name="head")(ops.concatenate([x, inside, direction], axis=-1)))
        occupancy = (inside + layers.Conv3D(1, 1, name="occupancy")(x))[..., 0]
        x = ops.concatenate([x, direction], axis=-1)
    named = layers.Dense(CLASSES, name="species")
    species = named(x)  # [b, n, n, n, 95]
    if codes is not None:
        kernel, bias = named.get_weights()
        kernel[-CODES:] = _SHARPNESS * element_codes().T  # nearest code to begin with; what is right is learned
        named.set_weights([kernel, bias])
    outputs = {"species": species, "occupancy": occupancy, "features": features, "voxels": x}
    return keras.Model(maps, outputs, name="unet")


def _inside_sphere(length: Tensor, direction: Tensor, edges: Tensor, n: int) -> Tensor:
    """How deep a voxel lies inside its atom's sphere, in voxel edges: [b, n, n, n, 1]; negative outside.

    The length of a code falls with the distance as the Gaussian that it was drawn with, and its direction names the
    element, hence the radius. True for an atom alone; neighbours and a decoder's noise are what the network learns.
    """
    drawn = VoxelConfig(n=n)
    voxel = ops.mean(edges, axis=-1, keepdims=True)
    width = max(drawn.code_width * n, drawn.min_width_voxels) * voxel
    distance = width * ops.sqrt(-2.0 * ops.log(ops.clip(length, 1e-4, 0.999)))
    likely = ops.softmax(2.0 * _SHARPNESS * ops.matmul(direction, element_codes()[1:].T), axis=-1)  # [b, n, n, n, 94]
    radius = ops.matmul(likely, ionic_radii_ang()[1:CLASSES, None].astype(np.float32))
    return ops.clip((ops.maximum(radius, drawn.min_radius_voxels * voxel) - distance) / voxel, -4.0, 4.0)


def _voxel_edges(maps: Tensor, n: int) -> Tensor:
    """Lengths of the three voxel edges, angstrom, as constant channels.

    The coordinate channels themselves jump at the cell's border and know where the origin is; their slope is all
    that matters for a periodic map.
    """
    xyz = maps[..., 1:4] * COORDINATE_SCALE_ANG
    ends = [
        xyz[:, n - 1, 0, 0] - xyz[:, 0, 0, 0],
        xyz[:, 0, n - 1, 0] - xyz[:, 0, 0, 0],
        xyz[:, 0, 0, n - 1] - xyz[:, 0, 0, 0],
    ]
    edges = ops.stack([ops.sqrt(ops.sum(ops.square(end), axis=-1) + 1e-12) / (n - 1) for end in ends], axis=-1)
    return ops.reshape(edges, (-1, 1, 1, 1, 3)) * np.ones((n, n, n, 1), np.float32)


def voxel_weights(species: NDArray[np.integer], counts: NDArray[np.integer], config: UNetConfig) -> Floats:
    """Tempered class weights per voxel: inverse square root of the species' count, capped (docs/science/networks.md, row 7).

    Args:
        species: [b, n, n, n].
        counts: voxels of each class in the training set, [95].
        config: gives background weight and cap.
    """
    present = counts[1:][counts[1:] > 0]
    top = float(present.max()) if present.size else 1.0
    table = np.minimum(np.sqrt(top / np.maximum(counts, 1)), config.weight_cap)
    table[0] = config.background_weight
    weights: Floats = table.astype(np.float32)[species]
    return weights


def segment(unet: UNet, maps: Floats, allowed: Sequence[int] | None = None, batch: int = 64) -> Segmentation:
    """Species and occupancy of every voxel.

    Args:
        unet: a trained network.
        maps: [b, n, n, n, 12] as of `channels.to_channels` or the VAE's decoder.
        allowed: atomic numbers that may be named; all when None.
        batch: crystals at a time.

    Raises:
        ValueError: an atomic number without a class, or none at all.
    """
    mask = np.full(CLASSES, 0.0 if allowed is None else -np.inf, np.float32)
    if allowed is not None:
        wrong = [z for z in allowed if not 0 < z < CLASSES]
        if wrong or not len(allowed):
            raise ValueError(f"allowed species {wrong or list(allowed)}: give atomic numbers from 1 to {CLASSES - 1}")
        mask[list(allowed)] = 0.0
    mask[0] = -np.inf  # background is the occupancy head's to say
    species, occupancy = [], []
    kernel, bias = unet.species_table
    for start in range(0, len(maps), batch):
        out = unet.trained(maps[start : start + batch], training=False)
        occupancy.append(ops.convert_to_numpy(ops.sigmoid(out["occupancy"])))
        occupied = occupancy[-1] >= LEAST_OCCUPANCY  # [b, n, n, n]; a few of a hundred voxels have an element to name
        named = np.zeros(occupied.shape, np.int16)
        named[occupied] = (ops.convert_to_numpy(out["voxels"])[occupied] @ kernel + (bias + mask)).argmax(axis=1)
        species.append(named)
    shape = maps.shape[:4]
    return Segmentation(
        np.concatenate(species) if species else np.zeros(shape, np.int16),
        np.concatenate(occupancy) if occupancy else np.zeros(shape, np.float32),
    )
