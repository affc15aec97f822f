"""What each network sees in a training step: maps drawn on the fly, labels and weights as arrays. No training here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal, canonical_origin, turn
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.learn.engine import Batch, Share
from crystalloop.models.maps.channels import CLASSES, Floats, draw_maps
from crystalloop.models.maps.voxels import VoxelConfig, voxelize_batch
from crystalloop.models.nets.configs import UNetConfig, VAEConfig, decile_one_hot
from crystalloop.models.nets.linear_frame import SPREAD
from crystalloop.models.nets.unet import voxel_weights
from crystalloop.models.nets.vae import DensityVAE

MapsOf = Callable[[NDArray[np.intp]], Floats]


def row_batches(count: int, batch: int, steps: int, seed: int, share: Share) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Step number and this worker's rows for each step: shuffled passes over `count` crystals, the same for a seed.

    Every batch has the same size, so that the compiled step is traced once; the last one of a pass runs into the next.
    """
    size = -(-batch // share.world) * share.world
    rng = np.random.default_rng([seed, 17])
    queue = np.zeros(0, np.intp)
    for step in range(steps):
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(count)])
        rows, queue = queue[:size], queue[size:]
        yield step, share.of(rows)


def unet_batches(
    crystals: Sequence[Crystal],
    voxels: VoxelConfig,
    config: UNetConfig,
    batch: int,
    steps: int,
    seed: int,
    share: Share,
    maps_of: MapsOf | None = None,
) -> Iterator[Batch]:
    """Batches for `UNet.compute_loss`.

    Args:
        crystals: conventional cells; in their canonical origin where `maps_of` is given.
        voxels: the grid.
        config: gives the weights of voxels.
        batch: crystals in a step over all workers.
        steps: how many.
        seed: of order, translations and turns.
        share: the part that this worker computes.
        maps_of: maps of the crystals in some rows [b], for example a decoder's (`decoded_maps`). By default true maps,
            every crystal at a random translation and turn each time it is seen.
    """
    counts = class_counts(crystals, voxels)
    for step, rows in row_batches(len(crystals), batch, steps, seed, share):
        if maps_of is not None:
            yield _voxel_labels(maps_of(rows), [crystals[row] for row in rows], step, voxels, config, counts)
            continue
        rng = np.random.default_rng([seed, step, share.rank])
        turned = [turn(crystals[row], rng) for row in rows]
        yield _voxel_labels(draw_maps(turned, voxels), turned, step, voxels, config, counts)


def decoded_maps(
    standing: Sequence[Crystal], e_f_ev: NDArray[np.floating], vae: DensityVAE, voxels: VoxelConfig
) -> MapsOf:
    """What the VAE makes of crystals in their canonical origin, for `unet_batches`; e_f_ev [c] gives their conditions."""

    def maps_of(rows: NDArray[np.intp]) -> Floats:
        condition = vae.condition(e_f_ev[rows])
        mean, _ = vae.encode(draw_maps([standing[row] for row in rows], voxels), condition)
        return vae.decode(mean, condition).maps

    return maps_of


def _voxel_labels(
    maps: Floats,
    crystals: Sequence[Crystal],
    step: int,
    voxels: VoxelConfig,
    config: UNetConfig,
    counts: NDArray[np.int64],
) -> Batch:
    """Maps with the species of their crystals at one of the eight corners, another one every step."""
    species = voxelize_batch(crystals, voxels).species
    i, j, k = step // 4 % 2, step // 2 % 2, step % 2
    some = species[:, i::2, j::2, k::2]
    return {
        "maps": maps,
        "occupied": (species > 0).astype(np.float32),
        "corner": np.array(4 * i + 2 * j + k, np.int32),
        "species": some.astype(np.int32),
        "weights": voxel_weights(some, counts, config),
    }


def class_counts(crystals: Sequence[Crystal], voxels: VoxelConfig, at_once: int = 64) -> NDArray[np.int64]:
    """Voxels of each class in all crystals, [95]; a few are drawn at a time, so that memory does not grow with them."""
    counts = np.zeros(CLASSES, np.int64)
    for start in range(0, len(crystals), at_once):
        species = voxelize_batch(crystals[start : start + at_once], voxels).species
        counts += np.bincount(species.ravel(), minlength=CLASSES)
    return counts


def vae_batches(
    crystals: Sequence[Crystal],
    labels: NDArray[np.floating],
    voxels: VoxelConfig,
    config: VAEConfig,
    batch: int,
    steps: int,
    seed: int,
    share: Share,
) -> Iterator[Batch]:
    """Batches for `DensityVAE.compute_loss`.

    Crystals come in their canonical origin: a random one would cost three latent dimensions that mean nothing.
    Labels [c, 8] are in the properties' units, NaN where missing; crystals without a formation energy train
    reconstruction and latent with the condition left out.
    """
    standing = [canonical_origin(crystal) for crystal in crystals]
    conditions = decile_one_hot(labels[:, PROPERTIES.index(E_F)], config.decile_edges_ev)
    present = elements_present(crystals)
    for step, rows in row_batches(len(crystals), batch, steps, seed, share):
        rng = np.random.default_rng([seed, step, share.rank, 1])
        kept = (rng.random((len(rows), 1)) >= config.drop_condition).astype(np.float32)
        yield {
            "maps": draw_maps([standing[row] for row in rows], voxels),
            "condition": conditions[rows] * kept,
            "elements": present[rows],
            "noise": rng.standard_normal((len(rows), config.latent)).astype(np.float32),
            "beta": np.array(config.beta * min(1.0, (step + 1) / max(1.0, config.warm_up * steps)), np.float32),
        }


def head_batches(
    facts: Floats,
    labels: NDArray[np.floating],
    edges_ang: NDArray[np.floating],
    config: VAEConfig,
    batch: int,
    steps: int,
    seed: int,
    share: Share,
) -> Iterator[Batch]:
    """Batches for `DensityVAE.head_loss`.

    Args:
        facts: of `DensityVAE.facts_of_maps`, [c, latent].
        labels: [c, 8] in the properties' units, NaN where missing.
        edges_ang: edge of a cube of each cell's volume, [c].
        config: scales of the labels and the edge.
        batch: crystals in a step.
        steps: how many.
        seed: of the order.
        share: the part that this worker computes.
    """
    targets, known = head_targets(labels, edges_ang, config)
    for _, rows in row_batches(len(facts), min(batch, len(facts)), steps, seed, share):
        yield {"facts": facts[rows], "targets": targets[rows], "known": known[rows]}


def head_targets(
    labels: NDArray[np.floating], edges_ang: NDArray[np.floating], config: VAEConfig
) -> tuple[Floats, Floats]:
    """Standardised labels [c, 8] (0 where missing) and the lattice number of edges [c]; and 1 where known: [c, 9] each."""
    scale = np.array(config.property_scale)
    known = np.isfinite(labels) & (scale > 0)
    targets = np.where(known, (labels - np.array(config.property_mean)) / np.where(scale > 0, scale, 1.0), 0.0)
    lattice = np.log(edges_ang / config.a_ang)[:, None] / SPREAD
    known = np.concatenate([known, np.ones((len(known), 1), bool)], axis=1)
    return np.concatenate([targets, lattice], axis=1).astype(np.float32), known.astype(np.float32)


def elements_present(crystals: Sequence[Crystal]) -> Floats:
    """1 for every element of a crystal: [b, 95]."""
    present = np.zeros((len(crystals), CLASSES), np.float32)
    for row, crystal in enumerate(crystals):
        present[row, crystal.numbers] = 1.0
    return present
