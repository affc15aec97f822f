"""Mutated files of every format other than CIF: a crystal or one sentence comes out, and nothing else, bounded."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pw_fakes import rock_salt
from test_other_exported import FOLDER
from written_crystals import text_of

from crystalloop.models.formats.one_crystal import CrystalFileError, read_crystal

SALT = rock_salt().get_primitive_structure()
PW = (FOLDER / "other" / "qe_example_nickel.in").read_text(encoding="utf-8")
SEEDS = {
    "POSCAR": [text_of(SALT, "poscar"), (FOLDER / "other" / "CONTCAR_vasp6_npt").read_text(encoding="utf-8")],
    "x.xyz": [text_of(SALT, "extxyz"), (FOLDER / "other" / "ase_afm.xyz").read_text(encoding="utf-8")],
    "x.json": [json.dumps(SALT.as_dict()), (FOLDER / "other" / "optimade_oqmd.json").read_text(encoding="utf-8")],
    "x.in": [PW, (FOLDER / "other" / "aiida.in").read_text(encoding="utf-8")],
}
WORDS = st.sampled_from(
    ["", "0", "-1", "1e400", "nan", "1" * 400, "1e-300", "1.0D+99", "Xx", "\x00", "\x85", "\u2028", "\n", "\r", '"', "'", "=",
     "(", "[" * 500, "{", "/", "&SYSTEM", "\ufeff", "\ud7ff", "1/0", "9^9^9^9", "100000000000000000000", "null", "true", "[]",
     "{}", ":", ",", "Lattice=", "ATOMIC_POSITIONS", "ibrav=14", "celldm(1)=", "T T F", "\u0663", "\xb2", "X", "D", "Fe/"]
)  # fmt: skip
EDIT = st.tuples(
    st.sampled_from(["replace", "insert", "delete", "repeat", "swap"]), st.floats(0, 1), st.floats(0, 1), WORDS
)


def mutated(text: str, edits: list[tuple[str, float, float, str]]) -> str:
    """A few edits, each at a place between two words."""
    pieces = text.replace("\n", " \n ").split(" ")
    for kind, at, other, word in edits:
        one, two = (min(int(place * len(pieces)), len(pieces) - 1) for place in (at, other))
        match kind:
            case "replace":
                pieces[one] = word
            case "insert":
                pieces.insert(one, word)
            case "delete" if len(pieces) > 1:
                del pieces[one]
            case "repeat":
                pieces[one:one] = pieces[two : two + 20]
            case _:
                pieces[one], pieces[two] = pieces[two], pieces[one]
    return " ".join(pieces)


def crystal_or_sentence(path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        structure = read_crystal(path).structure
    except CrystalFileError as error:
        assert str(path) in str(error) and len(str(error)) < 1000 and "Traceback" not in str(error)
        assert "cannot be read as" not in str(error), "a surprise of the parser, not a sentence of ours"
        return
    assert 0 < len(structure) <= 2000 and math.isfinite(structure.volume) and structure.is_ordered


QUIET = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", SEEDS)
def test_words_that_are_changed_give_a_crystal_or_a_sentence(tmp_path, name, seed):
    @QUIET
    @given(st.lists(EDIT, min_size=1, max_size=5))
    def check(edits):
        crystal_or_sentence(tmp_path / name, mutated(SEEDS[name][seed], edits).encode("utf-8", "replace"))

    check()


@pytest.mark.parametrize("name", SEEDS)
def test_bytes_that_are_changed_give_a_crystal_or_a_sentence(tmp_path, name):
    @QUIET
    @given(st.integers(0, 10**6), st.binary(max_size=12), st.integers(0, 40))
    def check(at, inserted, removed):
        content = SEEDS[name][0].encode()
        place = at % len(content)
        crystal_or_sentence(tmp_path / name, content[:place] + inserted + content[place + removed :])

    check()


@pytest.mark.parametrize("name", SEEDS)
def test_anything_at_all_gives_a_sentence(tmp_path, name):
    @QUIET
    @given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
    def check(content):
        crystal_or_sentence(tmp_path / name, content)

    check()


LEAF = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("__ndarray__"))
VALUE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
KEYS = {
    "lattice": VALUE, "sites": VALUE, "structure": VALUE, "lattice_vectors": VALUE, "cartesian_site_positions": VALUE,
    "species_at_sites": VALUE, "species": VALUE, "numbers": VALUE, "positions": VALUE, "cell": VALUE, "pbc": VALUE,
    "frac_coords": VALUE, "a": VALUE, "elements": VALUE, "coords": VALUE, "lattice_mat": VALUE, "charge": VALUE,
    "structure_features": VALUE, "dimension_types": VALUE, "initial_magmoms": VALUE, "nsites": VALUE, "@class": VALUE,
}  # fmt: skip


def test_documents_with_the_right_keys_and_any_values_give_a_crystal_or_a_sentence(tmp_path):
    start = [json.loads(text) for text in SEEDS["x.json"]]

    @settings(QUIET, max_examples=100)
    @given(st.sampled_from([0, 1, 2]), st.fixed_dictionaries({}, optional=KEYS))
    def check(which, changes):
        base = [start[0], start[1]["data"][0]["attributes"], {"numbers": [3], "positions": [[0, 0, 0]], "cell": 4.0}][
            which
        ]
        crystal_or_sentence(tmp_path / "x.json", json.dumps({**base, **changes}).encode())

    check()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.in", "&SYSTEM\n" + "a" * 10**6),
        ("x.in", "&SYSTEM\n" + " " * 10**6 + "\n/"),
        ("x.in", "&SYSTEM\n" + "a=(" * 10**5 + "\n/"),
        ("x.in", "&SYSTEM\n celldm=" + "9999*1.0," * 10**4 + "\n/"),
        ("x.in", "'" * 10**6),
        ("x.xyz", "1\n" + 'a="' * 10**5 + "\n"),
        ("x.xyz", "1\n" + "a " * 10**5 + "=\nNa 0 0 0"),
        ("x.xyz", "1\n" + "Properties=" + "a:S:1:" * 10**5 + "\nNa 0 0 0"),
        ("x.xyz", "1\n" + " " * 10**6 + "\nNa 0 0 0"),
        ("POSCAR", "x\n" + "1 " * 10**6),
        ("POSCAR", "\n" * 10**6),
        ("POSCAR", "x\n1\n5 0 0\n0 5 0\n0 0 5\n" + "Na " * 10**5 + "\n" + "1 " * 10**5 + "\nDirect\n0 0 0"),
        ("POSCAR", "x\n1\n50 0 0\n0 50 0\n0 0 50\nNa\n50000\nDirect\n" + "0 0 0\n" * 50000),
        ("x.json", "[" * 10**6),
        ("x.json", '{"a":[' * 10**5),
        ("x.json", "[" + "1," * 10**6 + "1]"),
        ("x.json", '{"lattice": ' + "[" * 900 + "]" * 900 + ', "sites": []}'),
    ],
)
def test_long_files_without_a_crystal_are_refused_in_bounded_work(tmp_path, name, content):
    crystal_or_sentence(tmp_path / name, content.encode())
