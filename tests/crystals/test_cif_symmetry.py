"""Space groups of CIF files: every way to say one, settings and origins, and what contradicts itself."""

import gemmi
import pytest
from cif_texts import SALT, SPINEL, SPINEL_AT_43M, cell, cif, group, sites

from crystalloop.models.formats.cif import CifError, read_cif
from crystalloop.models.formats.cif_reader.symbols import claim_of_symbol


def nearest(structure):
    return min(neighbor.nn_distance for at in structure.get_all_neighbors(6.0) for neighbor in at)


def number(structure):
    return structure.get_space_group_info(symprec=0.01)[1]


def operations(name):
    return [one.triplet() for one in gemmi.SpaceGroup(name).operations()]


def refusal(text):
    with pytest.raises(CifError) as refused:
        read_cif(text)
    return str(refused.value)


@pytest.mark.parametrize(
    "symbol",
    [
        *("F m -3 m", "F m 3 m", "Fm3m", "Fm-3m", "f m -3 m", "FM-3M", "F_m_-3_m", "F 4/m -3 2/m", "F4/m-32/m"),
        *(
            "Fm-3m (225)",
            "Fm-3m (No. 225)",
            r"F m \bar{3} m",
            r"F m {\bar 3} m",
            r"Fm\=3m",
            r"$Fm\overline{3}m$",
            "Fm3\u0305m",
            "Fm\u22123m",
            "F m -3 m:1",
        ),
    ],
)
def test_rock_salt_is_rock_salt_however_its_symbol_is_spelt(symbol):
    read = read_cif(cif(group(symbol), cell(5.64), SALT))
    assert read.structure.composition.formula == "Na4 Cl4" and number(read.structure) == 225
    assert nearest(read.structure) == pytest.approx(2.82) and not read.notes


@pytest.mark.parametrize(
    "symbol",
    [
        "P 63/m m c",
        "P6_3/mmc",
        "P63/mmc",
        "P6(3)/mmc",
        "P 6~3~/m m c",
        "P 63/m 2/m 2/c",
        "P6\u2083/mmc",
        "P6<sub>3</sub>/mmc",
    ],
)
def test_the_screw_of_magnesium_is_read_however_it_is_spelt(symbol):
    read = read_cif(cif(group(symbol), cell(3.209, c=5.211, gamma=120), sites("Mg1 Mg .33333 .66667 .25")))
    assert len(read.structure) == 2 and number(read.structure) == 194


@pytest.mark.parametrize("symbol", ["C m c e", "C m c a", "C 2/m 2/c 21/e", "Cmce"])
def test_symbols_of_1992_with_an_e_are_those_before(symbol):
    read = read_cif(cif(group(symbol, 64), cell(5.38, 5.44, 7.64), sites("Ca1 Ca .1 .2 .3")))
    assert len(read.structure) == 16


def test_an_e_that_means_either_of_two_glides_goes_by_the_operations_or_is_refused():
    parts = (cell(5.38, 5.44, 7.64), sites("Ca1 Ca .1 .2 .3", "O1 O .25 .25 0"))
    assert len(read_cif(cif(group("B m e m", operations=operations("B m a m")), *parts)).structure) == 24
    told = refusal(cif(group("B m e m"), *parts))
    assert "B m c m (67)" in told and "B m a m (67)" in told


def test_a_number_alone_is_the_standard_setting_with_a_note_where_there_are_others():
    orthorhombic = cif(group(number=62), cell(5.44, 7.64, 5.38), sites("Ca1 Ca .1 .25 .3"))
    assert read_cif(orthorhombic).notes == ("gives a number alone: read in the standard setting, P n m a (62)",)
    assert not read_cif(cif(group(number=225), cell(5.64), SALT)).notes


def test_every_setting_of_the_tables_is_known_by_its_symbol():
    found = {setting.xhm(): claim_of_symbol(setting.xhm(), None) for setting in gemmi.spacegroup_table()}
    assert {name for name, claim in found.items() if claim is None} == {"P 21212(a)", "C 2 2 21a)"}  # of proteins
    assert [name for name, claim in found.items() if claim and [one.xhm() for one in claim.settings] != [name]] == []


