"""The CGCNN answers what it has labels for, and for a crystal, not for a cell."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated
from test_graph import PRIMITIVE, SALT, supercell
from tiny_networks import e_f_labels, salts, scrambled, tiny_cgcnn

from models.batches import Share, cgcnn_batches
from models.cgcnn import CGCNNConfig, element_features, predict_properties, standardise
from models.channels import CLASSES
from models.crystal import Crystal
from models.graph import pad_batch
from models.properties import PROPERTIES
from models.prototypes import Prototype

GAP = PROPERTIES.index("band_gap")


def with_gap(gap_ev: float):
    """An untrained ensemble, which answers the means of its training labels."""
    mean = tuple(gap_ev if name == "band_gap" else 2.0 for name in PROPERTIES)
    return tiny_cgcnn(mean=mean)


def test_an_untrained_network_answers_the_mean_of_the_training_labels():
    labels = np.random.default_rng(0).normal(5.0, 1.0, (12, len(PROPERTIES)))
    mean, scale, counts = standardise(labels)
    values, _ = predict_properties(tiny_cgcnn(mean=mean, scale=scale, labels=counts), salts())
    for name, column in zip(PROPERTIES, labels.T, strict=True):
        np.testing.assert_allclose(values[name], column.mean(), rtol=1e-5)


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
    values, sigma = predict_properties(model, [Crystal(20.0 * np.eye(3), np.array([18]), np.zeros((1, 3)))])
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
    batch = next(cgcnn_batches(model, salts(), labels, 12, 1, 0, Share()))
    masked = batch["weights"].sum(axis=1) == 0
    assert masked.any()
    other = batch | {"targets": np.where(masked, 1e3, batch["targets"]).astype(np.float32)}
    one, two = (float(model.compute_loss(some, stage)["loss"]) for some in (batch, other))
    assert one == two
    assert one > 0


def test_padding_atoms_have_no_influence():
    model = scrambled(tiny_cgcnn())
    graphs = model.graphs([SALT])
    tight, wide = (np.asarray(model.energies(pad_batch(graphs, atoms).arrays(), training=False)) for atoms in (None, 9))
    np.testing.assert_allclose(wide, tight, rtol=1e-4, atol=1e-5)


def test_transfer_starts_from_the_energies_convolution():
    model = scrambled(tiny_cgcnn())
    model.start_transfer()
    for layer in model.energies.layers:
        if layer.name.startswith("trunk"):
            for mine, copy in zip(layer.get_weights(), model.others.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(copy, mine)
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
