"""CGCNN: an ensemble that predicts eight properties with calibrated intervals. Its Keras layers: message_passing.

Deviations from Court et al. 2020: three convolutions with a
filter of the distance instead of one with a gate; the last shell of
neighbours is never cut; a linear term in the composition beside the pooled features; an absolute instead of a squared
loss, because labels have heavy tails; the refractive index is learned as its logarithm; several members, whose spread
is part of the uncertainty. Kept: mean pooling, one head per property, transfer from the energies with fine-tuning,
missing labels masked, no refractive index or dielectric constant without a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.maps.channels import Floats
from crystalloop.models.nets.blocks import Tensor
from crystalloop.models.nets.configs import CGCNNConfig
from crystalloop.models.nets.graphs import CrystalGraph, build_graphs, join_graphs
from crystalloop.models.nets.keras_import import keras, ops
from crystalloop.models.nets.message_passing import GraphNetwork

LEVEL = 0.9
NORMAL_90 = 1.6448536269514722
"""A normal distribution has nine tenths of its mass within this many standard deviations."""
FEWEST = 20
"""Of fewer errors, nine tenths are not told apart from all: the root mean square decides alone."""


def calibrate(errors: NDArray[np.floating], spread: NDArray[np.floating]) -> tuple[float, float]:
    """Floor and factor of sigma = factor sqrt(spread^2 + floor^2), so that 1.645 sigma holds nine tenths of the errors.

    Split conformal prediction with a normalised score (Lei et al., J. Am. Stat. Assoc. 113, 1094, 2018). The floor
    resists outliers: it is the median absolute error over that of a normal distribution.

    Args:
        errors: label - prediction of crystals that were not trained on, [c].
        spread: standard deviation of the members' predictions, [c].

    Returns:
        0 and 1 without errors; the root mean square error and 1 of fewer than FEWEST.
    """
    if not errors.size:
        return 0.0, 1.0
    if errors.size < FEWEST:
        return float(np.sqrt(np.square(errors).mean())), 1.0
    floor = float(np.median(np.abs(errors))) / 0.6745
    scores = np.sort(np.abs(errors) / np.maximum(np.sqrt(np.square(spread) + floor**2), 1e-12))
    rank = min(int(np.ceil(LEVEL * (errors.size + 1))), errors.size)
    return floor, float(scores[rank - 1]) / NORMAL_90


ENERGIES = ("formation_energy_per_atom", "energy_per_atom")
LOGARITHMIC = ("refractive_index",)
"""Learned as the natural logarithm: positive, with a tail over an order of magnitude."""
NEED_A_GAP = ("refractive_index", "log10_dielectric")
SOFT = 0.05
"""Standardised errors below this count by their square, larger ones by their size."""
Stage = Literal["energies", "transfer"]
"""Training in two stages: the energies' convolutions and heads; then the other heads, whose convolutions start as a
copy of the energies' and are fine-tuned with them (the paper's transfer)."""


class CGCNN:
    """The ensemble with its configuration."""

    kind: ClassVar[str] = "cgcnn"
    config_type: ClassVar[type[CGCNNConfig]] = CGCNNConfig

    def __init__(self, config: CGCNNConfig) -> None:
        self.config = config
        self.energies = build_cgcnn(config, "energies")
        self.others = build_cgcnn(config, "transfer")

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The parts whose weights make a checkpoint."""
        return {"energies": self.energies, "others": self.others}

    def stage_variables(self, stage: Stage) -> list[Any]:
        """Variables that training changes in this stage."""
        return list(self._network(stage).trainable_variables)

    def start_transfer(self) -> None:
        """Copy embedding and convolutions of the energies to the other heads' network."""
        for name, weight in self.energies.trunk.items():
            self.others.trunk[name].assign(weight)

    def compute_loss(self, batch: Mapping[str, Tensor], stage: Stage) -> dict[str, Tensor]:
        """Mean absolute error of standardised labels over what is labelled, rounded off near zero.

        Args:
            batch: arrays of `GraphBatch.arrays`, `targets` [b, 8] standardised (0 where missing), `weights` [b, m, 8]
                (0 where missing or kept from a member).
            stage: which heads.
        """
        heads = heads_of(stage)
        out = self._network(stage)(_arrays(batch))  # [b, m, heads]
        weights = batch["weights"][..., heads]
        errors = ops.sqrt(ops.square(out - batch["targets"][:, None, heads]) + SOFT**2) - SOFT
        return {"loss": ops.sum(errors * weights) / ops.maximum(ops.sum(weights), 1.0)}

    def graphs(self, crystals: Sequence[Crystal]) -> list[CrystalGraph]:
        """The crystals' graphs as this network takes them.

        Raises:
            UnknownElement: an element that the networks have no class for.
        """
        return build_graphs(crystals, self.config.cutoff_ang, self.config.neighbours)

    def member_outputs(self, graphs: Sequence[CrystalGraph], batch: int = 256) -> Floats:
        """Every member's prediction as it is learned (`to_working`), without rules: [b, m, 8]."""
        scale, mean = (np.array(values, np.float32) for values in (self.config.scale, self.config.mean))
        parts = [np.zeros((0, self.config.members, len(PROPERTIES)), np.float32)]
        for start in range(0, len(graphs), batch):
            some = graphs[start : start + batch]
            atoms, edges = sum(len(graph.numbers) for graph in some), sum(len(graph.targets) for graph in some)
            arrays = join_graphs(some, _room(atoms), _room(edges)).arrays()
            both = [ops.convert_to_numpy(network(arrays)) for network in (self.energies, self.others)]
            parts.append(np.concatenate(both, axis=-1))
        outputs: Floats = np.concatenate(parts) * scale + mean
        return outputs

    def member_predictions(self, graphs: Sequence[CrystalGraph], batch: int = 256) -> Floats:
        """Every member's prediction in the properties' units, without rules: [b, m, 8]."""
        return to_units(self.member_outputs(graphs, batch))

    def _network(self, stage: Stage) -> GraphNetwork:
        return self.energies if stage == "energies" else self.others


