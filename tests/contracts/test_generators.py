"""The generators that ship, each held to the contract."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from contracts.generator import GeneratorContract
from tiny_networks import VOXELS, e_f_labels, scrambled, tiny_cgcnn, tiny_unet, tiny_vae

from crystalloop.models.generate.density_vae import GenerateConfig, VAEGenerator

pytestmark = pytest.mark.slow


@cache
def networks():
    """VAE, UNet, CGCNN. Untrained, but the occupancy: it is everywhere, so that there is something to read."""
    unet, vae = scrambled(tiny_unet()), scrambled(tiny_vae(decile_edges_ev=tuple(np.linspace(-3, -1, 9))))
    kernel, bias = unet.model.get_layer("occupancy").get_weights()
    unet.model.get_layer("occupancy").set_weights([kernel, bias + 1.0])
    return vae, unet, scrambled(tiny_cgcnn(e_f_labels(12)))


class TestVAEGenerator(GeneratorContract):
    @pytest.fixture
    def generator(self):
        return VAEGenerator(*networks(), GenerateConfig(voxels=VOXELS))
