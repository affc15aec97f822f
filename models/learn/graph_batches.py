"""What the CGCNN sees in a training step: joined graphs, labels and who may see them. No training here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.learn.engine import Batch, Share
from crystalloop.models.learn.map_batches import row_batches
from crystalloop.models.maps.channels import Floats
from crystalloop.models.nets.cgcnn import CGCNN, Stage, heads_of, to_working
from crystalloop.models.nets.graphs import CrystalGraph, join_graphs

MOST_BALANCE = 8.0
"""Rare labels weigh more than frequent ones, but at most this much."""
MANY_LABELS = 400
"""Of more labels than this a member misses a tenth at most."""


def cgcnn_batches(
    model: CGCNN,
    graphs: Sequence[CrystalGraph],
    labels: NDArray[np.floating],
    stage: Stage,
    batch: int,
    steps: int,
    seed: int,
    share: Share,
    *,
    see_all: bool = False,
) -> Iterator[Batch]:
    """Batches for `CGCNN.compute_loss`, of the graphs that have a label of this stage.

    Args:
        model: for the scale of labels and the number of members.
        graphs: of the crystals, [c].
        labels: [c, 8] in the properties' units, NaN where missing.
        stage: which heads.
        batch: graphs in a step over all workers.
        steps: how many.
        seed: of the order.
        share: this worker's.
        see_all: no label is kept from any member.
    """
    heads = heads_of(stage)
    rows = np.flatnonzero(np.isfinite(labels[:, heads]).any(axis=1))
    known = np.isfinite(labels)
    scaled = (to_working(labels) - np.array(model.config.mean)) / np.array(model.config.scale)
    targets = np.where(known, scaled, 0.0).astype(np.float32)
    if see_all:
        weights = np.repeat(known[:, None, :], model.config.members, axis=1).astype(np.float32)
    else:
        weights = member_weights(labels, model.config.members)
    counts = known[:, heads].sum(axis=0)
    weights[:, :, heads] *= np.clip(np.sqrt(counts.max() / np.maximum(counts, 1)), 1.0, MOST_BALANCE)
    chosen = [rows[some] for _, some in row_batches(len(rows), min(batch, len(rows)), steps, seed, share)]
    for some, (atoms, edges) in zip(chosen, _rooms(graphs, chosen), strict=True):
        arrays = join_graphs([graphs[row] for row in some], atoms, edges).arrays()
        yield {**arrays, "targets": targets[some], "weights": weights[some]}


def _rooms(graphs: Sequence[CrystalGraph], chosen: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """Atoms and edges that each batch is padded to, [s, 2]: three sizes at most, so that few steps are traced."""
    sizes = np.array([(len(graph.numbers), len(graph.targets)) for graph in graphs])
    needed = np.array([sizes[rows].sum(axis=0) for rows in chosen])  # [s, 2]
    order = np.argsort(needed[:, 1], kind="stable")
    small = needed[:, 1].max() <= 1.5 * needed[:, 1].min()
    ends = [len(order)] if small else sorted({*np.ceil(np.array([0.5, 0.9, 1.0]) * len(order)).astype(int).tolist()})
    rooms, start = np.zeros_like(needed), 0
    for end in ends:
        rooms[order[start:end]] = needed[order[start:end]].max(axis=0)
        start = end
    return rooms


def member_weights(labels: NDArray[np.floating], members: int) -> Floats:
    """1 where a member may see a label: [c, m, 8].

    The i-th labelled crystal of a property is kept from member i mod f, unless there are too few to spare one; f is
    the number of members, but at least 4, and at least 10 where there are many labels.
    """
    known = np.isfinite(labels)  # [c, 8]
    order = np.cumsum(known, axis=0) - 1
    counts = known.sum(axis=0)
    folds = np.maximum(members, np.where(counts > MANY_LABELS, 10, 4))  # [8]
    kept_from = (order % folds)[:, None, :] == np.arange(members)[None, :, None]
    return np.asarray(known[:, None, :] & ~(kept_from & (counts > folds)), np.float32)