@dataclass(frozen=True)
class Predictions:
    """The eight properties of some crystals in their units, each [b] by name, with intervals.

    Attributes:
        values: mean of the members; NaN where a property had no training labels, or needs a gap and there is none.
        lower, upper: nine tenths of true values lie between, over crystals like those it was calibrated on.
        sigma: half of the interval's width over 1.645.
    """

    values: dict[str, Floats]
    lower: dict[str, Floats]
    upper: dict[str, Floats]
    sigma: dict[str, Floats]


def predict_properties(model: CGCNN, crystals: Sequence[Crystal]) -> tuple[dict[str, Floats], Floats]:
    """The eight properties of each crystal, and the uncertainty of its formation energy.

    Returns:
        name -> [b] in the property's unit, as in `Predictions`; and sigma [b] of the formation energy in eV/atom (NaN
        without formation-energy labels).
    """
    found = predict_with_intervals(model, crystals)
    return found.values, found.sigma[ENERGIES[0]]


def predict_with_intervals(model: CGCNN, crystals: Sequence[Crystal]) -> Predictions:
    """The eight properties of each crystal with 90 % intervals.

    Where the predicted gap is zero, refractive index and dielectric constant are NaN (the paper's rule).
    """
    outputs = model.member_outputs(model.graphs(crystals))  # [b, m, 8]
    centre = np.where(np.array(model.config.labels) > 0, outputs.mean(axis=1), np.nan)
    half = NORMAL_90 * sigma_of(model.config, outputs)  # [b, 8]
    rows = [to_units(part).astype(np.float32) for part in (centre, centre - half, centre + half)]
    gap = PROPERTIES.index("band_gap")
    metal = rows[0][:, gap] < model.config.metal_below_ev
    rows[0][metal, gap] = 0.0
    for part in rows:
        part[:, gap] = np.maximum(part[:, gap], 0.0)
        for name in NEED_A_GAP:
            part[metal, PROPERTIES.index(name)] = np.nan
    rows.append((rows[2] - rows[1]) / (2.0 * NORMAL_90))
    rows[3][:, gap] = half[:, gap] / NORMAL_90 + 0.0 * rows[0][:, gap]  # not of what was cut off at zero
    return Predictions(*({name: part[:, i] for i, name in enumerate(PROPERTIES)} for part in rows))


