"""Sites and claims of CIF files: what is not said is refused, what is rounded is told, and the numbers must agree."""

import pytest
from cif_texts import CESIUM, SALT, cell, cif, group, sites

from crystalloop.models.formats.cif import CifError, read_cif

P1 = group("P 1", 1) + cell(4.12)
LABELS, FULL = "label fract_x fract_y fract_z", "label type_symbol fract_x fract_y fract_z occupancy"
CS, CL = "Cs1 Cs 0 0 0", "Cl1 Cl .5 .5 .5"


def formula(text):
    return read_cif(text).structure.composition.formula


def refusal(text):
    with pytest.raises(CifError) as refused:
        read_cif(text)
    return str(refused.value)


@pytest.mark.parametrize("gap", [".", "?"])
def test_a_gap_is_no_position_no_cell_and_no_element(gap):
    assert refusal(cif(P1, sites(CS, f"H1 H {gap} {gap} {gap}"))).startswith("site H1 has no position")
    assert f"_cell_length_b is '{gap}'" in refusal(CESIUM.replace("length_b 4.12", f"length_b {gap}"))
    assert formula(cif(P1, sites(f"Cs1 {gap} 0 0 0", CL))) == "Cs1 Cl1"
    assert "names no element" in refusal(cif(P1, sites(f"{gap} {gap} 0 0 0", CL)))


@pytest.mark.parametrize(("given", "notes"), [(".", 0), ("?", 1), ("1.0(2)", 0), ("0.9990", 1), ("1.0005", 1)])
def test_an_occupancy_of_one_is_one(given, notes):
    read = read_cif(cif(P1, sites(f"{CS} 1", f"{CL} {given}", columns=FULL)))
    assert read.structure.composition.formula == "Cs1 Cl1" and read.structure.is_ordered
    assert len(read.notes) == notes and all("site Cl1" in note for note in read.notes)


@pytest.mark.parametrize("given", ["0", "0.0", "-1", "1.2", "abc", "0,5"])
def test_an_occupancy_that_is_none_is_refused_with_its_site(given):
    assert f"site Cl1 is '{given}'" in refusal(cif(P1, sites(f"{CS} 1", f"{CL} {given}", columns=FULL)))


def test_shared_and_partly_empty_sites_stay_so_and_are_never_more_than_full():
    shared = read_cif(cif(P1, sites(f"{CS} 1", f"{CL} .5", "Br1 Br .5 .5 .5 .5", columns=FULL))).structure
    assert len(shared) == 2 and not shared.is_ordered
    thirds = (f"{CL} .333", "Br1 Br .5 .5 .5 .333", "I1 I .5 .5 .5 .334")
    assert len(read_cif(cif(P1, sites(f"{CS} 1", *thirds, columns=FULL))).structure) == 2
    assert "hold 1.3 atoms" in refusal(cif(P1, sites(f"{CS} 1", f"{CL} .8", "Br1 Br .5 .5 .5 .5", columns=FULL)))


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("Cs2 Cs 0 0 0", "Cs1 and Cs2 coincide (0 angstrom apart)"),
        ("Cs2 Cs .001 0 0", "Cs1 and Cs2 coincide (0.0041 angstrom apart)"),
        ("Cs2 Cs 1 -1 2", "Cs1 and Cs2 coincide"),
        ("Rb2 Rb 0 0 0", "sites Cs1 and Rb2 are 0 angstrom apart"),
        ("Cs2 Cs .07 0 0", "sites Cs1 and Cs2 are 0.288 angstrom apart"),
    ],
)
def test_atoms_that_coincide_are_refused_by_name(second, words):
    assert words in refusal(cif(P1, sites(CS, second, CL)))


def test_alternatives_that_are_both_full_are_refused():
    columns = "label type_symbol fract_x fract_y fract_z disorder_assembly disorder_group"
    rows = (f"{CS} . .", f"{CL} A 1", "Cl2 Cl .5 .5 .7 A 2")
    assert "sites Cl1 and Cl2 are alternatives" in refusal(cif(P1, sites(*rows, columns=columns)))
    assert formula(cif(P1, sites(f"{CS} . .", f"{CL} A 1", columns=columns))) == "Cs1 Cl1"


@pytest.mark.parametrize("given", ["Cs", "cs", "CS", "Cs+", "Cs1+", "Cs+1", "Cs(1+)", "Cs0", "Cs+0.9"])
def test_charges_and_capitals_of_type_symbols_change_no_element(given):
    assert formula(cif(P1, sites(f"A1 {given} 0 0 0", CL))) == "Cs1 Cl1"


@pytest.mark.parametrize("given", ["Va", "Vac", "X", "M", "Wat", "OH", "CsI", "55", "Xx", "Cs$(id)"])
def test_dummies_and_unknown_symbols_are_refused_by_name(given):
    assert f"'{given}' names no element" in refusal(cif(P1, sites(f"A1 {given} 0 0 0", CL)))


