"""What a CIF says of weight, crystal system and far coordinates, held against its sites; moments that are not used are said."""

import json

import pytest

from crystalloop.models.data.files import read_crystals
from crystalloop.models.formats.cif import CifError, read_cif
from crystalloop.models.formats.one_crystal import read_crystal

SALT = """data_x
_symmetry_space_group_name_H-M 'F m -3 m'
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
{claims}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl {at} {at} {at}
"""
FORMULA = "_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4"


def salt(claims="", at=".5"):
    return SALT.format(claims=claims, at=at)


@pytest.mark.parametrize("before", ["", FORMULA, "_chemical_formula_sum 'Cl Na'", "_cell_formula_units_Z 4"])
def test_a_weight_that_the_crystal_has_is_read_and_another_refused(before):
    right = salt(f"{before}\n_chemical_formula_weight 58.44")
    assert len(read_cif(right).structure) == 8
    with pytest.raises(CifError, match=r"_chemical_formula_weight is 74\.55"):
        read_cif(right.replace("58.44", "74.55"))  # potassium chloride's


def test_a_weight_of_a_deuterated_crystal_may_be_either():
    lithium = salt("_chemical_formula_sum 'D Li'\n_chemical_formula_weight 8.96").replace("Na1 Na", "Li1 Li")
    assert len(read_cif(lithium.replace("Cl1 Cl", "D1 D")).structure) == 8


def test_a_crystal_system_that_the_operations_do_not_have_is_noted():
    assert not read_cif(salt("_symmetry_cell_setting cubic")).notes
    (note,) = read_cif(salt("_symmetry_cell_setting tetragonal")).notes
    assert note == "names the crystal system tetragonal, its operations are cubic: the operations are used"
    assert "hexagonal" in read_cif(salt("_space_group_crystal_system hexagonal")).notes[0]


def test_coordinates_in_angstrom_are_not_taken_for_fractions():
    with pytest.raises(CifError, match=r"site Cl1 lies at 2\.82 2\.82 2\.82: fractions of the edges, or angstrom"):
        read_cif(salt(at="2.82"))
    with pytest.raises(CifError, match="the sites give Cl32 Na4"):
        read_cif(salt(FORMULA, at="2.82"))
    assert len(read_cif(salt(FORMULA, at="2.5")).structure) == 8  # unwrapped: formula and Z agree


def test_moments_that_are_not_used_are_said(tmp_path):
    poscar = tmp_path / "POSCAR"
    poscar.write_text("Cr MAGMOM = 3 -3\n1.0\n2.87 0 0\n0 2.87 0\n0 0 2.87\nCr\n2\nDirect\n0 0 0\n.5 .5 .5\n")
    assert any("MAGMOM in the comment line is not used" in note for note in read_crystal(poscar).notes)
    row = {"species": ["Cr", "Cr"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "a": 2.87, "magmoms": [3, -3]}
    rows = tmp_path / "d.jsonl"
    rows.write_text(json.dumps(row) + "\n")
    (note,) = read_crystals(rows).notes
    assert note == "d.jsonl line 1: magmoms are not used: a campaign starts moments by element"
