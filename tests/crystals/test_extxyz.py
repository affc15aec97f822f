"""Extended XYZ as ASE, OVITO and QUIP write it: a box, one frame, as many lines as it says."""

import pytest

from crystalloop.models.formats.crystal_read import FormatError
from crystalloop.models.formats.extxyz import read_extxyz
from crystalloop.models.formats.parts.sound import sound

BOX = 'Lattice="4 0 0 0 4 0 0 0 4"'
ROWS = "Na 0 0 0\nCl 2 2 2\n"
PROPERTIES = "Properties=species:S:1:pos:R:3"


def xyz(rows=ROWS, line=f'{BOX} {PROPERTIES} pbc="T T T"', count="2"):
    return f"{count}\n{line}\n{rows}"


def read(**changes):
    return sound(read_extxyz(xyz(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"line": BOX},
        {"line": f"{BOX} energy=-3.2 config_type='two words' virial=\"1 0 0 0 1 0 0 0 1\" stress={{1 2 3}}"},
        {"line": f"LATTICE='4 0 0 0 4 0 0 0 4' {PROPERTIES}"},
        {"line": "Lattice={4 0 0 0 4 0 0 0 4}"},
        {"line": f"{BOX} Properties=id:I:1:species:S:1:pos:R:3", "rows": "1 Na 0 0 0\n2 Cl 2 2 2\n"},
        {"line": f"{BOX} {PROPERTIES}:forces:R:3", "rows": "Na 0 0 0 0 0 1\nCl 2 2 2 0 0 -1\n"},
        {"line": f"{BOX} Properties=Z:I:1:pos:R:3", "rows": "11 0 0 0\n17 2 2 2\n"},
        {"line": f"{BOX} {PROPERTIES}:Z:I:1", "rows": "Na 0 0 0 11\nCl 2 2 2 17\n"},
        {"rows": "11 0 0 0\n17 2 2 2\n"},
        {"line": f"{BOX} pbc=T"},
        {"line": f"{BOX} pbc=[True, True, True]"},
        {"rows": "Na3+ 0 0 0\nCl- 2 2 2\n"},
        {"rows": "Na1 0 0 0\nCl_a 2 2 2\n\n\n"},
        {"rows": "  Na\t0 0 0\n  Cl\t2.0D0 2 2"},
    ],
)
def test_rock_salts_two_atoms_are_read_from_every_form(changes):
    structure = read(**changes).structure
    assert structure.composition.formula == "Na1 Cl1" and structure.lattice.abc == pytest.approx((4, 4, 4))
    assert structure.frac_coords[1] == pytest.approx([0.5] * 3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"line": ""}, "has no cell .three lattice vectors."),
        ({"line": 'pbc="F F F"'}, "has no cell"),
        ({"line": 'Lattice="4 4 4 90 90 90"'}, "Lattice holds 6 numbers, expected the 9"),
        ({"line": 'Lattice="4 0 0 0 4 0 0 0 nan"'}, "a number of Lattice .line 2. is 'nan'"),
        ({"line": 'Lattice="4 0 0 0 4 0 0 0 0"'}, "lattice vector c is zero"),
        ({"line": f"{BOX} {BOX}"}, "line 2 says Lattice twice"),
        ({"line": f"{BOX} Properties=species:S"}, "Properties is 'species:S', expected name:kind:columns"),
        ({"line": f"{BOX} Properties=species:S:1:pos:R:99999999999"}, "1 to 99 columns"),
        ({"line": f"{BOX} Properties=species:S:1:frac_pos:R:3"}, "names no pos:R:3"),
        ({"line": f"{BOX} Properties=name:S:1:pos:R:3"}, "neither species:S:1 nor Z:I:1"),
        ({"line": f'{BOX} pbc="yes"'}, "pbc is 'yes', expected three of T and F"),
        ({"count": "100000000000000000000"}, r"line 1 says 1e\+20 atoms, there are 2 lines of atoms"),
        ({"line": f"{BOX} {'a' * 100_000}"}, "line 2 has 100028 characters"),
        ({"rows": ROWS * 200_000}, "has 4 MB, one crystal has less than 4|has 3 MB|there are 400000 lines"),
        ({"count": "3"}, "line 1 says 3 atoms, there are 2 lines"),
        ({"count": "1"}, "line 1 says 1 atoms, there are 2 lines"),
        ({"count": "0"}, "the count of atoms, line 1, is 0"),
        ({"count": "-2"}, "the count of atoms, line 1, is -2"),
        ({"count": "two"}, "the count of atoms, line 1, is 'two', expected a whole number"),
        ({"count": "1" * 5000}, "expected a whole number"),
        ({"rows": ROWS + xyz() + xyz()}, "holds 3 frames, expected one crystal"),
        ({"rows": "Na 0 0\nCl 2 2 2\n"}, "line 3 has 3 columns, Properties says 4"),
        ({"rows": "Na 0 0 0 1\nCl 2 2 2 1\n"}, "line 3 has 5 columns, Properties says 4"),
        ({"rows": "X 0 0 0\nCl 2 2 2\n"}, "species 'X' names no element"),
        ({"rows": "Va 0 0 0\nCl 2 2 2\n"}, "species 'Va' names no element"),
        ({"rows": "0 0 0 0\n17 2 2 2\n"}, "species is 0, expected an atomic number"),
        ({"rows": "Na 0 0 ?\nCl 2 2 2\n"}, "a number in line 3 is '.', expected a number"),
        ({"rows": "Na 0 0 0\nCl 0 0 4\n"}, r"site 1 \(Na\) and site 2 \(Cl\) are 0.000"),
        (
            {"line": f"{BOX} {PROPERTIES}:Z:I:1", "rows": "Na 0 0 0 11\nCl 2 2 2 18\n"},
            "line 4 says Cl by symbol and Ar by Z",
        ),
        ({"line": f"{BOX} {PROPERTIES}:magmom:R:1", "rows": "Na 0 0 0 x\nCl 2 2 2 1\n"}, "line 3 .magmom. is 'x'"),
    ],
)
def test_what_does_not_fit_is_refused_by_line(changes, sentence):
    with pytest.raises(FormatError, match=sentence):
        read(**changes)