@pytest.mark.parametrize(
    ("said", "atoms", "nearest_ang"),
    [
        ({"number": 194}, 2, 3.1971),
        ({"hall": "-P 6c 2c"}, 2, 3.1971),
        ({"operations": operations("P 63/m m c")}, 2, 3.1971),
        ({"operations": [one.upper().replace("1/2", "0.5") for one in operations("P 63/m m c")]}, 2, 3.1971),
        ({"operations": [one.replace(",", " ; ") for one in operations("P 63/m m c")]}, 2, 3.1971),
        ({"operations": operations("P 63/m m c"), "name": "not in any table"}, 2, 3.1971),
    ],
)
def test_number_hall_symbol_or_operations_alone_are_enough(said, atoms, nearest_ang):
    read = read_cif(cif(group(**said), cell(3.209, c=5.211, gamma=120), sites("Mg1 Mg .33333 .66667 .25")))
    assert len(read.structure) == atoms and nearest(read.structure) == pytest.approx(nearest_ang, abs=2e-4)


HEXAGONAL, RHOMBOHEDRAL = cell(4.546, c=11.862, gamma=120), cell(4.746, alpha=57.23, beta=57.23, gamma=57.23)


@pytest.mark.parametrize("symbol", ["R -3 m", "R-3m", "R -3 2/m"])
@pytest.mark.parametrize(
    ("axes", "at", "suffixes", "atoms"),
    [
        (HEXAGONAL, "0 0 .2339", ["", " H", ":H", " :h", " HR", " (hexagonal axes)"], 6),
        (RHOMBOHEDRAL, ".2339 .2339 .2339", ["", " R", ":R", "r", " RS", " (rhombohedral axes)"], 2),
    ],
)
def test_bismuth_is_bismuth_on_both_axes(symbol, axes, at, suffixes, atoms):
    for suffix in suffixes:
        read = read_cif(cif(group(symbol + suffix, 166), axes, sites(f"Bi1 Bi {at}")))
        assert len(read.structure) == atoms and nearest(read.structure) == pytest.approx(3.071, abs=1e-3)


@pytest.mark.parametrize(("axes", "suffix"), [(HEXAGONAL, ":R"), (RHOMBOHEDRAL, ":H"), (RHOMBOHEDRAL, " H")])
def test_axes_that_the_cell_does_not_have_are_refused_with_the_cell(axes, suffix):
    assert "does not fit R -3 m:" in refusal(cif(group("R -3 m" + suffix), axes, sites("Bi1 Bi 0 0 .2339")))


@pytest.mark.parametrize("suffix", [":2", " Z", "Z", " :2", " (origin choice 2)", " origin 2"])
def test_a_spinel_with_its_origin_at_the_centre(suffix):
    read = read_cif(cif(group("F d -3 m" + suffix), cell(8.0806), SPINEL))
    assert read.structure.composition.formula == "Mg8 Al16 O32" and number(read.structure) == 227
    assert refusal(cif(group("F d -3 m" + suffix), cell(8.0806), SPINEL_AT_43M)).startswith(
        "images of site O1 are 0.28"
    )


@pytest.mark.parametrize("suffix", [":1", " S", "S"])
def test_a_spinel_with_its_origin_at_the_tetrahedron(suffix):
    read = read_cif(cif(group("F d -3 m" + suffix), cell(8.0806), SPINEL_AT_43M))
    assert read.structure.composition.formula == "Mg8 Al16 O32" and number(read.structure) == 227


@pytest.mark.parametrize(("rows", "origin"), [(SPINEL, 2), (SPINEL_AT_43M, 1)])
@pytest.mark.parametrize("said", [{"name": "F d -3 m"}, {"number": 227}, {"name": "Fd3m"}])
def test_an_origin_that_is_not_said_is_decided_by_the_atoms_with_a_note(rows, origin, said):
    read = read_cif(cif(group(**said), cell(8.0806), rows))
    assert read.structure.composition.formula == "Mg8 Al16 O32"
    assert f"read as F d -3 m:{origin}" in read.notes[0]


SILICON = (group("F d -3 m"), cell(5.431), sites("Si1 Si 0 0 0"))


