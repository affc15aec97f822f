"""CGCNN: a small ensemble of crystal graph networks with eight heads. Graphs are made in `graph`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from models.blocks import Tensor
from models.channels import CLASSES, Floats
from models.crystal import Crystal
from models.elements import covalent_radii_ang, ionic_radii_ang
from models.graph import CrystalGraph, build_graph, pad_batch
from models.properties import PROPERTIES

ENERGIES = ("formation_energy_per_atom", "energy_per_atom")
Stage = Literal["energies", "transfer"]
"""Training in two stages: the energies' convolution and heads; then the other heads, whose convolution starts as a
copy of the energies' and is fine-tuned with them (the paper's transfer)."""


@dataclass(frozen=True)
class CGCNNConfig:
    """Shape of the ensemble and the scale of its labels.

    Attributes:
        members: networks of the ensemble. Member m never sees every m-th labelled crystal, which gives an honest error.
        width: features of an atom.
        hidden: width of the layer after pooling.
        convolutions: graph convolutions (paper: one).
        gaussians: basis functions of a distance.
        cutoff_ang, neighbours: of the graph.
        metal_below_ev: a smaller predicted gap counts as zero: refractive index and dielectric constant become NaN.
        mean, scale: of each property's training labels; predictions start at the mean and regularisation holds them there.
        labels: how many training labels each property had; without any, its prediction is NaN.
        error: root mean square error of each property on the crystals that the predicting member had not seen.
    """

    members: int = 4
    width: int = 32
    hidden: int = 32
    convolutions: int = 1
    gaussians: int = 24
    cutoff_ang: float = 6.0
    neighbours: int = 12
    metal_below_ev: float = 0.05
    mean: tuple[float, ...] = (0.0,) * len(PROPERTIES)
    scale: tuple[float, ...] = (1.0,) * len(PROPERTIES)
    labels: tuple[int, ...] = (0,) * len(PROPERTIES)
    error: tuple[float, ...] = (0.0,) * len(PROPERTIES)

    def __post_init__(self) -> None:
        if min(self.members, self.width, self.hidden, self.convolutions, self.gaussians, self.neighbours) < 1:
            raise ValueError(f"members, widths, convolutions, gaussians and neighbours must be at least 1: {self}")
        if not 1.0 <= self.cutoff_ang <= 15.0:
            raise ValueError(f"cutoff_ang {self.cutoff_ang} is outside 1 to 15 angstrom")
        for name in ("mean", "scale", "labels", "error"):
            if len(getattr(self, name)) != len(PROPERTIES):
                raise ValueError(f"{name} has {len(getattr(self, name))} numbers; one for each of {PROPERTIES}")

    @classmethod
    def preset(cls, name: str) -> Self:
        """`compact` (default sizes) or `paper` (64 atom features, 128 hidden, 8 angstrom)."""
        return cls(width=64, hidden=128, gaussians=40, cutoff_ang=8.0) if name == "paper" else cls()


class CGCNN:
    """The ensemble with its configuration."""

    kind: ClassVar[str] = "cgcnn"
    config_type: ClassVar[type[CGCNNConfig]] = CGCNNConfig

    def __init__(self, config: CGCNNConfig) -> None:
        self.config = config
        self.energies = build_cgcnn(config, len(ENERGIES), "energies")
        self.others = build_cgcnn(config, len(PROPERTIES) - len(ENERGIES), "others")

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The parts whose weights make a checkpoint."""
        return {"energies": self.energies, "others": self.others}

    def stage_variables(self, stage: Stage) -> list[Any]:
        """Variables that training changes in this stage."""
        return list((self.energies if stage == "energies" else self.others).trainable_variables)

    def start_transfer(self) -> None:
        """Copy embedding and convolution of the energies to the other heads' network."""
        for source, target in zip(_trunk(self.energies), _trunk(self.others), strict=True):
            target.set_weights(source.get_weights())

    def compute_loss(self, batch: Mapping[str, Tensor], stage: Stage) -> dict[str, Tensor]:
        """Mean squared error of standardised labels over what is labelled.

        Args:
            batch: arrays of `GraphBatch.arrays`, `targets` [b, 8] standardised (0 where missing), `weights` [b, m, 8]
                (0 where missing or kept from a member).
            stage: which heads.
        """
        first = stage == "energies"
        heads = slice(0, len(ENERGIES)) if first else slice(len(ENERGIES), None)
        out = _run(self.energies if first else self.others, batch, training=True)  # [b, m, heads]
        weights = batch["weights"][..., heads]
        errors = ops.square(out - batch["targets"][:, None, heads]) * weights
        return {"loss": ops.sum(errors) / ops.maximum(ops.sum(weights), 1.0)}

    def graphs(self, crystals: Sequence[Crystal]) -> list[CrystalGraph]:
        """The crystals' graphs as this network takes them."""
        return [build_graph(crystal, self.config.cutoff_ang, self.config.neighbours) for crystal in crystals]

    def member_predictions(self, graphs: Sequence[CrystalGraph], batch: int = 256) -> Floats:
        """Every member's prediction in the properties' units, without rules: [b, m, 8]."""
        scale, mean = (np.array(values, np.float32) for values in (self.config.scale, self.config.mean))
        parts = []
        for start in range(0, len(graphs), batch):
            arrays = pad_batch(graphs[start : start + batch]).arrays()
            both = [_run(network, arrays, training=False) for network in (self.energies, self.others)]
            parts.append(np.concatenate([ops.convert_to_numpy(part) for part in both], axis=-1))
        empty = np.zeros((0, self.config.members, len(PROPERTIES)), np.float32)
        predictions: Floats = (np.concatenate(parts) if parts else empty) * scale + mean
        return predictions


