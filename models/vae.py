"""Conditional DFC-VAE: maps and condition to a latent vector and back. Sampling of latents lives in `generate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from models.blocks import Norm, Tensor, conv_block, down, fold, periodic_conv, unfold, up
from models.channels import CLASSES, COORDINATE_SCALE_ANG, Floats, fractional_grid
from models.map_symmetry import orbits
from models.unet import UNet

DECILES = 10
FAITHFUL: dict[str, Any] = {"dictionary": 0, "feature_share": 1.0, "norm": "batch"}
SPREAD = 0.25  # of log a per unit of the lattice head's output: cells from 3 to 12 angstrom lie within two units


@dataclass(frozen=True)
class VAEConfig:
    """Shape and loss of the VAE.

    Attributes:
        n: voxels per cell edge.
        patch: blocks of patch^3 voxels are folded into channels first, and unfolded last; 1 is the paper's.
        latent: dimensions of z.
        filters: channels of the encoder's levels, each halving the grid; the decoder mirrors them.
        hidden: width of the dense layer at the bottleneck, at least `latent`: the bottleneck is the latent itself.
        dictionary: width of a linear path beside the convolutions, a learned dictionary of whole maps: a few dozen
            crystals with atoms on few special sites are learned several times faster with it. 0 is the paper's.
        feature_share: share of each batch (the first rows; order is random) that the deep-feature loss is taken on.
        norm: normalisation; none by default, because absolute heights say which element sits where.
        cubic: the lattice head gives one length a, so that cells are exactly cubic; otherwise all of a triangular
            lattice matrix (six numbers). Either way the coordinate channels are rendered from it, exactly linear.
        symmetry: operations (indices of `map_symmetry.point_operations`) that leave every training map unchanged; the
            decoder's density is averaged over them: what all crystals share need not be learned, and is never broken.
        a_ang: edge that the lattice head starts from, angstrom; the mean of the training set.
        density_weight, coordinate_weight: of the two mean squared errors (compressed density; angstrom^2).
        composition_weight: of the head that names the elements present from z.
        alpha: of the deep-feature consistency (paper: 1.0).
        beta: of KL, per latent dimension summed (paper: 5e-4), after the warm-up.
        warm_up: share of the steps over which beta grows linearly from zero.
        drop_condition: share of labelled crystals whose condition is left out in a step, so that none is needed.
        decile_edges_ev: nine inner edges of the formation energy's deciles in the training set, eV/atom; empty: no labels.
    """

    n: int = 16
    patch: int = 2
    latent: int = 16
    filters: tuple[int, ...] = (32, 64)
    hidden: int = 128
    dictionary: int = 64
    feature_share: float = 0.25
    norm: Norm = "none"
    cubic: bool = True
    symmetry: tuple[int, ...] = (0,)
    a_ang: float = 5.0
    density_weight: float = 1.0
    coordinate_weight: float = 1.0
    composition_weight: float = 0.2
    alpha: float = 0.1
    beta: float = 1e-3
    warm_up: float = 0.3
    drop_condition: float = 0.2
    decile_edges_ev: tuple[float, ...] = ()

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

    @classmethod
    def preset(cls, name: str, n: int) -> Self:
        """`compact` (default sizes) or `paper` (16/32/64/128, latent 256, alpha 1)."""
        if name == "paper":
            return cls(
                n=n, patch=1, latent=256, filters=(16, 32, 64, 128), hidden=512, alpha=1.0, beta=5e-4, **FAITHFUL
            )
        return cls(n=n, patch=max(1, n // 8))


@dataclass(frozen=True)
class Decoded:
    """What the decoder says of a latent vector."""

    maps: Floats  # [b, n, n, n, 4], channels as of `channels.to_channels`
    lattice: NDArray[np.float64]  # [b, 3, 3] angstrom, rows
    elements: Floats  # [b, 95] probability that each element is present


class DensityVAE:
    """Encoder and decoder with their configuration."""

    kind: ClassVar[str] = "vae"
    config_type: ClassVar[type[VAEConfig]] = VAEConfig

    def __init__(self, config: VAEConfig) -> None:
        self.config = config
        self.encoder = build_encoder(config)
        self.decoder = build_decoder(config)
        self.prior = build_prior(config)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The parts whose weights make a checkpoint."""
        return {"encoder": self.encoder, "decoder": self.decoder, "prior": self.prior}

    @property
    def trainable(self) -> list[Any]:
        """Variables that training changes."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    def condition(self, e_f_ev: NDArray[np.floating]) -> Floats:
        """Decile one-hot of formation energies [b] in eV/atom: [b, 10]; all zero where it is NaN or no edges are known."""
        return decile_one_hot(e_f_ev, self.config.decile_edges_ev)

    def encode(self, maps: Floats, condition: Floats, batch: int = 64) -> tuple[Floats, Floats]:
        """Mean and log variance of the latent, [b, latent] each, in the whitened frame of `whiten`."""
        mean, log_variance = self._encode(maps, condition, batch)
        shift, turn = self._frame()
        back = np.linalg.inv(turn)
        variance = np.exp(log_variance) @ np.square(back)  # the diagonal of the turned covariance
        return ((mean - shift) @ back).astype(np.float32), np.log(variance).astype(np.float32)

    def whiten(self, maps: Floats, condition: Floats) -> dict[str, float]:
        """Fix the frame in which training crystals have mean 0 and covariance 1, as the prior says they should.

        After short trainings the posterior means spread far more than N(0, 1), and along few directions; then a sample
        of the prior decodes to a mixture of everything. An affine frame makes the first two moments agree.

        Returns:
            `latent_spread` (root mean square of the means before) and `active_units` (mean KL over 0.01 nats).
        """
        mean, log_variance = self._encode(maps, condition, 64)
        centred = mean - mean.mean(axis=0)
        # A little of the posterior's own width keeps directions without any spread from collapsing.
        covariance = centred.T @ centred / max(1, len(mean)) + np.diag(np.exp(log_variance).mean(axis=0))
        turn = np.linalg.cholesky(covariance.astype(np.float64)).T  # z_encoder = z @ turn + shift
        self.prior.get_layer("frame").set_weights([turn.astype(np.float32), mean.mean(axis=0)])
        return {
            "latent_spread": float(np.sqrt(np.square(centred).mean())),
            "active_units": float(active_units(mean, log_variance)),
        }

    def _frame(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        turn, shift = (np.asarray(weights, np.float64) for weights in self.prior.get_layer("frame").get_weights())
        return shift, turn

    def _encode(self, maps: Floats, condition: Floats, batch: int) -> tuple[Floats, Floats]:
        """Mean and log variance as the encoder gives them."""
        parts = [
            self.encoder([maps[i : i + batch], condition[i : i + batch]], training=False)
            for i in range(0, len(maps), batch)
        ]
        mean, log_variance = (np.concatenate([ops.convert_to_numpy(part[k]) for part in parts]) for k in (0, 1))
        return mean, log_variance

    def decode(self, latent: Floats, condition: Floats, batch: int = 64) -> Decoded:
        """Maps, lattice and elements of latent vectors [b, latent] under conditions [b, 10]."""
        shift, turn = self._frame()
        latent = (latent @ turn + shift).astype(np.float32)
        parts = [
            self.decoder([latent[i : i + batch], condition[i : i + batch]], training=False)
            for i in range(0, len(latent), batch)
        ]
        maps, lattice, logits = (
            np.concatenate([ops.convert_to_numpy(p[k]) for p in parts])
            for k in (
                "maps",
                "lattice",
                "elements",
            )
        )
        return Decoded(maps, lattice.astype(np.float64), (1 / (1 + np.exp(-logits))).astype(np.float32))

    def compute_loss(self, batch: Mapping[str, Tensor], unet: UNet) -> dict[str, Tensor]:
        """MSE + alpha * deep-feature consistency + beta * KL, plus the element head's cross-entropy.

        Args:
            batch: `maps` [b, n, n, n, 4], `condition` [b, 10], `elements` [b, 95] 0 or 1, `noise` [b, latent]
                standard normal (drawn outside, so that a step is a pure function), `beta` scalar.
            unet: the frozen network whose features of true and decoded maps must agree.

        Returns:
            `loss` and its parts, scalars; `coordinates` in angstrom^2.
        """
        maps, beta = batch["maps"], batch["beta"]
        some = max(1, round(self.config.feature_share * maps.shape[0]))
        mean, log_variance = self.encoder([maps, batch["condition"]], training=True)
        latent = mean + ops.exp(0.5 * log_variance) * batch["noise"]
        out = self.decoder([latent, batch["condition"]], training=True)
        parts = {
            "density": ops.mean(ops.square(out["maps"][..., 0] - maps[..., 0])),
            "coordinates": ops.mean(ops.square(out["maps"][..., 1:] - maps[..., 1:])) * COORDINATE_SCALE_ANG**2,
            "features": feature_distance(unet, maps[:some], out["maps"][:some]),
            "kl": ops.mean(ops.sum(_kl(mean, log_variance), axis=-1)),
            "elements": ops.mean(
                ops.sum(ops.binary_crossentropy(batch["elements"], out["elements"], from_logits=True), axis=-1)
            ),
        }
        c = self.config
        loss = c.density_weight * parts["density"] + c.coordinate_weight * parts["coordinates"] + beta * parts["kl"]
        loss = loss + c.alpha * parts["features"] + c.composition_weight * parts["elements"]
        return {"loss": loss, **parts}


def build_encoder(config: VAEConfig) -> keras.Model:
    """Maps [b, n, n, n, 4] and condition [b, 10] -> mean and log variance [b, latent]."""
    maps = keras.Input((config.n,) * 3 + (4,), name="maps")
    condition = keras.Input((DECILES,), name="condition")
    x: Tensor = fold(maps, config.patch)
    for level, filters in enumerate(config.filters):
        bias = layers.Dense(filters, use_bias=False, name="condition_in")(condition) if level == 0 else None
        x = down(conv_block(x, filters, config.norm, f"enc{level}", bias))
    parts = [layers.Flatten()(x), condition]
    if config.dictionary:
        parts.append(layers.Dense(config.dictionary, name="dictionary_in")(layers.Flatten()(maps[..., 0])))
    x = ops.concatenate(parts, axis=-1)
    x = layers.LeakyReLU(0.2)(layers.Dense(config.hidden, name="enc_hidden")(x))
    mean = layers.Dense(config.latent, name="mean")(x)
    log_variance = layers.Dense(config.latent, name="log_variance", bias_initializer=keras.initializers.Constant(-2.0))(
        x
    )
    return keras.Model([maps, condition], [mean, ops.clip(log_variance, -10.0, 4.0)], name="encoder")


def build_prior(config: VAEConfig) -> keras.Model:
    """The affine frame of the latent: whitened z -> the encoder's z; the identity until `DensityVAE.whiten`."""
    latent = keras.Input((config.latent,), name="latent")
    return keras.Model(
        latent, layers.Dense(config.latent, kernel_initializer="identity", name="frame")(latent), name="prior"
    )


