"""Evaluation rows without pymatgen and spglib: reconstruction of held-out crystals, random draws. No training here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.contacts import is_valid_paper, is_valid_strict, volume_window_ang3
from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.draw.latents import draw_random
from crystalloop.models.draw.lookahead import Critic
from crystalloop.models.generate.density_vae import GenerateConfig, read_crystal
from crystalloop.models.judge.metrics import VoxelTally, cell_errors_ang, tally_voxels
from crystalloop.models.judge.site_metrics import (
    SpeciesTally,
    same_contents,
    site_error_ang,
    site_error_shifted_ang,
    tally_species,
)
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.maps.voxels import VoxelConfig, voxelize_batch
from crystalloop.models.nets.unet import UNet, segment
from crystalloop.models.nets.vae import DensityVAE

MATCH = 0.3
"""Largest mean displacement of a match over the cube root of the volume per atom, as pymatgen's `stol`."""


def reconstruction(
    vae: DensityVAE,
    unet: UNet,
    crystals: Sequence[Crystal],
    e_f_ev: NDArray[np.floating],
    config: GenerateConfig,
    batch: int = 64,
) -> dict[str, Any]:
    """Crystals through encoder (posterior mean), decoder, UNet and reading; strict: every failure counts.

    `own_match` is a matcher of ours, not pymatgen's StructureMatcher: the same atoms, and a mean displacement under the
    best rigid shift of at most MATCH; neither rotations nor other cells are tried.
    """
    true = [canonical_origin(crystal) for crystal in crystals]
    found: list[Crystal | None] = []
    failures: Counter[str] = Counter()
    lattices, decoded_voxels, true_voxels = [], VoxelTally(), VoxelTally()
    for start in range(0, len(true), batch):
        some = true[start : start + batch]
        maps, condition = draw_maps(some, config.voxels), vae.condition(e_f_ev[start : start + batch])
        decoded = vae.decode(vae.encode(maps, condition)[0], condition)
        segmentation = segment(unet, decoded.maps)
        species = voxelize_batch(some, config.voxels).species
        decoded_voxels += tally_voxels(species, segmentation.species)
        true_voxels += tally_voxels(species, segment(unet, maps).species)
        lattices.append(decoded.lattice)
        for i in range(len(some)):
            read = read_crystal(decoded, segmentation, i, config)
            found.append(None if isinstance(read, str) else read[0])
            failures[read if isinstance(read, str) else "none"] += 1
    cells = cell_errors_ang(np.array([crystal.lattice for crystal in true]), np.concatenate(lattices))
    matches = [_displacement(one, other) for one, other in zip(true, found, strict=True)]
    matched = [value for value in matches if value <= MATCH]
    return {
        "crystals": len(true),
        "failures": dict(failures),
        "cell_mae_ang": float(np.mean(cells)),
        **_sites(true, found),
        "unet_recall_on_decoded_maps": decoded_voxels.recall,
        "unet_recall_on_true_maps": true_voxels.recall,
        "own_match": len(matched) / len(true),
        "own_match_mean_displacement": float(np.mean(matched)) if matched else None,
    }


def _sites(true: Sequence[Crystal], found: Sequence[Crystal | None]) -> dict[str, Any]:
    pairs = list(zip(true, found, strict=True))
    missing = [abs(len(one) - (len(other) if other is not None else 0)) for one, other in pairs]
    tally = sum((tally_species(one, other) for one, other in pairs), SpeciesTally())
    return {
        "site_error_strict_ang": float(np.mean([site_error_ang(one, other) for one, other in pairs])),
        "d_sites": float(np.mean(missing)),
        "exact_count": float(np.mean([gap == 0 for gap in missing])),
        "species_of_sites": tally.right / max(1, tally.sites),
        "sites_found": tally.found / max(1, tally.sites),
        "same_contents": float(np.mean([same_contents(one, other) for one, other in pairs])),
    }


def _displacement(true: Crystal, found: Crystal | None) -> float:
    """Mean displacement over the cube root of the volume per atom; infinite where the atoms are not the same."""
    if found is None or not same_contents(true, found):
        return float("inf")
    return site_error_shifted_ang(true, found) / float(np.cbrt(true.volume_ang3 / len(true)))


def random_draws(
    vae: DensityVAE, unet: UNet, known: Sequence[Crystal], count: int, config: GenerateConfig, seed: int
) -> dict[str, Any]:
    """Crystals of the prior, as read and not symmetrised: the share that is valid, of all that were drawn."""
    draws = draw_random(vae, np.random.default_rng(seed), count, critic=Critic(VoxelConfig(n=vae.config.n)))
    decoded = vae.decode(draws.latent, draws.condition)
    segmentation = segment(unet, decoded.maps)
    made = [read_crystal(decoded, segmentation, i, config) for i in range(count)]
    read = [one[0] for one in made if not isinstance(one, str)]
    window = volume_window_ang3(known)
    return {
        "drawn": count,
        "read": len(read) / count,
        "valid_paper": sum(is_valid_paper(crystal) for crystal in read) / count,
        "valid_strict": sum(is_valid_strict(crystal, window) for crystal in read) / count,
    }
