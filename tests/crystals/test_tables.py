"""Tables as spreadsheets, pandas, editors and broken disks write them: read right, or named with the next move."""

import gzip
import json

import pytest

from crystalloop.models.data.files import DataError, read_crystals

NACL = {"id": "x-1", "a": 5.69, "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
CELLLESS = {name: NACL[name] for name in ("id", "species", "frac_coords")}
HEADER = "id,species,a,frac_coords,formation_energy_per_atom"
ROW = '"[""Cs"", ""Cl""]",4.12,"[[0, 0, 0], [0.5, 0.5, 0.5]]",-2.0'
TABLE = f"{HEADER}\ng1,{ROW}\ng2,{ROW}\n"


def written(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path, **options):
    with pytest.raises(DataError) as told:
        read_crystals(path, **options)
    return str(told.value)


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode("utf-8-sig"),
        ("sep=,\n" + TABLE),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE + ",,,,\n,,,,\n\n   \n",
        TABLE.replace(HEADER, f"{HEADER},Unnamed: 5").replace("-2.0", "-2.0,7"),
        "," + TABLE.replace("\ng", "\n0,g"),
        TABLE.replace(",", ", "),
        TABLE.replace("id,", "ID,"),
        TABLE.replace("-2.0", "-2e0").replace("4.12", "+4.12"),
        TABLE.replace("0], [", "0],\n ["),
    ],
    ids=["BOM", "sep", "CRLF", "CR", "blank", "unnamed", "index", "spaces", "capitals", "exponents", "newline"],
)
def test_a_csv_of_excel_and_of_pandas_is_read(tmp_path, content):
    read = read_crystals(written(tmp_path, content))
    assert [crystal.id for crystal in read.crystals] == ["g1", "g2"]
    assert [crystal.labels for crystal in read.crystals] == [{"formation_energy_per_atom": -2.0}] * 2
    assert [crystal.structure.lattice.a for crystal in read.crystals] == [4.12, 4.12]
    assert (read.left_out, read.notes) == ((), ())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            TABLE.replace("id,", "Universität,").encode("latin-1"),
            "is not UTF-8 (byte 0xe4 in or after line 1); save it",
        ),
        (TABLE.encode("utf-16"), "is not UTF-8 but UTF-16 (by its byte order mark); save it as UTF-8"),
        (TABLE.encode("utf-16-le"), "is not UTF-8 (a byte is zero, as in UTF-16); save it as UTF-8"),
        (TABLE.replace(",", ";"), "one column named 'id;species;a;frac_coords;formation_energy_per_atom': semicolons"),
        (TABLE.replace(",", "\t"), "tabs; write commas between columns, and decimal points"),
        ("sep=;\n" + TABLE, "columns are separated by ';'; write commas"),
        (TABLE.replace("id,", "a,"), "column a and a stands twice"),
        (f"# from a lab\n{TABLE}", "begins with '# from a lab'; the first line is for the names of columns"),
        ("", "is empty"),
        (f"{HEADER}\n", "no usable crystal; it holds no rows"),
        (f'"{HEADER}"\n"g1,Cs,4,0,0"\n', "quotes round whole lines; write them round cells"),
    ],
)
def test_a_csv_that_is_no_table_is_a_sentence_even_where_rows_are_skipped(tmp_path, content, says):
    path = written(tmp_path, content)
    for skip_bad in (False, True):
        assert says in refused(path, skip_bad=skip_bad)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (ROW.replace('""', "'"), """species = ['Cs', 'Cl'] is no JSON; write JSON, e.g. ["Cs", "Cl"]"""),
        (ROW.replace("4.12", "4,12"), "has 6 cells, and the header 5"),
        (ROW.replace("4.12", '"4,12"'), "a = 4,12 is no number: write a decimal point, not a comma"),
        (ROW.replace("4.12", "4.12 A"), "a = 4.12 A is no number: write the number alone"),
        (ROW.replace("4.12", ""), "field 'a' is missing"),
        (ROW.replace("4.12", "1_000"), "a = 1_000 is no number"),
        (ROW.replace("4.12", "inf"), "a = inf is no number"),
        (ROW[:20], "has 3 cells, and the header 5"),
        (ROW.replace('"[""Cs"", ""Cl""]"', "Cs Cl"), "species = Cs Cl is no JSON"),
        (ROW.replace('""Cs"", ""Cl""', ", ".join(['""Cs""'] * 3000)), "has 3,000 atoms; at most 2,000 are read"),
    ],
)
def test_a_bad_line_of_a_csv_is_named_and_left_out_on_request(tmp_path, line, says):
    path = written(tmp_path, f"{HEADER}\nbad,{line}\ngood,{ROW}\n")
    told = refused(path)
    assert told.startswith("t.csv line 2: ")
    assert says in told
    read = read_crystals(path, skip_bad=True)
    assert [crystal.id for crystal in read.crystals] == ["good"]
    assert says in read.left_out[0]


