"""The CGCNN answers what it has labels for, and for a crystal, not for a cell."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated
from test_graph import GAS, PRIMITIVE, SALT, supercell
from tiny_networks import e_f_labels, salts, scrambled, tiny_cgcnn

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.learn.engine import Share
from crystalloop.models.learn.graph_batches import cgcnn_batches
from crystalloop.models.maps.channels import CLASSES
from crystalloop.models.nets.cgcnn import (
    LOGARITHMIC,
    predict_properties,
    predict_with_intervals,
    standardise,
    to_units,
    to_working,
)
from crystalloop.models.nets.configs import CGCNNConfig
from crystalloop.models.nets.graphs import CrystalGraph, join_graphs
from crystalloop.models.nets.message_passing import element_features

GAP = PROPERTIES.index("band_gap")


def with_gap(gap_ev: float):
    """An untrained ensemble, which answers the means of its training labels: 2 but for the gap."""
    means = np.array([gap_ev if name == "band_gap" else 2.0 for name in PROPERTIES])
    return tiny_cgcnn(mean=tuple(to_working(means).tolist()))


def test_an_untrained_network_answers_the_mean_of_the_training_labels():
    labels = np.random.default_rng(0).normal(5.0, 1.0, (12, len(PROPERTIES)))
    mean, scale, counts = standardise(labels)
    values, _ = predict_properties(tiny_cgcnn(mean=mean, scale=scale, labels=counts), salts())
    for name, column in zip(PROPERTIES, labels.T, strict=True):
        expected = np.exp(np.log(column).mean()) if name in LOGARITHMIC else column.mean()
        np.testing.assert_allclose(values[name], expected, rtol=1e-5)


@pytest.mark.parametrize("gap_ev", [0.0, -0.4, 0.049])
def test_without_a_gap_there_is_no_refractive_index_and_no_dielectric_constant(gap_ev):
    values, _ = predict_properties(with_gap(gap_ev), salts())
    assert (values["band_gap"] == 0).all()
    assert np.isnan(values["refractive_index"]).all()
    assert np.isnan(values["log10_dielectric"]).all()
    assert np.isfinite(values["log10_bulk_modulus"]).all()


def test_with_a_gap_there_are_both():
    values, _ = predict_properties(with_gap(1.5), salts())
    np.testing.assert_allclose([values["band_gap"][0], values["refractive_index"][0]], [1.5, 2.0], rtol=1e-6)


def test_a_property_without_labels_is_nan():
    labels = e_f_labels(12)
    values, sigma = predict_properties(scrambled(tiny_cgcnn(labels)), salts())
    assert np.isfinite(values["formation_energy_per_atom"]).all()
    for name in PROPERTIES[1:]:
        assert np.isnan(values[name]).all(), name
    assert (sigma > 0).all()


def test_without_formation_energies_their_uncertainty_is_nan():
    labels = np.full((12, len(PROPERTIES)), np.nan)
    labels[:, GAP] = 1.0
    assert np.isnan(predict_properties(tiny_cgcnn(labels), salts())[1]).all()


def test_the_error_on_unseen_crystals_is_the_least_uncertainty():
    error = (0.3,) + (0.0,) * (len(PROPERTIES) - 1)
    assert predict_properties(tiny_cgcnn(error=error), salts())[1] == pytest.approx(np.full(12, 0.3))
    assert (predict_properties(scrambled(tiny_cgcnn(error=error)), salts())[1] > 0.3).all()


def test_one_crystal_has_one_prediction_in_every_cell():
    model = scrambled(tiny_cgcnn())
    rows = model.member_predictions(model.graphs([SALT, PRIMITIVE, supercell(SALT, 2)]))
    np.testing.assert_allclose(rows[1:], rows[[0, 0]], rtol=1e-4, atol=1e-4)


def test_a_prediction_does_not_depend_on_the_other_crystals_of_the_batch():
    model = scrambled(tiny_cgcnn())
    graphs = model.graphs([SALT, decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O"))])
    np.testing.assert_allclose(
        model.member_predictions(graphs)[0], model.member_predictions(graphs[:1])[0], rtol=1e-4, atol=1e-4
    )


def test_other_elements_and_other_distances_give_other_predictions():
    model = scrambled(tiny_cgcnn())
    stretched = decorated(Prototype.ROCKSALT, ("Na", "Cl"), 6.2)
    rows = model.member_predictions(model.graphs([SALT, decorated(Prototype.ROCKSALT, ("K", "Cl"), 5.64), stretched]))
    assert np.abs(rows[1:] - rows[0]).max(axis=(1, 2)).min() > 1e-3


def test_a_gas_has_predictions_too():
    model = scrambled(tiny_cgcnn())
    values, sigma = predict_properties(model, [GAS])
    assert np.isfinite(values["formation_energy_per_atom"]).all()
    assert np.isfinite(sigma).all()


def test_no_crystal_has_no_prediction():
    values, sigma = predict_properties(tiny_cgcnn(), [])
    assert [len(values[name]) for name in PROPERTIES] == [0] * 8
    assert len(sigma) == 0


@pytest.mark.parametrize("stage", ["energies", "transfer"])
def test_masked_labels_have_no_influence_on_the_loss(stage):
    labels = e_f_labels(12, known=8)
    labels[4:, GAP] = 1.0
    model = scrambled(tiny_cgcnn(labels))
    labels[4:, PROPERTIES.index("poisson_ratio")] = 0.2
    batch = next(cgcnn_batches(model, model.graphs(salts()), labels, stage, 12, 1, 0, Share()))
    masked = batch["weights"].sum(axis=1) == 0
    assert masked.any()
    other = batch | {"targets": np.where(masked, 1e3, batch["targets"]).astype(np.float32)}
    one, two = (float(model.compute_loss(some, stage)["loss"]) for some in (batch, other))
    assert one == two
    assert one > 0


def test_padding_has_no_influence():
    model = scrambled(tiny_cgcnn())
    graphs = model.graphs([SALT])
    tight, wide = (np.asarray(model.energies(join_graphs(graphs, *room).arrays())) for room in ((None, None), (9, 20)))
    np.testing.assert_allclose(wide, tight, rtol=1e-4, atol=1e-5)


def test_a_crystal_alone_in_its_batch_has_the_whole_graphs_answer():
    """Merging equal atoms and equal edges changes nothing: the graph with every atom and edge answers the same."""
    model = scrambled(tiny_cgcnn())
    merged = model.graphs([SALT])[0]
    whole = unfolded(merged, copies=3)
    np.testing.assert_allclose(model.member_outputs([whole]), model.member_outputs([merged]), rtol=1e-4, atol=1e-4)


def unfolded(graph: CrystalGraph, copies: int) -> CrystalGraph:
    """Every atom `copies` times, every edge as often as it counts, to one copy of its source or another."""
    edges = np.repeat(np.arange(len(graph.targets)), graph.counts.astype(int))
    a, e = len(graph.numbers), len(edges)
    copy = np.repeat(np.arange(copies), e)
    targets = np.tile(graph.targets[edges], copies) + a * copy
    sources = np.tile(graph.sources[edges], copies) + a * ((copy + np.tile(np.arange(e), copies)) % copies)
    order = np.argsort(targets, kind="stable")
    return CrystalGraph(
        np.tile(graph.numbers, copies),
        np.tile(graph.shares / copies, copies),
        targets[order].astype(np.int32),
        sources[order].astype(np.int32),
        np.tile(graph.distances_ang[edges], copies)[order],
        np.ones(copies * e, np.float32),
    )


def test_transfer_starts_from_the_energies_convolution():
    model = scrambled(tiny_cgcnn())
    model.start_transfer()
    assert model.energies.trunk.keys() == model.others.trunk.keys()
    for name, weight in model.energies.trunk.items():
        np.testing.assert_array_equal(model.others.trunk[name], weight)
    before = [w.copy() for w in model.energies.get_weights()]
    for variable in model.stage_variables("transfer"):
        variable.assign(variable + 1.0)
    for old, now in zip(before, model.energies.get_weights(), strict=True):
        np.testing.assert_array_equal(now, old)


def test_neighbours_in_the_periodic_table_are_told_apart():
    features = element_features()
    assert features.shape[0] == CLASSES
    assert not features[0].any()
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) == CLASSES


def test_labels_are_standardised_where_there_are_enough():
    labels = np.full((4, 8), np.nan)
    labels[:, 0], labels[:2, 1], labels[0, 2] = [1, 2, 3, 4], [5, 5], 7
    mean, scale, counts = standardise(labels)
    assert mean[:4] == (2.5, 5.0, 7.0, 0.0)
    assert scale[0] == pytest.approx(np.std([1, 2, 3, 4]))
    assert scale[2:] == (1.0,) * 6
    assert scale[1] > 0
    assert counts == (4, 2, 1, 0, 0, 0, 0, 0)


def test_labels_are_learned_as_they_come_back():
    labels = np.random.default_rng(0).uniform(0.1, 3.0, (5, len(PROPERTIES)))
    np.testing.assert_allclose(to_units(to_working(labels)), labels, rtol=1e-6)


def test_an_interval_is_around_its_value_and_grows_with_the_factor():
    narrow, wide = (
        predict_with_intervals(scrambled(tiny_cgcnn(error=(0.1,) * 8, factor=(factor,) * 8)), salts())
        for factor in (1.0, 2.0)
    )
    e_f = "formation_energy_per_atom"
    for name in PROPERTIES:
        known = np.isfinite(narrow.values[name])
        assert (narrow.lower[name] <= narrow.values[name])[known].all(), name
        assert (narrow.upper[name] >= narrow.values[name])[known].all(), name
        assert (wide.sigma[name] > narrow.sigma[name])[known].all(), name
    np.testing.assert_allclose(wide.sigma[e_f], 2.0 * narrow.sigma[e_f], rtol=1e-4)
    np.testing.assert_allclose(narrow.upper[e_f] - narrow.lower[e_f], 2 * 1.645 * narrow.sigma[e_f], rtol=1e-3)


def test_a_gap_is_not_negative_even_at_the_end_of_its_interval():
    found = predict_with_intervals(tiny_cgcnn(mean=(0.0, 0.0, 0.2, *(0.0,) * 5), error=(1.0,) * 8), salts())
    assert (found.lower["band_gap"] == 0).all()
    assert (found.sigma["band_gap"] == 1.0).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"members": 0}, "must be at least 1"),
        ({"cutoff_ang": 0.5}, "cutoff_ang 0.5 is outside 1 to 15 angstrom"),
        ({"mean": (0.0,)}, "mean has 1 numbers; one for each of"),
    ],
)
def test_a_configuration_says_which_value_is_wrong(fields, said):
    with pytest.raises(ValueError, match=said):
        CGCNNConfig(**fields)
