"""A crystal written as CIF, POSCAR, extended XYZ and JSON comes back as the same crystal: cell to 1e-6, every site."""

from pathlib import Path

import numpy as np
import pytest
from cubic_crystals import shared_records
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from written_crystals import text_of

from crystalloop.models.crystals.prototypes import Prototype, roles
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.formats.one_crystal import read_crystal

NAMES = {"cif": "x.cif", "poscar": "POSCAR", "extxyz": "x.xyz", "json": "x.json"}
ELEMENTS = ("Sr", "Ti", "O")


def back(structure: Structure, form: str, folder: Path) -> Structure:
    path = folder / NAMES[form]
    path.write_text(text_of(structure, form), encoding="utf-8")
    read = read_crystal(path)
    assert read.notes == ()
    return read.structure


def reduced(structure: Structure) -> np.ndarray:
    """Lengths and angles of the reduced primitive cell."""
    lattice = structure.get_primitive_structure(tolerance=1e-3).lattice.get_niggli_reduced_lattice(tol=1e-4)
    return np.array(lattice.parameters)


def assert_same(one: Structure, other: Structure, form: str) -> None:
    assert StructureMatcher(primitive_cell=True, scale=False, stol=0.01, ltol=1e-4, angle_tol=1e-2).fit(one, other)
    assert other.volume / len(other) == pytest.approx(one.volume / len(one), rel=1e-6)
    if form == "cif":
        assert reduced(other) == pytest.approx(reduced(one), rel=1e-6, abs=1e-5)
        return
    np.testing.assert_allclose(sorted(other.lattice.abc), sorted(one.lattice.abc), rtol=1e-9)
    assert other.composition == one.composition
    np.testing.assert_allclose(np.sort(other.distance_matrix.ravel()), np.sort(one.distance_matrix.ravel()), atol=1e-6)


def triclinic(seed: int) -> Structure:
    """A random cell with atoms apart; every third with a centre of inversion away from the origin."""
    rng = np.random.default_rng(seed)
    cell = Lattice.from_parameters(*rng.uniform(4, 8, 3), *rng.uniform(65, 115, 3))
    coords = rng.random((1, 3))
    while len(coords) < 4:
        trial = rng.random(3)
        if min(cell.get_all_distances(coords, [trial]).ravel()) > 1.0:
            coords = np.vstack([coords, trial])
    species = ["Na", "Cl", "Na", "O"]
    if seed % 3 == 0:
        centre = rng.random(3)
        coords = np.vstack([coords[:2], 2 * centre - coords[:2]])
        species = ["Na", "Cl", "Na", "Cl"]
    structure = Structure(cell, species, coords)
    return structure if structure.is_valid(tol=0.6) else triclinic(seed + 300)


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("prototype", Prototype)
def test_every_prototype_comes_back(tmp_path, prototype, form):
    cell = decorate(prototype, ELEMENTS[: len(roles(prototype))])
    for structure in (cell, cell.get_primitive_structure()):
        assert_same(structure, back(structure, form, tmp_path), form)


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("seed", range(20))
def test_random_triclinic_crystals_come_back(tmp_path, seed, form):
    structure = triclinic(seed)
    found = back(structure, form, tmp_path)
    assert_same(structure, found, form)
    np.testing.assert_allclose(sorted(found.lattice.abc), sorted(structure.lattice.abc), rtol=1e-6)


OTHERS = {
    "diamond, two origins": ("Fd-3m", Lattice.cubic(3.567), ["C"], [[0.125] * 3]),
    "corundum, rhombohedral": ("R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]),
    "quartz, chiral": (
        "P3_221",
        Lattice.hexagonal(4.913, 5.405),
        ["Si", "O"],
        [[0.47, 0, 2 / 3], [0.413, 0.267, 0.786]],
    ),
    "hcp": ("P6_3/mmc", Lattice.hexagonal(3.209, 5.211), ["Mg"], [[1 / 3, 2 / 3, 0.25]]),
    "baddeleyite, monoclinic": (
        "P2_1/c",
        Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
        ["Zr", "O", "O"],
        [[0.275, 0.04, 0.208], [0.07, 0.33, 0.345], [0.45, 0.757, 0.479]],
    ),
    "anatase": ("I4_1/amd", Lattice.tetragonal(3.784, 9.515), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.2081]]),
    "stibnite, another setting": (
        "Pnma",
        Lattice.orthorhombic(11.31, 3.84, 11.23),
        ["Sb", "Sb", "S", "S", "S"],
        [[0.029, 0.25, 0.674], [0.35, 0.25, 0.464], [0.05, 0.25, 0.123], [0.375, 0.25, 0.061], [0.208, 0.25, 0.308]],
    ),
}


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("name", OTHERS)
def test_crystals_of_every_system_come_back_whatever_their_cell(tmp_path, name, form):
    group, lattice, species, coords = OTHERS[name]
    cell = Structure.from_spacegroup(group, lattice, species, coords)
    shifted = cell.copy()
    shifted.translate_sites(range(len(cell)), [0.13, 0.2, 0.71])
    left = Structure(cell.lattice.matrix[[0, 2, 1]], cell.species, cell.frac_coords[:, [0, 2, 1]])
    for structure in (cell, cell.get_primitive_structure(), shifted, left):
        assert_same(structure, back(structure, form, tmp_path), form)


@pytest.mark.parametrize("form", ["extxyz", "json"])
def test_moments_come_back_where_the_format_has_them(tmp_path, form):
    structure = Structure(
        Lattice.cubic(2.87), ["Cr", "Cr"], [[0, 0, 0], [0.5] * 3], site_properties={"magmom": [3.0, -3.0]}
    )
    assert back(structure, form, tmp_path).site_properties["magmom"] == [3.0, -3.0]


@pytest.mark.slow
def test_200_shared_crystals_come_back_from_every_format(tmp_path, shared_data):
    for record in shared_records(shared_data, 200):
        structure = Structure(Lattice.cubic(record["a"]), record["species"], record["frac_coords"])
        found = {form: back(structure, form, tmp_path) for form in NAMES}
        assert_same(structure, found["cif"], "cif")
        for form in ("poscar", "extxyz", "json"):
            assert found[form].species == structure.species
            np.testing.assert_allclose(found[form].lattice.matrix, structure.lattice.matrix, atol=1e-9)
            np.testing.assert_allclose(found[form].frac_coords, structure.frac_coords, atol=1e-9)
