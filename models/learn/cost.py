"""What a training will take by the clock, before it is started: counted from steps, good to a factor of two. No Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crystalloop.models.learn.job import BATCH, crystals_in_step, steps_from_scratch

TRAIN_START_S = 18.0
"""Ray Train's workers with TensorFlow in them, before the first step, on two idle cores of a 2.5 GHz Xeon."""
BUILD_S: Mapping[str, float] = {"unet": 15.0, "vae": 7.0, "cgcnn": 4.0}
"""Building, tracing and saving of each network on that machine."""
PER_SAMPLE_S: Mapping[str, tuple[float, float]] = {
    "unet": (3.7e-3, 8.8e-7),
    "vae": (0.0, 1.4e-6),
    "cgcnn": (1.6e-3, 0.0),
}
"""Of one crystal in a step: of itself, and for each voxel. Measured at 16^3 in a campaign (7.3 and 5.4 CPU ms), at 32^3 by
bench/train.py (32 and 48, bench/results/train_32.json); cgcnn: bench/results/cgcnn.json."""
PER_STEP_S = 6e-3
"""Of a step, however few crystals are in it."""
PAPER_PER_VOXEL_S: Mapping[str, float] = {"unet": 2.9 / 32**3, "vae": 0.54 / 32**3}
"""The paper's sizes (bench/results/train_32.json, papers_code_cpu_s_per_sample)."""


@dataclass(frozen=True)
class TrainingSize:
    """What decides how long a training takes.

    Attributes:
        crystals: that UNet and VAE see.
        labelled: that the CGCNN sees.
        n: voxels per cell edge.
        preset: sizes of the networks.
        steps: network -> optimiser steps from scratch, where they are set.
        warm_share: share of the steps when UNet and VAE continue from a parent.
        workers: that share each step.
    """

    crystals: int
    labelled: int
    n: int
    preset: str = "compact"
    steps: Mapping[str, int] = field(default_factory=dict)
    warm_share: float = 0.5
    workers: int = 1

    def seconds(self, *, warm: bool) -> float:
        """By the clock, with the start of the workers; `warm` continues from a parent."""
        return (
            TRAIN_START_S
            + sum(BUILD_S.values())
            + sum(self._steps_s(network, warm) for network in BUILD_S) / self.workers
        )

    def _steps_s(self, network: str, warm: bool) -> float:
        seen = self.labelled if network == "cgcnn" else self.crystals
        steps = self.steps.get(network) or steps_from_scratch(network, seen, BATCH[network])
        share = self.warm_share if warm and network != "cgcnn" else 1.0
        own, per_voxel = PER_SAMPLE_S[network]
        if self.preset == "paper":
            per_voxel = PAPER_PER_VOXEL_S.get(network, per_voxel)
        batch = min(seen, crystals_in_step(self.preset, network))
        return max(1.0, steps * share) * (PER_STEP_S + batch * (own + per_voxel * self.n**3))
