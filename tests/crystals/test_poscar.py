"""POSCAR and CONTCAR as VASP and other programs write them: every count is held against the positions."""

import numpy as np
import pytest

from crystalloop.models.formats.crystal_read import FormatError
from crystalloop.models.formats.parts.sound import sound
from crystalloop.models.formats.poscar import read_poscar

TWO = "0 0 0\n0.5 0.5 0.5\n"


def poscar(positions=TWO, scale="4.12", symbols="Cs Cl\n", counts="1 1", mode="Direct", comment="a salt"):
    return f"{comment}\n{scale}\n1 0 0\n0 1 0\n0 0 1\n{symbols}{counts}\n{mode}\n{positions}"


def read(**changes):
    return sound(read_poscar(poscar(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scale": "-69.934528"},
        {"scale": "4.12 4.12 4.12"},
        {"scale": "4.12D+00 ! angstrom"},
        {"mode": "cartesian"},
        {"mode": "Kartesisch"},
        {"mode": "Direct configuration=     1"},
        {"mode": "Selective dynamics\nDirect", "positions": "0 0 0 T T F\n0.5 0.5 0.5 T T T\n"},
        {"symbols": "Cs_sv Cl\n"},
        {"symbols": "Cs_sv_GW/8a83b8b1d8 Cl/b2f3\n"},
        {"symbols": "Cs\nCl\n", "counts": "1\n1"},
        {"symbols": "", "comment": "Cs Cl"},
        {"symbols": "", "positions": "0 0 0 Cs\n0.5 0.5 0.5 Cl\n"},
        {"symbols": "", "positions": "0 0 0 Cs1\n0.5 0.5 0.5 Cl1\n"},
        {"positions": "0 0 0 Cs\n0.5 0.5 0.5 Cl\n"},
        {"positions": "0 0 0 ! first\n0.5 0.5 0.5 # 2nd\n"},
        {"positions": TWO + "\n 0.1 0 0\n 0 0.1 0\n"},
        {"positions": TWO + "\nCartesian\n 0.1 0 0\n 0 0.1 0\n\n1\n0.5\n0 0 0 0\n" + "0 0 0\n" * 6},
        {"positions": TWO + "Lattice velocities and vectors\n1\n" + "0 0 0\n" * 6},
        {"positions": "0 0 0\n\n0.5 0.5 0.5\n"},
        {"positions": "0.0D0 0.d0 0\n 5.0E-1 .5 +0.5\n"},
        {"positions": "\t0\t0\t0\n\t0.5\t0.5\t0.5\n\n\n"},
    ],
)
def test_caesium_chloride_is_read_from_every_form(changes):
    structure = read(**changes).structure
    assert structure.composition.formula == "Cs1 Cl1"
    assert structure.lattice.abc == pytest.approx((4.12, 4.12, 4.12))
    assert structure.distance_matrix[0, 1] == pytest.approx(0.5 * 4.12 * 3**0.5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"positions": TWO + "0.5 0.5 0\n0.5 0 0.5\n"},
            r"the counts say 2 \(1 Cs, 1 Cl\), there are 4 positions .from line 9",
        ),
        ({"counts": "1 2"}, r"the counts say 3 \(1 Cs, 2 Cl\), there are 2 positions"),
        ({"counts": "1 2", "positions": TWO + "\n0 0 0\n0 0 0\n0 0 0\n"}, "say 3 .*are 2 positions, then a blank line"),
        ({"positions": TWO + "\n0.1 0.1 0.1\n"}, "after the positions and a blank line there are 1 more lines"),
        ({"positions": "0 0 0\n"}, "there is 1 position "),
        ({"positions": ""}, "there are 0 positions"),
        ({"counts": "1 100000000000000000000"}, r"the counts say 1e\+20 .1 Cs, 1e.20 Cl.*there are 2 positions"),
        ({"counts": "2 0"}, "the counts of atoms .line 7. are 2 0, expected whole numbers above 0"),
        ({"counts": "3 -1"}, "are 3 -1, expected"),
        ({"counts": "1.0 1.0"}, "a count of atoms in line 7 is '1.0', expected a whole number"),
        ({"counts": "1 1 1"}, "2 symbols and 3 counts"),
        ({"symbols": ""}, "no element symbols .the form of VASP 4."),
        ({"symbols": "Xx Cl\n"}, "the symbol line: 'Xx' names no element"),
        ({"symbols": "CO Cl\n"}, "'CO' may be C or Co"),
        ({"symbols": "Cs H.75\n"}, "'H.75' names no element"),
        ({"positions": "0 0 0 Na\n0.5 0.5 0.5 Cl\n"}, "the symbol line says Cs Cl, the positions Na Cl"),
        (
            {"symbols": "", "counts": "2", "positions": "0 0 0 Cs\n0.5 0.5 0.5 Cl\n"},
            "put Cl and Cs into one block of 2",
        ),
        ({"scale": "0"}, "the scale in line 2 is '0', expected a number that is not zero"),
        ({"scale": "4 5"}, "line 2 holds 2 numbers, expected one scale or three"),
        ({"scale": "4 -5 6"}, "three above zero"),
        ({"scale": "nan"}, "the scale in line 2 is 'nan'"),
        ({"scale": "1e400"}, "the scale in line 2 is '1e400'"),
        ({"scale": "4120"}, None),
        ({"positions": TWO + poscar()}, "'a salt' follows the positions: neither velocities nor a blank line"),
        ({"positions": "0 0 0\nx 0.5 0.5\n"}, "'x 0.5 0.5' stands among the positions"),
        ({"positions": TWO + "\n" * 5 * 2**20}, "has 5 MB, one crystal has less than 4"),
        ({"scale": "41200"}, "lattice vector a is 4.12e.04 angstrom long"),
        ({"scale": "0.01"}, "lattice vector a is 0.01 angstrom long"),
        ({"mode": "0 0 0"}, "line 8 is '0 0 0', expected Direct or Cartesian"),
        ({"mode": "Angstrom"}, "line 8 is 'Angstrom', expected Direct or Cartesian"),
        ({"mode": ""}, "line 8 is '', expected Direct or Cartesian"),
        ({"positions": "0 0 0\n0.5 0.5\n"}, "line 10 is '0.5 0.5', expected a position"),
        ({"positions": "0 0 0\n0.5 0.5 x\n"}, "a coordinate in line 10 is 'x', expected a number"),
        ({"positions": "0 0 0\n0.5 nan 0\n"}, "a coordinate in line 10 is 'nan'"),
        ({"positions": "0 0 0\n0.5 1_0 0\n"}, "a coordinate in line 10 is '1_0'"),
        (
            {"positions": "0 0 0\n0.05 0 0\n"},
            r"atoms coincide: site 1 \(Cs\) and site 2 \(Cl\) are 0.206 angstrom apart",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_line(changes, sentence):
    if sentence is None:
        assert len(read(**changes).structure) == 2
        return
    with pytest.raises(FormatError, match=sentence):
        read(**changes)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("1 0 0\n0 1 0\n1 1 0", "lie in a plane"),
        ("1 0 0\n0 1 0\n0 0 0", "lattice vector c is zero"),
        ("1 0 0\n0 1 0\n0 0", "line 5, a lattice vector, is '0 0', expected three numbers"),
        ("1 0 0 0\n0 1 0 0\n0 0 1 0", "line 3, a lattice vector, holds more than three numbers"),
        ("1 0 0\n0 x 0\n0 0 1", "line 4, a lattice vector, is 'x'"),
    ],
)
def test_an_impossible_cell_is_refused_by_line(rows, sentence):
    for scale in ("4.12", "-70"):
        with pytest.raises(FormatError, match=f"{sentence}|the cell has no volume"):
            read_poscar(poscar(scale=scale).replace("1 0 0\n0 1 0\n0 0 1", rows))


