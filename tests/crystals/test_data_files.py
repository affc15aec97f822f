"""Data files: what is read, and how each damage is named."""

import gzip
import json

import pytest

from crystalloop.models.data.files import DataError, read_crystals

NACL = {"id": "x-1", "a": 5.69, "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
CIF = """data_CsCl
_cell_length_a 4.12
_cell_length_b 4.12
_cell_length_c 4.12
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Cs1 0.0 0.0 0.0
Cl1 0.5 0.5 0.5
"""


def jsonl(tmp_path, *rows, name="d.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_jsonl_rows_become_crystals_with_labels_in_the_networks_units(tmp_path):
    row = NACL | {"formation_energy_per_atom": -2.1, "bulk_modulus": 100.0, "band_gap": None}
    (crystal,) = read_crystals(jsonl(tmp_path, row)).crystals
    assert crystal.structure.composition.reduced_formula == "NaCl"
    assert crystal.structure.lattice.a == pytest.approx(5.69)
    assert crystal.labels == {"formation_energy_per_atom": -2.1, "log10_bulk_modulus": 2.0}


def test_a_label_keeps_the_scheme_that_its_row_names(tmp_path):
    path = jsonl(tmp_path, NACL | {"formation_energy_per_atom": -2.1, "formation_energy_scheme": "MP2020"}, NACL)
    assert [crystal.scheme for crystal in read_crystals(path).crystals] == ["MP2020", ""]


def test_csv_and_cif_give_the_same_crystal(tmp_path):
    (tmp_path / "CsCl.cif").write_text(CIF)
    (tmp_path / "labels.csv").write_text("id,formation_energy_per_atom\nCsCl,-2.2\n")
    (from_folder,) = read_crystals(tmp_path).crystals
    path = tmp_path / "t.csv"
    path.write_text(
        'id,a,species,frac_coords,formation_energy_per_atom\nq,4.12,"[""Cs"",""Cl""]","[[0,0,0],[0.5,0.5,0.5]]",-2.2\n'
    )
    (from_csv,) = read_crystals(path).crystals
    assert from_folder.structure == from_csv.structure
    assert from_folder.labels == from_csv.labels == {"formation_energy_per_atom": -2.2}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ('{"id": "x", "species": ["Na"', "line 2: not a whole JSON object"),
        (NACL | {"a": None}, "line 2"),
        ({"id": "y", "a": 4.0, "species": ["Na"]}, "line 2: field 'frac_coords' is missing"),
        (NACL | {"frac_coords": [[0, 0, 0], [0.01, 0, 0]]}, "closer than 0.5 A"),
        (NACL | {"a": "5.69 A"}, "a = 5.69 A is no number: write the number alone, without its unit"),
        (NACL | {"species": ["Na", "Qq"]}, "line 2"),
        ("[1, 2]", "holds list, not an object"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line_and_skipped_only_on_request(tmp_path, bad, says):
    path = jsonl(tmp_path, NACL, bad)
    with pytest.raises(DataError, match=r"d\.jsonl line 2") as refused:
        read_crystals(path)
    assert says in str(refused.value)
    read = read_crystals(path, skip_bad=True)
    assert len(read.crystals) == 1
    assert says in read.left_out[0]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ({"formation_energy_per_atom": -203.0}, "formation_energy_per_atom = -203.0 eV/atom is outside -8..8 eV/atom"),
        ({"bulk_modulus": 16000.0}, "bulk_modulus = 16000.0 GPa is outside 0.01..1585 GPa: wrong unit?"),
        ({"bulk_modulus": 0}, "bulk_modulus = 0 GPa is outside 0.01..1585 GPa"),
        ({"poisson_ratio": 7}, "poisson_ratio = 7 is outside -1..0.5: wrong quantity?"),
        ({"band_gap": "NaN"}, "band_gap = NaN is no number; bounds are 0..30 eV"),
        ({"band_gap": float("nan")}, "band_gap = NaN is no finite number; bounds are 0..30 eV"),
        ({"band_gap": True}, "band_gap = true is no number"),
        ({"band_gap": "1,5"}, "band_gap = 1,5 is no number: write a decimal point, not a comma"),
        ({"energy_per_atom": "-1,234.5"}, "without separators of thousands"),
        ({"band_gap": "1.5 eV"}, "write the number alone, without its unit"),
        ({"band_gap": "-"}, "band_gap = - is no number"),
        ({"band_gap": 10**400}, "band_gap = 1000000"),
        ({"band_gap": [1.5]}, "band_gap = [1.5] is no number"),
    ],
)
def test_a_bad_label_is_named_in_its_own_unit_and_alone_left_out_on_request(tmp_path, label, says):
    path = jsonl(tmp_path, NACL, NACL | {"refractive_index": 2.0} | label)
    with pytest.raises(DataError, match=r"d\.jsonl line 2") as refused:
        read_crystals(path)
    assert says in str(refused.value)
    read = read_crystals(path, skip_bad=True)
    assert [crystal.labels for crystal in read.crystals] == [{}, {"refractive_index": 2.0}]
    assert read.left_out == ()
    assert read.notes[0].startswith("d.jsonl: 1 labels of 1 rows left out, the first: d.jsonl line 2: ")
    assert says in read.notes[0]


def test_a_truncated_gzip_names_the_last_line(tmp_path):
    whole = gzip.compress(
        "\n".join(json.dumps(NACL | {"id": f"x-{i}", "a": 5 + i / 997}) for i in range(2000)).encode()
    )
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    read = read_crystals(path, skip_bad=True)
    assert len(read.crystals) > 100
    assert any("the compressed file ends too early" in sentence for sentence in read.left_out)


def test_a_truncated_cif_is_named(tmp_path):
    path = tmp_path / "cut.cif"
    path.write_text(CIF[:120])
    with pytest.raises(DataError, match=r"cut\.cif"):
        read_crystals(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Cs1 0.0", "Va1 0.0", "'Va1' names no element"),
        ("data_CsCl", CIF + "data_other", "holds 2 crystals"),
        ("'P 1'", "'F m 9 m'", "space group 'F m 9 m' is not known"),
        ("Cl1 0.5 0.5 0.5", "Cl1 0.5 . 0.5", "_atom_site_fract_y of site Cl1 is '.'"),
    ],
)
def test_a_cif_is_never_guessed_in_a_file_nor_in_a_row(tmp_path, old, new, says):
    text = CIF.replace(old, new)
    (tmp_path / "salt.cif").write_text(text)
    for path in (tmp_path / "salt.cif", jsonl(tmp_path, {"id": "salt", "cif": text})):
        with pytest.raises(DataError, match=r"salt\.cif|line 1") as refused:
            read_crystals(path)
        assert says in str(refused.value)


def test_missing_and_unknown_files_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_crystals(tmp_path / "none.jsonl")
    (tmp_path / "x.xlsx").write_text("")
    with pytest.raises(DataError, match="unknown format"):
        read_crystals(tmp_path / "x.xlsx")
    with pytest.raises(DataError, match="no usable crystal"):
        read_crystals(jsonl(tmp_path, NACL), where={"class": "perovskite_ABX3"})


def test_the_shared_data_are_read_whole(shared_data):
    read = read_crystals(shared_data / "half_heusler.jsonl.gz")
    assert len(read.crystals) == 283
    assert all("formation_energy_per_atom" in crystal.labels for crystal in read.crystals)
