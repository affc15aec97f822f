"""JSON documents as data files: the arrays and objects that the Materials Project and pandas export, or what is wrong."""

import gzip
import json

import pytest

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.files import DataError, read_crystals
from crystalloop.models.data.text_lines import MOST_WHOLE

SITES = [{"species": [{"element": one, "occu": 1}], "abc": [x, x, x]} for one, x in (("Cs", 0.0), ("Cl", 0.5))]
STRUCTURE = {"lattice": {"matrix": [[4.12, 0, 0], [0, 4.12, 0], [0, 0, 4.12]]}, "sites": SITES}
DOCUMENT = {"material_id": "mp-22865", "structure": STRUCTURE, E_F: -2.2}
PLAIN = {"id": "g1", "species": ["Cs", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "a": 4.12, E_F: -2.2}


def refused(path):
    with pytest.raises(DataError) as told:
        read_crystals(path)
    return str(told.value)


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ([DOCUMENT, DOCUMENT | {"material_id": "mp-2"}], ["mp-22865", "mp-2"]),
        (DOCUMENT, ["mp-22865"]),
        ({"data": [DOCUMENT], "meta": {"total_doc": 1}}, ["mp-22865"]),
        ([PLAIN], ["g1"]),
        (PLAIN, ["g1"]),
    ],
)
@pytest.mark.parametrize("name", ["x.json", "x.JSON", "x.json.gz"])
def test_a_json_document_is_its_crystals_with_their_labels(tmp_path, content, ids, name):
    text = "\ufeff" + json.dumps(content, indent=1)
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    read = read_crystals(tmp_path / name)
    assert [one.id for one in read.crystals] == ids
    assert [dict(one.labels) for one in read.crystals] == [{E_F: -2.2}] * len(ids)
    assert {one.structure.composition.reduced_formula for one in read.crystals} == {"CsCl"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; give an array of objects"),
        ("[1]", "x.json entry 1: holds int, not an object"),
        ('"text"', "holds str; write an array of objects"),
        ('{"a": {"0": 4.12}}', "one object without a crystal (its keys: a); write an array of objects"),
        ('[{"a": 1,\n "a": 2}]', "key 'a' stands twice in one object; remove one"),
        ('[\n{"a": }]', "line 2: no JSON (Expecting value, column 7)"),
        (f"{json.dumps(PLAIN)}\n{json.dumps(PLAIN)}", "if each line is an object of its own, name it .jsonl"),
        ("[" * 100_000, "nested too deep to be read"),
        ('[{"x": ' + "9" * 5000 + "}]", "holds a whole number of thousands of digits"),
    ],
)
def test_what_is_wrong_with_a_json_document_is_said(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    assert said in refused(tmp_path / "x.json")


def test_a_json_document_is_read_up_to_a_size_and_a_damaged_one_by_name(tmp_path):
    (tmp_path / "long.json").write_text(" " * (MOST_WHOLE + 1))
    assert "is one document of more than 32 MB; write it as .jsonl" in refused(tmp_path / "long.json")
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(json.dumps([PLAIN]).encode())[:60])
    assert "the compressed file ends too early; fetch it again" in refused(tmp_path / "cut.json.gz")
    (tmp_path / "z.json").write_bytes(b"[\0]")
    assert "a byte is zero" in refused(tmp_path / "z.json")


def test_a_structure_as_python_shows_it_is_named_by_its_column(tmp_path):
    cell = str(STRUCTURE).replace('"', '""')
    (tmp_path / "x.csv").write_text(f'material_id,structure\nmp-1,"{cell}"\n')
    told = refused(tmp_path / "x.csv")
    assert "x.csv line 2: structure = {'lattice'" in told and "write it with json.dumps" in told


def test_occupancies_beside_the_species_are_full_or_refused(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps([PLAIN | {"occupancy": [1, 1.0]}]))
    assert len(read_crystals(tmp_path / "x.json").crystals) == 1
    (tmp_path / "x.json").write_text(json.dumps([PLAIN | {"occupancy": [1, 0.5]}]))
    assert "x.json entry 1: occupancy = [1, 0.5]: has partially occupied sites; order it first" in refused(
        tmp_path / "x.json"
    )


def test_an_average_of_moduli_that_is_null_is_no_label(tmp_path):
    moduli = {"bulk_modulus": {"voigt": None, "reuss": None, "vrh": None}, "shear_modulus": {"vrh": 10.0}}
    (tmp_path / "x.json").write_text(json.dumps([DOCUMENT | moduli]))
    assert set(read_crystals(tmp_path / "x.json").crystals[0].labels) == {E_F, "log10_shear_modulus"}
