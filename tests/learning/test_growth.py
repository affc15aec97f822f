"""Memory of the batches must not grow with the number of crystals; the costs are in bench/growth.py."""

from __future__ import annotations

import tracemalloc

import numpy as np
from cubic_crystals import decorated_sample
from tiny_networks import tiny_unet

from crystalloop.models.learn.engine import Share
from crystalloop.models.learn.map_batches import class_counts, unet_batches
from crystalloop.models.maps.channels import CLASSES
from crystalloop.models.maps.voxels import VoxelConfig, voxelize_batch

VOXELS = VoxelConfig(n=16)


def test_classes_are_counted_a_few_crystals_at_a_time_and_all():
    crystals = decorated_sample(90)
    counts = class_counts(crystals, VOXELS, at_once=32)
    np.testing.assert_array_equal(
        counts, np.bincount(voxelize_batch(crystals, VOXELS).species.ravel(), minlength=CLASSES)
    )


def test_the_first_unet_batch_of_many_crystals_takes_the_memory_of_a_few():
    def peak_mb(count: int) -> float:
        crystals = decorated_sample(count)
        tracemalloc.start()
        next(unet_batches(crystals, VOXELS, tiny_unet().config, batch=8, steps=1, seed=0, share=Share()))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / 2**20

    few, many = peak_mb(200), peak_mb(1000)  # their maps would be 5 and 25 MB
    assert many < few + 4.0