def test_an_origin_that_nothing_decides_is_refused_with_both_readings():
    told = refusal(cif(*SILICON))
    assert "F d -3 m:1 (227): Si8 in the cell" in told and "F d -3 m:2 (227): Si16 in the cell" in told


@pytest.mark.parametrize(
    "said",
    [
        {"formula": "Si", "units": 8},
        {"exptl_crystal_density_diffrn": 2.329},
        {"space_group_IT_coordinate_system_code": 1},
        {"chemical_formula_weight": 28.086, "units": 8},
    ],
)
def test_formula_and_z_or_density_or_code_decide_the_origin_of_silicon(said):
    assert len(read_cif(cif(*SILICON, **said)).structure) == 8


def test_multiplicities_decide_the_origin():
    rows = sites("Si1 Si 0 0 0 16", columns="label type_symbol fract_x fract_y fract_z symmetry_multiplicity")
    assert len(read_cif(cif(group("F d -3 m"), cell(5.431), rows)).structure) == 16


ZIRCONIA = ("Zr1 Zr .2754 .0395 .2083", "O1 O .07 .3317 .3447", "O2 O .4496 .7569 .4792")
BETA, GAMMA = cell(5.15, 5.212, 5.317, beta=99.23), cell(5.15, 5.212, 5.317, gamma=99.23)


@pytest.mark.parametrize("said", [{"name": "P 21/c"}, {"name": "P 1 21/c 1"}, {"name": "P2(1)/c"}, {"number": 14}])
def test_zirconia_in_every_spelling_of_its_group(said):
    read = read_cif(cif(group(**said), BETA, sites(*ZIRCONIA)))
    assert len(read.structure) == 12 and nearest(read.structure) == pytest.approx(2.0519, abs=1e-3)


@pytest.mark.parametrize("symbol", ["P 21/c", "P 1 21/c 1", "P 21/c 1 1"])
def test_a_cell_with_another_unique_axis_is_refused(symbol):
    assert "equal angles by 18 degrees" in refusal(cif(group(symbol), GAMMA, sites(*ZIRCONIA)))


def test_a_short_symbol_and_the_cell_decide_the_unique_axis():
    read = read_cif(cif(group("P 21/a"), GAMMA, sites(*ZIRCONIA)))
    assert "the cell decides for P 1 1 21/a" in read.notes[0] and len(read.structure) == 12
    assert len(read_cif(cif(group("B 1 1 2/m"), GAMMA, sites("Zr1 Zr 0 0 0"))).structure) == 2


def test_a_number_whose_unique_axis_is_another_is_refused_with_its_three_cells():
    told = refusal(cif(group(number=14), GAMMA, sites("Zr1 Zr .2754 .0395 .2083")))
    assert all(one in told for one in ("P 1 1 21/a", "P 1 1 21/n", "P 1 1 21/b"))


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        (cell(5.64, alpha=89), "the cell (5.64, 5.64, 5.64, 89, 90, 90) does not fit F m -3 m"),
        (cell(5.64, b=5.8), "equal edges differ by 2.8 %"),
    ],
)
def test_a_cell_of_another_crystal_system_is_refused_with_numbers(axes, sentence):
    assert sentence in refusal(cif(group("F m -3 m"), axes, SALT))


def test_a_cell_that_is_a_little_off_is_kept_with_a_note():
    read = read_cif(cif(group("F m -3 m"), cell(5.64, alpha=89.95), SALT))
    assert read.structure.lattice.alpha == pytest.approx(89.95) and "0.1 degrees" in read.notes[0]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"name": "F m -3 m", "number": 221}, ("means F m -3 m (225)", "means P m -3 m (221)", "Cl4 Na4", "Cl1 Na1")),
        ({"name": "F m -3 m", "operations": ["x,y,z"]}, ("P 1 (1): Cl1 Na1 in the cell", "F m -3 m (225): Cl4 Na4")),
        ({"name": "P 1", "operations": operations("F m -3 m")}, ("P 1 (1): Cl1 Na1", "Cl4 Na4 in the cell")),
        ({"name": "F m -3 m", "hall": "-F 4vw 2vw 3"}, ("Hall symbol '-F 4vw 2vw 3' means F d -3 m:2",)),
        ({"number": 225, "operations": operations("P m -3 m")}, ("those of P m -3 m (221)", "F m -3 m (225)")),
    ],
)
def test_symbol_number_hall_symbol_and_operations_must_agree(said, words):
    told = refusal(cif(group(**said), cell(5.64), SALT))
    assert told.startswith("contradicts itself") and all(word in told for word in words)


