"""The UNet: periodic, blind to what has no weight, and naming only what is allowed."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops
from tiny_networks import VOXELS, N, salts, scrambled, tiny_unet

from crystalloop.models.learn.engine import Share
from crystalloop.models.learn.map_batches import unet_batches
from crystalloop.models.maps.channels import CLASSES, draw_maps
from crystalloop.models.maps.voxels import voxelize_batch
from crystalloop.models.nets.blocks import count_weights
from crystalloop.models.nets.configs import UNetConfig
from crystalloop.models.nets.unet import LEAST_OCCUPANCY, build_unet, segment, voxel_weights


def batch_of(unet, seed: int = 0) -> dict:
    return next(unet_batches(salts(), VOXELS, unet.config, 4, 1, seed, Share()))


def loss_parts(unet, batch) -> dict[str, float]:
    return {name: float(part) for name, part in unet.compute_loss(batch).items()}


@pytest.mark.parametrize("levels", [1, 2])
def test_a_translated_crystal_is_segmented_the_same_elsewhere(levels):
    unet = scrambled(tiny_unet(levels=levels))
    maps, shift = draw_maps(salts()[:2], VOXELS), 2 * 2**levels
    moved = maps.copy()
    moved[..., 0] = np.roll(maps[..., 0], (shift, -shift, 0), axis=(1, 2, 3))
    there, here = unet.model(moved), unet.model(maps)
    for name in ("species", "occupancy"):
        expected = np.roll(ops.convert_to_numpy(here[name]), (shift, -shift, 0), axis=(1, 2, 3))
        np.testing.assert_allclose(ops.convert_to_numpy(there[name]), expected, atol=1e-3)


def test_the_species_loss_is_that_of_the_voxels_at_the_batchs_corner():
    unet = scrambled(tiny_unet())
    batch = batch_of(unet)
    i, j, k = np.unravel_index(int(batch["corner"]), (2, 2, 2))
    logits = ops.convert_to_numpy(unet.model(batch["maps"])["species"])[:, i::2, j::2, k::2].astype(float)
    logits -= logits.max(axis=-1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    true = np.take_along_axis(log_p, batch["species"][..., None].astype(int), axis=-1)[..., 0]
    expected = -(true * batch["weights"]).sum() / batch["weights"].sum()
    assert loss_parts(unet, batch)["species"] == pytest.approx(expected, rel=1e-3)


def test_voxels_without_weight_have_no_influence_on_the_loss():
    unet = scrambled(tiny_unet())
    batch = batch_of(unet)
    batch["weights"] = np.where(batch["species"] == 0, 0.0, batch["weights"]).astype(np.float32)
    other = batch | {"species": np.where(batch["species"] == 0, 7, batch["species"]).astype(np.int32)}
    assert loss_parts(unet, other)["loss"] == pytest.approx(loss_parts(unet, batch)["loss"], rel=1e-6)


def test_rare_species_weigh_more_up_to_the_cap_and_background_as_configured():
    counts = np.zeros(CLASSES, int)
    counts[[0, 8, 11, 55]] = 10**6, 10_000, 100, 1
    weights = voxel_weights(np.array([0, 8, 11, 55]), counts, UNetConfig(background_weight=0.2, weight_cap=50.0))
    np.testing.assert_allclose(weights, [0.2, 1.0, 10.0, 50.0], rtol=1e-6)


def test_only_allowed_species_are_named():
    unet, maps = scrambled(tiny_unet()), draw_maps(salts()[:3], VOXELS)
    kernel, bias = unet.model.get_layer("occupancy").get_weights()
    middle = np.median(ops.convert_to_numpy(unet.model(maps)["occupancy"]))
    unet.model.get_layer("occupancy").set_weights([kernel, bias - middle])  # half of the voxels are occupied
    free, bound = segment(unet, maps), segment(unet, maps, allowed=[11, 17])
    assert {0} < set(np.unique(bound.species)) <= {0, 11, 17}
    assert not set(np.unique(free.species)) <= {0, 11, 17}
    np.testing.assert_array_equal(bound.occupancy, free.occupancy)
    np.testing.assert_array_equal(bound.species > 0, bound.occupancy >= LEAST_OCCUPANCY)


def test_segmenting_in_parts_and_none_at_all():
    unet = scrambled(tiny_unet())
    maps = draw_maps(salts()[:3], VOXELS)
    np.testing.assert_allclose(segment(unet, maps, batch=2).occupancy, segment(unet, maps).occupancy, atol=1e-5)
    assert segment(unet, maps[:0]).species.shape == (0, N, N, N)


@pytest.mark.parametrize(("allowed", "said"), [([], r"\[\]"), ([0, 11], r"\[0\]"), ([95], r"\[95\]")])
def test_an_element_without_a_class_cannot_be_allowed(allowed, said):
    unet = tiny_unet()
    with pytest.raises(ValueError, match=f"allowed species {said}: give atomic numbers from 1 to 94"):
        segment(unet, draw_maps(salts()[:1], VOXELS), allowed=allowed)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n": 12, "patch": 2, "levels": 3}, "n 12 cannot be folded by 2 and halved 3 times"),
        ({"base": 0}, "base 0 is below 1"),
        ({"background_weight": 0.0}, r"background_weight 0.0 must be in \(0, 1\]"),
    ],
)
def test_a_configuration_says_which_value_is_wrong(fields, said):
    with pytest.raises(ValueError, match=said):
        UNetConfig(**fields)


def test_the_compact_preset_is_small_and_the_papers_has_its_channels():
    compact, paper = (build_unet(UNetConfig.preset(name, 16)) for name in ("compact", "paper"))
    assert count_weights(compact) < 0.3e6
    assert count_weights(paper) > 9e6
    assert [tuple(f.shape)[-1] for f in paper.output["features"]] == [64, 128, 256, 512]


def test_the_grid_of_training_voxels_covers_all_eight_corners():
    unet = tiny_unet()
    batches = list(unet_batches(salts(), VOXELS, unet.config, 2, 60, 0, Share()))
    assert {int(batch["corner"]) for batch in batches} == set(range(8))
    assert {batch["species"].shape for batch in batches} == {(2, N // 2, N // 2, N // 2)}
    drawn = voxelize_batch(salts(), VOXELS)
    assert set(np.unique(np.concatenate([b["species"].ravel() for b in batches]))) == set(np.unique(drawn.species))
