"""A glance at trained networks on the validation part, for the end of `crystalloop train`. The full measures: evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.learn.job import NetworkName
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.maps.voxels import VoxelConfig, voxelize_batch
from crystalloop.models.nets.cgcnn import CGCNN, predict_properties
from crystalloop.models.nets.checkpoint import load
from crystalloop.models.nets.unet import UNet, segment
from crystalloop.models.nets.vae import DensityVAE

MOST_MAPS = 128
MOST_GRAPHS = 512
"""Crystals looked at: seconds, not a share of the training."""


def glance(folder: Path, network: NetworkName, validation: Corpus, voxels: VoxelConfig) -> dict[str, float]:
    """Errors of a network on crystals that it was not trained on; nothing where there are none.

    Args:
        folder: of the checkpoints.
        network: which.
        validation: the val part; the first crystals of an even spread are looked at.
        voxels: the grid of UNet and VAE.

    Returns:
        unet: `occupied_recall`, `species_right` (shares of the occupied voxels). vae: `density_rmse_log`,
        `lattice_mae_ang`. cgcnn: mean absolute error of each property with labels, in its unit.
    """
    most = MOST_GRAPHS if network == "cgcnn" else MOST_MAPS
    if not len(validation):
        return {}
    some = validation.take(np.unique(np.linspace(0, len(validation) - 1, most).astype(np.intp)))
    if network == "unet":
        return _unet(folder / network, some.crystals, voxels)
    return _vae(folder / network, some, voxels) if network == "vae" else _cgcnn(folder / network, some)


def _unet(folder: Path, crystals: Sequence[Crystal], voxels: VoxelConfig) -> dict[str, float]:
    truth = voxelize_batch(crystals, voxels).species  # [b, n, n, n]
    found = segment(load(folder, UNet, n=voxels.n), draw_maps(crystals, voxels))
    occupied = truth > 0
    return {
        "occupied_recall": float((found.occupancy[occupied] >= 0.5).mean()),
        "species_right": float((found.species[occupied] == truth[occupied]).mean()),
    }


def _vae(folder: Path, corpus: Corpus, voxels: VoxelConfig) -> dict[str, float]:
    vae = load(folder, DensityVAE, n=voxels.n)
    maps = draw_maps([canonical_origin(crystal) for crystal in corpus.crystals], voxels)
    condition = vae.condition(corpus.labels[:, PROPERTIES.index(E_F)])
    mean, _ = vae.encode(maps, condition)
    out = vae.decode(mean, condition)
    edges = np.array([crystal.lengths_ang for crystal in corpus.crystals])
    return {
        "density_rmse_log": float(np.sqrt(np.square(out.maps[..., 0] - maps[..., 0]).mean())),
        "lattice_mae_ang": float(np.abs(np.linalg.norm(out.lattice, axis=2) - edges).mean()),
    }


def _cgcnn(folder: Path, corpus: Corpus) -> dict[str, float]:
    values, _ = predict_properties(load(folder, CGCNN), corpus.crystals)
    errors = {name: np.abs(values[name] - corpus.labels[:, i]) for i, name in enumerate(PROPERTIES)}
    return {f"mae_{name}": float(np.nanmean(e)) for name, e in errors.items() if np.isfinite(e).any()}