def test_another_setting_than_the_symbol_says_is_a_contradiction():
    listed = group("P 1 21/c 1", operations=operations("P 1 21/n 1"))
    told = refusal(cif(listed, BETA, sites(*ZIRCONIA)))
    assert "P 1 21/n 1 (14)" in told and "P 1 21/c 1 (14)" in told


def test_a_contradiction_of_words_alone_is_a_note():
    places = {"Na": ("0 0 0", "0 .5 .5", ".5 0 .5", ".5 .5 0"), "Cl": (".5 .5 .5", ".5 0 0", "0 .5 0", "0 0 .5")}
    rows = [f"{kind}{i} {kind} {at}" for kind, all_at in places.items() for i, at in enumerate(all_at)]
    read = read_cif(cif(group("F m -3 m", operations=["x,y,z"]), cell(5.64), sites(*rows)))
    assert len(read.structure) == 8 and "the atoms are the same in both" in " ".join(read.notes)


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [
        (operations("P m -3 m")[:20], "its 20 operations are no group"),
        (["x,y,z", "x,y,w"], "cannot be read at 'w'"),
        (["x,y,z", "x,x,z"], "no symmetry of a crystal"),
        (["x,y,z", "x,y"], "has not three parts"),
        (["x,y,z", "x+0.1234,y,z"], "no fraction that a lattice has"),
        (["x,y,z", "x+1/0,y,z"], "no fraction that a lattice has"),
    ],
)
def test_operations_that_are_none_or_no_group_are_refused(listed, sentence):
    assert sentence in refusal(cif(group(operations=listed), cell(4.12), SALT))


def test_operations_listed_twice_or_without_the_identity_are_mended_with_a_note():
    listed = operations("P m -3 m")
    twice = read_cif(cif(group(operations=[*listed, *listed[:3]]), cell(4.12), SALT))
    without = read_cif(cif(group(operations=listed[1:]), cell(4.12), SALT))
    assert len(twice.structure) == len(without.structure) == 2
    assert "3 of 51 operations are listed twice" in twice.notes[0] and "x,y,z is not listed" in without.notes[0]


def test_operations_of_a_supercell_and_thirds_as_decimals_are_read():
    fifths = [f"x+{shift},y,z" for shift in ("0", "1/5", ".4", "3/5", "0.8")]
    read = read_cif(cif(group(operations=fifths), cell(20.6, 4.12, 4.12), sites("Cs1 Cs 0 0 0", "Cl1 Cl .1 .5 .5")))
    assert len(read.structure) == 10
    decimals = [one.replace("1/3", ".333").replace("2/3", "0.667") for one in operations("R -3 m:H")]
    assert len(read_cif(cif(group("R -3 m", operations=decimals), HEXAGONAL, sites("Bi1 Bi 0 0 .2339"))).structure) == 6


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"name": "Q m 3"}, "space group 'Q m 3' is not known and no operations are listed"),
        ({"number": 231}, "wanted is a number of 1 to 230"),
        ({"name": "F m -3 m:2"}, "has no setting '2'"),
        ({"name": "F m -3 m Z"}, "has the suffix of a setting that is in no table"),
        ({"hall": "garbage"}, "Hall symbol 'garbage' cannot be read"),
    ],
)
def test_what_no_table_has_is_refused_by_name(said, sentence):
    assert sentence in refusal(cif(group(**said), cell(5.64), SALT))


def test_no_space_group_at_all_is_p1_with_a_note_unless_the_file_says_more():
    assert "names no space group" in read_cif(cif(cell(4.12), SALT)).notes[0]
    assert "says 'cubic'" in refusal(cif(cell(4.12), SALT, symmetry_cell_setting="cubic"))
    assert "says 'Oh.5'" in refusal(cif(cell(4.12), SALT, space_group_name_Schoenflies="Oh.5"))
