"""The paper's generator: latents drawn, decoded, segmented, read, symmetrised. Screening lives in `funnel`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal, InvalidCrystal, rescaled
from crystalloop.models.crystals.symmetry import symmetrise
from crystalloop.models.draw.latents import draw_around, draw_between, draw_random
from crystalloop.models.draw.lookahead import Critic
from crystalloop.models.draw.proposal import Draws, Kind, Proposal, Proposals
from crystalloop.models.generate.base import DrawRequest
from crystalloop.models.maps.channels import expand
from crystalloop.models.maps.regions import SegmentConfig
from crystalloop.models.maps.sites_from_codes import PeakConfig, crystal_from_codes
from crystalloop.models.maps.sites_from_density import (
    ReconstructConfig,
    ReconstructionError,
    SpeciesFrom,
    structure_from_map,
)
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.cgcnn import CGCNN, predicted_by
from crystalloop.models.nets.checkpoint import load
from crystalloop.models.nets.configs import DECILES
from crystalloop.models.nets.unet import Segmentation, UNet, segment
from crystalloop.models.nets.vae import Decoded, DensityVAE


@dataclass(frozen=True)
class GenerateConfig:
    """How decoded maps become crystals.

    Attributes:
        voxels: the grid and atom widths that the networks were trained with.
        element_threshold: elements that the latent's element head gives less than this do not occur in the crystal.
        peaks: how sites are read from the element codes.
        symprec_ang: tolerance of the symmetrised crystal's positions. A network's atoms scatter by about a quarter of
            a voxel, so it is far above a DFT code's.
        rescale: largest share by which the edge of a proposal is moved to what the VAE's head expects for its elements;
            the raw crystal keeps the decoder's. 0 leaves all edges.
        reconstruct: thresholds of the reconstruction from the density, used where the networks know no codes; its
            species_from and voxels are set here.
        species_from: vote of the UNet, fit to the density, or both, where there are no codes.
    """

    voxels: VoxelConfig = field(default_factory=lambda: VoxelConfig(n=16))
    element_threshold: float = 0.5
    peaks: PeakConfig = field(default_factory=PeakConfig)
    rescale: float = 0.25
    symprec_ang: float = 0.3
    reconstruct: ReconstructConfig = field(
        default_factory=lambda: ReconstructConfig(segment=SegmentConfig(occupancy_threshold=0.5))
    )
    species_from: SpeciesFrom = SpeciesFrom.DENSITY

    @property
    def reading(self) -> ReconstructConfig:
        """The reconstruction's configuration with this one's grid and species decision."""
        return replace(self.reconstruct, voxels=self.voxels, species_from=self.species_from)


@dataclass(frozen=True, eq=False)
class VAEGenerator:
    """The paper's generator: a VAE's latents, decoded, segmented by a UNet, read; see `base.Generator` for what it promises.

    Attributes:
        vae, unet: of one grid.
        cgcnn: predicts what a few latents decode to, before one is taken; without it contacts and formulas alone decide.
        config: how maps are read.
    """

    vae: DensityVAE
    unet: UNet
    cgcnn: CGCNN | None = None
    config: GenerateConfig = field(default_factory=GenerateConfig)

    @classmethod
    def load(cls, folder: Path, voxels: VoxelConfig) -> VAEGenerator:
        """The generator of a folder with vae, unet and cgcnn.

        Raises:
            CheckpointError: a network is missing, damaged, or of another grid.
        """
        vae, unet = load(folder / "vae", DensityVAE, n=voxels.n), load(folder / "unet", UNet, n=voxels.n)
        return cls(vae, unet, load(folder / "cgcnn", CGCNN), GenerateConfig(voxels=voxels))

    def generate(self, request: DrawRequest) -> Proposals:
        """What came of each draw."""
        return propose(self.vae, self.unet, self.draw(request), self.config, request.allowed)

    def draw(self, request: DrawRequest) -> Draws:
        """The latents and conditions of a request. The one place that knows how wanted energies condition the VAE."""
        rng, voxels = np.random.default_rng(request.seed), self.config.voxels
        critic = Critic(voxels, None if self.cgcnn is None else predicted_by(self.cgcnn), request.allowed)
        deciles = deciles_between(self.vae, request.e_f_ev)
        count, wanted = request.count, request.wanted
        if request.kind is Kind.RANDOM:
            return draw_random(self.vae, rng, count, deciles, wanted, critic)
        if request.kind is Kind.AROUND:
            draws = draw_around(self.vae, rng, count, request.bases, voxels, request.scale, wanted, critic)
        else:
            draws = draw_between(self.vae, rng, count, request.bases, voxels, request.scale / 2, wanted, critic)
        if deciles is None:
            return draws
        return replace(draws, condition=np.eye(DECILES, dtype=np.float32)[np.resize(deciles, count)])


def deciles_between(vae: DensityVAE, e_f_ev: tuple[float, float] | None) -> list[int] | None:
    """Deciles of the formation energy that overlap a range, eV/atom; None without a range, or where none is known."""
    if e_f_ev is None or not vae.config.decile_edges_ev:
        return None
    low, high = np.searchsorted(vae.config.decile_edges_ev, e_f_ev)
    return list(range(int(low), int(high) + 1))


def propose(
    vae: DensityVAE, unet: UNet, draws: Draws, config: GenerateConfig, allowed: Sequence[int] | None = None
) -> Proposals:
    """Decode, segment, reconstruct and symmetrise.

    Args:
        vae: the decoder.
        unet: the segmentation.
        draws: latent vectors.
        config: thresholds.
        allowed: atomic numbers that may occur; all when None.
    """
    if not len(draws):
        return Proposals()
    decoded = vae.decode(draws.latent, draws.condition)  # maps [b, n, n, n, 12]
    segmentation = segment(unet, decoded.maps, allowed)  # species, occupancy [b, n, n, n]
    expected = vae.edges(draws.latent) if config.rescale else np.zeros(len(draws))
    read = [read_crystal(decoded, segmentation, i, config, allowed) for i in range(len(draws))]
    return Proposals(
        tuple(
            one if isinstance(one, str) else _proposal(draws, i, *one, float(expected[i]), config)
            for i, one in enumerate(read)
        )
    )


def likely_elements(decoded: Decoded, threshold: float, allowed: Sequence[int] | None) -> list[tuple[int, ...]]:
    """Elements that each decoded crystal may have: those the latent names, at least its likeliest one."""
    probability: NDArray[np.floating] = decoded.elements.copy()
    probability[:, 0] = 0.0
    if allowed is not None:
        outside = np.setdiff1d(np.arange(probability.shape[1]), np.array(allowed))
        probability[:, outside] = 0.0
    best = probability.argmax(axis=1)
    return [
        tuple(sorted({int(z) for z in np.flatnonzero(row >= threshold)} | {int(top)}))
        for row, top in zip(probability, best, strict=True)
    ]


def read_crystal(
    decoded: Decoded,
    segmentation: Segmentation,
    i: int,
    config: GenerateConfig,
    allowed: Sequence[int] | None = None,
) -> tuple[Crystal, float] | str:
    """The i-th crystal of decoded maps and its confidence, or the reason why there is none: a failure that is counted."""
    try:
        return _read(decoded, segmentation, i, config, allowed)
    except ReconstructionError as error:
        return error.reason.value
    except InvalidCrystal:
        return "invalid crystal"


def _read(
    decoded: Decoded, segmentation: Segmentation, i: int, config: GenerateConfig, allowed: Sequence[int] | None
) -> tuple[Crystal, float]:
    """From the codes, or from the density where there are none."""
    maps, lattice = decoded.maps[i], decoded.lattice[i]
    species, occupancy = segmentation.species[i], segmentation.occupancy[i]
    if maps[..., 4:].any():
        codes, voxels = maps[..., 4:], config.voxels
        reading = crystal_from_codes(
            codes, species, occupancy, decoded.elements[i], lattice, voxels, config.peaks, allowed
        )
        return reading.crystal, reading.confidence
    elements = likely_elements(decoded, config.element_threshold, allowed)[i]
    read = structure_from_map(expand(maps[..., 0]), species, occupancy, lattice, config.reading, elements)
    return read.crystal, read.confidence


def _proposal(
    draws: Draws, i: int, raw: Crystal, confidence: float, edge_ang: float, config: GenerateConfig
) -> Proposal:
    return Proposal(
        crystal=symmetrise(rescaled(raw, edge_ang, config.rescale), config.symprec_ang),
        as_read=raw,
        latent=draws.latent[i],
        condition=draws.condition[i],
        bases=draws.bases[i],
        kind=draws.kind,
        confidence=confidence,
    )
