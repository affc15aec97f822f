"""Inputs of pw.x of every ibrav: the cells are those that pw.x itself prints, what does not fit is refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from crystalloop.models.formats.crystal_read import FormatError
from crystalloop.models.formats.parts.expressions import value_of
from crystalloop.models.formats.parts.sound import sound
from crystalloop.models.formats.pw_input import read_pw_input

BOHR_ANG = 0.529177210903
# &SYSTEM, and what pw.x 6.7 printed for an atom at crystal coordinates 0.1 0.2 0.3: alat (bohr, of 4 digits where it comes from
# A), the crystal axes and the site, both in units of alat with 6 and 7 digits.
PRINTED = json.loads((Path(__file__).parent / "exported" / "pw_cells.json").read_text())
ONE = "ATOMIC_POSITIONS crystal\nSi 0.1 0.2 0.3"
ORIGIN = "ATOMIC_POSITIONS crystal\nSi 0 0 0"


def pw_input(system="ibrav=1, A=4.2", atoms=ONE, species="Si 28.086 Si.UPF", **counts):
    said = {"nat": 1, "ntyp": 1, "ecutwfc": 30} | counts
    told = ", ".join(f"{name}={value}" for name, value in said.items() if value is not None)
    return f"""&CONTROL
  calculation = 'scf' ! a comment with = and /
  pseudo_dir = './pseudo/', title = "a=b, c"
/
&SYSTEM
  {system}, {told}
