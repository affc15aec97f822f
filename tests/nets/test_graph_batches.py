"""What the CGCNN sees in a step: labelled graphs in few shapes, and no label that is kept from a member."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated
from test_graph import GAS
from tiny_networks import e_f_labels, salts, tiny_cgcnn

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.learn.engine import Share
from crystalloop.models.learn.graph_batches import MANY_LABELS, MOST_BALANCE, cgcnn_batches, member_weights


def batches(labels: np.ndarray, stage="energies", batch=4, steps=3, seed=0, **options) -> list:
    model = tiny_cgcnn(labels)
    return list(cgcnn_batches(model, model.graphs(salts()), labels, stage, batch, steps, seed, Share(), **options))


def test_the_same_seed_gives_the_same_batches_and_another_one_others():
    first, again, other = (batches(e_f_labels(12), seed=seed) for seed in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not all(np.array_equal(a["targets"], b["targets"]) for a, b in zip(first, other, strict=True))


def test_steps_have_three_shapes_at_most():
    cells = [*salts()[:6], GAS, decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O"))]
    model = tiny_cgcnn()
    drawn = cgcnn_batches(model, model.graphs(cells), e_f_labels(8), "energies", 3, 40, 0, Share())
    shapes = {tuple(array.shape for array in batch.values()) for batch in drawn}
    assert 1 < len(shapes) <= 3


def test_only_crystals_with_a_label_of_the_stage_are_seen():
    labels = e_f_labels(12, known=8)
    labels[9:, PROPERTIES.index("band_gap")] = 1.0
    for batch in batches(labels, "transfer", batch=3):
        assert (batch["weights"][:, :, PROPERTIES.index("band_gap")] > 0).any(axis=1).all()
    for batch in batches(labels, "energies"):
        assert (batch["weights"][:, :, 0] > 0).any(axis=1).all()


def test_missing_labels_become_targets_of_zero_without_weight():
    labels = e_f_labels(12, known=8)
    labels[:, 1] = -4.0
    batch = batches(labels, batch=12, steps=1)[0]
    assert np.isfinite(batch["targets"]).all()
    assert (batch["weights"].sum(axis=1) == 0).any()
    assert (batch["targets"][batch["weights"].sum(axis=1) == 0] == 0).all()


def test_rare_labels_weigh_more_but_not_without_bound():
    labels = np.full((12, len(PROPERTIES)), np.nan)
    labels[:, 2], labels[:3, 5], labels[0, 3] = 1.0, 0.2, 2.0
    weights = batches(labels, "transfer", batch=12, steps=1, see_all=True)[0]["weights"]
    assert weights[..., 2].max() == 1.0
    assert weights[..., 5].max() == pytest.approx(2.0)
    assert weights[..., 3].max() == pytest.approx(min(np.sqrt(12), MOST_BALANCE))


def test_every_label_is_kept_from_one_member():
    labels = e_f_labels(12, known=8)
    weights = member_weights(labels, 4)  # [12, 4, 8]
    assert weights[:8, :, 0].sum(axis=1).tolist() == [3] * 8
    assert weights[:8, :, 0].sum(axis=0).tolist() == [6] * 4
    assert weights[8:].sum() == weights[..., 1:].sum() == 0


def test_of_many_labels_a_member_misses_a_tenth():
    labels = e_f_labels(MANY_LABELS + 10)
    missed = 1.0 - member_weights(labels, 2)[:, :, 0]
    np.testing.assert_allclose(missed.mean(axis=0), [0.1, 0.1], atol=0.003)
    assert missed.sum(axis=1).max() == 1


def test_too_few_labels_are_shown_to_every_member():
    assert member_weights(e_f_labels(12, known=4), 4)[:4, :, 0].tolist() == [[1.0] * 4] * 4