def build_decoder(config: VAEConfig) -> keras.Model:
    """Latent [b, latent] and condition [b, 10] -> maps [b, n, n, n, 4], lattice [b, 3, 3], element logits [b, 95]."""
    latent = keras.Input((config.latent,), name="latent")
    condition = keras.Input((DECILES,), name="condition")
    z = ops.concatenate([latent, condition], axis=-1)
    hidden = layers.LeakyReLU(0.2)(layers.Dense(config.hidden, name="dec_hidden")(z))
    small = config.n // config.patch // 2 ** len(config.filters)
    x = layers.Dense(small**3 * config.filters[-1], name="dec_grid")(hidden)
    x = layers.LeakyReLU(0.2)(ops.reshape(x, (-1, small, small, small, config.filters[-1])))
    for level in reversed(range(len(config.filters))):
        filters = config.filters[level - 1] if level else max(1, config.filters[0] // 2)
        x = conv_block(up(x), filters, config.norm, f"dec{level}")
    density = unfold(periodic_conv(x, config.patch**3, "density"), config.patch)  # [b, n, n, n, 1]
    density = ops.softplus(_with_dictionary(density, hidden, config))
    lattice = _lattice(hidden, config)
    coordinates = ops.einsum("ijkf,bfc->bijkc", fractional_grid(config.n) / COORDINATE_SCALE_ANG, lattice)
    named = layers.LeakyReLU(0.2)(layers.Dense(64, name="elements_hidden")(z))
    elements = layers.Dense(CLASSES, name="elements", bias_initializer=keras.initializers.Constant(-4.0))(named)
    maps = ops.concatenate([density, coordinates], axis=-1)
    return keras.Model([latent, condition], {"maps": maps, "lattice": lattice, "elements": elements}, name="decoder")


def _with_dictionary(density: Tensor, hidden: Tensor, config: VAEConfig) -> Tensor:
    """What the convolutions drew plus whole maps of the dictionary, one value per symmetry orbit: [b, n, n, n, 1]."""
    orbit = orbits(config.n, config.symmetry)
    values = ops.reshape(density, (-1, config.n**3))
    if len(config.symmetry) > 1:
        members = (orbit[:, None] == np.arange(orbit.max() + 1)).astype(np.float32)
        values = ops.matmul(values, members / members.sum(axis=0))  # [b, orbits]
    if config.dictionary:
        words = layers.LeakyReLU(0.2)(layers.Dense(config.dictionary, name="dictionary_words")(hidden))
        values = values + layers.Dense(int(orbit.max()) + 1, name="dictionary_out")(words)
    if len(config.symmetry) > 1:
        values = ops.matmul(values, members.T)
    return ops.reshape(values, (-1, *(config.n,) * 3, 1))


def _lattice(hidden: Tensor, config: VAEConfig) -> Tensor:
    """Lattice rows [b, 3, 3] in angstrom: a times the identity, or lower triangular with a positive diagonal."""
    raw = layers.Dense(1 if config.cubic else 6, name="lattice", kernel_initializer="zeros")(hidden)
    edges = config.a_ang * ops.exp(SPREAD * ops.clip(raw[:, :1] if config.cubic else raw[:, :3], -8.0, 8.0))
    diagonal = ops.expand_dims(edges, -1) * np.eye(3, dtype=np.float32)
    if config.cubic:
        return diagonal
    below = np.zeros((3, 3, 3), np.float32)
    below[0, 1, 0] = below[1, 2, 0] = below[2, 2, 1] = 1.0
    return diagonal + config.a_ang * SPREAD * ops.einsum("bk,kij->bij", raw[:, 3:], below)


def feature_distance(unet: UNet, maps: Tensor, decoded: Tensor) -> Tensor:
    """Mean squared difference of the UNet's features at every level of its down path, levels weighted alike."""
    true, made = unet.features(maps, training=False), unet.features(decoded, training=False)
    distances = [ops.mean(ops.square(m - ops.stop_gradient(t))) for t, m in zip(true, made, strict=True)]
    return sum(distances) / len(distances)


def _kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) per dimension."""
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)


def active_units(mean: Floats, log_variance: Floats, threshold: float = 0.01) -> int:
    """Latent dimensions that carry information: mean KL above the threshold, nats (science.md, row 6)."""
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1.0 - log_variance)
    return int((kl.mean(axis=0) > threshold).sum())


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
