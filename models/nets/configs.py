"""Configurations of the three networks, their presets, and the deciles of the condition. No Keras: anybody may import it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.maps.channels import Floats
from crystalloop.models.maps.element_codes import CODES

FRAME_VOXELS = 16
"""Finer maps are averaged down to about this many voxels per edge before they meet the frame."""

FROM_DATA = frozenset(
    {
        *("a_ang", "cubic", "decile_edges_ev", "property_mean", "property_scale", "components"),
        *("mean", "scale", "labels", "error", "factor"),
    }
)
"""Fields of the configurations that the training set decides."""
Norm = Literal["none", "group", "batch"]
"""`group` normalises each crystal by itself: the same in small batches, on every replica, and at read-out.
`batch` is the paper's; its running means are per replica and poor in batches of a few crystals. `none` keeps
absolute heights, which is where a species shows."""


@dataclass(frozen=True)
class FrameShape:
    """What a map is flattened into.

    Attributes:
        n: voxels per edge of the maps.
        a_ang: edge at which the lattice numbers are zero.
        cubic: one number serves for all three edges, and there is no shear.
        codes: whether the element codes are looked at.
    """

    n: int
    a_ang: float
    cubic: bool
    codes: bool

    @property
    def pool(self) -> int:
        """Voxels per edge that are averaged into one."""
        best = max(1, self.n // FRAME_VOXELS)
        return best if self.n % best == 0 else 1

    @property
    def m(self) -> int:
        """Voxels per edge of the frame."""
        return self.n // self.pool

    @property
    def channels(self) -> int:
        """Density, and the codes where they are looked at."""
        return 1 + CODES if self.codes else 1

    @property
    def size(self) -> int:
        """Numbers per crystal: voxels times channels, and the lattice's."""
        return self.m**3 * self.channels + (1 if self.cubic else 6)


@dataclass(frozen=True)
class CGCNNConfig:
    """Shape of the ensemble and the scale of its labels.

    Attributes:
        members: networks of the ensemble.
        width: features of an atom.
        hidden: width of the layer after pooling.
        convolutions: graph convolutions (paper: one).
        gaussians: basis functions of a distance.
        cutoff_ang, neighbours: of the graph.
        metal_below_ev: a smaller predicted gap counts as zero: refractive index and dielectric constant become NaN.
        mean, scale: of each property's training labels as they are learned (`to_working`); predictions start at the mean.
        labels: how many training labels each property had; without any, its prediction is NaN.
        error, factor: sigma of each property = factor sqrt(spread of the members^2 + error^2), see `calibration`.
    """

    members: int = 2
    width: int = 96
    hidden: int = 96
    convolutions: int = 3
    gaussians: int = 32
    cutoff_ang: float = 7.0
    neighbours: int = 12
    metal_below_ev: float = 0.05
    mean: tuple[float, ...] = (0.0,) * len(PROPERTIES)
    scale: tuple[float, ...] = (1.0,) * len(PROPERTIES)
    labels: tuple[int, ...] = (0,) * len(PROPERTIES)
    error: tuple[float, ...] = (0.0,) * len(PROPERTIES)
    factor: tuple[float, ...] = (1.0,) * len(PROPERTIES)

    def __post_init__(self) -> None:
        if min(self.members, self.width, self.hidden, self.convolutions, self.gaussians, self.neighbours) < 1:
            raise ValueError(f"members, widths, convolutions, gaussians and neighbours must be at least 1: {self}")
        if not 1.0 < self.cutoff_ang <= 15.0:
            raise ValueError(f"cutoff_ang {self.cutoff_ang} is outside 1 to 15 angstrom")
        for name in ("mean", "scale", "labels", "error", "factor"):
            if len(getattr(self, name)) != len(PROPERTIES):
                raise ValueError(f"{name} has {len(getattr(self, name))} numbers; one for each of {PROPERTIES}")

    @classmethod
    def preset(cls, name: str) -> Self:
        """`compact` (default sizes) or `paper` (one convolution, 64 atom features, 128 hidden, 8 angstrom)."""
        return cls(convolutions=1, width=64, hidden=128, gaussians=40, cutoff_ang=8.0) if name == "paper" else cls()

    @classmethod
    def of_few(cls) -> Self:
        """For a campaign's first tens or hundreds of labels: more and narrower members, whose spread tells more.

        Of 60 cubic crystals (three draws), formation energies were off by 0.36 instead of 0.37 eV/atom, and 90 %
        intervals held 87 instead of 79 % of the test set.
        """
        return cls(members=4, width=32, hidden=32)