/
&ELECTRONS
/
ATOMIC_SPECIES
{species}
{atoms}
K_POINTS automatic
4 4 4 0 0 0
"""


def read(*given, **changes):
    return sound(read_pw_input(pw_input(*given, **changes)))


@pytest.mark.parametrize("printed", PRINTED, ids=lambda printed: printed["system"])
def test_the_cell_of_every_ibrav_is_the_one_that_pw_x_prints(printed):
    system, alat_bohr, axes, site = printed.values()
    structure = read(system).structure
    alat = alat_bohr * BOHR_ANG
    assert structure.lattice.matrix / alat == pytest.approx(np.array(axes), abs=2e-5 if "A=" in system else 1e-6)
    assert structure.cart_coords[0] / alat == pytest.approx(np.array(site), abs=2e-5 if "A=" in system else 1e-7)


CELL = "CELL_PARAMETERS {}\n5 0 0\n0 6 0\n0 0 7\n"


@pytest.mark.parametrize(
    ("system", "atoms", "alat_bohr", "edges", "site"),
    [
        (
            "ibrav=0",
            CELL.format("") + ONE,
            5.0,
            (1, 1.2, 1.4),
            (0.1, 0.24, 0.42),
        ),
        (
            "ibrav=0, celldm(1)=2",
            CELL.format("") + ONE,
            2.0,
            (5, 6, 7),
            (0.5, 1.2, 2.1),
        ),
        (
            "ibrav=0, celldm(1)=2",
            CELL.format("(alat)") + ONE.replace("crystal", "{crystal}"),
            2,
            (5, 6, 7),
            (0.5, 1.2, 2.1),
        ),
        ("ibrav=0", CELL.format("bohr") + "ATOMIC_POSITIONS alat\nSi 0.1 0.2 0.3", 5.0, (1, 1.2, 1.4), (0.1, 0.2, 0.3)),
        (
            "ibrav=8, A=5, B=6,C=7",
            "ATOMIC_POSITIONS (bohr)\nSi 1 2 3",
            9.4486,
            (1, 1.2, 1.4),
            (0.1058354, 0.2116709, 0.3175063),
        ),
        ("ibrav=1, A=5", "ATOMIC_POSITIONS\nSi 0.1 0.2 0.3", 9.4486, (1, 1, 1), (0.1, 0.2, 0.3)),
        (
            "ibrav=4, celldm=8.0, 0, 1.6",
            ONE,
            8.0,
            (1, 1, 1.6),
            (0.0, 0.1732051, 0.48),
        ),
        (
            "ibrav=4, celldm(1)=8.0, 2*1.6",
            ONE,
            8.0,
            (1, 1, 1.6),
            (0.0, 0.1732051, 0.48),
        ),
        ("ibrav=5, A=5", ONE, 9.4486, (1, 1, 1), (-0.1414214, 0.0, 0.3464102)),
    ],
)
def test_units_are_those_that_pw_x_takes(system, atoms, alat_bohr, edges, site):
    structure = read(system, atoms).structure
    alat = alat_bohr * BOHR_ANG
    assert np.array(structure.lattice.abc) / alat == pytest.approx(np.array(edges), rel=1e-5)
    assert structure.cart_coords[0] / alat == pytest.approx(np.array(site), abs=1e-5)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1/3", 1 / 3),
        ("1/2*3^(-1/2)", 0.2886751),
        ("-1/3", -1 / 3),
        ("2*-1", -2.0),
        ("1.0d-1", 0.1),
        ("(1+2)/6", 0.5),
        ("2^-1", 0.5),
        ("1.5e-1+1", 1.15),
        ("-(1/3)", -1 / 3),
        ("-2^2", -4.0),
        ("2^3^2", 512.0),
        ("1/2/2", 0.25),
        ("1-1-1", -1.0),
        ("+1/3", 1 / 3),
        ("1.D-1", 0.1),
        ("0.5d0*2", 1.0),
    ],
)
def test_arithmetic_has_the_value_that_pw_x_gives_it(expression, value):
    assert value_of(expression, "x") == pytest.approx(value, abs=1e-7)


def test_a_root_is_taken_too_though_pw_x_stops_at_it():
    assert value_of("1/2*sqrt(3)", "x") == pytest.approx(0.8660254)


@pytest.mark.parametrize(
    "expression",
    [
        "1/0",
        "(-1)^0.5",
        "9^9^9^9",
        "import os",
        "__class__",
        "1+",
        "(1",
        "1)",
        "",
        "nan",
        "1e999",
        "(" * 90,
        "1+" * 60 + "1",
    ],
)
def test_what_is_no_arithmetic_is_refused(expression):
    with pytest.raises(FormatError, match="x is "):
        value_of(expression, "x")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"system": "A=4"}, "&SYSTEM has no ibrav"),
        ({"system": "ibrav=15, A=4"}, "ibrav is 15, expected 0, 1, 2, 3, -3"),
        ({"system": "ibrav=1.5, A=4"}, "ibrav is '1.5', expected a whole number"),
        ({"system": "ibrav=1"}, "neither celldm.1. nor A is above 0"),
        ({"system": "ibrav=1, A=5, celldm(1)=9"}, "celldm and A, B, C, too"),
        ({"system": "ibrav=1, A=5, A=6"}, "a is given 2 times"),
        ({"system": "ibrav=1, celldm(1)=9, celldm(1)=8"}, r"celldm\(1\) is given twice"),
        ({"system": "ibrav=1, celldm(7)=9"}, r"celldm\(7\) is given, expected an index from 1 to 6"),
        ({"system": "ibrav=4, A=5"}, r"celldm\(3\) \(C\) is missing, and ibrav 4 needs it"),
        ({"system": "ibrav=5, A=5, cosAB=-0.6"}, "the rhombohedral angle is -0.6"),
        ({"system": "ibrav=12, A=5, B=5, C=5, cosAB=1.2"}, "the cosine of an angle of the cell is 1.2"),
        ({"system": "ibrav=14, A=5, B=5, C=5, cosAB=0.9, cosAC=-0.9, cosBC=0.9"}, "three edges cannot meet"),
        ({"system": "ibrav=1, celldm(1)=nan"}, r"celldm\(1\) is 'nan'"),
        ({"system": "ibrav=0"}, "has no card CELL_PARAMETERS"),
        (
            {"system": "ibrav=0", "atoms": CELL.format("alat") + ORIGIN},
            "is in alat, and neither",
        ),
        (
            {"system": "ibrav=0, A=4", "atoms": CELL.format("bohr") + ORIGIN},
            "says the size, too",
        ),
        (
            {"system": "ibrav=0", "atoms": CELL.format("nm") + ORIGIN},
            "is in 'nm', expected",
        ),
        (
            {"system": "ibrav=1, A=4", "atoms": CELL.format("bohr") + ORIGIN},
            "ibrav is 1 and there are",
        ),
        ({"atoms": "ATOMIC_POSITIONS crystal_sg\nSi 0 0 0"}, "crystal_sg: the atoms that symmetry adds are missing"),
        ({"system": "ibrav=1, A=4, space_group=227"}, "names a space_group"),
        ({"atoms": "ATOMIC_POSITIONS nm\nSi 0 0 0"}, "ATOMIC_POSITIONS is in 'nm'"),
        ({"atoms": ""}, "has no card ATOMIC_POSITIONS"),
        ({"nat": 2}, "nat is 2, there are 1 lines in ATOMIC_POSITIONS"),
        ({"nat": 10**20}, "nat is 100000000000000000000, there are 1 lines"),
        ({"nat": None}, "&SYSTEM has no nat"),
        ({"ntyp": 2}, "ntyp is 2, there are 1 lines in ATOMIC_SPECIES"),
        ({"atoms": "ATOMIC_POSITIONS crystal\nSi 0 0 0\nSi 0.5 0.5 0.5"}, "nat is 1, there are 2 lines"),
        ({"atoms": "ATOMIC_POSITIONS crystal\nGe 0 0 0"}, "holds 'Ge', which ATOMIC_SPECIES does not name"),
        ({"atoms": "ATOMIC_POSITIONS crystal\nXx 0 0 0", "species": "Xx 1 x.upf"}, "'Xx' names no element"),
        ({"atoms": "ATOMIC_POSITIONS crystal\nSi 0 0"}, "atom 1, has 3 words"),
        ({"atoms": "ATOMIC_POSITIONS crystal\nSi 0 0 a"}, "atom 1, is 'a', expected a number such as 0.25 or 1/3"),
        ({"species": "Si 28 a.upf\nSi 28 b.upf", "ntyp": 2}, "ATOMIC_SPECIES names 'Si' twice"),
        ({"atoms": "ATOMIC_POSITIONS crystal\nSi 0 0 0\nATOMIC_POSITIONS crystal\nSi 0 0 0"}, "stands there twice"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes, sentence):
    with pytest.raises(FormatError, match=sentence):
        read(**changes)


def test_texts_that_are_no_input_are_refused():
    for text, sentence in (
        ("", "no namelist &SYSTEM"),
        ("&SYSTEM\n" + "a=1," * 20_000 + "\n/", "has 20001 assignments"),
        ("!" * 5 * 2**20, "has 5 MB, one crystal has less than 4"),
        ("&SYSTEM\n ibrav=1", "begins in line 1 is not ended"),
        ("&SYSTEM\n/\n&SYSTEM\n/\n", "stands there twice"),
        ("BEGIN\nBEGIN_PATH_INPUT\n&SYSTEM\n/\n", "several images"),
        ("&SYSTEM ibrav=1, nat=1, ntyp=1, A=5 /\n", "has no card ATOMIC_POSITIONS"),
    ):
        with pytest.raises(FormatError, match=sentence):
            read_pw_input(text)


def test_spelling_comments_and_order_are_fortrans():
    text = pw_input("IBRAV = 1 , CellDM( 1 ) = 8.D0", "atomic_positions(crystal) ! unit\n# all\n Si\t0 0 0 ! one\n\n")
    for changed in (text, text.replace("\n/\n", "\n&END\n"), text.replace(", nat", "\n nat"), text.replace("=", " = ")):
        assert sound(read_pw_input(changed)).structure.lattice.a == pytest.approx(8 * BOHR_ANG)


def test_labels_name_elements_and_starting_magnetization_gives_moments():
    atoms, species = "ATOMIC_POSITIONS crystal\nCr1 0 0 0\nCr_d 0.5 0.5 0.5", "Cr1 52 Cr.upf\nCr_d 52 Cr.upf"
    system = "ibrav=1, A=2.87, nspin=2, starting_magnetization(1)=0.5, starting_magnetization(2)=-0.5"
    found = read(system, atoms, species, nat=2, ntyp=2)
    assert found.structure.composition.formula == "Cr2" and found.structure.site_properties["magmom"] == [3.0, -3.0]
    assert "Cr1 0.5 as +3, Cr_d -0.5 as -3 Bohr magnetons" in found.notes[1]
    without = read(system.replace("nspin=2, ", ""), atoms, species, nat=2, ntyp=2)
    assert "magmom" not in without.structure.site_properties
    assert "starting_magnetization is not used: nspin is not 2" in without.notes


def test_what_is_left_aside_is_said():
    notes = read("ibrav=-13, A=5, B=6, C=7, tot_charge=1.0, vdw_corr='DFT-D', noncolin=.false.", nat=1).notes
    assert notes[0].startswith("celldm(5) is not given: its angle is 90 degrees")
    assert notes[1].startswith("ibrav -13 has the axes of pw.x since version 6.5")
    assert notes[2] == "not used of this input: tot_charge, vdw_corr"
    assert read("ibrav=4, A=5, B=6, C=7, cosAB=-0.5").notes == ("celldm(2) is 1.2: ibrav 4 does not use it",)
    assert read("ibrav=1, A=5, B=5, C=5").notes == ()
    assert read(atoms="ATOMIC_POSITIONS crystal\nSi 0 0 0 0 0 1").notes == ("if_pos is not used: all atoms may move",)
