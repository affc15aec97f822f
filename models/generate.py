"""Latent vectors to proposed crystals: random, around a base compound, between two. Screening lives elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.batches import canonical_origin, draw_maps
from models.channels import Floats, expand
from models.conditioning import POOL, Range, decile_range, wanted_latents
from models.crystal import Crystal, InvalidCrystal
from models.deciles import DECILES
from models.peaks import PeakConfig, crystal_from_codes
from models.reconstruct import (
    ReconstructConfig,
    ReconstructionError,
    SpeciesFrom,
    structure_from_map,
    symmetrise,
)
from models.segmentation import SegmentConfig
from models.unet import Segmentation, UNet, segment
from models.vae import Decoded, DensityVAE
from models.voxels import VoxelConfig


class Kind(StrEnum):
    """How a latent vector was drawn."""

    RANDOM = "random"
    AROUND = "around"
    BETWEEN = "between"


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


@dataclass(frozen=True)
class Base:
    """A known compound to generate from.

    Attributes:
        name: shown as the origin of candidates, for example its formula.
        crystal: conventional cell.
        e_f_ev: formation energy in eV/atom, which gives its condition; None when unknown.
    """

    name: str
    crystal: Crystal
    e_f_ev: float | None = None


@dataclass(frozen=True)
class Draws:
    """Latent vectors and where they come from."""

    latent: Floats  # [b, latent]
    condition: Floats  # [b, 10]
    bases: tuple[tuple[str, ...], ...]
    kind: Kind

    def __len__(self) -> int:
        return len(self.latent)


@dataclass(frozen=True)
class Proposal:
    """A generated crystal, before any screening.

    Attributes:
        crystal: symmetrised conventional cell.
        raw: as read from the maps.
        latent: [latent].
        condition: [10], all zero without one.
        bases: names of the base compounds.
        kind: how the latent was drawn.
        confidence: 0 to 1; how much of the decoded density the atoms explain, or that of the least certain site.
    """

    crystal: Crystal
    raw: Crystal
    latent: Floats
    condition: Floats
    bases: tuple[str, ...]
    kind: Kind
    confidence: float


@dataclass(frozen=True)
class Proposals:
    """What came out of some draws, in their order; failures counted by reason."""

    made: tuple[Proposal, ...]
    failures: Counter[str]


def draw_random(
    vae: DensityVAE,
    rng: np.random.Generator,
    count: int,
    deciles: Sequence[int] | None = None,
    wanted: Sequence[Range] = (),
) -> Draws:
    """Latents from the VAE's prior, conditioned on deciles of the formation energy and on ranges of properties.

    Args:
        vae: gives prior, head and deciles.
        rng: source of randomness; the same state draws from the same pools whatever is wanted.
        count: how many.
        deciles: conditions to go through in turn, 0 (lowest formation energy) to 9; all of them when None.
        wanted: ranges that every draw shall meet.

    Raises:
        ValueError: a decile outside 0 to 9.
    """
    given = list(range(DECILES)) if deciles is None else list(deciles)
    if not given or min(given) < 0 or max(given) >= DECILES:
        raise ValueError(f"deciles {given}: give numbers from 0 to {DECILES - 1}")
    condition = np.zeros((count, DECILES), np.float32)
    ranges: list[list[Range]] = [list(wanted)] * count
    if vae.config.decile_edges_ev:
        turns = np.resize(given, count)
        condition[np.arange(count), turns] = 1.0
        ranges = [[decile_range(vae, int(turn)), *wanted] for turn in turns]

    def pools(some: int) -> Floats:
        return vae.prior.sample(rng, some * POOL).reshape(some, POOL, -1)

    latent = wanted_latents(vae, pools, ranges)
    return Draws(latent, condition, ((),) * count, Kind.RANDOM)


def draw_around(
    vae: DensityVAE,
    rng: np.random.Generator,
    count: int,
    bases: Sequence[Base],
    voxels: VoxelConfig,
    scale: float,
    wanted: Sequence[Range] = (),
) -> Draws:
    """Draw z round mu_base under the base's decile, going through the bases in turn.

    Args:
        vae: encodes the bases.
        rng: source of randomness.
        count: how many.
        bases: compounds to start from.
        voxels: the grid.
        scale: of the spread, in standard deviations of the base's component of the prior (the paper draws from
            N(mu, scale^2) in the frame of its prior N(0, I); its "variance 0.5" is a standard deviation in its code).
        wanted: ranges of properties that every draw shall meet.
    """
    mean, condition = encode_bases(vae, bases, voxels)
    which = np.resize(np.arange(len(bases)), count)
    names = tuple((bases[int(i)].name,) for i in which)
    latent = _near(vae, rng, mean[which], scale, wanted)
    return Draws(latent, condition[which], names, Kind.AROUND)


def _near(vae: DensityVAE, rng: np.random.Generator, centres: Floats, scale: float, wanted: Sequence[Range]) -> Floats:
    """Latents round each centre [b, latent], spread as its component of the prior is, among a pool where something is wanted.

    Equal noise in all directions would leave what crystals of the centre's kind have in common.
    """
    size, start, prior = POOL if wanted else 1, 0, vae.prior
    component = prior.likeliest(centres)

    def pools(some: int) -> Floats:
        nonlocal start
        rows = slice(start, start + some)
        start += some
        noise = rng.standard_normal((some, size, centres.shape[1]))
        spread = np.einsum("bij,bpj->bpi", prior.roots[component[rows]], noise)
        return np.asarray(centres[rows, None] + scale * spread, np.float32)

    return wanted_latents(vae, pools, [list(wanted)] * len(centres))


def draw_between(
    vae: DensityVAE,
    rng: np.random.Generator,
    count: int,
    bases: Sequence[Base],
    voxels: VoxelConfig,
    scale: float = 0.0,
    wanted: Sequence[Range] = (),
) -> Draws:
    """Points on the lines between pairs of bases, at random places, with the condition of the nearer end.

    Pairs have the same anonymous formula and number of atoms where any do: between a perovskite and a rock salt there
    are few crystals.

    Raises:
        ValueError: fewer than two bases.
    """
    if len(bases) < 2:
        raise ValueError(f"{len(bases)} base compound: lines need two; name another one or draw around it")
    mean, condition = encode_bases(vae, bases, voxels)
    ends = _pairs(bases, rng, count)
    along = rng.random((count, 1)).astype(np.float32)
    line = np.asarray((1 - along) * mean[ends[:, 0]] + along * mean[ends[:, 1]], np.float32)
    latent = _near(vae, rng, line, scale, wanted)
    nearer = np.where(along[:, 0] < 0.5, ends[:, 0], ends[:, 1])
    names = tuple((bases[int(i)].name, bases[int(j)].name) for i, j in ends)
    return Draws(latent, condition[nearer], names, Kind.BETWEEN)


def _pairs(bases: Sequence[Base], rng: np.random.Generator, count: int) -> NDArray[np.intp]:
    """Two different bases for each draw, of one anonymous formula where possible: [count, 2]."""
    kinds = [tuple(sorted(base.crystal.composition.values())) for base in bases]
    every = [(i, j) for i in range(len(bases)) for j in range(len(bases)) if i != j]
    alike = [(i, j) for i, j in every if kinds[i] == kinds[j]]
    pool = np.array(alike or every, np.intp)
    return pool[rng.integers(len(pool), size=count)]


def encode_bases(vae: DensityVAE, bases: Sequence[Base], voxels: VoxelConfig) -> tuple[Floats, Floats]:
    """Latent mean [b, latent] and condition [b, 10] of base compounds."""
    e_f = np.array([np.nan if base.e_f_ev is None else base.e_f_ev for base in bases])
    condition = vae.condition(e_f)
    mean, _ = vae.encode(draw_maps([canonical_origin(base.crystal) for base in bases], voxels), condition)
    return mean, condition


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
        return Proposals((), Counter())
    decoded = vae.decode(draws.latent, draws.condition)  # maps [b, n, n, n, 12]
    segmentation = segment(unet, decoded.maps, allowed)  # species, occupancy [b, n, n, n]
    expected = vae.edges(draws.latent) if config.rescale else np.zeros(len(draws))
    made, failures = [], Counter[str]()
    for i in range(len(draws)):
        try:
            raw, confidence = read_crystal(decoded, segmentation, i, config, allowed)
            made.append(_proposal(draws, i, raw, confidence, float(expected[i]), config))
        except ReconstructionError as error:
            failures[error.reason.value] += 1
        except InvalidCrystal:
            failures["invalid crystal"] += 1
    return Proposals(tuple(made), failures)


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
) -> tuple[Crystal, float]:
    """The i-th crystal of decoded maps and its confidence: from the codes, or from the density where there are none.

    Raises:
        ReconstructionError: nothing can be read; a counted failure.
        InvalidCrystal: what was read is no crystal.
    """
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
    scale = 1.0
    if config.rescale:
        scale = float(np.clip(edge_ang / raw.volume_ang3 ** (1 / 3), 1 - config.rescale, 1 + config.rescale))
    sized = Crystal(raw.lattice * scale, raw.numbers, raw.frac_coords)
    return Proposal(
        crystal=symmetrise(sized, config.symprec_ang),
        raw=raw,
        latent=draws.latent[i],
        condition=draws.condition[i],
        bases=draws.bases[i],
        kind=draws.kind,
        confidence=confidence,
    )