def predicted_by(model: CGCNN, members: slice = slice(None)) -> Callable[[Sequence[Crystal]], Floats]:
    """What some members say of crystals: a function from crystals to the eight properties in their units, [b, 8].

    NaN where a property had no training labels, or needs a gap and there is none.
    """

    def says(crystals: Sequence[Crystal]) -> Floats:
        outputs = model.member_outputs(model.graphs(crystals))[:, members].mean(axis=1)  # [b, 8]
        values = to_units(np.where(np.array(model.config.labels) > 0, outputs, np.nan)).astype(np.float32)
        metal = values[:, PROPERTIES.index("band_gap")] < model.config.metal_below_ev
        for name in NEED_A_GAP:
            values[metal, PROPERTIES.index(name)] = np.nan
        return values

    return says


def sigma_of(config: CGCNNConfig, outputs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Standard deviation of each prediction as it is learned: members' outputs [b, m, 8] -> [b, 8]."""
    floor, factor = np.array(config.error), np.array(config.factor)
    return np.asarray(factor * np.sqrt(np.square(outputs.std(axis=1, dtype=np.float64)) + floor**2), np.float64)


def build_cgcnn(config: CGCNNConfig, stage: Stage) -> GraphNetwork:
    """The network of a stage's heads."""
    heads = heads_of(stage)
    return GraphNetwork(
        members=config.members,
        width=config.width,
        hidden=config.hidden,
        convolutions=config.convolutions,
        gaussians=config.gaussians,
        cutoff_ang=config.cutoff_ang,
        heads=heads.stop - heads.start,
        name=stage,
    )


def heads_of(stage: Stage) -> slice:
    """A stage's places among the properties."""
    return slice(0, len(ENERGIES)) if stage == "energies" else slice(len(ENERGIES), len(PROPERTIES))


def to_working(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Labels [..., 8] as they are learned: logarithms of some."""
    working = np.array(values, np.float64)
    for name in LOGARITHMIC:
        i = PROPERTIES.index(name)
        working[..., i] = np.log(working[..., i])
    return working


def to_units(working: NDArray[np.floating]) -> Floats:
    """Inverse of `to_working`."""
    values = np.array(working, np.float32)
    for name in LOGARITHMIC:
        i = PROPERTIES.index(name)
        values[..., i] = np.exp(np.minimum(values[..., i], 10.0))
    return values


def standardise(labels: NDArray[np.floating]) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
    """Mean, scale and count of each property's labels [b, 8] as they are learned; 0 and 1 where there are too few."""
    means, scales, counts = [], [], []
    for column in to_working(labels).T:
        known = column[np.isfinite(column)]
        means.append(float(known.mean()) if known.size else 0.0)
        scales.append(max(float(known.std()), 1e-3) if known.size > 1 else 1.0)
        counts.append(int(known.size))
    return tuple(means), tuple(scales), tuple(counts)


def _room(count: int) -> int:
    """The next of 1, 1.5, 2, 3, 4, 6, ...: few shapes to compile for a backend that compiles each."""
    power = 1 << max(count - 1, 0).bit_length()
    return power * 3 // 4 if count <= power * 3 // 4 else power


def _arrays(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: array for name, array in batch.items() if name not in ("targets", "weights")}