def predict_properties(model: CGCNN, crystals: Sequence[Crystal]) -> tuple[dict[str, Floats], Floats]:
    """The eight properties of each crystal, and the uncertainty of its formation energy.

    A property without training labels is NaN. Where the predicted gap is zero, refractive index and dielectric
    constant are NaN (the paper's rule).

    Returns:
        name -> [b] in the property's unit; and sigma [b] in eV/atom: spread of the members and the ensemble's error on
        crystals that it had not seen, added in squares (NaN without formation-energy labels).
    """
    members = model.member_predictions(model.graphs(crystals))  # [b, m, 8]
    known = np.array(model.config.labels) > 0
    mean = np.where(known, members.mean(axis=1), np.nan).astype(np.float32)
    values = {name: mean[:, i] for i, name in enumerate(PROPERTIES)}
    gap = np.maximum(values["band_gap"], 0.0)
    metal = gap < model.config.metal_below_ev
    values["band_gap"] = np.where(metal, 0.0, gap).astype(np.float32)
    for name in ("refractive_index", "log10_dielectric"):
        values[name] = np.where(metal, np.nan, values[name]).astype(np.float32)
    e_f = PROPERTIES.index(ENERGIES[0])
    sigma = np.sqrt(members[..., e_f].std(axis=1) ** 2 + model.config.error[e_f] ** 2)
    return values, np.where(known[e_f], sigma, np.nan).astype(np.float32)