def test_a_left_handed_cell_stays_what_it_is():
    structure = sound(read_poscar(poscar().replace("0 1 0\n0 0 1", "0 0 1\n0 1 0"))).structure
    assert np.linalg.det(structure.lattice.matrix) == pytest.approx(-(4.12**3))


def test_three_scales_stretch_the_axes_of_space():
    structure = read(scale="4 5 6", mode="Cartesian").structure
    assert structure.lattice.abc == pytest.approx((4, 5, 6))
    assert structure.cart_coords[1] == pytest.approx([2.0, 2.5, 3.0])


def test_a_symbol_may_come_back():
    structure = read(symbols="Fe O Fe\n", counts="1 1 1", positions=TWO + "0.5 0.5 0\n").structure
    assert [site.specie.symbol for site in structure] == ["Fe", "O", "Fe"]


def test_what_is_guessed_or_left_aside_is_said():
    assert read(symbols="", comment="Cs Cl").notes == ("no symbol line (VASP 4): Cs Cl stand in the comment, line 1",)
    assert read(positions=TWO + "\n" + TWO).notes == ("velocities and what else follows the positions are not used",)
    assert read(mode="Selective\nDirect").notes == ("Selective dynamics is not used: all atoms may move",)
    assert "read as Direct" in read(mode="Fractional").notes[0]
    assert read(symbols="cs Cl\n").notes == ()  # nothing else it could be
