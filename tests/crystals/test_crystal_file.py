"""Files as people have them: what is read, and what is refused by name instead of guessed."""

import gzip
import json
import os

import pytest
from pw_fakes import rock_salt
from salt_cif import CIF, LIF, cif_file

from crystalloop.models.formats.one_crystal import CrystalFileError, read_crystal


def text_of(rows=LIF, **changes):
    text = CIF.format(a=4.2, rows=rows)
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("Li1 Li 0 0 0 0.5\nNa1 Na 0 0 0 0.5\nF1 F 0.5 0.5 0.5 1", "shared or partly empty, the first holds"),
        ("Li1 Li 0 0 0 0.8\nF1 F 0.5 0.5 0.5 1", "shared or partly empty"),
        ("Li1 Li 0 0 0 1\nLi2 Li 0 0 0 1\nF1 F 0.5 0.5 0.5 1", "coincide"),
        ("Xx1 Xx 0 0 0 1\nF1 F 0.5 0.5 0.5 1", "'Xx' names no element"),
        ("Va1 Va 0 0 0 1\nF1 F 0.5 0.5 0.5 1", "'Va' names no element"),  # pymatgen reads vanadium
        ("Ow1 Wat 0 0 0 1\nF1 F 0.5 0.5 0.5 1", "'Wat' names no element"),
        ("Li1 Li$(id) 0 0 0 1\nF1 F/&SYSTEM 0.5 0.5 0.5 1", "names no element"),
        ("Li1 Li 0 0 zero 1", "_atom_site_fract_z of site Li1 is 'zero'"),
        ("Li1 Li 0 0 0 1\nF1 F 0.5 0.5 0.5 1\nO1 O 0.5 0 0 0.0", "_atom_site_occupancy of site O1 is '0.0'.*above 0"),
        ("Li1 Li 0 0 0 1\nF1 F ? ? ? 1", "_atom_site_fract_x of site F1 is '?'"),
    ],
)
def test_a_crystal_that_cannot_be_computed_is_refused_by_name(tmp_path, rows, sentence):
    with pytest.raises(CrystalFileError, match=sentence.replace("$", r"\$")):
        read_crystal(cif_file(tmp_path, rows))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("text.cif", b"dear reader", "no data block"),
        ("empty.cif", b" \n", "is empty"),
        ("bytes.cif", b"\xff\xfe\x00", "no text"),
        ("wide.cif", text_of().encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("rows.cif", text_of(rows="").encode(), "no atoms"),
        ("bare.cif", b"data_x\n_cell_length_a 4.0\n", "no atoms"),
        ("edge.cif", text_of(a=("_cell_length_b 4.2\n", "")).encode(), "_cell_length_b is missing"),
        ("neg.cif", text_of(a=("_length_a 4.2", "_length_a -4.2")).encode(), "_cell_length_a is '-4.2'.*above 0"),
        ("nan.cif", text_of(a=("_length_a 4.2", "_length_a nan")).encode(), "_cell_length_a is 'nan'"),
        ("flat.cif", text_of(a=("alpha 90", "alpha 20"), b=("beta 90", "beta 20")).encode(), "cannot meet at angles"),
        ("two.cif", (text_of() + text_of(a=("data_salt", "data_other"))).encode(), r"holds 2 crystals \(salt, other\)"),
        ("POSCAR", b"x\n4\n1 0 0\n0 1 0\n0 0 1\n1 1\ndirect\n0 0 0\n.5 .5 .5\n", "no element symbols"),
        ("POSCAR.vasp", b"x\n4\n1 0 0\n", "ends at line 4"),
        ("molecule.xyz", b"2\n\nLi 0 0 0\nF 2 0 0\n", "has no cell"),
        ("list.json", b"[]", "list of 0"),
        ("other.json", b"{}", "holds no crystal: its keys are none"),
        ("XDATCAR", b"x", "is the frames of a molecular dynamics run of VASP; give the POSCAR or the CONTCAR"),
        ("CHGCAR_2", b"x", "is a charge density of VASP"),
        ("vasprun.xml", b"x", "is the output of VASP or pw.x; give one crystal"),
        ("si.xsf", b"x", "is a file of XCrySDen; give one crystal"),
        ("salt.cif", b"PK\x03\x04...", "is a zip archive, not a text; unpack it"),
        ("salt.cif.bz2", b"BZh91AY", "is packed by bzip2"),
        ("salt.cif.gz", b"\x1f\x8b\x08\x00damaged", "is a damaged .gz"),
        ("short.cif.gz", gzip.compress(text_of().encode())[:-20], "is a damaged .gz"),
        ("bomb.cif.gz", gzip.compress(b"#" * (21 * 2**20)), "has more than 20 MB when unpacked"),
        ("hole.cif", b"data_\0", "byte 5 is zero"),
        ("none.in", b"&CONTROL\n/\n", "no namelist &SYSTEM"),
    ],
)
def test_files_that_hold_no_crystal_are_refused(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CrystalFileError, match=sentence) as refused:
        read_crystal(tmp_path / name)
    assert name in str(refused.value)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(CrystalFileError, match="does not exist"):
        read_crystal(tmp_path / "none.cif")
    with pytest.raises(CrystalFileError, match="is a folder"):
        read_crystal(tmp_path)
    with pytest.raises(CrystalFileError, match="no regular file"):
        read_crystal(type(tmp_path)("/dev/null"))
    (tmp_path / "large.cif").write_bytes(b"#" * (21 * 2**20))
    with pytest.raises(CrystalFileError, match="has 21 MB"):
        read_crystal(tmp_path / "large.cif")


