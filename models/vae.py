"""Conditional DFC-VAE: maps and condition to a latent vector and back. Sampling of latents lives in `generate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from models.blocks import Norm, Tensor, conv_block, down, fold, periodic_conv, strided_conv, unfold, up
from models.channels import CHANNELS, CLASSES, COORDINATE_SCALE_ANG, Floats, fractional_grid
from models.element_code import CODES
from models.frame import SPREAD, FrameShape, flatten, lattice_rows, principal_frame, snapped, unflatten
from models.prior import Mixture, fit_mixture, standard_normal
from models.properties import PROPERTIES
from models.unet import UNet

DECILES = 10


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


@dataclass(frozen=True)
class Decoded:
    """What the decoder says of a latent vector."""

    maps: Floats  # [b, n, n, n, 12], channels as of `channels.to_channels`
    lattice: NDArray[np.float64]  # [b, 3, 3] angstrom, rows
    elements: Floats  # [b, 95] probability that each element is present


class DensityVAE:
    """Encoder and decoder with their configuration, the latent's prior, and a head that predicts properties from z."""

    kind: ClassVar[str] = "vae"
    config_type: ClassVar[type[VAEConfig]] = VAEConfig

    def __init__(self, config: VAEConfig) -> None:
        self.config = config
        self.encoder = build_encoder(config)
        self.decoder = build_decoder(config)
        self.head = build_head(config)
        self._prior = _mixture_table(config)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The parts whose weights make a checkpoint."""
        return {"encoder": self.encoder, "decoder": self.decoder, "head": self.head, "prior": self._prior}

    @property
    def trainable(self) -> list[Any]:
        """Variables that training changes; the head has a training of its own."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    @property
    def prior(self) -> Mixture:
        """Where latents are drawn from: N(0, I) until `fit_prior`."""
        d = self.config.latent
        table = np.asarray(self._prior.get_layer("components").get_weights()[0], np.float64)
        weights = table[:, 0] / table[:, 0].sum()  # stored as float32
        return Mixture(weights, table[:, 1 : 1 + d], table[:, 1 + d :].reshape(-1, d, d))

    def condition(self, e_f_ev: NDArray[np.floating]) -> Floats:
        """Decile one-hot of formation energies [b] in eV/atom: [b, 10]; all zero where it is NaN or no edges are known."""
        return decile_one_hot(e_f_ev, self.config.decile_edges_ev)

    def start_frame(self, maps: Floats) -> None:
        """Set the linear frame to the principal components of maps [c, n, n, n, 12], where there is one."""
        if not self.config.frame:
            return
        shape = self.config.shape
        rows = np.concatenate([ops.convert_to_numpy(flatten(maps[i : i + 64], shape)) for i in range(0, len(maps), 64)])
        into, out, mean, variance = principal_frame(rows, self.config.latent)
        self.encoder.get_layer("frame_in").set_weights([into, -(mean @ into)])
        self.decoder.get_layer("frame_out").set_weights([out, mean])
        # The width of a linear VAE's posterior, where one voxel's error is the codes' weight over the voxels.
        pull = self.config.code_weight / shape.m**3 * variance / self.config.beta
        kernel, _ = self.encoder.get_layer("log_variance").get_weights()
        self.encoder.get_layer("log_variance").set_weights([np.zeros_like(kernel), -np.log1p(pull).astype(np.float32)])

    def fit_prior(self, maps: Floats, condition: Floats, rng: np.random.Generator) -> dict[str, float]:
        """Fit the prior to the posteriors of maps [c, n, n, n, 12] under conditions [c, 10].

        Returns:
            `active_units` (mean KL from N(0, I) over 0.01 nats), and the mean log density of the posterior means, nats,
            under N(0, I) and under the fitted mixture.
        """
        return self.fit_prior_to(*self.encode(maps, condition), rng)

    def fit_prior_to(self, mean: Floats, log_variance: Floats, rng: np.random.Generator) -> dict[str, float]:
        """The same for posteriors [c, latent] that are known already."""
        mixture = fit_mixture(mean, np.exp(log_variance), rng)
        table = np.concatenate(
            [mixture.weights[:, None], mixture.means, mixture.roots.reshape(len(mixture.weights), -1)], axis=1
        )
        self.config = replace(self.config, components=len(table))
        self._prior = _mixture_table(self.config)
        self._prior.get_layer("components").set_weights([table.astype(np.float32)])
        return {
            "active_units": float(active_units(mean, log_variance)),
            "log_density_normal": float(standard_normal(self.config.latent).log_density(mean).mean()),
            "log_density_prior": float(mixture.log_density(mean).mean()),
        }

    def encode(self, maps: Floats, condition: Floats, batch: int = 64) -> tuple[Floats, Floats]:
        """Mean and log variance of the latent, [b, latent] each."""
        parts = [
            self.encoder([maps[i : i + batch], condition[i : i + batch]], training=False)
            for i in range(0, len(maps), batch)
        ]
        if not parts:
            return np.zeros((0, self.config.latent), np.float32), np.zeros((0, self.config.latent), np.float32)
        mean, log_variance = (np.concatenate([ops.convert_to_numpy(part[k]) for part in parts]) for k in (0, 1))
        return mean, log_variance

    def decode(self, latent: Floats, condition: Floats, batch: int = 64) -> Decoded:
        """Maps, lattice and elements of latent vectors [b, latent] under conditions [b, 10].

        Raises:
            ValueError: no latent vector at all.
        """
        if not len(latent):
            raise ValueError("decode was given no latent vectors; give at least one row")
        parts = [
            self.decoder([latent[i : i + batch], condition[i : i + batch]], training=False)
            for i in range(0, len(latent), batch)
        ]
        maps, lattice, logits = (
            np.concatenate([ops.convert_to_numpy(p[k]) for p in parts]) for k in ("maps", "lattice", "elements")
        )
        probability = 1 / (1 + np.exp(-np.clip(logits, -50.0, 50.0)))
        return Decoded(maps, lattice.astype(np.float64), probability.astype(np.float32))

    def predict(self, latent: Floats) -> Floats:
        """The eight properties as the latent's own head sees them, in their units; NaN without labels: [b, 8]."""
        return self._head_says(self.facts_of_latents(latent))[:, : len(PROPERTIES)]

    def edges(self, latent: Floats) -> Floats:
        """Edge of a cube of the cell's volume that the head expects for the elements of each latent, angstrom: [b]."""
        return self._head_says(self.facts_of_latents(latent))[:, -1]

    def _head_says(self, facts: Floats) -> Floats:
        """The head's outputs in their units, [b, 9]: the properties (NaN without labels), then an edge in angstrom."""
        out = ops.convert_to_numpy(self.head(facts, training=False))
        scale = np.array(self.config.property_scale, np.float32)
        values = out[:, :-1] * scale + np.array(self.config.property_mean, np.float32)
        edge = self.config.a_ang * np.exp(SPREAD * out[:, -1:])
        return np.concatenate([np.where(scale > 0, values, np.nan), edge], axis=1).astype(np.float32)

    def facts_of_latents(self, latent: Floats) -> Floats:
        """What the head is given of latents: the elements that they decode to, in the frame, [b, latent].

        A latent lies between elements, its crystal does not: the linear decoder's codes are turned to the nearest
        elements' before the head sees them. Without frame or codes the latent itself.
        """
        if not (self.config.frame and self.config.codes):
            return latent
        out, mean = self.decoder.get_layer("frame_out").get_weights()
        return np.concatenate(
            [self._facts(latent[i : i + 256] @ out + mean, mean) for i in range(0, len(latent), 256)]
            or [np.zeros((0, self.config.latent), np.float32)]
        )

    def facts_of_maps(self, maps: Floats, condition: Floats) -> Floats:
        """The same of maps [b, n, n, n, 12]: what the head is trained on."""
        if not (self.config.frame and self.config.codes):
            return self.encode(maps, condition)[0]
        _, mean = self.decoder.get_layer("frame_out").get_weights()
        return self._facts(ops.convert_to_numpy(flatten(maps, self.config.shape)), mean)

    def _facts(self, rows: Floats, mean: Floats) -> Floats:
        shape, into = self.config.shape, self.encoder.get_layer("frame_in").get_weights()[0]
        codes_of_mean = mean.copy()
        codes_of_mean[: shape.m**3 * shape.channels : shape.channels] = 0.0
        codes_of_mean[shape.m**3 * shape.channels :] = 0.0
        return np.asarray((snapped(rows, shape) - codes_of_mean) @ into, np.float32)

    def compute_loss(self, batch: Mapping[str, Tensor], unet: UNet) -> dict[str, Tensor]:
        """MSE + alpha * deep-feature consistency + beta * KL, plus the element head's cross-entropy.

        Args:
            batch: `maps` [b, n, n, n, 12], `condition` [b, 10], `elements` [b, 95] 0 or 1, `noise` [b, latent] standard
                normal (drawn outside, so that a step is a pure function), `beta` scalar.
            unet: the frozen network whose features of true and decoded maps must agree.

        Returns:
            `loss` and its parts, scalars; `coordinates` in angstrom^2.
        """
        maps, beta, c = batch["maps"], batch["beta"], self.config
        mean, log_variance = self.encoder([maps, batch["condition"]], training=True)
        latent = mean + ops.exp(0.5 * log_variance) * batch["noise"]
        out = self.decoder([latent, batch["condition"]], training=True)
        named = ops.binary_crossentropy(batch["elements"], out["elements"], from_logits=True)
        parts = {
            **_map_errors(maps, out["maps"]),
            "kl": ops.mean(ops.sum(_kl(mean, log_variance), axis=-1)),
            "elements": ops.mean(ops.sum(named, axis=-1)),
        }
        loss = c.density_weight * parts["density"] + c.coordinate_weight * parts["coordinates"] + beta * parts["kl"]
        loss = loss + c.composition_weight * parts["elements"]
        if c.codes:
            loss = loss + c.code_weight * parts["codes"]
        if c.alpha > 0:
            some = max(1, round(c.feature_share * maps.shape[0]))
            parts["features"] = feature_distance(unet, maps[:some], out["maps"][:some])
            loss = loss + c.alpha * parts["features"]
        return {"loss": loss, **parts}

    def head_loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean absolute error of what is known of standardised properties and of the lattice number.

        Args:
            batch: `facts` [b, latent] of `facts_of_maps`, `targets` and `known` [b, 9].
        """
        missed = ops.abs(self.head(batch["facts"], training=True) - batch["targets"]) * batch["known"]
        return {"loss": ops.sum(missed) / ops.maximum(ops.sum(batch["known"]), 1.0)}


def _map_errors(maps: Tensor, made: Tensor) -> dict[str, Tensor]:
    """Mean squared errors: compressed density, coordinates in angstrom^2, codes summed over their dimensions."""
    squares = ops.mean(ops.square(made - maps), axis=(0, 1, 2, 3))  # [12]
    return {
        "density": squares[0],
        "coordinates": ops.mean(squares[1:4]) * COORDINATE_SCALE_ANG**2,
        "codes": ops.sum(squares[4:]),
    }


def build_encoder(config: VAEConfig) -> keras.Model:
    """Maps [b, n, n, n, 12] and condition [b, 10] -> mean and log variance [b, latent]."""
    maps = keras.Input((config.n,) * 3 + (CHANNELS,), name="maps")
    condition = keras.Input((DECILES,), name="condition")
    seen = maps if config.codes else maps[..., :4]
    x: Tensor = fold(seen, config.patch)
    for level, filters in enumerate(config.filters):
        bias = layers.Dense(filters, use_bias=False, name="condition_in")(condition) if level == 0 else None
        x = _encoder_level(x, filters, config, level, bias)
    parts = [layers.Flatten()(x), condition]
    linear: Tensor = 0.0
    if config.frame:
        linear = layers.Dense(config.latent, kernel_initializer="zeros", trainable=False, name="frame_in")(
            flatten(maps, config.shape)
        )
        parts.append(linear)
    x = ops.concatenate(parts, axis=-1)
    x = layers.LeakyReLU(0.2)(layers.Dense(config.hidden, name="enc_hidden")(x))
    start = "zeros" if config.frame else "glorot_uniform"
    mean = linear + _gain(config) * layers.Dense(config.latent, kernel_initializer=start, name="mean")(x)
    log_variance = layers.Dense(config.latent, name="log_variance", bias_initializer=keras.initializers.Constant(-2.0))(
        x
    )
    return keras.Model([maps, condition], [mean, ops.clip(log_variance, -14.0, 4.0)], name="encoder")


def _gain(config: VAEConfig) -> float:
    """Of the networks beside the frame: what they add is a tenth of what a map is, and learned as slowly."""
    return 0.1 if config.frame else 1.0


def _encoder_level(x: Tensor, filters: int, config: VAEConfig, level: int, bias: Tensor | None) -> Tensor:
    """Half the grid: by a convolution of stride two where maps are folded, else by convolution and pooling as the paper."""
    if config.patch == 1:
        return down(conv_block(x, filters, config.norm, f"enc{level}", bias))
    if level == 0:  # a folded map has hundreds of channels
        x = layers.LeakyReLU(0.2)(layers.Conv3D(filters, 1, name="enc_in")(x))
    x = strided_conv(x, filters, f"enc{level}")
    return layers.LeakyReLU(0.2)(x if bias is None else x + ops.reshape(bias, (-1, 1, 1, 1, filters)))


def build_decoder(config: VAEConfig) -> keras.Model:
    """Latent [b, latent] and condition [b, 10] -> maps [b, n, n, n, 12], lattice [b, 3, 3], element logits [b, 95]."""
    latent = keras.Input((config.latent,), name="latent")
    condition = keras.Input((DECILES,), name="condition")
    z = ops.concatenate([latent, condition], axis=-1)
    hidden = layers.LeakyReLU(0.2)(layers.Dense(config.hidden, name="dec_hidden")(z))
    channels, shape = config.shape.channels, config.shape
    maps = _separable(hidden, channels, config) if config.rank else _mirrored(hidden, channels, config)
    numbers = layers.Dense(1 if config.cubic else 6, kernel_initializer="zeros", name="lattice")(hidden)
    if config.frame:
        rows = layers.Dense(shape.size, kernel_initializer="zeros", trainable=False, name="frame_out")(latent)
        linear_maps, linear_numbers = unflatten(rows, shape)
        maps, numbers = linear_maps + _gain(config) * maps, linear_numbers + _gain(config) * numbers
    density = ops.relu(maps[..., :1]) if config.frame else ops.softplus(maps[..., :1])
    lattice = lattice_rows(numbers, shape)
    coordinates = ops.einsum("ijkf,bfc->bijkc", fractional_grid(config.n) / COORDINATE_SCALE_ANG, lattice)
    codes = maps[..., 1:] if config.codes else ops.zeros_like(ops.repeat(density, CODES, axis=-1))
    named = layers.LeakyReLU(0.2)(layers.Dense(128, name="elements_hidden")(z))
    elements = layers.Dense(CLASSES, name="elements", bias_initializer=keras.initializers.Constant(-4.0))(named)
    maps = ops.concatenate([density, coordinates, codes], axis=-1)
    return keras.Model([latent, condition], {"maps": maps, "lattice": lattice, "elements": elements}, name="decoder")


def _separable(hidden: Tensor, channels: int, config: VAEConfig) -> Tensor:
    """A sum of `rank` products of three 1-D functions, with an amplitude for each channel: [b, n, n, n, channels]."""
    n, rank = config.n, config.rank
    hidden = hidden + layers.LeakyReLU(0.2)(layers.Dense(config.hidden, name="dec_hidden2")(hidden))
    lines = ops.reshape(layers.Dense(3 * rank * n, name="dec_lines")(hidden), (-1, 3, rank, n))
    start = "zeros" if config.frame else "glorot_uniform"
    heights = layers.Dense(rank * channels, kernel_initializer=start, name="dec_heights")(hidden)
    planes = ops.reshape(ops.expand_dims(lines[:, 0], 3) * ops.expand_dims(lines[:, 1], 2), (-1, rank, n * n))
    last = ops.expand_dims(lines[:, 2], 3) * ops.reshape(heights, (-1, rank, 1, channels))  # [b, rank, n, channels]
    made = ops.matmul(ops.transpose(planes, (0, 2, 1)), ops.reshape(last, (-1, rank, n * channels)))
    return ops.reshape(made, (-1, n, n, n, channels))


def _mirrored(hidden: Tensor, channels: int, config: VAEConfig) -> Tensor:
    """The encoder's levels in reverse, as the paper's: [b, n, n, n, channels]."""
    small = config.n // config.patch // 2 ** len(config.filters)
    x = layers.Dense(small**3 * config.filters[-1], name="dec_grid")(hidden)
    x = layers.LeakyReLU(0.2)(ops.reshape(x, (-1, small, small, small, config.filters[-1])))
    for level in reversed(range(len(config.filters))):
        filters = config.filters[level - 1] if level else max(1, config.filters[0] // 2)
        x = conv_block(up(x), filters, config.norm, f"dec{level}")
    return unfold(periodic_conv(x, config.patch**3 * channels, "density"), config.patch)


def build_head(config: VAEConfig) -> keras.Model:
    """What a latent's crystal is made of, [b, latent] -> the eight properties, standardised, and a lattice number: [b, 9]."""
    facts = keras.Input((config.latent,), name="facts")
    x = layers.LeakyReLU(0.2)(layers.Dense(2 * config.hidden, name="head_hidden")(facts))
    x = x + layers.LeakyReLU(0.2)(layers.Dense(2 * config.hidden, name="head_hidden2")(x))
    out = layers.Dense(len(PROPERTIES) + 1, kernel_initializer="zeros", name="properties")(x)
    return keras.Model(facts, out, name="head")


def _mixture_table(config: VAEConfig) -> keras.Model:
    """Holds the prior's numbers as weights, so that they travel with the checkpoint: weight, mean, root per component."""
    d = config.latent
    which = keras.Input((), dtype="int32")
    table = layers.Embedding(config.components, 1 + d + d * d, embeddings_initializer="zeros", name="components")
    model = keras.Model(which, table(which), name="prior")
    normal = standard_normal(d)
    rows = np.concatenate([normal.weights[:, None], normal.means, normal.roots.reshape(1, -1)], axis=1)
    table.set_weights([np.repeat(rows, config.components, axis=0).astype(np.float32)])
    table.trainable = False
    return model


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
