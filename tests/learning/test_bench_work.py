"""The benches' own arithmetic: operations counted by hand, kernels beside plain ones."""

from __future__ import annotations

import importlib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench"))
    return importlib.import_module


def small_model() -> keras.Model:
    maps = keras.Input((6, 6, 6, 3))
    x = layers.Conv3D(5, 3, name="conv")(maps)  # 4^3 voxels, 27 taps, 3 to 5 channels
    return keras.Model(maps, layers.Dense(7)(x))


def test_kernels_equal_the_plain_ones(bench):
    found = bench("plain").differences()
    assert set(found) >= {"periodic_conv", "down", "up", "fold", "coordinates_and_lattice"}
    assert max(found.values()) < 1e-6


def test_operations_of_layers_are_those_counted_by_hand(bench):
    work = bench("work").layers_work(small_model(), batch=2)
    conv, dense = 2 * 2 * 64 * 27 * 3 * 5, 2 * 2 * 64 * 5 * 7
    assert work.flops == conv + dense
    assert work.bytes == 4 * 2 * (216 * 3 + 64 * 5 + 64 * 5 + 64 * 7) + 4 * (27 * 15 + 5 + 35 + 7)


def test_a_training_step_counts_forward_and_both_backward_passes(bench):
    tf = pytest.importorskip("tensorflow")
    model = small_model()
    weights = model.trainable_variables

    def step(batch):
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(model(batch["maps"])))
        return tape.gradient(loss, weights)

    work = bench("work").graph_work(step, {"maps": np.ones((2, 6, 6, 6, 3), np.float32)})
    assert work.by_kind["Conv3D"] == 2 * 2 * 64 * 27 * 3 * 5
    assert work.by_kind["Conv3DBackpropFilterV2"] == work.by_kind["Conv3D"]
    assert work.by_kind["MatMul"] >= 3 * 2 * 2 * 64 * 5 * 7


def test_an_einsum_forms_as_many_products_as_its_labels_allow(bench):
    assert bench("work").einsum_size("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]) == 2 * 3 * 4 * 5


def test_growth_is_called_by_its_name(bench):
    is_flat = bench("growth").is_flat
    row = {"setup_cpu_ms_per_crystal": 0.3, "cpu_ms_per_sample": 1.0, "peak_rss_mb": 700.0, "rss_before_mb": 690.0}
    small, large = {**row, "crystals": 1000}, {**row, "crystals": 100_000}
    assert is_flat([small, large])
    assert not is_flat([small, {**large, "cpu_ms_per_sample": 2.0}])
    assert not is_flat([small, {**large, "peak_rss_mb": 1500.0}])
    assert not is_flat([small, {"failed": ["killed"]}])
