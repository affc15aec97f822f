"""Crystals, networks and training jobs small enough to be trained within a test of the networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.learn.job import TrainJob
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.cgcnn import CGCNN
from crystalloop.models.nets.configs import CGCNNConfig, UNetConfig, VAEConfig
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE

N = 8
VOXELS = VoxelConfig(n=N)
CGCNN_SIZES = {"members": 2, "width": 4, "hidden": 4, "gaussians": 6}
OVERRIDES = {
    "unet": {"patch": 2, "base": 4, "levels": 1},
    "vae": {"patch": 2, "latent": 3, "filters": [4], "hidden": 8, "rank": 2},
    "cgcnn": CGCNN_SIZES,
}
PAIRS = (("Na", "Cl"), ("Li", "F"), ("K", "Br"), ("Mg", "O"), ("Ca", "S"), ("Al", "N"))
SAVES_WEIGHTS = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
"""Keras asks TensorFlow 2.21's variables for a numpy array, and they do not know numpy 2's `copy` yet."""


def salts() -> list[Crystal]:
    """Six binary compounds in the rock-salt structure, then in that of CsCl."""
    return [decorated(kind, pair) for kind in (Prototype.ROCKSALT, Prototype.CSCL) for pair in PAIRS]


def e_f_labels(count: int, known: int | None = None) -> np.ndarray:
    """[count, 8]: a formation energy for the first `known`, nothing else."""
    labels = np.full((count, len(PROPERTIES)), np.nan)
    labels[:known, 0] = np.linspace(-3.0, -0.5, count)[:known]
    return labels


def tiny_unet(**changes) -> UNet:
    return UNet(UNetConfig(**({"n": N, **OVERRIDES["unet"]} | changes)))


def tiny_vae(**changes) -> DensityVAE:
    return DensityVAE(VAEConfig(**({"n": N, **OVERRIDES["vae"], "filters": (4,)} | changes)))


def tiny_cgcnn(seen: np.ndarray | None = None, **changes) -> CGCNN:
    """A network that has seen such labels, [b, 8]; five of every property where none are given."""
    counts = (5,) * len(PROPERTIES) if seen is None else tuple(int(n) for n in np.isfinite(seen).sum(axis=0))
    return CGCNN(CGCNNConfig(**({**CGCNN_SIZES, "labels": counts} | changes)))


def tiny_job(folder: Path, **changes) -> TrainJob:
    crystals = tuple(salts())
    fields = {
        "crystals": crystals,
        "labels": e_f_labels(len(crystals), known=8),
        "data_digest": "tiny",
        "voxels": VOXELS,
        "overrides": OVERRIDES,
        "steps": {"unet": 30, "vae": 30, "cgcnn": 30},
        "batch": {"unet": 4, "vae": 6, "cgcnn": 12},
        "learning_rate": {"cgcnn": 0.03},
    }
    return TrainJob(folder, **(fields | changes))


def scrambled(network):
    """The network with every weight but the prior's drawn anew: what is zero at the start is not any more."""
    rng = np.random.default_rng(3)
    for name, model in network.networks.items():
        if name == "prior":  # its numbers are probabilities and roots of covariances
            continue
        model.set_weights([rng.normal(0.0, 0.3, w.shape).astype(w.dtype) for w in model.get_weights()])
    return network