@dataclass(frozen=True)
class UNetConfig:
    """Shape and loss of the UNet. The default is small: about 0.04 M weights.

    Attributes:
        n: voxels per cell edge.
        patch: blocks of patch^3 voxels are folded into channels first; 1 is the paper's.
        base: channels of the first level; each level has twice the last one's.
        levels: how often the grid is halved.
        norm: normalisation, see `blocks.Norm`.
        codes: whether the element codes are an input beside the density.
        coordinates: whether the voxel edges (read from the coordinate channels) are an input beside the density.
        occupied_weight: weight of the occupancy loss beside the species loss.
        background_weight: weight of a background voxel in the species loss; not zero, or background is never learned.
        weight_cap: largest weight of a species, as a multiple of the commonest one's (inverse square root of counts).
    """

    n: int = 16
    patch: int = 1
    base: int = 16
    levels: int = 2
    norm: Norm = "group"
    codes: bool = True
    coordinates: bool = True
    occupied_weight: float = 1.0
    background_weight: float = 0.1
    weight_cap: float = 10.0

    def __post_init__(self) -> None:
        if self.levels < 1 or self.patch < 1 or self.n % (self.patch * 2**self.levels):
            raise ValueError(
                f"n {self.n} cannot be folded by {self.patch} and halved {self.levels} times; patch * 2^levels divides n"
            )
        if self.base < 1:
            raise ValueError(f"base {self.base} is below 1 channel")
        if not 0 < self.background_weight <= 1 or self.weight_cap < 1:
            raise ValueError(
                f"background_weight {self.background_weight} must be in (0, 1], weight_cap {self.weight_cap} at least 1"
            )

    @classmethod
    def preset(cls, name: str, n: int) -> Self:
        """`compact` (default sizes) or `paper` (64/128/256, bottom 512, density alone; 9.5 M weights, the paper's 31 M)."""
        if name == "paper":
            return cls(n=n, patch=1, base=64, levels=3, codes=False)
        return cls(n=n, patch=max(1, n // 8))


DECILES = 10


def decile_edges(e_f_ev: NDArray[np.floating]) -> tuple[float, ...]:
    """Inner edges of the deciles of the known formation energies; none for fewer than two of them."""
    known = e_f_ev[np.isfinite(e_f_ev)]
    if known.size < 2:
        return ()
    return tuple(float(edge) for edge in np.quantile(known, np.linspace(0, 1, DECILES + 1)[1:-1]))


def decile_one_hot(e_f_ev: NDArray[np.floating], edges: tuple[float, ...]) -> Floats:
    """One-hot of the decile of each formation energy, eV/atom: [b] -> [b, 10]; zeros where unknown."""
    one_hot = np.zeros((len(e_f_ev), DECILES), np.float32)
    if edges:
        known = np.flatnonzero(np.isfinite(e_f_ev))
        one_hot[known, np.searchsorted(edges, e_f_ev[known])] = 1.0
    return one_hot


@dataclass(frozen=True)
class VAEConfig:
    """Shape and loss of the VAE.

    Attributes:
        n: voxels per cell edge.
        patch: blocks of patch^3 voxels are folded into channels first, and unfolded last; 1 is the paper's.
        latent: dimensions of z.
        filters: channels of the encoder's levels, each halving the grid; a mirrored decoder has them in reverse.
        hidden: width of the dense layers at the bottleneck, at least `latent`: the bottleneck is the latent itself.
        frame: whether encoder and decoder start from the principal components of the training maps (`frame`), to which
            the networks add what is not linear. Without it they are the paper's.
        rank: products of three 1-D functions that the decoder adds up to a map, since the density of atoms in an
            orthogonal cell is such a sum (docs/science/networks.md, row 3); 0 for the paper's mirrored convolutions.
        codes: whether the element codes are encoded and decoded beside the density.
        feature_share: share of each batch (the first rows; order is random) that the deep-feature loss is taken on.
        norm: normalisation; none by default, because absolute heights say which element sits where.
        cubic: the lattice head gives one length a, so that cells are exactly cubic; otherwise all of a triangular
            lattice matrix (six numbers). Either way the coordinate channels are rendered from it, exactly linear.
        a_ang: edge that the lattice head starts from, angstrom; the mean of the training set.
        density_weight, code_weight, coordinate_weight: of the mean squared errors (compressed density; codes, summed
            over their dimensions; angstrom^2).
        composition_weight: of the head that names the elements present from z.
        alpha: of the deep-feature consistency (paper: 1.0).
        beta: of KL, per latent dimension summed (paper: 5e-4), after the warm-up.
        warm_up: share of the steps over which beta grows linearly from zero.
        drop_condition: share of labelled crystals whose condition is left out in a step, so that none is needed.
        decile_edges_ev: nine inner edges of the formation energy's deciles in the training set, eV/atom; empty: no labels.
        property_mean, property_scale: of each property's training labels; a scale of 0 where there are none.
        components: of the latent prior.
    """

    n: int = 16
    patch: int = 2
    latent: int = 128
    filters: tuple[int, ...] = (32, 64)
    hidden: int = 256
    frame: bool = True
    rank: int = 24
    codes: bool = True
    feature_share: float = 0.25
    norm: Norm = "none"
    cubic: bool = True
    a_ang: float = 5.0
    density_weight: float = 1.0
    code_weight: float = 10.0
    coordinate_weight: float = 10.0
    composition_weight: float = 0.02
    alpha: float = 0.1
    beta: float = 2e-6
    warm_up: float = 0.3
    drop_condition: float = 0.2
    decile_edges_ev: tuple[float, ...] = ()
    property_mean: tuple[float, ...] = (0.0,) * len(PROPERTIES)
    property_scale: tuple[float, ...] = (0.0,) * len(PROPERTIES)
    components: int = 1

    def __post_init__(self) -> None:
        halvings = len(self.filters)
        if not halvings or self.patch < 1 or self.n % (self.patch * 2**halvings):
            raise ValueError(
                f"n {self.n} cannot be folded by {self.patch} and halved {halvings} times, once per filter in {self.filters}"
            )
        if self.hidden < self.latent:
            raise ValueError(f"hidden {self.hidden} is narrower than latent {self.latent}: it would be the bottleneck")
        if len(self.decile_edges_ev) not in (0, DECILES - 1):
            raise ValueError(f"{len(self.decile_edges_ev)} decile_edges_ev; give {DECILES - 1}, or none without labels")
        if self.a_ang <= 0:
            raise ValueError(f"a_ang {self.a_ang} must be positive")
        if self.rank < 0 or self.components < 1:
            raise ValueError(f"rank {self.rank} must not be negative, components {self.components} at least 1")

    @classmethod
    def preset(cls, name: str, n: int) -> Self:
        """`compact` (default sizes) or `paper` (16/32/64/128, latent 256, alpha 1, density alone)."""
        if name == "paper":
            faithful: dict[str, Any] = {
                "frame": False,
                "rank": 0,
                "codes": False,
                "feature_share": 1.0,
                "norm": "batch",
            }
            filters = (16, 32, 64, 128)
            return cls(n=n, patch=1, latent=256, filters=filters, hidden=512, alpha=1.0, beta=5e-4, **faithful)
        return cls(n=n, patch=max(1, n // 8))

    @property
    def shape(self) -> FrameShape:
        """What the linear frame sees of a map."""
        return FrameShape(self.n, self.a_ang, self.cubic, self.codes)