def test_edges_in_columns_of_their_own_are_a_cell_and_never_a_cube(tmp_path):
    coords = '"[""Ti""]","[[0, 0, 0]]"'
    path = written(tmp_path, f"species,frac_coords,a,b,c,alpha,beta,gamma\n{coords},2.9,2.9,4.6,90,90,120\n")
    (crystal,) = read_crystals(path).crystals
    assert crystal.structure.lattice.parameters == pytest.approx((2.9, 2.9, 4.6, 90, 90, 120))
    path = written(tmp_path, f"species,frac_coords,a,c\n{coords},2.9,4.6\n")
    assert "lattice lacks b, alpha, beta, gamma" in refused(path)


@pytest.mark.parametrize(
    "lattice",
    [
        {"a": 4.0, "b": 4.0, "c": 5.0, "alpha": 90, "beta": 90, "gamma": 120},
        [4.0, 4.0, 5.0, 90, 90, 120],
        {"matrix": [[3.4641016151377544, -2.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 5.0]], "pbc": [True, True, True]},
        [3.4641016151377544, -2.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 5.0],
    ],
)
def test_a_lattice_is_an_object_six_or_nine_numbers_or_a_matrix(tmp_path, lattice):
    row = {"species": ["Zn", "O"], "frac_coords": [[0, 0, 0], [0.33, 0.67, 0.4]], "lattice": lattice}
    (crystal,) = read_crystals(written(tmp_path, json.dumps(row), "t.jsonl")).crystals
    assert crystal.structure.lattice.parameters == pytest.approx((4, 4, 5, 90, 90, 120))


def test_documents_of_the_materials_project_are_rows(tmp_path):
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": [x, x, x], "properties": {}}
        for symbol, x in (("Cs", 0), ("Cl", 0.5))
    ]
    matrix = [[4.12, 0, 0], [0, 4.12, 0], [0, 0, 4.12]]
    structure = {"@module": "os", "@class": "system", "lattice": {"matrix": matrix}, "sites": sites}
    row = {
        "material_id": "m-1",
        "structure": structure,
        "formation_energy_per_atom": -2,
        "bulk_modulus": {"vrh": 100.0},
    }
    (crystal,) = read_crystals(written(tmp_path, json.dumps(row), "t.jsonl")).crystals
    assert (crystal.id, crystal.structure.formula, crystal.structure.volume) == (
        "m-1",
        "Cs1 Cl1",
        pytest.approx(69.934528),
    )
    assert crystal.labels == {"formation_energy_per_atom": -2.0, "log10_bulk_modulus": 2.0}
    empty = row | {"structure": structure | {"sites": []}}
    assert "sites is empty: no atoms" in refused(written(tmp_path, json.dumps(empty), "t.jsonl"))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (NACL | {"species": ["Na", "Cl", "Cl"]}, "3 species and 2 positions"),
        (NACL | {"frac_coords": [[0, 0, 0], [float("nan"), 0.5, 0.5]]}, "position 2 is [NaN, 0.5, 0.5]"),
        (NACL | {"frac_coords": [[0, 0, 0], [True, 0.5, 0.5]]}, "position 2 is [true, 0.5, 0.5]"),
        (NACL | {"frac_coords": [[0, 0, 0], [0.5, 0.5]]}, "position 2 is [0.5, 0.5]; wanted are three"),
        (NACL | {"frac_coords": [[0, 0, 0], ["1/2", 0.5, 0.5]]}, "position 2 is"),
        (NACL | {"frac_coords": [[0, 0, 0], [10**400, 0.5, 0.5]]}, "position 2 is [1000"),
        (NACL | {"frac_coords": [[0, 0, 0], [2.845, 2.845, 2.845]]}, "position 2 is [2.845, 2.845, 2.845]; wanted are"),
        (NACL | {"frac_coords": "none"}, "frac_coords = none is no JSON"),
        (NACL | {"species": []}, "species = [] names no atoms"),
        (NACL | {"species": ["Na", True]}, "species: true is not an element symbol"),
        (NACL | {"species": ["Na", "Qq"]}, "Qq"),
        (NACL | {"species": ["Na"] * 10_000}, "10,000 atoms; at most 2,000"),
        (NACL | {"a": True}, "a = true is no number"),
        (NACL | {"a": 0}, "a = 0; a cell edge is positive"),
        (NACL | {"a": 1e300}, "a = 1e+300; a cell edge is positive, in angstrom, and at most 10,000"),
        (CELLLESS | {"lattice": [4, 4]}, "lattice = [4, 4]; write a (cubic), [a, b, c, alpha, beta, gamma], an object"),
        (CELLLESS | {"lattice": {"a": 4.0}}, "lattice lacks b, c, alpha, beta, gamma"),
        (CELLLESS | {"lattice": [4, 4, 4, 90, 90, 180]}, "gamma = 180; an angle lies between"),
        (CELLLESS | {"lattice": [[0, 0, 0]] * 3}, "3 independent finite row vectors"),
        (CELLLESS | {"lattice": [[0.3, 0, 0], [0, 20, 0], [0, 0, 20]]}, "two atoms are closer than 0.5 A"),
        (NACL | {"split": "trian"}, "split = 'trian'; give train, val, test"),
        ('{"a": 1, "a": 2}', "key 'a' stands twice in one object"),
        (json.dumps(NACL) + ",", "a comma after the object; remove it"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' + "7" * 5000 + "}", "a whole number of thousands of digits"),
        ("[1, 2]", "holds list, not an object"),
    ],
)
def test_a_bad_line_of_a_jsonl_is_named_for_campaigns_as_for_training(tmp_path, bad, says):
    good = json.dumps(NACL)
    path = written(tmp_path, f"{good}\n{bad if isinstance(bad, str) else json.dumps(bad)}\n", "t.jsonl")
    told = refused(path)
    assert told.startswith("t.jsonl line 2: ")
    assert says in told
    read = read_crystals(path, skip_bad=True)
    assert len(read.crystals) == len(read.left_out) == 1


