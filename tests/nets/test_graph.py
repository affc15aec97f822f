"""The neighbour graph is the crystal's, not the cell's: distances, periodicity, symmetry, joining."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.crystal import Crystal, translate
from crystalloop.models.crystals.elements import UnknownElement
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.nets.graphs import SHELL_ANG, CrystalGraph, build_graph, build_graphs, join_graphs

A = 5.64
SALT = decorated(Prototype.ROCKSALT, ("Na", "Cl"), A)
PRIMITIVE = Crystal(A / 2 * (1 - np.eye(3)), np.array([11, 17]), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
SKEWED = Crystal(
    np.array([[4.0, 0, 0], [1.5, 3.5, 0], [-0.7, 1.1, 4.2]]),
    np.array([8, 12, 22]),
    np.array([[0.03, 0.05, 0.9], [0.5, 0.45, 0.55], [0.1, 0.6, 0.2]]),
)
GAS = Crystal(20.0 * np.eye(3), np.array([18]), np.zeros((1, 3)))


def supercell(crystal: Crystal, times: int) -> Crystal:
    shifts = np.arange(times)[:, None] * np.array([1, 0, 0])
    coords = (crystal.frac_coords[None] + shifts[:, None]).reshape(-1, 3) / [times, 1, 1]
    return Crystal(crystal.lattice * np.array([[times], [1], [1]]), np.tile(crystal.numbers, times), coords)


def facts(graph: CrystalGraph) -> list:
    """What does not depend on the order of atoms: for each one its element, share, and neighbours."""
    rows = []
    for atom, number in enumerate(graph.numbers):
        mine = graph.targets == atom
        columns = (graph.numbers[graph.sources[mine]], np.round(graph.distances_ang[mine], 3), graph.counts[mine])
        rows.append((int(number), round(float(graph.shares[atom]), 6), sorted(zip(*columns, strict=True))))
    return sorted(rows)


def test_rock_salt_has_six_neighbours_of_the_other_kind_and_the_whole_second_shell():
    graph = build_graph(SALT)
    assert sorted(graph.numbers) == [11, 17]
    assert graph.shares.tolist() == [0.5, 0.5]
    for own, other in ((11, 17), (17, 11)):
        mine = graph.targets == graph.numbers.tolist().index(own)
        assert graph.numbers[graph.sources[mine]].tolist() in ([other, own], [own, other])
        assert sorted(graph.counts[mine]) == [6, 12]
        np.testing.assert_allclose(sorted(graph.distances_ang[mine]), [A / 2, A / np.sqrt(2)], rtol=1e-5)


def test_a_perovskite_has_three_kinds_of_atoms():
    graph = build_graph(decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O")))
    share = dict(zip(graph.numbers.tolist(), graph.shares.tolist(), strict=True))
    assert share == pytest.approx({38: 0.2, 22: 0.2, 8: 0.6})


@pytest.mark.parametrize(
    "other",
    [
        PRIMITIVE,
        supercell(SALT, 2),
        translate(SALT, np.array([0.1, 0.27, 0.8])),
        Crystal(SALT.lattice, SALT.numbers[::-1], SALT.frac_coords[::-1]),
        Crystal(SALT.lattice[[1, 0, 2]], SALT.numbers, SALT.frac_coords[:, [1, 0, 2]]),
    ],
    ids=["primitive", "supercell", "translated", "other order", "other axes"],
)
def test_the_graph_does_not_depend_on_the_cell_that_was_given(other):
    assert facts(build_graph(other)) == facts(build_graph(SALT))


def test_atoms_of_one_element_in_different_places_are_told_apart():
    along = np.array([0.0, 0.21, 0.43, 0.7])
    chain = Crystal(np.diag([3.0, 3.2, 12.0]), np.full(4, 14), np.stack([np.zeros(4), np.zeros(4), along], axis=1))
    assert len(build_graph(chain).numbers) == 4


@pytest.mark.parametrize("neighbours", [4, 12])
def test_neighbours_are_the_nearest_of_all_periodic_images_and_the_rest_of_their_shell(neighbours):
    graph = build_graph(SKEWED, neighbours=neighbours)
    expected = SKEWED.to_structure()
    for atom, number in enumerate(graph.numbers):
        site = SKEWED.numbers.tolist().index(int(number))
        every = sorted(near.nn_distance for near in expected.get_neighbors(expected[site], 8.0))
        within = [d for d in every if d <= every[neighbours - 1] + SHELL_ANG]
        mine = graph.targets == atom
        found = np.sort(np.repeat(graph.distances_ang[mine], graph.counts[mine].astype(int)))
        np.testing.assert_allclose(found, within, atol=0.01)


def test_a_lonely_atom_has_no_neighbours():
    graph = build_graph(GAS)
    assert len(graph.targets) == 0
    assert graph.shares.tolist() == [1.0]


def test_many_graphs_at_once_are_those_of_each_crystal():
    crystals = [GAS, SALT, SKEWED, supercell(SALT, 3), decorated(Prototype.HEUSLER, ("Ni", "Mn", "Al")), GAS]
    for many, one in zip(build_graphs(crystals), map(build_graph, crystals), strict=True):
        for name in CrystalGraph.__annotations__:
            np.testing.assert_allclose(getattr(many, name), getattr(one, name), rtol=1e-6)


def test_an_element_without_a_class_is_an_error():
    with pytest.raises(UnknownElement, match=r"Am has atomic number 95; the networks know 1 to 94 \(up to Pu\)"):
        build_graph(Crystal(4.0 * np.eye(3), np.array([95]), np.zeros((1, 3))))


def test_joined_graphs_keep_their_edges_and_padding_counts_nothing():
    small, large = build_graph(SALT), build_graph(decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O")))
    edges = len(small.targets) + len(large.targets)
    batch = join_graphs([small, large], atoms=9, edges=edges + 3)
    assert batch.graphs[:5].tolist() == [0, 0, 1, 1, 1]
    assert batch.shares[5:].tolist() == [0.0] * 4
    assert batch.counts[edges:].tolist() == [0.0] * 3
    mine = slice(len(small.targets), edges)
    np.testing.assert_array_equal(batch.numbers[batch.sources[mine]], large.numbers[large.sources])
    np.testing.assert_array_equal(batch.numbers[batch.targets[mine]], large.numbers[large.targets])
    assert (np.diff(batch.targets) >= 0).all()
    assert {len(array) for array in batch.arrays().values()} == {2, 9, edges + 3}


def test_joining_nothing_or_too_much_is_refused():
    with pytest.raises(ValueError, match="no graph to join"):
        join_graphs([])
    with pytest.raises(ValueError, match=r"2 atoms and 4 edges, more than the 1 and 4 of the batch"):
        join_graphs([build_graph(SALT)], atoms=1)
