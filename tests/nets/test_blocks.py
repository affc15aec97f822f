"""The 3-D pieces of the networks: periodic, lossless where they say so, each crystal by itself."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from crystalloop.models.nets.blocks import conv_block, count_weights, down, fold, unfold, up, wrap


def maps(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def roll(array: np.ndarray, shift: tuple[int, int, int]) -> np.ndarray:
    return np.roll(array, shift, axis=(1, 2, 3))


def block(norm: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 8, 2))
    return keras.Model(x, conv_block(x, 4, norm, "a"))


def test_wrapping_continues_a_map_with_its_other_side():
    x = maps(1, 4, 4, 4, 1)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(wrap(x, 1)), np.pad(x, ((0, 0), *((1, 1),) * 3, (0, 0)), mode="wrap")
    )


@pytest.mark.parametrize("norm", ["none", "group"])
def test_a_translated_map_gives_the_translated_answer(norm):
    model, x, shift = block(norm), maps(2, 8, 8, 8, 2), (1, 3, 6)
    moved = ops.convert_to_numpy(model(roll(x, shift)))
    np.testing.assert_allclose(moved, roll(ops.convert_to_numpy(model(x)), shift), atol=1e-5)


def test_group_normalisation_looks_at_one_crystal_alone():
    model, x = block("group"), maps(3, 8, 8, 8, 2)
    together, alone = (ops.convert_to_numpy(model(some, training=True)) for some in (x, x[:1]))
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)


def test_a_condition_as_bias_is_the_condition_as_constant_channels():
    keras.utils.set_random_seed(0)
    x, condition = maps(2, 4, 4, 4, 2), np.array([[0.7], [-1.2]], np.float32)
    full = np.concatenate([x, np.broadcast_to(condition[:, None, None, None], (2, 4, 4, 4, 1))], axis=-1)
    inputs = keras.Input((4, 4, 4, 3))
    appended = keras.Model(inputs, conv_block(inputs, 5, "none", "a"))
    kernel, _ = appended.get_layer("a_conv").get_weights()
    bare, bias = keras.Input((4, 4, 4, 2)), keras.Input((5,))
    biased = keras.Model([bare, bias], conv_block(bare, 5, "none", "b", bias))
    biased.get_layer("b_conv").set_weights([kernel[..., :2, :], np.zeros(5, np.float32)])
    got = biased([x, condition @ kernel[..., 2, :].sum(axis=(0, 1, 2))[None]])
    np.testing.assert_allclose(ops.convert_to_numpy(got), ops.convert_to_numpy(appended(full)), atol=1e-5)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_folding_loses_nothing_and_unfolding_takes_it_back(patch):
    x = maps(2, 8, 8, 8, 3)
    folded = fold(x, patch)
    assert tuple(folded.shape) == (2, *(8 // patch,) * 3, 3 * patch**3)
    np.testing.assert_array_equal(ops.convert_to_numpy(unfold(folded, patch)), x)


def test_a_translation_by_the_patch_is_one_step_on_the_folded_map():
    x = maps(1, 8, 8, 8, 2)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(fold(roll(x, (2, -2, 4)), 2)), roll(ops.convert_to_numpy(fold(x, 2)), (1, -1, 2))
    )


def test_halving_and_doubling_the_grid_keep_the_integral():
    x = maps(2, 8, 8, 8, 3)
    for change in (down, up):
        np.testing.assert_allclose(ops.convert_to_numpy(change(x)).mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-6)


def test_weights_are_counted():
    assert count_weights(block("group")) == 27 * 2 * 4 + 4 + 2 * 4
