"""What the networks make of known crystals and of drawn latents, one answer each. Nothing is judged here, see `metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.symmetry import symmetrise
from crystalloop.models.draw.latents import draw_under_each
from crystalloop.models.draw.lookahead import Critic
from crystalloop.models.draw.proposal import Draws, Kind, Proposal
from crystalloop.models.generate.density_vae import GenerateConfig, propose, read_crystal
from crystalloop.models.judge.metrics import VoxelTally, tally_voxels
from crystalloop.models.maps.channels import COORDINATE_SCALE_ANG, Floats, draw_maps, expand
from crystalloop.models.maps.voxels import VoxelConfig, lattice_from_coordinates, voxelize_batch
from crystalloop.models.nets.configs import DECILES
from crystalloop.models.nets.unet import UNet, segment
from crystalloop.models.nets.vae import DensityVAE

Species = NDArray[np.int16]


@dataclass(frozen=True)
class MapErrors:
    """Mean squared errors of a decoded map.

    Attributes:
        density: (e/angstrom^3)^2.
        compressed: of log(1 + rho / rho_0), the scale that the networks see; no unit.
        coordinates: angstrom^2.
    """

    density: float
    compressed: float
    coordinates: float


@dataclass(frozen=True, eq=False)
class RoundTrip:
    """One crystal drawn, encoded (mean of the posterior), decoded, segmented and read.

    Attributes:
        true: the crystal in its canonical origin, as it was drawn.
        raw: as read from the decoded maps, in the same origin; None where nothing could be read.
        crystal: the same, symmetrised: another setting and origin than `true` has.
        failure: why there is none.
        confidence: of the reading, 0 to 1; 0 for a failure.
        lattice: read from the decoded coordinate channels, rows in angstrom, [3, 3].
        species: true species map, 0 = background, [n, n, n].
        decoded_species: the UNet's, on the decoded maps, [n, n, n].
        voxels: `decoded_species` counted against `species`.
        voxels_of_true: the UNet's on the true maps, counted the same way.
        errors: of the decoded map.
        density, decoded_density: compressed, [n, n, n].
        latent, log_variance: of the posterior, [latent].
    """

    true: Crystal
    raw: Crystal | None
    crystal: Crystal | None
    failure: str | None
    confidence: float
    lattice: NDArray[np.float64]
    species: Species
    decoded_species: Species
    voxels: VoxelTally
    voxels_of_true: VoxelTally
    errors: MapErrors
    density: Floats
    decoded_density: Floats
    latent: Floats
    log_variance: Floats


def round_trip(
    vae: DensityVAE,
    unet: UNet,
    crystals: Sequence[Crystal],
    e_f_ev: NDArray[np.floating],
    config: GenerateConfig,
    batch: int = 64,
) -> Iterator[RoundTrip]:
    """Send crystals through the networks; one result for each, in their order, failures included.

    Args:
        vae: encoder and decoder.
        unet: segmentation of the decoded maps and, for comparison, of the true ones.
        crystals: conventional cells, in any origin.
        e_f_ev: formation energies for the condition, eV/atom, NaN where unknown, [c].
        config: the grid, and how maps are read.
        batch: crystals at a time; memory is that of one batch.
    """
    for start in range(0, len(crystals), batch):
        true = [canonical_origin(crystal) for crystal in crystals[start : start + batch]]
        yield from _one_batch(vae, unet, true, e_f_ev[start : start + batch], config)


def _one_batch(
    vae: DensityVAE, unet: UNet, true: list[Crystal], e_f_ev: NDArray[np.floating], config: GenerateConfig
) -> Iterator[RoundTrip]:
    maps, condition = draw_maps(true, config.voxels), vae.condition(e_f_ev)  # [b, n, n, n, c], [b, 10]
    species = voxelize_batch(true, config.voxels).species  # [b, n, n, n]
    mean, log_variance = vae.encode(maps, condition)  # [b, latent]
    decoded = vae.decode(mean, condition)
    found, found_in_true = segment(unet, decoded.maps), segment(unet, maps)
    for i, crystal in enumerate(true):
        read = read_crystal(decoded, found, i, config)
        raw, confidence = (None, 0.0) if isinstance(read, str) else read
        yield RoundTrip(
            true=crystal,
            raw=raw,
            crystal=symmetrise(raw, config.symprec_ang) if raw is not None else None,
            failure=read if isinstance(read, str) else None,
            confidence=confidence,
            lattice=lattice_from_coordinates(decoded.maps[i, ..., 1:4] * COORDINATE_SCALE_ANG),
            species=species[i],
            decoded_species=found.species[i],
            voxels=tally_voxels(species[i], found.species[i]),
            voxels_of_true=tally_voxels(species[i], found_in_true.species[i]),
            errors=_errors(maps[i], decoded.maps[i]),
            density=maps[i, ..., 0],
            decoded_density=decoded.maps[i, ..., 0],
            latent=mean[i],
            log_variance=log_variance[i],
        )


def made_from(
    vae: DensityVAE, unet: UNet, draws: Draws, config: GenerateConfig, batch: int = 256
) -> Iterator[Proposal | None]:
    """What `propose` makes of each draw, in order; None for a failure. Memory is that of one batch of maps."""
    for start in range(0, len(draws), batch):
        part = _some(draws, slice(start, start + batch))
        yield from (None if isinstance(one, str) else one for one in propose(vae, unet, part, config).each)


def same_noise(vae: DensityVAE, rng: np.random.Generator, count: int, critic: Critic | None = None) -> Draws:
    """The same noise under each of the ten conditions in turn: [count * 10], decile fastest.

    Noise here is the pool of latents that a draw chooses from: the same seed gives the same pool under every condition.
    """
    made = [draw_under_each(vae, rng, critic) for _ in range(count)]
    latent, condition = (np.concatenate([getattr(draws, name) for draws in made]) for name in ("latent", "condition"))
    return Draws(latent, condition, ((),) * (count * DECILES), Kind.RANDOM)


def config_for(vae: DensityVAE) -> GenerateConfig:
    """How this network's maps are read: the defaults on its grid."""
    return GenerateConfig(voxels=VoxelConfig(n=vae.config.n))