@pytest.mark.parametrize(
    ("name", "columns", "moments", "note"),
    [
        ("initial_magmoms", ("3", "-3"), [3.0, -3.0], None),
        ("magmoms", ("2.5", "0"), [2.5, 0.0], None),
        ("magmom", ("0 0 2", "0 0 -2"), [2.0, -2.0], "lie along 0 0 1"),
        ("magmom", ("0 0 2", "0 2 0"), None, "non-collinear"),
        ("magmom", ("0", "0"), None, None),
        ("initial_magmoms:R:1:magmoms", ("3 1", "-3 -1"), [3.0, -3.0], "the moments are those of initial_magmoms"),
    ],
)
def test_moments_are_kept_or_a_sentence_says_that_they_are_not(name, columns, moments, note):
    width = 3 if columns[0].count(" ") == 2 else 1
    rows = f"Cr 0 0 0 {columns[0]}\nCr 2 2 2 {columns[1]}\n"
    found = read(line=f"{BOX} {PROPERTIES}:{name}:R:{width}", rows=rows)
    assert found.structure.site_properties.get("magmom") == moments
    assert (found.notes == ()) if note is None else (note in found.notes[0])


def test_a_molecule_in_a_box_is_read_and_the_box_said_to_repeat():
    found = read(line='Lattice="5.5 0 0 0 5.6 0 0 0 6.2" pbc="F F F"', rows="O 2.75 2.8 2.49\nO 2.75 2.8 3.71\n")
    assert found.structure.distance_matrix[0, 1] == pytest.approx(1.22)
    assert found.notes == ("pbc is F F F: the cell is repeated in all three directions, as pw.x computes it",)


def test_charges_and_masks_are_left_aside_aloud():
    found = read(line=f"{BOX} {PROPERTIES}:charge:R:1:move_mask:L:1", rows="Na 0 0 0 1 T\nCl 2 2 2 -1 F\n")
    assert found.notes == (
        "move_mask is not used: all atoms may move",
        "the charges of the file (charge) are not used: the crystal is computed neutral",
    )
