"""Tables with random damages: crystals or one DataError, nothing else, and never more memory than the text deserves."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from crystalloop.models.data.files import DataError, read_crystals

ROW = {"id": "g1", "species": ["Cs", "Cl"], "a": 4.12, "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "band_gap": 5.0}
CSV = (
    'id,species,a,frac_coords,formation_energy_per_atom\ng1,"[""Cs"", ""Cl""]",4.12,"[[0, 0, 0], [0.5, 0.5, 0.5]]",-2.0\n'
    'g2,"[""Li"", ""F""]",2.6,"[[0, 0, 0], [0.5, 0.5, 0.5]]",-2.1\n'
)
JSONL = f"{json.dumps(ROW)}\n{json.dumps(ROW | {'a': None, 'lattice': [4, 4, 5, 90, 90, 120]})}\n"
PIECES = [
    "nan",
    "-inf",
    "1e400",
    "true",
    "null",
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    "\n",
    "\r",
    "\t",
    "\0",
    "#",
    "-",
    "e9",
]
PIECES += [
    "9" * 5000,
    "[" * 2000,
    "\ufeff",
    "é",
    "Qq",
    "D",
    "1_0",
    "4,12",
    "\\ud800",
    ',"cif":"data_x"',
    ',"structure":{}',
]
damages = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=5)),
    min_size=1,
    max_size=6,
)


def damaged(text, changes):
    for at, taken, put in changes:
        at %= len(text) + 1
        text = text[:at] + put + text[at + taken :]
    return text


def read_or_refused(path, text, encoding):
    path.write_bytes(text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass"))
    try:
        read = read_crystals(path, skip_bad=True)
    except DataError as error:
        assert path.name in str(error)
        assert len(str(error)) < 3000
        return
    assert all(crystal.structure.is_ordered and len(crystal.structure) for crystal in read.crystals)
    assert all(sentence.startswith(path.name) for sentence in (*read.left_out, *read.notes))


@settings(max_examples=500, derandomize=True, deadline=None)
@given(changes=damages, encoding=st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16"]))
def test_a_damaged_csv_is_read_or_refused(tmp_path_factory, changes, encoding):
    read_or_refused(tmp_path_factory.getbasetemp() / "damaged.csv", damaged(CSV, changes), encoding)


@settings(max_examples=500, derandomize=True, deadline=None)
@given(changes=damages, encoding=st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16"]))
def test_a_damaged_jsonl_is_read_or_refused(tmp_path_factory, changes, encoding):
    read_or_refused(tmp_path_factory.getbasetemp() / "damaged.jsonl", damaged(JSONL, changes), encoding)