def decile_edges_of(vae: DensityVAE) -> tuple[float, ...]:
    """The nine edges of the conditions that the network knows, eV/atom; none where it was trained without labels."""
    return tuple(vae.config.decile_edges_ev)


def voxels_of_true_maps(unet: UNet, crystals: Sequence[Crystal], batch: int = 64) -> VoxelTally:
    """The UNet alone: what it says of true maps, all crystals together."""
    voxels, total = VoxelConfig(n=unet.config.n), VoxelTally()
    for start in range(0, len(crystals), batch):
        true = [canonical_origin(crystal) for crystal in crystals[start : start + batch]]
        found = segment(unet, draw_maps(true, voxels)).species
        total += tally_voxels(voxelize_batch(true, voxels).species, found)
    return total


def _some(draws: Draws, rows: slice) -> Draws:
    return Draws(draws.latent[rows], draws.condition[rows], draws.bases[rows], draws.kind)


def _errors(true: Floats, made: Floats) -> MapErrors:
    """Errors of one map of channels, [n, n, n, c]."""
    with np.errstate(over="ignore"):  # an untrained decoder's density may be beyond float32: its error is inf
        density = np.square(expand(made[..., 0]).astype(np.float64) - expand(true[..., 0])).mean()
    return MapErrors(
        density=float(density),
        compressed=float(np.square(made[..., 0] - true[..., 0]).mean()),
        coordinates=float(np.square(made[..., 1:4] - true[..., 1:4]).mean()) * COORDINATE_SCALE_ANG**2,
    )
