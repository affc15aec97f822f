"""The shortcut for sites on eighths finds what spglib finds."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_networks import salts

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.symmetry import _found_by_spglib, symmetrise

_FACES = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
_EIGHTHS = [(x, y, z) for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)]
HEUSLER = np.array([*_FACES, *[tuple(0.5 + x for x in site) for site in _FACES], *_EIGHTHS])


def noisy(numbers, frac, edge, scale, seed=0):
    shift = np.random.default_rng(seed).uniform(-scale, scale, (len(numbers), 3))
    return Crystal(np.eye(3) * edge, np.array(numbers), np.asarray(frac) + shift / edge)


@pytest.mark.parametrize(
    ("numbers", "sites", "group"),
    [
        ([22] * 4 + [28] * 4 + [50] * 8, 16, 225),  # full Heusler
        ([22] * 4 + [28] * 4 + [50] * 4 + [29] * 4, 16, 225),  # its eighths in layers
        ([22] * 16, 2, 229),  # a body-centred supercell
        ([22, 23, 23, 23] + [28] * 4 + [50] * 8, 16, 221),  # one corner atom replaced
    ],
)
def test_crystals_on_eighths_get_the_cell_that_spglib_gives(numbers, sites, group):
    crystal = noisy(numbers, HEUSLER, 6.1, 0.02)
    made = symmetrise(crystal, 0.3)
    slow = _found_by_spglib(crystal.lattice, crystal.frac_coords, crystal.numbers, 0.3)
    again = _found_by_spglib(made.lattice, made.frac_coords, made.numbers, 1e-4)
    assert slow is not None and again is not None
    assert again.number == slow.number
    assert sorted(made.numbers) == sorted(slow.kinds)
    assert made.volume_ang3 / len(made) == pytest.approx(crystal.volume_ang3 / len(crystal))
    if group != 225 or len(set(numbers)) == 3:
        assert (again.number, len(made)) == (group, sites)


def test_elements_keep_their_places_in_a_known_pattern():
    for one, other in ((3, 9), (9, 3), (11, 17)):
        made = symmetrise(noisy([one] * 4 + [other] * 4, HEUSLER[:8], 5.0, 0.01))
        assert {tuple(made.numbers[np.abs(made.frac_coords).sum(axis=1) < 1e-9])} == {(one,)}
        assert sorted(made.numbers) == sorted([one] * 4 + [other] * 4)


def test_sites_off_the_eighths_are_left_to_spglib():
    crystal = salts()[0]
    off = Crystal(crystal.lattice, crystal.numbers, crystal.frac_coords + np.linspace(0, 0.09, len(crystal))[:, None])
    assert not np.allclose(symmetrise(off, 0.01).frac_coords * 8 % 1, 0.0)


def test_two_atoms_on_one_eighth_are_not_merged_into_a_pattern():
    crystal = noisy([3] * 4 + [9] * 4 + [9], [*HEUSLER[:8], HEUSLER[0]], 5.0, 0.0)
    assert len(symmetrise(crystal)) in (1, 9)
