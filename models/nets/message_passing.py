"""The message-passing network of the CGCNN: several independent members in one model. What it predicts is `cgcnn`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crystalloop.models.crystals.elements import covalent_radii_ang, ionic_radii_ang
from crystalloop.models.maps.channels import CLASSES, Floats
from crystalloop.models.nets.blocks import Tensor
from crystalloop.models.nets.keras_import import keras, ops

NEAREST_ANG = 1.0
TYPICAL_NEIGHBOURS = 12.0


class GraphNetwork(keras.Model):  # type: ignore[misc]  # keras has no types
    """Arrays of a `GraphBatch` -> standardised outputs [b, m, heads].

    Every weight has a leading axis of members, which share nothing. A convolution multiplies a neighbour's features by
    a filter of its distance (Schuett et al. 2017, SchNet, eq. 2), and mixes the sum with the atom's own features. The
    gate of each edge of Xie and Grossman 2018 cost 1.7 times as much and was less accurate after as many steps.

    Args:
        members: networks.
        width: features of an atom.
        hidden: width of the layer after pooling.
        convolutions: how many.
        gaussians: basis functions of a distance.
        cutoff_ang: the basis ends here.
        heads: outputs.
        name: of the model.
    """

    def __init__(
        self,
        *,
        members: int,
        width: int,
        hidden: int,
        convolutions: int,
        gaussians: int,
        cutoff_ang: float,
        heads: int,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.sizes = (members, width, convolutions)
        self.centres = np.linspace(NEAREST_ANG, cutoff_ang, gaussians, dtype=np.float32)
        self.table = np.concatenate([np.eye(CLASSES, dtype=np.float32), element_features()], axis=-1)
        self.parts: dict[str, Any] = {}
        d = width
        self._add("trunk_embedding", self.table.shape[1], d, 0.5 * self.table.shape[1] ** 0.5)
        for i in range(convolutions):
            self._add(f"trunk{i}_neighbour", d, d)
            self._add(f"trunk{i}_filter", gaussians, d, 2.0)
            self._add(f"trunk{i}_mix", 2 * d, d)
            self._add(f"trunk{i}_mix_bias", 1, d, 0.0)
            self._add(f"trunk{i}_out", d, d, 0.5)
        self._add("hidden", d, hidden)
        self._add("hidden_bias", 1, hidden, 0.0)
        # Zero to begin with: an untrained member answers the mean of the training labels.
        self._add("heads", hidden, heads, 0.0)
        self._add("heads_bias", 1, heads, 0.0)
        self._add("elements", CLASSES, heads, 0.0)
        self.built = True

    def _add(self, name: str, inputs: int, outputs: int, gain: float = 1.0) -> None:
        start = keras.initializers.RandomNormal(stddev=gain / inputs**0.5) if gain else "zeros"
        self.parts[name] = self.add_weight(shape=(self.sizes[0], inputs, outputs), initializer=start, name=name)

    @property
    def trunk(self) -> dict[str, Any]:
        """Embedding and convolutions by name: what transfer copies."""
        return {name: weight for name, weight in self.parts.items() if name.startswith("trunk")}

    def call(self, arrays: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        basis = self._expand(arrays["distances"]) * (arrays["counts"][:, None] / TYPICAL_NEIGHBOURS)  # [e, g]
        return ops.stack([self._member(arrays, basis, m) for m in range(self.sizes[0])], axis=1)

    def _member(self, arrays: Mapping[str, Tensor], basis: Tensor, m: int) -> Tensor:
        """One member's outputs: [b, heads]."""
        _, d, convolutions = self.sizes
        part = {name: weight[m] for name, weight in self.parts.items()}
        numbers, targets, sources = arrays["numbers"], arrays["targets_of"], arrays["sources"]
        x = ops.take(ops.matmul(self.table, part["trunk_embedding"]), numbers, axis=0)  # [n, d]
        for i in range(convolutions):
            near = ops.take(ops.matmul(x, part[f"trunk{i}_neighbour"]), sources, axis=0)  # [e, d]
            message = near * ops.matmul(basis, part[f"trunk{i}_filter"])
            total = ops.segment_sum(message, targets, num_segments=ops.shape(numbers)[0])  # [n, d]
            both = ops.concatenate([x, total], axis=1)
            mixed = ops.silu(ops.matmul(both, part[f"trunk{i}_mix"]) + part[f"trunk{i}_mix_bias"])
            x = x + ops.matmul(mixed, part[f"trunk{i}_out"])
        alone = ops.take(part["elements"], numbers, axis=0)  # [n, heads]
        features = ops.concatenate([x, alone], axis=1) * arrays["shares"][:, None]
        pooled = ops.segment_sum(features, arrays["graphs"], num_segments=ops.shape(arrays["real"])[0])
        hidden = ops.silu(ops.matmul(pooled[:, :d], part["hidden"]) + part["hidden_bias"])
        return ops.matmul(hidden, part["heads"]) + part["heads_bias"] + pooled[:, d:]

    def _expand(self, distances: Tensor) -> Tensor:
        """Gaussian basis of distances in angstrom: [e] -> [e, g]."""
        width = max(float(self.centres[1] - self.centres[0]), 0.1) if len(self.centres) > 1 else 1.0
        return ops.exp(-0.5 * ops.square((distances[:, None] - self.centres) / width))


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
