"""Conditional DFC-VAE: maps and condition to a latent vector and back. Sampling of latents lives in `generate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.maps.channels import COORDINATE_SCALE_ANG, Floats
from crystalloop.models.nets.blocks import Tensor
from crystalloop.models.nets.configs import VAEConfig, decile_one_hot
from crystalloop.models.nets.keras_import import keras, ops
from crystalloop.models.nets.linear_frame import SPREAD, Sight, flatten, principal_frame
from crystalloop.models.nets.prior import Mixture, fit_mixture, standard_normal
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae_layers import build_decoder, build_encoder, build_head, build_mixture_table


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
        self._prior = build_mixture_table(config)
        self._seen: Sight | None = None  # of the frame, made when it is first needed

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
        self._seen = None
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
        self._prior = build_mixture_table(self.config)
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
        return self.outlook(latent)[:, :-1]

    def edges(self, latent: Floats) -> Floats:
        """Edge of a cube of the cell's volume that the head expects for the elements of each latent, angstrom: [b]."""
        return self.outlook(latent)[:, -1]

    def outlook(self, latent: Floats) -> Floats:
        """What the head expects of latents [b, latent]: the eight properties in their units, then the edge: [b, 9]."""
        return self._head_says(self.facts_of_latents(latent))

    def outlook_of_maps(self, maps: Floats, condition: Floats) -> Floats:
        """The same of maps [b, n, n, n, 12] under conditions [b, 10]."""
        return self._head_says(self.facts_of_maps(maps, condition))

    def _head_says(self, facts: Floats) -> Floats:
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
        if self._sight is None:
            return latent
        parts = [self._sight.of_latents(latent[i : i + 1024]) for i in range(0, len(latent), 1024)]
        return np.concatenate(parts) if parts else np.zeros((0, self.config.latent), np.float32)

    def facts_of_maps(self, maps: Floats, condition: Floats) -> Floats:
        """The same of maps [b, n, n, n, 12]: what the head is trained on."""
        if self._sight is None:
            return self.encode(maps, condition)[0]
        return self._sight.of_rows(ops.convert_to_numpy(flatten(maps, self.config.shape)))

    @property
    def _sight(self) -> Sight | None:
        if not (self.config.frame and self.config.codes):
            return None
        if self._seen is None:
            out, mean = self.decoder.get_layer("frame_out").get_weights()
            into, _ = self.encoder.get_layer("frame_in").get_weights()
            self._seen = Sight(into, out, mean, self.config.shape)
        return self._seen

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


def feature_distance(unet: UNet, maps: Tensor, decoded: Tensor) -> Tensor:
    """Mean squared difference of the UNet's features at every level of its down path, levels weighted alike."""
    true, made = unet.features(maps, training=False), unet.features(decoded, training=False)
    distances = [ops.mean(ops.square(m - ops.stop_gradient(t))) for t, m in zip(true, made, strict=True)]
    return sum(distances) / len(distances)


def _kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) per dimension."""
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)


def active_units(mean: Floats, log_variance: Floats, threshold: float = 0.01) -> int:
    """Latent dimensions that carry information: mean KL above the threshold, nats (docs/science/networks.md, row 6)."""
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1.0 - log_variance)
    return int((kl.mean(axis=0) > threshold).sum())
