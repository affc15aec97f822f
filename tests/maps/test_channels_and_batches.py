"""Channels keep small differences; batches show every crystal, in one origin, the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated
from tiny_networks import VOXELS, e_f_labels, salts, tiny_unet, tiny_vae

from crystalloop.models.crystals.crystal import Crystal, canonical_origin, translate, turn
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.learn.engine import Share
from crystalloop.models.learn.map_batches import (
    decoded_maps,
    elements_present,
    head_batches,
    row_batches,
    unet_batches,
    vae_batches,
)
from crystalloop.models.maps.channels import CHANNELS, compress, draw_maps, expand, from_channels, to_channels
from crystalloop.models.maps.voxels import code_batch, coordinates, density_batch, lattice_from_coordinates, lattices_of
from crystalloop.models.nets.configs import decile_edges


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def vae_batch(seed: int = 0, steps: int = 1, share: Share | None = None, crystals=None, **config):
    vae, labels = tiny_vae(decile_edges_ev=decile_edges(e_f_labels(12)[:, 0]), **config), e_f_labels(12, known=8)
    return vae_batches(crystals or salts(), labels, VOXELS, vae.config, 12, steps, seed, share or Share())


def test_compressed_densities_come_back():
    density = np.geomspace(1e-6, 1e3, 50)
    np.testing.assert_allclose(expand(compress(density)), density, rtol=2e-5)
    assert compress(np.zeros(3)).tolist() == [0, 0, 0]


def test_one_percent_of_a_peak_stays_one_percent():
    peaks = np.array([1.0, 10.0, 60.0, 500.0])
    np.testing.assert_allclose(compress(1.01 * peaks) - compress(peaks), np.log(1.01), rtol=0.04)
    np.testing.assert_allclose(expand(compress(1.01 * peaks)) / expand(compress(peaks)), 1.01, rtol=1e-5)


def test_channels_hold_density_and_lattice():
    crystals = salts()[:3]
    density, grid = density_batch(crystals, VOXELS), coordinates(lattices_of(crystals), VOXELS.n)
    codes = code_batch(crystals, VOXELS)
    back, positions, same = from_channels(to_channels(density, grid, codes))
    np.testing.assert_array_equal(same, codes)
    np.testing.assert_allclose(back, density, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(lattice_from_coordinates(positions), lattices_of(crystals), atol=1e-5)


def test_a_pass_shows_every_crystal_once():
    rows = np.concatenate([rows for _, rows in row_batches(12, 4, 6, 0, Share())])
    assert sorted(rows[:12]) == sorted(rows[12:]) == list(range(12))
    assert rows[:12].tolist() != rows[12:].tolist()


def test_a_batch_larger_than_the_data_is_filled_with_further_passes():
    (_, rows), *_ = row_batches(3, 8, 1, 0, Share())
    assert len(rows) == 8
    assert sorted(rows)[:2] == [0, 0]


@pytest.mark.parametrize("world", [2, 3])
def test_workers_share_a_batch_in_equal_parts(world):
    whole = [rows for _, rows in row_batches(12, 4, 5, 7, Share())] if world == 2 else None
    parts = [[rows for _, rows in row_batches(12, 4, 5, 7, Share(rank, world))] for rank in range(world)]
    assert {len(rows) for part in parts for rows in part} == {-(-4 // world)}
    for step in range(5):
        together = sorted(np.concatenate([part[step] for part in parts]))
        assert len(together) == -(-4 // world) * world
        assert whole is None or together == sorted(whole[step])


@pytest.mark.parametrize("kind", ["unet", "vae"])
def test_the_same_seed_gives_the_same_batches_and_another_one_others(kind):
    unet = tiny_unet().config
    draw = {
        "unet": lambda seed: unet_batches(salts(), VOXELS, unet, 4, 3, seed, Share()),
        "vae": lambda seed: vae_batch(seed, 3),
    }[kind]
    first, again, other = (list(draw(seed)) for seed in (1, 1, 2))
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(equal(a, b) for a, b in zip(first, other, strict=True))


def test_properties_are_standardised_and_masked_where_they_are_not_known():
    scale = (0.5,) + (0.0,) * 7
    config = tiny_vae(property_mean=(-1.0,) + (0.0,) * 7, property_scale=scale, a_ang=4.0).config
    facts, labels = np.arange(36, dtype=np.float32).reshape(12, 3), e_f_labels(12, known=8)
    batch = next(head_batches(facts, labels, np.full(12, 4.0 * np.exp(0.25)), config, 12, 1, 0, Share()))
    assert batch["known"][:, 0].sum() == 8
    assert not batch["known"][:, 1:8].any()
    shown = batch["targets"][batch["known"][:, 0] > 0, 0]
    np.testing.assert_allclose(sorted(shown * 0.5 - 1.0), sorted(labels[:8, 0]), rtol=1e-5)
    np.testing.assert_allclose(batch["targets"][:, 8], 1.0, rtol=1e-5)
    assert batch["known"][:, 8].all()


def test_a_turned_crystal_is_the_same_crystal_elsewhere():
    crystal = decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O"))
    long = Crystal(np.diag([4.0, 5.0, 6.0]), crystal.numbers, crystal.frac_coords)
    turned = turn(long, np.random.default_rng(1))
    assert sorted(turned.lengths_ang) == [4.0, 5.0, 6.0]
    apart = [np.linalg.norm((c.frac_coords[1] - c.frac_coords[0] + 0.5) % 1.0 - 0.5) for c in (long, turned)]
    assert apart[0] == pytest.approx(apart[1])


def test_decoded_maps_show_the_decoders_maps_with_the_true_labels():
    vae, unet, standing = tiny_vae(), tiny_unet(), [canonical_origin(crystal) for crystal in salts()]
    maps_of = decoded_maps(standing, e_f_labels(12)[:, 0], vae, VOXELS)
    batch = next(unet_batches(standing, VOXELS, unet.config, 4, 1, 0, Share(), maps_of))
    assert batch["maps"].shape == (4, 8, 8, 8, CHANNELS)
    assert set(np.unique(batch["species"])) <= {0, *np.concatenate([c.numbers for c in standing]).tolist()}
    assert not any(np.allclose(maps, true) for maps in batch["maps"] for true in draw_maps(standing, VOXELS))


def test_unlabelled_crystals_go_without_a_condition():
    batch = next(vae_batch(drop_condition=0.0))
    known = {maps.tobytes() for maps in draw_maps([canonical_origin(c) for c in salts()[:8]], VOXELS)}
    for maps, condition in zip(batch["maps"], batch["condition"], strict=True):
        assert condition.sum() == (maps.tobytes() in known)


def test_the_condition_of_some_labelled_crystals_is_left_out():
    shown = sum(batch["condition"].sum() for batch in vae_batch(steps=50, drop_condition=0.5))
    assert 0.4 < shown / (50 * 8) < 0.6


def test_beta_grows_to_its_value_over_the_warm_up():
    betas = [float(batch["beta"]) for batch in vae_batch(steps=10, beta=0.2, warm_up=0.5)]
    np.testing.assert_allclose(betas, 0.2 * np.minimum(1, np.arange(1, 11) / 5), rtol=1e-6)
    assert float(next(vae_batch(steps=1, beta=0.2, warm_up=0.0))["beta"]) == pytest.approx(0.2)


def test_workers_draw_different_noise():
    noise = [next(vae_batch(share=Share(rank, 2)))["noise"] for rank in (0, 1)]
    assert not np.allclose(noise[0], noise[1])


def test_elements_present_are_marked():
    present = elements_present(salts()[:1])
    assert np.flatnonzero(present[0]).tolist() == [11, 17]


@pytest.mark.parametrize(
    "crystal",
    [
        decorated(Prototype.ROCKSALT, ("Na", "Cl")),
        decorated(Prototype.CSCL, ("Cs", "Cl")),
        decorated(Prototype.ZINCBLENDE, ("Zn", "S")),
        decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O")),
        decorated(Prototype.HEUSLER, ("Ni", "Mn", "Al")),
        decorated(Prototype.HALF_HEUSLER, ("Ti", "Ni", "Sn")),
    ],
    ids=lambda crystal: crystal.formula,
)
def test_one_crystal_has_one_map_whatever_its_origin_hand_and_order(crystal):
    rng = np.random.default_rng(5)
    standard = draw_maps([canonical_origin(crystal)], VOXELS)
    for sign in (1, -1):
        order = rng.permutation(len(crystal))
        other = Crystal(crystal.lattice, crystal.numbers[order], sign * crystal.frac_coords[order])
        moved = canonical_origin(translate(other, rng.random(3)))
        np.testing.assert_allclose(draw_maps([moved], VOXELS), standard, atol=1e-4)


def test_a_translated_crystal_has_the_translated_map():
    here, there = (density_batch([c], VOXELS)[0] for c in (salts()[0], translate(salts()[0], np.array([0.25, 0, 0.5]))))
    np.testing.assert_allclose(there, np.roll(here, (2, 0, 4), axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
