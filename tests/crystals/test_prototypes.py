from __future__ import annotations

from math import comb, perm

import numpy as np
import pytest
from cubic_crystals import crystal_of, shared_records
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.models.crystals.elements import UnknownElement
from crystalloop.models.crystals.prototypes import InvalidDecoration, Prototype, decorations, roles
from crystalloop.models.crystals.structures import decorate, estimate_a_ang, match_prototype, plausible_oxidation

ELEMENTS = ("Na", "Mg", "O", "Cl")
EXAMPLES = {
    Prototype.ROCKSALT: (("Na", "Cl"), 225, 8),
    Prototype.CSCL: (("Cs", "Cl"), 221, 2),
    Prototype.ZINCBLENDE: (("Zn", "S"), 216, 8),
    Prototype.PEROVSKITE: (("Sr", "Ti", "O"), 221, 5),
    Prototype.HEUSLER: (("Co", "Mn", "Si"), 225, 16),
    Prototype.HALF_HEUSLER: (("Ni", "Ti", "Sn"), 216, 12),
}


@pytest.mark.parametrize("prototype", Prototype)
def test_a_decorated_cell_has_the_prototypes_symmetry_and_is_recognised(prototype):
    elements, spacegroup, atoms = EXAMPLES[prototype]
    cell = decorate(prototype, elements)
    assert len(cell) == atoms
    assert cell.get_space_group_info()[1] == spacegroup
    assert match_prototype(cell) is prototype
    assert match_prototype(cell.get_primitive_structure()) is prototype


@pytest.mark.parametrize("prototype", Prototype)
def test_a_prototype_is_recognised_in_another_origin_and_orientation(prototype):
    cell = decorate(prototype, EXAMPLES[prototype][0])
    cell.translate_sites(range(len(cell)), [0.13, 0.2, 0.71])
    assert match_prototype(cell) is prototype
    inverted = Structure(cell.lattice, cell.species, -cell.frac_coords)
    assert match_prototype(inverted) is prototype


def test_an_inverse_heusler_and_a_tetragonal_cell_match_no_prototype():
    sites = {"Ti": ([0, 0, 0], [0.25, 0.25, 0.25]), "Co": ([0.5, 0.5, 0.5],), "Si": ([0.75, 0.75, 0.75],)}
    species, coords = zip(*((kind, xyz) for kind, places in sites.items() for xyz in places), strict=True)
    inverse = Structure.from_spacegroup("F-43m", Lattice.cubic(5.9), species, coords)
    assert match_prototype(inverse) is None
    stretched = Structure(Lattice.tetragonal(4.0, 4.6), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert match_prototype(stretched) is None


@pytest.mark.parametrize("prototype", Prototype)
def test_decorations_name_each_distinct_crystal_once(prototype):
    found = list(decorations([prototype], ELEMENTS))
    pairs, n = len(roles(prototype)) == 2, len(ELEMENTS)
    expected = comb(n, 2) if pairs else perm(n, 3) // (1 if prototype is Prototype.PEROVSKITE else 2)
    assert len(found) == expected
    matcher = StructureMatcher()
    groups = matcher.group_structures([decorate(kind, elements, 6.0) for kind, elements in found])
    assert len(groups) == expected


def test_decorations_come_in_the_same_order_and_ignore_repeats():
    once = list(decorations(list(Prototype), ELEMENTS))
    assert once == list(decorations([*Prototype, Prototype.CSCL], (*ELEMENTS, "Na")))


def test_wrong_elements_are_refused():
    with pytest.raises(InvalidDecoration, match="3 different elements"):
        decorate(Prototype.PEROVSKITE, ("Sr", "Ti"))
    with pytest.raises(InvalidDecoration, match="2 different elements"):
        decorate(Prototype.CSCL, ("Cs", "Cs"))
    with pytest.raises(UnknownElement, match="Xx"):
        decorate(Prototype.CSCL, ("Xx", "Cs"))
    with pytest.raises(InvalidDecoration, match="positive"):
        decorate(Prototype.CSCL, ("Cs", "Cl"), a_ang=-1.0)


@pytest.mark.parametrize(
    ("prototype", "elements", "expected"),
    [
        (Prototype.ROCKSALT, ("Mg", "O"), (2, -2)),
        (Prototype.PEROVSKITE, ("Sr", "Ti", "O"), (2, 4, -2)),
        (Prototype.PEROVSKITE, ("K", "Mg", "F"), (1, 2, -1)),
        (Prototype.ROCKSALT, ("Mg", "Cl"), None),
        (Prototype.CSCL, ("Na", "Mg"), None),
    ],
)
def test_charges_balance_where_chemistry_says_so(prototype, elements, expected):
    assert plausible_oxidation(elements, prototype) == expected


@pytest.mark.parametrize(
    ("prototype", "elements", "a_ang"),
    [
        (Prototype.ROCKSALT, ("Na", "Cl"), 5.64),
        (Prototype.ROCKSALT, ("Mg", "O"), 4.21),
        (Prototype.CSCL, ("Ni", "Al"), 2.89),
        (Prototype.ZINCBLENDE, ("Ga", "As"), 5.65),
        (Prototype.PEROVSKITE, ("Sr", "Ti", "O"), 3.91),
        (Prototype.HEUSLER, ("Co", "Mn", "Si"), 5.65),
        (Prototype.HALF_HEUSLER, ("Ni", "Ti", "Sn"), 5.93),
    ],
)
def test_sizes_from_radii_are_within_six_per_cent_of_measured_cells(prototype, elements, a_ang):
    assert estimate_a_ang(prototype, elements) == pytest.approx(a_ang, rel=0.06)


def test_sizes_from_radii_are_within_eight_per_cent_of_the_shared_crystals(shared_data):
    errors: dict[Prototype, list[float]] = {}
    for record in shared_records(shared_data, 1500):
        if record["prototype"] in set(Prototype):
            prototype = Prototype(record["prototype"])
            elements = [record["sites"][role] for role in roles(prototype)]
            errors.setdefault(prototype, []).append(abs(estimate_a_ang(prototype, elements) / record["a"] - 1))
    assert len(errors) == 5
    assert all(np.mean(values) < 0.08 for values in errors.values())


def test_prototypes_of_the_shared_crystals_are_recognised(shared_data):
    for record in shared_records(shared_data, 20):
        expected = record["prototype"] if record["prototype"] in set(Prototype) else None
        assert match_prototype(crystal_of(record).to_structure()) == expected, record["id"]
