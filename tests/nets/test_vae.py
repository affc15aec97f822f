"""The VAE's numbers mean what they say: deciles, cells, the linear frame, the fitted prior, the losses."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops
from tiny_networks import VOXELS, N, e_f_labels, salts, scrambled, tiny_unet, tiny_vae

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.learn.engine import Share
from crystalloop.models.learn.map_batches import vae_batches
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.maps.voxels import coordinates, lattice_from_coordinates, lattices_of
from crystalloop.models.nets.configs import DECILES, VAEConfig, decile_edges, decile_one_hot
from crystalloop.models.nets.vae import active_units, feature_distance

E_F = e_f_labels(12)[:, 0]
MAPS = draw_maps([canonical_origin(crystal) for crystal in salts()], VOXELS)
NO_CONDITION = np.zeros((len(MAPS), DECILES), np.float32)


def latents(count: int, size: int = 3) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((count, size)).astype(np.float32)


def batch_of(vae) -> dict:
    return next(vae_batches(salts(), e_f_labels(12), VOXELS, vae.config, 6, 1, 0, Share()))


def loss_parts(vae, batch, unet) -> dict[str, float]:
    tensors = {name: ops.convert_to_tensor(array) for name, array in batch.items()}
    return {name: float(part) for name, part in vae.compute_loss(tensors, unet).items()}


def test_each_decile_of_the_training_set_holds_a_tenth_of_it():
    e_f = np.random.default_rng(0).normal(size=200)
    one_hot = decile_one_hot(e_f, decile_edges(e_f))
    assert one_hot.sum(axis=0).tolist() == [20] * 10
    assert one_hot[e_f.argmin()].argmax() == 0
    assert one_hot[e_f.argmax()].argmax() == 9


def test_energies_beyond_the_training_set_fall_in_the_outer_deciles():
    edges = tuple(np.linspace(-2, 0, 9))
    assert decile_one_hot(np.array([-50.0, -2.0, -1.999, 0.0, 0.001, 50.0]), edges).argmax(axis=1).tolist() == [
        0,
        0,
        1,
        8,
        9,
        9,
    ]


def test_unknown_energies_have_no_decile():
    one_hot = decile_one_hot(np.array([np.nan, -1.0, np.nan]), tuple(np.linspace(-2, 0, 9)))
    assert one_hot.sum(axis=1).tolist() == [0, 1, 0]


@pytest.mark.parametrize("known", [0, 1])
def test_without_two_energies_there_are_no_deciles(known):
    edges = decile_edges(e_f_labels(12, known)[:, 0])
    assert edges == ()
    assert not decile_one_hot(E_F, edges).any()


def test_decoded_cells_are_exactly_cubic_and_the_coordinates_are_theirs():
    out = scrambled(tiny_vae(a_ang=4.5)).decode(latents(5), NO_CONDITION[:5])
    np.testing.assert_array_equal(out.lattice, out.lattice[:, :1, :1] * np.eye(3))
    np.testing.assert_allclose(lattice_from_coordinates(out.maps[..., 1:4] * 5.0), out.lattice, rtol=1e-5, atol=1e-5)
    assert np.ptp(out.lattice[:, 0, 0]) > 0.01


def test_an_untrained_decoder_starts_from_the_mean_edge():
    out = tiny_vae(a_ang=4.5).decode(latents(2), NO_CONDITION[:2])
    np.testing.assert_allclose(out.lattice[:, 0, 0], 4.5, rtol=1e-6)


def test_other_cells_than_cubic_are_decoded_right_handed():
    out = scrambled(tiny_vae(cubic=False)).decode(latents(5), NO_CONDITION[:5])
    assert (np.linalg.det(out.lattice) > 0).all()
    assert (np.abs(out.lattice[:, 1, 0]) > 1e-4).all()
    grid = np.stack([coordinates(lattice, N) for lattice in out.lattice])
    np.testing.assert_allclose(out.maps[..., 1:4] * 5.0, grid, atol=1e-4)


def test_decoded_densities_are_never_negative_and_elements_are_probabilities():
    out = scrambled(tiny_vae()).decode(latents(5), NO_CONDITION[:5])
    assert (out.maps[..., 0] >= 0).all()
    assert ((out.elements >= 0) & (out.elements <= 1)).all()


def test_the_frame_alone_gives_the_training_crystals_back():
    vae = tiny_vae(latent=8, hidden=8, a_ang=5.0)
    vae.start_frame(MAPS)
    mean, _ = vae.encode(MAPS, NO_CONDITION)
    np.testing.assert_allclose(mean.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.square(mean).mean(axis=0), 1, atol=1e-3)
    out = vae.decode(mean, NO_CONDITION)
    error = np.square(out.maps[..., 4:] - MAPS[..., 4:]).sum() / np.square(MAPS[..., 4:] - MAPS[..., 4:].mean(0)).sum()
    assert error < 0.05
    edges = lattices_of([canonical_origin(crystal) for crystal in salts()])[:, 0, 0]
    np.testing.assert_allclose(out.lattice[:, 0, 0], edges, atol=0.05)


def test_directions_beyond_the_data_carry_nothing():
    vae = tiny_vae(latent=8, hidden=8)
    vae.start_frame(MAPS[:3])
    mean, log_variance = vae.encode(MAPS[:3], NO_CONDITION[:3])
    assert not mean[:, 2:].any()
    assert active_units(mean, log_variance) <= 2


def test_the_frame_sees_orthorhombic_and_oblique_cells():
    vae = tiny_vae(latent=8, hidden=8, cubic=False)
    rng = np.random.default_rng(0)
    crystals = [
        Crystal(np.diag(rng.uniform(4, 6, 3)) + np.tril(rng.uniform(-1, 1, (3, 3)), -1), c.numbers, c.frac_coords)
        for c in [salts()[0]] * 12
    ]
    maps = draw_maps(crystals, VOXELS)
    vae.start_frame(maps)
    out = vae.decode(vae.encode(maps, NO_CONDITION)[0], NO_CONDITION)
    np.testing.assert_allclose(out.lattice, lattices_of(crystals), atol=0.02)


def test_without_a_frame_there_are_the_papers_networks_only():
    vae = tiny_vae(frame=False, rank=0, codes=False, patch=1)
    vae.start_frame(MAPS)
    assert not any(layer.name.startswith("frame") for layer in (*vae.encoder.layers, *vae.decoder.layers))
    assert not scrambled(vae).decode(latents(2), NO_CONDITION[:2]).maps[..., 4:].any()


def test_the_fitted_prior_is_kept_with_the_weights_and_knows_the_training_crystals():
    vae = tiny_vae(latent=8, hidden=8)
    vae.start_frame(MAPS)
    facts = vae.fit_prior(MAPS, NO_CONDITION, np.random.default_rng(0))
    mean, _ = vae.encode(MAPS, NO_CONDITION)
    assert facts["log_density_prior"] == pytest.approx(vae.prior.log_density(mean).mean(), rel=1e-3)
    assert facts["log_density_prior"] > facts["log_density_normal"] - 1.0  # twelve whitened points are nearly normal
    assert 0 < facts["active_units"] <= 8
    assert vae.prior.sample(np.random.default_rng(0), 5).shape == (5, 8)
    assert vae.config.components == 1


def test_properties_are_predicted_in_their_units_and_only_where_there_were_labels():
    scale = (0.5,) + (0.0,) * (len(PROPERTIES) - 1)
    vae = tiny_vae(property_mean=(-1.5,) * len(PROPERTIES), property_scale=scale)
    predicted = vae.predict(latents(4))
    np.testing.assert_allclose(predicted[:, 0], -1.5)
    assert np.isnan(predicted[:, 1:]).all()


def test_nothing_to_decode_is_an_error():
    with pytest.raises(ValueError, match="no latent vectors; give at least one row"):
        tiny_vae().decode(latents(0), NO_CONDITION[:0])


def test_encoding_in_parts_is_encoding_at_once():
    vae = scrambled(tiny_vae())
    for whole, parts in zip(vae.encode(MAPS, NO_CONDITION), vae.encode(MAPS, NO_CONDITION, batch=5), strict=True):
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-4)


def test_the_condition_reaches_encoder_and_decoder():
    vae = scrambled(tiny_vae())
    low = np.eye(DECILES, dtype=np.float32)[[0] * len(MAPS)]
    assert not np.allclose(vae.encode(MAPS, low)[0], vae.encode(MAPS, NO_CONDITION)[0])
    assert not np.allclose(vae.decode(latents(12), low).maps, vae.decode(latents(12), NO_CONDITION).maps)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    unet, vae = tiny_unet(), scrambled(tiny_vae())
    batch, c = batch_of(vae), vae.config
    parts = loss_parts(vae, batch, unet)
    weighted = c.density_weight * parts["density"] + c.coordinate_weight * parts["coordinates"]
    weighted += float(batch["beta"]) * parts["kl"] + c.alpha * parts["features"]
    weighted += c.code_weight * parts["codes"]
    assert parts["loss"] == pytest.approx(weighted + c.composition_weight * parts["elements"], rel=1e-4)
    assert parts["kl"] >= 0


def test_without_alpha_the_unet_is_not_asked():
    vae = tiny_vae(alpha=0.0)
    assert "features" not in loss_parts(vae, batch_of(vae), None)


def test_the_coordinate_loss_is_in_square_angstrom():
    vae, edge = tiny_vae(a_ang=4.0), lattices_of([canonical_origin(crystal) for crystal in salts()])[:, 0, 0]
    batch = batch_of(vae) | {"maps": MAPS[:6]}
    i = np.arange(N) / N
    expected = np.mean(np.square(edge[:6] - 4.0)) * np.mean(i**2)
    assert loss_parts(vae, batch, tiny_unet())["coordinates"] == pytest.approx(expected, rel=1e-3)


def test_the_deep_feature_loss_is_zero_for_equal_maps_and_leaves_the_unet_alone():
    unet, vae = scrambled(tiny_unet()), tiny_vae()
    assert float(feature_distance(unet, MAPS, MAPS)) == 0
    assert float(feature_distance(unet, MAPS, np.roll(MAPS, 1, axis=0))) > 0
    mine = {id(variable) for variable in vae.trainable}
    assert mine.isdisjoint(id(variable) for variable in unet.trainable)


def test_a_latent_dimension_that_says_nothing_is_not_active():
    mean, log_variance = np.zeros((5, 3), np.float32), np.zeros((5, 3), np.float32)
    mean[:, 1] = [1, -1, 2, 0, 1]
    assert active_units(mean, log_variance) == 1
    assert active_units(np.zeros((5, 3), np.float32), log_variance) == 0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n": 12, "patch": 8}, "n 12 cannot be folded by 8"),
        ({"latent": 64, "hidden": 32}, "hidden 32 is narrower than latent 64"),
        ({"decile_edges_ev": (0.0, 1.0)}, "2 decile_edges_ev; give 9"),
        ({"a_ang": 0.0}, "a_ang 0.0 must be positive"),
    ],
)
def test_a_configuration_says_which_value_is_wrong(fields, said):
    with pytest.raises(ValueError, match=said):
        VAEConfig(**fields)


@pytest.mark.parametrize("n", [16, 24, 32, 48, 64])
def test_the_compact_preset_fits_every_grid_that_a_campaign_may_have(n):
    assert VAEConfig.preset("compact", n).n == n


@pytest.mark.parametrize("n", [16, 32, 48, 64])
def test_the_papers_preset_fits_grids_that_can_be_halved_four_times(n):
    assert VAEConfig.preset("paper", n).latent == 256


def test_latents_far_outside_the_prior_are_decoded_to_finite_maps_too():
    out = scrambled(tiny_vae()).decode(10 * latents(4), NO_CONDITION[:4])
    assert np.isfinite(ops.convert_to_numpy(out.maps)).all()
    assert (out.lattice[:, 0, 0] > 0.1).all()
