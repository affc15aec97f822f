"""VAEConfig: shape and loss of the VAE, checked, with its presets. The networks are in `vae_networks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from crystalloop.models.blocks import Norm
from crystalloop.models.deciles import DECILES
from crystalloop.models.frame import FrameShape
from crystalloop.models.properties import PROPERTIES


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
            orthogonal cell is such a sum (science.md, row 3); 0 for the paper's mirrored convolutions.
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