def test_no_text_of_a_file_steers_the_terminal(tmp_path):
    row = NACL | {"id": "\x1b[31mred\ud800", "band_gap": "\x1b]0;x\x07"}
    read = read_crystals(written(tmp_path, json.dumps(row), "t.jsonl"), skip_bad=True)
    assert (read.crystals[0].id + read.notes[0]).isprintable()


def test_species_with_charges_are_their_elements_and_labels_are_said(tmp_path):
    rows = [NACL | {"species": ["Na+", "Cl-"]}, NACL | {"species": ["Na1", "Cl2"]}, NACL | {"species": [11, 17]}]
    read = read_crystals(written(tmp_path, "\n".join(map(json.dumps, rows)), "t.jsonl"))
    assert [crystal.structure.formula for crystal in read.crystals] == ["Na1 Cl1"] * 3
    assert read.notes == ("t.jsonl line 2: species Cl2, Na1: read as the elements that they begin with",)


def test_an_edge_that_the_lattice_contradicts_is_said_not_to_be_used(tmp_path):
    rows = [NACL | {"lattice": [4, 4, 4, 90, 90, 90]}, NACL | {"lattice": [5.69, 5.69, 5.69, 90, 90, 90]}]
    read = read_crystals(written(tmp_path, "\n".join(map(json.dumps, rows)), "t.jsonl"))
    assert read.crystals[0].structure.lattice.a == pytest.approx(4.0)
    assert read.notes == ("t.jsonl line 1: the field a is not used: lattice has another first edge",)


def test_deuterium_is_hydrogen_with_a_note(tmp_path):
    row = {"a": 4.08, "species": ["Li", "D"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
    read = read_crystals(written(tmp_path, json.dumps(row), "t.jsonl"))
    assert read.crystals[0].structure.formula == "Li1 H1"
    assert "D" in read.notes[0]


def test_a_jsonl_with_a_byte_order_mark_is_read_and_an_array_is_named(tmp_path):
    assert len(read_crystals(written(tmp_path, json.dumps(NACL).encode("utf-8-sig"), "T.JSONL")).crystals) == 1
    assert "is one JSON array; write each object on a line of its own" in refused(
        written(tmp_path, json.dumps([NACL]), "t.jsonl")
    )


LINES = ("\n".join(json.dumps(NACL | {"id": f"x-{i}", "a": 5 + i / 997}) for i in range(500))).encode()
PACKED = gzip.compress(LINES)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (PACKED[:3000] + bytes(100) + PACKED[3100:], "damaged ("),
        (PACKED[:-8] + bytes(8), "damaged (CRC check failed"),
        (PACKED + b"garbage", "damaged (Not a gzipped file"),
        (LINES, "is not compressed by gzip; name it t.jsonl"),
        (b"", "it holds no rows"),
        (gzip.compress(b" " * 40_000_000), "unpacks to more than 250 times its size: no table of crystals"),
        (gzip.compress(b"\n" * 2_000_000), "empty lines in a row"),
    ],
    ids=["inside", "checksum", "behind", "plain", "empty", "bomb", "blank"],
)
def test_a_damaged_or_hostile_gzip_is_refused_by_name(tmp_path, content, says):
    path = written(tmp_path, content, "t.jsonl.GZ")
    told = refused(path, skip_bad=True)
    assert "t.jsonl.GZ" in told
    assert says in told
    assert "t.jsonl.GZ" in refused(path)