@pytest.mark.parametrize(
    ("label", "stated", "found"),
    [
        *[("Ca1", None, "Ca"), ("SiA", None, "Si"), ("Si(1)", None, "Si"), ("Si_a", None, "Si"), ("LI1", None, "Li")],
        *[("CA1", "Ca Cl", "Ca"), ("CA1", "C Cl", "C"), ("Na1", "N Cl", "N"), ("OW1", "O Cl", "O"), ("C1A", None, "C")],
    ],
)
def test_labels_without_types_are_the_element_that_they_can_be(label, stated, found):
    text = cif(P1, sites(f"{label} 0 0 0", "Cl9 .5 .5 .5", columns=LABELS), formula=stated)
    assert set(read_cif(text).structure.symbol_set) == {found, "Cl"}


@pytest.mark.parametrize(
    ("label", "words"),
    [
        *[("CA1", "may be C or Ca"), ("CL1", "may be C or Cl"), ("HO1", "may be H or Ho"), ("OW1", "names no element")],
        *[("OH1", "names no element"), ("Wat1", "names no element"), ("Va1", "names no element"), ("1Na", "names no")],
    ],
)
def test_labels_that_may_be_several_or_none_are_refused(label, words):
    text = cif(P1, sites(f"{label} 0 0 0", "Cl9 .5 .5 .5", columns=LABELS))
    assert f"'{label}' {words}" in refusal(text)


def test_deuterium_is_hydrogen_with_a_note_and_in_the_formula():
    text = cif(P1, sites("Li1 Li 0 0 0", "D1 D .5 .5 .5"), formula="D Li", units=1)
    read = read_cif(text)
    assert read.structure.composition.formula == "Li1 H1" and read.notes == (
        "site D1 is deuterium, and is read as hydrogen",
    )


def test_dummy_sites_are_left_out_with_a_note_and_attached_hydrogens_are_missing():
    columns = "label type_symbol fract_x fract_y fract_z calc_flag"
    read = read_cif(cif(P1, sites(f"{CS} .", "X1 X .5 .5 .5 dum", columns=columns)))
    assert len(read.structure) == 1 and "site X1 is a dummy" in read.notes[0]
    columns = columns.replace("calc_flag", "attached_hydrogens")
    assert "site O1 has 1 hydrogens" in refusal(cif(P1, sites(f"{CS} 0", "O1 O .5 .5 .5 1", columns=columns)))


@pytest.mark.parametrize("third", ["0.333 0.667", ".33 .67", "0.3333 0.6667", "1/3 2/3", "0.33333(5) 0.66667(5)"])
def test_rounded_thirds_are_two_atoms_of_magnesium(third):
    read = read_cif(cif(group("P 63/m m c", 194), cell(3.209, c=5.211, gamma=120), sites(f"Mg1 Mg {third} .25")))
    assert len(read.structure) == 2 and read.structure.get_space_group_info()[1] == 194
    assert read.structure.get_distance(0, 1) == pytest.approx(3.19706, abs=1e-5)
    assert all("site Mg1 is rounded" in note and "angstrom onto its special position" in note for note in read.notes)
    assert len(read.notes) == (third in ("0.333 0.667", ".33 .67"))


def test_images_that_are_neither_one_atom_nor_two_are_refused_unless_the_amounts_decide():
    parts = (group("P 63/m m c"), cell(3.209, c=5.211, gamma=120), sites("Mg1 Mg .32 .67 .25"))
    assert refusal(cif(*parts)).startswith("images of site Mg1 are 0.08 angstrom apart")
    assert len(read_cif(cif(*parts, formula="Mg", units=2)).structure) == 2


BRUCITE = (group("P -3 m 1", 164), cell(3.142, c=4.766, gamma=120), sites("Mg1 Mg 0 0 0", "O1 O .3333 .6667 .2203"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            cif(*BRUCITE, formula="H2 Mg O2", units=1),
            ("hydrogens are missing", "has 2 of them in the cell, the sites 0"),
        ),
        (cif(*BRUCITE, formula="Mg O", units=1), ("Mg1 O2", "'Mg1 O1'")),
        (cif(P1, SALT, formula="Na Cl", units=4), ("Cl1 Na1 in the cell", "are 8 atoms")),
        (cif(P1, SALT, units=4), ("not 4 equal formula units",)),
        (cif(P1, SALT, cell_volume=44.9), ("_cell_volume is 44.9", "make 69.93 cubic angstrom")),
        (cif(P1, SALT, exptl_crystal_density_diffrn=2.16), ("make 1.388 g/cm3", "is 2.16")),
        (cif(P1, SALT, chemical_formula_weight=75.5, units=1), ("weigh 58.4", "75.5")),
        (cif(P1, SALT, units="0"), ("_cell_formula_units_Z is '0'",)),
        (cif(P1, SALT, cell_volume=0), ("_cell_volume is '0'",)),
    ],
)
def test_formula_z_volume_and_density_that_the_sites_contradict_are_refused_with_the_numbers(text, words):
    told = refusal(text)
    assert all(word in told for word in words)


