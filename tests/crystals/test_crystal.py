from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ase.data import chemical_symbols, covalent_radii
from cubic_crystals import decorated
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from crystalloop.models.crystals.crystal import Crystal, InvalidCrystal
from crystalloop.models.crystals.elements import (
    DEFAULT_IONIC_RADIUS_ANG,
    UnknownElement,
    atomic_number,
    covalent_radii_ang,
    ionic_radii_ang,
    symbol_of,
    symbols,
)
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import conventional


def test_symbols_are_those_of_ase():
    assert list(symbols()) == chemical_symbols


def test_covalent_radii_are_those_of_ase():
    np.testing.assert_allclose(covalent_radii_ang()[1:], covalent_radii[1:], atol=0.005)


def test_ionic_radii_are_the_means_of_pymatgen():
    for number in range(1, 104):
        listed = list(Element.from_Z(number).ionic_radii.values())
        expected = np.mean(listed) if listed else DEFAULT_IONIC_RADIUS_ANG
        assert ionic_radii_ang()[number] == pytest.approx(expected, abs=1e-4)


def test_an_unknown_element_is_named():
    with pytest.raises(UnknownElement, match="'Na1\\+'"):
        atomic_number("Na1+")
    with pytest.raises(UnknownElement, match="119"):
        symbol_of(119)


def test_modules_of_arrays_import_without_pymatgen():
    program = (
        "import sys; sys.modules['pymatgen'] = None; sys.modules['ase'] = None; sys.modules['spglib'] = None\n"
        "import crystalloop.models.crystals.crystal, crystalloop.models.crystals.elements\n"
        "import crystalloop.models.crystals.prototypes\n"
        "import crystalloop.models.maps.voxels, crystalloop.models.maps.sites_from_density\n"
        "assert 'keras' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_structure_survives_the_round_trip():
    structure = Structure(Lattice.tetragonal(4.0, 6.5), ["Ba", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.52], [0.5, 0.5, 0]])
    back = Crystal.from_structure(structure).to_structure()
    assert back == structure


def test_fractional_coordinates_are_wrapped_into_the_cell():
    crystal = Crystal(np.eye(3) * 4, np.array([11, 17]), np.array([[-1e-17, 1.0, 2.25], [-0.25, 0.5, 0.999]]))
    assert (crystal.frac_coords >= 0).all()
    assert (crystal.frac_coords < 1).all()
    np.testing.assert_allclose(crystal.frac_coords[0], [0, 0, 0.25])


def test_a_crystal_states_its_formula_and_volume():
    crystal = decorated(Prototype.PEROVSKITE, ("Sr", "Ti", "O"), 3.9)
    assert crystal.formula == "SrTiO3"
    assert crystal.composition == {"O": 3, "Ti": 1, "Sr": 1}
    assert crystal.volume_ang3 == pytest.approx(3.9**3)


def test_a_crystal_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        decorated(Prototype.CSCL, ("Cs", "Cl")).numbers[0] = 3


def test_arrays_that_are_no_crystal_are_refused():
    with pytest.raises(InvalidCrystal, match="independent"):
        Crystal(np.ones((3, 3)), np.array([1]), np.zeros((1, 3)))
    with pytest.raises(InvalidCrystal, match="coordinates"):
        Crystal(np.eye(3), np.array([1, 2]), np.zeros((1, 3)))
    with pytest.raises(InvalidCrystal, match="none"):
        Crystal(np.eye(3), np.array([], dtype=int), np.zeros((0, 3)))


def test_a_disordered_structure_is_refused():
    alloy = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    with pytest.raises(InvalidCrystal, match="partially occupied"):
        Crystal.from_structure(alloy)


def test_the_conventional_cell_of_a_primitive_rocksalt_is_the_cube():
    cube = decorated(Prototype.ROCKSALT, ("Na", "Cl"), 5.64).to_structure()
    cell = conventional(cube.get_primitive_structure())
    assert len(cell) == 8
    np.testing.assert_allclose(cell.lattice.parameters, (5.64, 5.64, 5.64, 90, 90, 90), atol=1e-6)


@pytest.mark.parametrize(
    ("edges_and_angles", "cubic"),
    [
        ((4.0, 4.0, 4.0, 90, 90, 90), True),
        ((20.0, 20.015, 20.0, 90, 90, 90), True),  # the bound is a share of the edge, not a length
        ((2.0, 2.003, 2.0, 90, 90, 90), False),
        ((4.0, 4.0, 4.0, 90, 90.08, 90), True),
        ((4.0, 4.0, 4.0, 90, 90.1, 90), False),
        ((4.0, 4.0, 5.0, 90, 90, 90), False),
        ((4.0, 4.0, 4.0, 60, 60, 60), False),
    ],
)
def test_a_cell_is_cubic_within_a_thousandth_of_an_edge_and_of_a_right_angle(edges_and_angles, cubic):
    cell = Lattice.from_parameters(*edges_and_angles).matrix
    assert Crystal(cell, np.array([55]), np.zeros((1, 3))).is_cubic() is cubic
