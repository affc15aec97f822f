"""What a few latents decode to, looked at before one of them is chosen: contacts, formula, properties. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from crystalloop.models.crystals.crystal import Crystal, InvalidCrystal, canonical_origin, rescaled
from crystalloop.models.maps.channels import Floats, draw_maps
from crystalloop.models.maps.sites_from_codes import PeakConfig, crystal_from_codes
from crystalloop.models.maps.sites_from_density import ReconstructionError
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.vae import DensityVAE

PropertiesOf = Callable[[Sequence[Crystal]], Floats]
"""The eight properties of crystals in their units, NaN where there is none: [b, 8]."""


@dataclass(frozen=True)
class Critic:
    """How latents are looked at.

    Attributes:
        voxels: the grid and atom widths that the networks were trained with.
        properties: predicts the eight properties of crystals; None: only contacts and formula are looked at.
        allowed: atomic numbers that may occur; None for all.
        finalists: latents of each pool that are looked at; the head puts them forward.
        peaks: how sites are read from the element codes; in one sweep, since a crystal that is taken is read again.
        rescale: as in `GenerateConfig`.
    """

    voxels: VoxelConfig
    properties: PropertiesOf | None = None
    allowed: tuple[int, ...] | None = None
    finalists: int = 4
    peaks: PeakConfig = field(default_factory=lambda: PeakConfig(sweeps=1))
    rescale: float = 0.25

    def sees(self, vae: DensityVAE) -> bool:
        """Whether this network's maps show elements without the UNet."""
        return vae.config.codes

    def sketches(self, vae: DensityVAE, latent: Floats, condition: Floats) -> list[Crystal | None]:
        """What latents [b, d] decode to, read from the codes alone; None where nothing can be.

        Crystals stand in their canonical origin and have the edges that the head expects for their elements.
        """
        decoded, n = vae.decode(latent, condition), self.voxels.n
        nobody, everywhere = np.zeros((n, n, n), np.int64), np.ones((n, n, n), np.float32)
        found: list[Crystal | None] = []
        for maps, lattice, presence in zip(decoded.maps, decoded.lattice, decoded.elements, strict=True):
            try:
                raw = crystal_from_codes(
                    maps[..., 4:], nobody, everywhere, presence, lattice, self.voxels, self.peaks, self.allowed
                ).crystal
                found.append(canonical_origin(raw))
            except (ReconstructionError, InvalidCrystal):
                found.append(None)
        there = [i for i, crystal in enumerate(found) if crystal is not None]
        if self.rescale and there:
            some = [crystal for crystal in found if crystal is not None]
            edges = vae.outlook_of_maps(draw_maps(some, self.voxels), condition[there])[:, -1]
            for i, crystal, edge in zip(there, some, edges, strict=True):
                found[i] = rescaled(crystal, float(edge), self.rescale)
        return found

    def settled(self, vae: DensityVAE, crystals: Sequence[Crystal], latent: Floats, condition: Floats) -> Floats:
        """Latents of crystals, [b, d]: where a sampled latent [b, d] lies between elements, its crystal's does not.

        The sampled one stays where it shows its crystal better: a network of a few crystals cannot encode all that it
        decodes.
        """
        maps = draw_maps(crystals, self.voxels)
        own = vae.encode(maps, condition)[0]
        errors = [
            np.square(vae.decode(z, condition).maps[..., 4:] - maps[..., 4:]).mean(axis=(1, 2, 3, 4))
            for z in (own, latent)
        ]
        return np.where((errors[0] < errors[1])[:, None], own, latent)

    def properties_of(self, crystals: Sequence[Crystal | None]) -> Floats | None:
        """The eight properties, NaN for what could not be read: [b, 8]; None without a predictor."""
        if self.properties is None:
            return None
        there = [i for i, crystal in enumerate(crystals) if crystal is not None]
        values = np.full((len(crystals), 8), np.nan, np.float32)
        if there:
            values[there] = self.properties([crystal for crystal in crystals if crystal is not None])
        return values