@pytest.mark.parametrize(
    "claims",
    [
        {"formula": "Na Cl", "units": 1},
        {"formula": "Na4 Cl4", "units": 1},
        {"formula": "Cl1 Na1", "cell_volume": "70.1(3)"},
        {"exptl_crystal_density_diffrn": "1.40(1)"},
        {"exptl_crystal_density_diffrn": 1388},
        {"formula": "?", "units": "."},
    ],
)
def test_claims_that_agree_are_no_matter(claims):
    if claims.get("formula") == "Na4 Cl4":  # a formula of the whole cell, as pymatgen writes it
        text = cif(group("F m -3 m"), cell(5.64), SALT, formula="Na4 Cl4", units=4)
    else:
        text = cif(P1, SALT, **claims)
    assert not read_cif(text).notes


def test_a_formula_that_cannot_be_read_is_a_note():
    assert "'Na Cl x H2O' cannot be read" in read_cif(cif(P1, SALT, formula="Na Cl x H2O")).notes[0]


def test_coordinates_in_angstrom_are_read_where_the_axes_are_those_of_cif():
    columns = "label type_symbol Cartn_x Cartn_y Cartn_z"
    hexagonal = (group("P 63/m m c"), cell(3.209, c=5.211, gamma=120))
    read = read_cif(cif(*hexagonal, sites("Mg1 Mg 0 1.85272 1.30275", columns=columns)))
    assert len(read.structure) == 2 and "coordinates in angstrom alone" in read.notes[0]
    rows = sites(CS, "Cl1 Cl 2.06 2.06 2.06", columns=columns)
    told = refusal(cif(P1, rows, atom_sites_Cartn_tran_matrix_11=0))
    assert "axes of its own" in told
    assert "axes in words" in refusal(cif(P1, rows, atom_sites_Cartn_transform_axes="'c along z'"))


@pytest.mark.parametrize("given", ["nan", "inf", "1e300", "1234.5", "0,5", "zero", "1/0", "--1", "1e9999"])
def test_what_is_no_coordinate_is_refused_with_its_site(given):
    assert f"site Cl1 is '{given}'" in refusal(cif(P1, sites(CS, f"Cl1 Cl {given} .5 .5")))


def test_numbers_in_every_form_are_read():
    read = read_cif(cif(P1, sites("Cs1 Cs 0.0(1) -.0 +0", "Cl1 Cl 1/2 5.0e-1 -1.500(12)")))
    assert read.structure.get_distance(0, 1) == pytest.approx(3.568, abs=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("_cell_length_c 4.12\n", "", "_cell_length_c is missing"),
        ("_cell_length_c 4.12", "_cell_length_c 4,12", "decimals have a point"),
        ("_cell_length_c 4.12", "_cell_length_c -4.12", "a length above 0"),
        ("4.12", "0.412", "above 0.5 and below 500 angstrom"),
        ("alpha 90", "alpha 180", "an angle between 0 and 180"),
        ("alpha 90", "alpha 10", "the angles make no cell"),
    ],
)
def test_impossible_cells_are_refused_with_the_value(old, new, words):
    if new == "alpha 10":
        words = "does not fit" if "fit" in words else "three edges cannot meet"
        new = "alpha 0.001"
    assert words in refusal(CESIUM.replace(old, new))


def test_a_label_that_names_another_element_than_the_type_is_noted():
    read = read_cif(cif(P1, sites("Na1 K 0 0 0", "Ca1 C .5 .5 .5")))
    assert read.structure.composition.formula == "K1 C1"
    assert read.notes == ("site Na1 is K by its _atom_site_type_symbol, whatever its label says",)


def test_a_site_named_t_is_tritium_only_where_the_formula_has_it():
    silica = sites("T1 0 0 0", "O1 .5 .5 .5", columns=LABELS)
    assert "'T1' may be tritium or a tetrahedral site" in refusal(cif(P1, silica))
    lithium = sites("T1 0 0 0", "Li1 .5 .5 .5", columns=LABELS)
    assert formula(cif(P1, lithium, formula="Li T")) == "Li1 H1"


def test_multiplicities_that_the_operations_contradict_are_noted():
    columns = "label type_symbol symmetry_multiplicity fract_x fract_y fract_z"
    text = cif(group("F m -3 m", 225), cell(5.64), sites("Na1 Na 8 0 0 0", "Cl1 Cl 4 .5 .5 .5", columns=columns))
    assert "_atom_site_symmetry_multiplicity says other numbers" in read_cif(text).notes[0]
    assert read_cif(text.replace("Na 8", "Na 4")).notes == ()


@pytest.mark.parametrize("tail", ["x", ".x", "," + "9" * 200_000])
def test_a_number_of_any_length_is_refused_at_once_and_in_few_words(tail):
    told = refusal(CESIUM.replace("length_b 4.12", f"length_b {'9' * 200_000}{tail}"))
    assert "_cell_length_b is '999" in told and len(told) < 200
