"""The neighbour graph is the crystal's, not the cell's: distances, periodicity, padding."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated

from models.batches import translate
from models.crystal import Crystal
from models.graph import CrystalGraph, build_graph, pad_batch
from models.prototypes import Prototype

A = 5.64
SALT = decorated(Prototype.ROCKSALT, ("Na", "Cl"), A)
PRIMITIVE = Crystal(A / 2 * (1 - np.eye(3)), np.array([11, 17]), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))


def supercell(crystal: Crystal, times: int) -> Crystal:
    shifts = np.arange(times)[:, None] * np.array([1, 0, 0])
    coords = (crystal.frac_coords[None] + shifts[:, None]).reshape(-1, 3) / [times, 1, 1]
    return Crystal(crystal.lattice * np.array([[times], [1], [1]]), np.tile(crystal.numbers, times), coords)


def facts(graph: CrystalGraph) -> list:
    """What does not depend on the order of atoms: for each element its neighbours' elements and distances."""
    rows = zip(graph.numbers, graph.neighbours, graph.distances_ang, strict=True)
    return sorted((int(z), graph.numbers[near].tolist(), np.round(d, 3).tolist()) for z, near, d in rows)


def test_rock_salt_has_six_neighbours_of_the_other_kind_then_six_of_its_own():
    graph = build_graph(SALT)
    assert sorted(graph.numbers) == [11, 17]
    for own, other in ((11, 17), (17, 11)):
        atom = graph.numbers.tolist().index(own)
        assert graph.numbers[graph.neighbours[atom]].tolist() == [other] * 6 + [own] * 6
        np.testing.assert_allclose(graph.distances_ang[atom], [A / 2] * 6 + [A / np.sqrt(2)] * 6, rtol=1e-5)


def test_caesium_chloride_has_eight_and_six():
    graph = build_graph(decorated(Prototype.CSCL, ("Cs", "Cl"), 4.12), neighbours=14)
    np.testing.assert_allclose(graph.distances_ang[0], [4.12 * np.sqrt(0.75)] * 8 + [4.12] * 6, rtol=1e-5)


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


def test_neighbours_are_the_nearest_of_all_periodic_images():
    skewed = Crystal(
        np.array([[4.0, 0, 0], [1.5, 3.5, 0], [-0.7, 1.1, 4.2]]),
        np.array([8, 12, 22]),
        np.array([[0.03, 0.05, 0.9], [0.5, 0.45, 0.55], [0.1, 0.6, 0.2]]),
    )
    graph = build_graph(skewed)
    expected = skewed.to_structure()
    for atom, number in enumerate(graph.numbers):
        site = skewed.numbers.tolist().index(int(number))
        distances = sorted(near.nn_distance for near in expected.get_neighbors(expected[site], 6.0))[:12]
        np.testing.assert_allclose(graph.distances_ang[atom], distances, atol=1e-4)


def test_a_lonely_atom_has_no_neighbours():
    graph = build_graph(Crystal(20.0 * np.eye(3), np.array([18]), np.zeros((1, 3))))
    assert np.isinf(graph.distances_ang).all()


def test_graphs_are_padded_to_one_shape():
    small, large = build_graph(SALT), build_graph(decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O")))
    batch = pad_batch([small, large], atoms=7)
    assert batch.numbers.tolist()[0][2:] == [0] * 5
    assert np.isinf(batch.distances_ang[0, 2:]).all()
    np.testing.assert_array_equal(batch.distances_ang[1, :5], large.distances_ang)
    assert {array.shape[:2] for array in batch.arrays().values()} == {(2, 7)}


def test_padding_nothing_or_too_much_is_refused():
    with pytest.raises(ValueError, match="no graph to pad"):
        pad_batch([])
    with pytest.raises(ValueError, match="a graph has 2 atoms, more than the 1"):
        pad_batch([build_graph(SALT)], atoms=1)