@pytest.mark.parametrize(
    "change",
    [
        {"a": ("data_salt", "data_global\n_journal 'a paper'\n\ndata_salt")},
        {"a": ("Li1 Li 0", "Li1 Li1+ 0"), "b": ("F1 F 0.5", "F1 F-1 0.5")},
        {
            "a": (LIF, "Li1 Li 0 0 0 1\nF1 F 0.5 0.5 0.5 1"),
            "b": ("'P 1'", "'F m -3 m'"),
            "c": ("number 1", "number 225"),
        },
        {"a": ("_atom_site_type_symbol\n", ""), "b": (" Li ", "A "), "c": (" F ", "' "), "d": ("Li0A", "LI0")},
        {"a": ("\n", "\r\n")},
        {
            "a": ("data_salt", "DATA_salt"),
            "b": ("loop_", "LOOP_"),
            "c": ("_cell_", "_CELL_"),
            "d": ("_fract_", "_FRACT_"),
        },
        {
            "a": (LIF, "Li1 Li 0 0 0 1\nF1 F 0.5 0.5 0.5 1"),
            "b": ("_symmetry_space_group_name_H-M 'P 1'", "_SYMMETRY_SPACE_GROUP_NAME_H-M 'F m -3 m'"),
            "c": ("_symmetry_Int_Tables_number 1", "_symmetry_int_tables_number 225"),
        },
        {
            "a": ("_atom_site_label\n", ""),
            **{f"{s}{i}": (f"{s}{i} {s} ", f"{s} ") for s in ("Li", "F") for i in range(4)},
        },
        {"a": ("data_salt", "\ufeff# Universit\u00e9\ndata_salt")},
        {"a": ("_length_a 4.2", "_length_a 4.2000(12)")},
    ],
)
def test_cif_files_as_journals_and_programs_write_them_are_read(tmp_path, change):
    (tmp_path / "salt.cif").write_text(text_of(**change), newline="")
    assert read_crystal(tmp_path / "salt.cif").structure.composition.formula == "Li4 F4"


def test_a_label_that_may_be_two_elements_needs_a_type_or_the_formula(tmp_path):
    labels = text_of(a=("_atom_site_type_symbol\n", ""), b=(" Li ", " "), c=(" F ", " "), d=("Li", "CO"))
    (tmp_path / "salt.cif").write_text(labels)
    with pytest.raises(CrystalFileError, match="'CO0' may be C or Co; write its symbol in _atom_site_type_symbol"):
        read_crystal(tmp_path / "salt.cif")
    (tmp_path / "salt.cif").write_text(labels.replace("_cell_length_a", "_chemical_formula_sum 'Co F'\n_cell_length_a"))
    assert read_crystal(tmp_path / "salt.cif").structure.composition.formula == "Co4 F4"