def build_cgcnn(config: CGCNNConfig, heads: int, name: str) -> keras.Model:
    """Graph arrays -> standardised predictions [b, m, heads] of m independent members."""
    m, d, k = config.members, config.width, config.neighbours
    numbers = keras.Input((None,), dtype="int32", name="numbers")
    neighbours = keras.Input((None, k), dtype="int32", name="neighbours")
    distances = keras.Input((None, k), dtype="float32", name="distances")
    table = np.concatenate([np.eye(CLASSES, dtype=np.float32), element_features()], axis=-1)
    embed = layers.EinsumDense("baf,fmo->bamo", (None, m, d), bias_axes="mo", name="trunk_embedding")
    x = embed(ops.take(table, numbers, axis=0))  # [b, a, m, d]
    index = ops.cumsum(ops.ones_like(numbers), axis=1) - 1  # [b, a]
    # A product with a one-hot matrix, not a gather: the gradient of a gather is a scatter, which is not deterministic.
    picked = ops.cast(ops.equal(neighbours[..., None], index[:, None, None, :]), "float32")  # [b, a, k, a]
    edges = _expand(distances, config)  # [b, a, k, g]
    bonded = ops.cast(distances < config.cutoff_ang + 1.0, "float32")[..., None, None]  # [b, a, k, 1, 1]
    for i in range(config.convolutions):
        own = layers.EinsumDense("bami,mio->bamo", (None, m, 2 * d), bias_axes="mo", name=f"trunk{i}_own")(x)
        other = layers.EinsumDense("bami,mio->bamo", (None, m, 2 * d), name=f"trunk{i}_other")(x)
        edge = layers.EinsumDense("bakg,gmo->bakmo", (None, k, m, 2 * d), name=f"trunk{i}_edge")(edges)
        z = own[:, :, None] + ops.einsum("bakn,bnmo->bakmo", picked, other) + edge  # [b, a, k, m, 2d]
        message = ops.sigmoid(z[..., :d]) * ops.softplus(z[..., d:]) * bonded  # Xie and Grossman 2018, eq. 5
        x = ops.softplus(x + ops.sum(message, axis=2) / k)
    real = ops.cast(numbers > 0, "float32")[..., None, None]
    pooled = ops.sum(x * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1.0)  # [b, m, d]
    hidden = layers.EinsumDense(
        "bmi,mio->bmo", (m, config.hidden), bias_axes="mo", activation="softplus", name="hidden"
    )
    # Zero to begin with: an untrained member answers the mean of the training labels.
    out = layers.EinsumDense("bmi,mio->bmo", (m, heads), bias_axes="mo", kernel_initializer="zeros", name="heads")
    inputs = {"numbers": numbers, "neighbours": neighbours, "distances": distances}
    return keras.Model(inputs, out(hidden(pooled)), name=name)


def element_features() -> Floats:
    """Facts about each element that a learned embedding need not rediscover: [95, f]; row 0 is padding.

    Period, place in the period from either end, and the two radii, scaled to order one.
    """
    closed = np.array([0, 2, 10, 18, 36, 54, 86, 118])
    z = np.arange(1, CLASSES)
    period = np.searchsorted(closed, z)
    columns = [
        period / 4.0,
        np.minimum(z - closed[period - 1], 12) / 6.0,
        np.minimum(closed[period] - z, 12) / 6.0,
        ionic_radii_ang()[1:CLASSES],
        covalent_radii_ang()[1:CLASSES],
    ]
    return np.concatenate([np.zeros((1, len(columns))), np.stack(columns, axis=-1)]).astype(np.float32)


def _expand(distances: Tensor, config: CGCNNConfig) -> Tensor:
    """Gaussian basis of distances in angstrom: [..., k] -> [..., k, g]; zero for an infinite one."""
    centres = np.linspace(1.0, config.cutoff_ang, config.gaussians, dtype=np.float32)
    width = max(float(centres[1] - centres[0]), 0.1) if config.gaussians > 1 else 1.0
    finite = ops.minimum(distances, 1e3)
    return ops.exp(-0.5 * ops.square((finite[..., None] - centres) / width))


def _run(network: keras.Model, arrays: Mapping[str, Tensor], training: bool) -> Tensor:
    return network({name: arrays[name] for name in ("numbers", "neighbours", "distances")}, training=training)


def _trunk(network: keras.Model) -> list[Any]:
    return [layer for layer in network.layers if layer.name.startswith("trunk")]


def standardise(labels: NDArray[np.floating]) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
    """Mean, scale and count of each property's labels [b, 8]; 0 and 1 where there are too few."""
    means, scales, counts = [], [], []
    for column in labels.T:
        known = column[np.isfinite(column)]
        means.append(float(known.mean()) if known.size else 0.0)
        scales.append(max(float(known.std()), 1e-3) if known.size > 1 else 1.0)
        counts.append(int(known.size))
    return tuple(means), tuple(scales), tuple(counts)
