"""What a training is given and what it gives back. Plain values that travel to a Ray worker; nothing is trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.learn.engine import Backend
from crystalloop.models.maps.voxels import VoxelConfig

NetworkName = Literal["unet", "vae", "cgcnn"]
NETWORKS: tuple[NetworkName, ...] = ("unet", "vae", "cgcnn")
"""In the order of training: the VAE's deep-feature loss needs the UNet."""

STEPS: Mapping[str, int] = {"unet": 100, "vae": 100, "cgcnn": 300}
"""Fewest optimiser steps from scratch: a small campaign on two cores trains all three in well under a minute."""
EPOCHS: Mapping[str, int] = {"unet": 3, "vae": 6, "cgcnn": 40}
"""Fewest times that each crystal is seen; with many crystals this decides. The paper has 50 for UNet and VAE,
which here start from the element codes and from the maps' principal components."""
BATCH: Mapping[str, int] = {"unet": 16, "vae": 32, "cgcnn": 128}
NETWORK_OF: Mapping[str, str] = {"head": "vae", "tuning": "unet"}
"""Stages of a training that report under a name of their own, and the network that they belong to."""
UNTUNED = "unet-on-true-maps"
"""Folder of the UNet as it was before its tuning on decoded maps."""
HEAD_BATCH = 128
"""Of the VAE's property head, whose samples are latents."""
LEARNING_RATE: Mapping[str, float] = {"unet": 5e-3, "vae": 1e-3, "cgcnn": 3e-3}
PAPER: Mapping[str, Mapping[str, float]] = {
    "epochs": {"unet": 50, "vae": 50},
    "batch": {"unet": 10, "vae": 20, "cgcnn": 256},
    "learning_rate": {"unet": 3e-6, "vae": 1e-4, "cgcnn": 1e-3},
}
"""Court et al. 2020, Methods; the CGCNN's epochs are not given there."""


def recipe(preset: str, name: str) -> Mapping[str, float]:
    """Epochs, batch or learning_rate of each network in which a preset differs from ours."""
    return PAPER[name] if preset == "paper" else {}


def crystals_in_step(preset: str, stage: str) -> int:
    """Crystals in an optimiser step over all workers, of a network or of a stage that reports under a name of its own."""
    network = NETWORK_OF.get(stage, stage)
    return int(recipe(preset, "batch").get(network, BATCH[network])) if stage != "head" else HEAD_BATCH


def steps_from_scratch(network: str, crystals: int, batch: int) -> int:
    """Optimiser steps of a network where none are set: the larger of STEPS and EPOCHS passes over the crystals."""
    return max(STEPS[network], ceil(EPOCHS[network] * crystals / batch))


class TrainError(Exception):
    """A training that cannot start or did not finish; the message says what to do."""

    exit_kind = "failed"


@dataclass(frozen=True)
class TrainJob:
    """One training of the three networks.

    Attributes:
        folder: gets one checkpoint folder per network: unet, vae, cgcnn. On several machines a shared path.
        crystals: conventional cells, labelled and unlabelled.
        labels: [c, 8] in the order and units of PROPERTIES, NaN where missing (`label_array` makes it).
        data_digest: digest of the training set, stored in the checkpoints.
        voxels: the maps' grid.
        preset: sizes of the networks: compact or paper.
        overrides: network -> fields of its configuration that differ from the preset.
        steps: network -> optimiser steps; where not named, the larger of STEPS and EPOCHS passes over the crystals.
        batch: network -> crystals in a step over all workers; BATCH where not named.
        learning_rate: network -> peak of the cosine schedule; LEARNING_RATE where not named.
        parent: folder of an earlier training of the same shapes to continue from; the CGCNN always starts afresh.
        warm_share: share of the steps when continuing.
        seed: initial weights, order of crystals, translations and noise.
        validation: crystals that are never trained on; the CGCNN's intervals are calibrated on them.
        validation_labels: theirs, [v, 8].
        progress: JSON-lines file that is appended to while training; None writes none.
    """

    folder: Path
    crystals: tuple[Crystal, ...]
    labels: NDArray[np.float64]
    data_digest: str
    voxels: VoxelConfig = field(default_factory=lambda: VoxelConfig(n=16))
    preset: str = "compact"
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    batch: Mapping[str, int] = field(default_factory=dict)
    learning_rate: Mapping[str, float] = field(default_factory=dict)
    parent: Path | None = None
    warm_share: float = 0.5
    seed: int = 0
    progress: Path | None = None
    validation: tuple[Crystal, ...] = ()
    validation_labels: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if not self.crystals:
            raise TrainError(
                "the training set is empty; name data files, or let decorated prototypes be computed first"
            )
        if self.labels.shape != (len(self.crystals), len(PROPERTIES)):
            raise TrainError(
                f"labels {self.labels.shape} for {len(self.crystals)} crystals and {len(PROPERTIES)} properties"
            )
        for name, steps in self.steps.items():
            if name not in NETWORKS or steps < 1:
                raise TrainError(f"steps {name}: {steps}; give a positive number for unet, vae or cgcnn")

    @classmethod
    def by_epochs(
        cls,
        epochs: Mapping[str, float],
        networks: Sequence[NetworkName],
        *,
        preset: str,
        **given: Any,  # noqa: ANN401
    ) -> TrainJob:
        """The job of a preset's whole recipe: sizes, batches, rates, and the steps in which crystals are seen so often.

        Args:
            epochs: network -> times that each crystal is seen; the preset's where not named.
            networks: whose steps are set; the others have the fewest.
            preset: compact or paper.
            given: the job's other fields.
        """
        epochs = {**recipe(preset, "epochs"), **epochs}
        steps: dict[str, int] = {
            name: max(1, ceil(epochs[name] * len(given["crystals"]) / crystals_in_step(preset, name)))
            for name in networks
            if name in epochs
        }
        return cls(
            **given,
            preset=preset,
            steps=steps,
            batch={name: int(size) for name, size in recipe(preset, "batch").items()},
            learning_rate=recipe(preset, "learning_rate"),
        )

    def steps_of(self, network: str, warm: bool) -> int:
        """Optimiser steps of a network, fewer when it continues from a parent."""
        batch = self.batch.get(network, BATCH[network])
        steps = self.steps.get(network, steps_from_scratch(network, len(self.crystals), batch))
        return max(1, round(steps * self.warm_share)) if warm else steps


@dataclass(frozen=True)
class TrainResources:
    """Where a training runs, and what Ray gives to it.

    Attributes:
        num_workers: 0 trains in this process without Ray; jax trains nowhere else.
        cpus_per_worker: cores reserved for each worker.
        use_gpu: one GPU per worker.
        start_timeout_s: how long workers may take to start.
        backend: what takes the steps.
    """

    num_workers: int = 1
    cpus_per_worker: float = 1.0
    use_gpu: bool = False
    start_timeout_s: float = 300.0
    backend: Backend = "tensorflow"

    def __post_init__(self) -> None:
        if self.backend == "jax" and self.num_workers:
            raise TrainError(
                f"num_workers {self.num_workers} with jax, which trains in one process; give 0, or TensorFlow"
            )


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network on disk, as its checkpoint's card says."""

    folder: Path
    sha256: str
    metrics: dict[str, float]
    samples: int
    train_s: float


@dataclass(frozen=True)
class TrainOutcome:
    """The trained networks and where the time went."""

    networks: dict[str, FittedNetwork]
    step_s: float  # inside training steps
    wall_s: float  # of the whole call