def test_names_of_authors_in_latin_1_do_no_harm(tmp_path):
    (tmp_path / "salt.cif").write_bytes(b"# Universit\xe9\n" + text_of().encode())
    assert len(read_crystal(tmp_path / "salt.cif").structure) == 8


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-32"),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\r\n").encode() + b"\x1a",
        lambda text: gzip.compress(text.encode()),
    ],
)
@pytest.mark.parametrize("name", ["salt.cif", "SALT.CIF", "salt.Cif", "salt.txt", "salt", "POSCAR"])
def test_every_encoding_line_end_and_spelling_of_the_ending_is_read(tmp_path, name, encode):
    text = rock_salt().to(fmt="poscar") if name == "POSCAR" else text_of()
    (tmp_path / name).write_bytes(encode(text))
    assert read_crystal(tmp_path / name).structure.composition.formula == "Li4 F4"


def test_a_packed_poscar_is_known_by_its_name_without_gz(tmp_path):
    (tmp_path / "POSCAR.gz").write_bytes(gzip.compress(rock_salt().to(fmt="poscar").encode()))
    assert len(read_crystal(tmp_path / "POSCAR.gz").structure) == 8


def test_pipes_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.cif")
    for place in (str(tmp_path / "pipe.cif"), "/dev/zero"):
        with pytest.raises(CrystalFileError, match="is no regular file"):
            read_crystal(type(tmp_path)(place))


def test_a_guessed_encoding_is_said(tmp_path):
    (tmp_path / "salt.cif").write_bytes(b"# Universit\xe9\n" + text_of().encode())
    assert read_crystal(tmp_path / "salt.cif").notes == ("is not UTF-8 (line 1): read as Latin-1",)


def test_deuterium_is_hydrogen(tmp_path):
    assert (
        read_crystal(cif_file(tmp_path, "Li1 Li 0 0 0 1\nD1 D 0.5 0.5 0.5 1")).structure.composition.reduced_formula
        == "LiH"
    )


PW_INPUT = """&CONTROL
/
&SYSTEM
  ibrav = 0, nat = 2, ntyp = 2
/
&ELECTRONS
/
ATOMIC_SPECIES
Li 6.9 li.upf
F 19 f.upf
CELL_PARAMETERS angstrom
0 2.1 2.1
2.1 0 2.1
2.1 2.1 0
ATOMIC_POSITIONS crystal
Li 0 0 0
F 0.5 0.5 0.5
K_POINTS gamma
"""
XYZ = """2
Lattice="0 2.1 2.1 2.1 0 2.1 2.1 2.1 0" Properties=species:S:1:pos:R:3 pbc="T T T"
Li 0 0 0
F 2.1 2.1 2.1
"""


@pytest.mark.parametrize("name", ["POSCAR", "salt.vasp", "CONTCAR-2", "salt.json", "salt.xyz", "salt.in"])
def test_other_formats_give_the_same_crystal(tmp_path, name):
    salt = rock_salt().get_primitive_structure()
    texts = {".json": lambda: json.dumps(salt.as_dict()), ".xyz": lambda: XYZ, ".in": lambda: PW_INPUT}
    (tmp_path / name).write_text(texts.get((tmp_path / name).suffix, lambda: salt.to(fmt="poscar"))())
    found = read_crystal(tmp_path / name).structure
    assert found.composition.formula == "Li1 F1" and found.volume == pytest.approx(salt.volume)
    assert found.distance_matrix[0, 1] == pytest.approx(2.1)


def test_a_json_file_names_no_code(tmp_path):
    document = rock_salt().as_dict()
    for place in (document, document["sites"][0]):
        place["properties"] = {"x": {"@module": "antigravity", "@class": "geohash"}}
    document["sites"][0]["species"][0]["element"] = "Li"
    (tmp_path / "salt.json").write_text(json.dumps(document))
    assert read_crystal(tmp_path / "salt.json").structure.site_properties == {}