def test_a_line_beyond_all_crystals_is_left_out_and_the_next_one_read(tmp_path):
    path = written(tmp_path, json.dumps(NACL | {"id": "long" * 2_200_000}) + "\n" + json.dumps(NACL), "t.jsonl")
    assert "t.jsonl line 1: a row of more than 8 MB is no crystal" in refused(path)
    assert [crystal.id for crystal in read_crystals(path, skip_bad=True).crystals] == ["x-1"]
    unclosed = written(tmp_path, TABLE + '"' + "a\n" * 4_200_000)
    assert "is a quote not closed?" in refused(unclosed)


def test_units_are_declared_for_a_file_and_bounds_are_said_in_them(tmp_path):
    row = NACL | {"formation_energy_per_atom": -2100.0, "bulk_modulus": 250.0}
    path = written(tmp_path, json.dumps(row), "t.jsonl")
    (crystal,) = read_crystals(path, units={"formation_energy_per_atom": "meV", "bulk_modulus": "kbar"}).crystals
    assert crystal.labels == pytest.approx({"formation_energy_per_atom": -2.1, "log10_bulk_modulus": 1.39794}, abs=1e-6)
    assert "outside -8000..8000 meV" in refused(
        written(tmp_path, json.dumps(row | {"formation_energy_per_atom": -9000}), "t.jsonl"),
        units={"formation_energy_per_atom": "meV"},
    )
    assert "'mev' is no unit of it; there are eV, meV" in refused(path, units={"formation_energy_per_atom": "mev"})
    assert "'poisson_ratio' is no label with a unit" in refused(path, units={"poisson_ratio": "eV"})


@pytest.mark.parametrize(
    ("unit", "given", "property_", "value"),
    [
        ("kJ/mol", -96.48533212, "formation_energy_per_atom", -1.0),
        ("kcal/mol", -23.060548, "formation_energy_per_atom", -1.0),
        ("Ry/atom", -0.1, "formation_energy_per_atom", -1.3605693),
        ("Ha", -0.1, "formation_energy_per_atom", -2.7211386),
        ("meV/atom", -250, "formation_energy_per_atom", -0.25),
        ("Mbar", 1.0, "bulk_modulus", 2.0),
        ("MPa", 1e5, "bulk_modulus", 2.0),
        ("eV/A^3", 1.0, "bulk_modulus", 2.2047104),
    ],
)
def test_labels_of_other_units_become_the_networks(tmp_path, unit, given, property_, value):
    path = written(tmp_path, json.dumps(NACL | {property_: given}), "t.jsonl")
    (crystal,) = read_crystals(path, units={property_: unit}).crystals
    assert list(crystal.labels.values()) == pytest.approx([value], abs=1e-6)


def test_a_field_that_looks_like_a_label_and_is_none_is_said(tmp_path):
    read = read_crystals(written(tmp_path, json.dumps(NACL | {"formation_energy": -2.0}), "t.jsonl"))
    assert read.notes == (
        "t.jsonl: field 'formation_energy' is not read; if it is a label, name it formation_energy_per_atom",
    )


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"stable": True}, ["1", "3"]),
        ({"stable": "true"}, ["1", "3"]),
        ({"stable": False}, ["2"]),
        ({"a": 5.0}, ["2"]),
        ({"a": "5.00"}, ["2"]),
        ({"kind": ["salt", "ore"]}, ["1", "2"]),
        ({"kind": None}, ["3"]),
        ({"kind": "salt", "stable": True}, ["1"]),
    ],
)
def test_true_is_true_and_numbers_are_numbers_in_a_filter(tmp_path, where, kept):
    rows = [
        NACL | {"id": "1", "stable": True, "kind": "salt"},
        NACL | {"id": "2", "a": 5, "stable": False, "kind": "ore"},
        NACL | {"id": "3", "stable": "TRUE"},
    ]
    path = written(tmp_path, "\n".join(map(json.dumps, rows)), "t.jsonl")
    assert [crystal.id for crystal in read_crystals(path, where=where).crystals] == kept


def test_a_filter_that_keeps_nothing_says_what_there_is(tmp_path):
    rows = [NACL | {"stable": True}, NACL | {"stable": False}]
    path = written(tmp_path, "\n".join(map(json.dumps, rows)), "t.jsonl")
    assert "`where` keeps none of 2 rows: stable is true, false there" in refused(path, where={"stable": "yes"})
    told = refused(path, where={"stabel": True})
    assert "no row has a value of stabel; there are id, a, species, frac_coords, stable" in told
