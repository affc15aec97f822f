"""The corpus: fast reading, one split per formula, duplicates, and a sentence for every unusable row."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from crystalloop.models.crystals.chemistry import reduced_formula
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.data.corpus import read_corpus, split_of
from crystalloop.models.data.files import DataError, read_crystals
from crystalloop.models.data.row_crystal import lattice_of

NACL = {"id": "x-1", "a": 5.69, "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
CSCL = NACL | {"id": "x-2", "a": 4.12, "species": ["Cs", "Cl"]}


def jsonl(folder, *rows, name="d.jsonl"):
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_rows_become_arrays_in_the_order_and_units_of_the_properties(tmp_path):
    row = NACL | {"formation_energy_per_atom": -2.1, "bulk_modulus": 100.0, "band_gap": None, "class": "binary_AB"}
    corpus = read_corpus([jsonl(tmp_path, row, CSCL | {"prototype": "CsCl_B2"})])
    assert (corpus.ids, corpus.formulas, corpus.groups) == (("x-1", "x-2"), ("NaCl", "CsCl"), ("binary_AB", "CsCl_B2"))
    np.testing.assert_allclose(corpus.crystals[0].lattice, np.eye(3) * 5.69)
    known = {PROPERTIES[i]: corpus.labels[0, i] for i in np.flatnonzero(np.isfinite(corpus.labels[0]))}
    assert known == {"formation_energy_per_atom": -2.1, "log10_bulk_modulus": 2.0}
    assert np.isnan(corpus.labels[1]).all()


def test_a_cell_of_six_numbers_has_pymatgens_orientation():
    from pymatgen.core.lattice import Lattice

    for cell in (
        (3.0, 4.0, 5.0, 90.0, 90.0, 90.0),
        (2.9, 2.9, 4.8, 90.0, 90.0, 120.0),
        (3.1, 4.2, 5.3, 71.0, 82.0, 103.0),
    ):
        np.testing.assert_allclose(lattice_of(*cell), Lattice.from_parameters(*cell).matrix, atol=1e-12)
    with pytest.raises(ValueError, match="make no cell"):
        lattice_of(3.0, 3.0, 3.0, 20.0, 20.0, 120.0)


@pytest.mark.parametrize(
    "counts",
    [
        {"Na": 4, "Cl": 4}, {"Ca": 2, "N": 4, "O": 12}, {"Li": 2, "O": 2}, {"O": 8}, {"Xe": 1, "F": 2}, {"He": 1, "Ne": 1},
        {"K": 2, "S": 2, "O": 8}, {"H": 6, "C": 2, "O": 1}, {"Fe": 2, "V": 1, "Al": 1}, {"Ti": 1, "As": 1, "N": 1, "O": 2},
        {"Al": 2, "H": 6, "O": 6}, {"Mg": 3, "Si": 2, "H": 4, "O": 9}, {"Ar": 2, "C": 2, "N": 4}, {"Ba": 1, "Cu": 2, "P": 4},
    ],
    ids="-".join,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity:UserWarning")
def test_reduced_formulas_are_pymatgens(counts):
    from pymatgen.core.composition import Composition

    assert reduced_formula(counts) == Composition(counts).reduced_formula


def test_polymorphs_fall_in_one_part_and_the_parts_have_their_shares(tmp_path):
    pairs = [("Na", "Cl"), ("K", "Br"), ("Mg", "O"), ("Al", "N"), ("Fe", "Si"), ("Zn", "S")]
    rows = [NACL | {"id": f"{a}-{i}", "a": 4.0 + i, "species": [a, b]} for a, b in pairs for i in range(3)]
    corpus = read_corpus([jsonl(tmp_path, *rows)])
    assert [len({*corpus.split[i : i + 3]}) for i in range(0, 18, 3)] == [1] * 6
    names = [split_of(f"Na{i}Cl") for i in range(5000)]
    assert [names.count(part) / 5000 for part in ("train", "val", "test")] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_the_files_split_is_kept_and_holds_for_rows_without_one(tmp_path):
    part = {"train": "test", "val": "train", "test": "val"}[split_of("NaCl")]
    corpus = read_corpus([jsonl(tmp_path, NACL | {"split": part}, NACL | {"id": "other", "a": 6.0})])
    assert corpus.split.tolist() == [part, part]
    assert corpus.counts()[part] == 2
    assert len(corpus.part(part)) == 2


def test_a_formula_in_two_parts_of_the_split_is_refused(tmp_path):
    path = jsonl(tmp_path, NACL | {"split": "train"}, NACL | {"id": "b", "a": 6.0, "split": "test"})
    with pytest.raises(DataError, match=r"NaCl is in train \(d.jsonl line 1\) and in test \(d.jsonl line 2\)"):
        read_corpus([path])


def test_duplicates_are_left_out_and_fill_in_labels(tmp_path):
    first = jsonl(tmp_path, NACL, CSCL | {"primary": False}, name="a.jsonl")
    second = jsonl(tmp_path, NACL | {"band_gap": 5.0}, CSCL | {"id": "c"}, name="b.jsonl")
    corpus = read_corpus([first, second])
    assert corpus.ids == ("x-1", "c")
    assert corpus.labels[0, PROPERTIES.index("band_gap")] == 5.0
    assert [sentence.split(" rows ")[0] for sentence in corpus.left_out] == ["1", "1"]
    joined = read_corpus([first]).joined(read_corpus([second]))
    np.testing.assert_array_equal(joined.labels, corpus.labels)
    assert joined.ids == corpus.ids


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (NACL | {"species": ["Na", "Qq"]}, "Qq"),
        (NACL | {"species": ["Na", {"Cl": 0.5}]}, "partially occupied"),
        (NACL | {"frac_coords": [[0, 0, 0], [0.99, 0, 0]]}, "two atoms are closer than 0.5 A"),
        (NACL | {"a": 0.569}, "volume per atom 0.0921 A^3 is outside 1..1000"),
        (NACL | {"a": 56.9}, "is outside 1..1000: cell in another unit?"),
        (NACL | {"a": -5.69}, "a = -5.69"),
        (NACL | {"frac_coords": [[0, 0, 0], [None, 0, 0]]}, "finite fractional coordinates"),
        (NACL | {"split": "dev"}, "split = 'dev'; give train, val, test"),
        ({"id": "z", "a": 4.0, "species": ["Na"]}, "field 'frac_coords' is missing"),
        (NACL | {"lattice": [3, 3, 3, 10, 10, 170]}, "make no cell"),
    ],
)  # fmt: skip
def test_an_unusable_row_is_named_and_left_out_only_on_request(tmp_path, bad, says):
    path = jsonl(tmp_path, NACL, bad)
    with pytest.raises(DataError, match=r"d\.jsonl line 2") as refused:
        read_corpus([path])
    assert says in str(refused.value)
    corpus = read_corpus([path], bad_rows="skip")
    assert len(corpus) == 1
    assert says in corpus.left_out[0]


def test_a_label_that_is_nan_is_refused_with_its_bounds_or_taken_as_missing(tmp_path):
    path = jsonl(tmp_path, NACL | {"band_gap": float("nan"), "formation_energy_per_atom": -2.0})
    with pytest.raises(DataError, match=r"line 1: band_gap = NaN is no finite number; bounds are 0..30 eV"):
        read_corpus([path])
    corpus = read_corpus([path], bad_rows="skip")
    assert np.isfinite(corpus.labels[0]).sum() == 1
    assert "1 labels of 1 rows left out" in corpus.left_out[0]


def test_only_cubic_cells_pass_and_the_others_are_counted(tmp_path):
    tall = CSCL | {"id": "tall", "lattice": [3.1, 3.1, 5.0, 90, 90, 90]}
    skew = CSCL | {"id": "skew", "lattice": [4.1, 4.1, 4.1, 90, 90, 91]}
    close = CSCL | {"id": "close", "lattice": [4.12, 4.121, 4.12, 90, 90, 90.01]}
    corpus = read_corpus([jsonl(tmp_path, NACL, tall, skew, close)])
    cubic, refused = corpus.cubic()
    assert cubic.ids == ("x-1", "close")
    assert np.ptp(cubic.crystals[1].lengths_ang) == 0.0
    assert cubic.crystals[1].is_orthogonal
    assert "2 of 4 crystals are not cubic (first: tall, edges 3.100 3.100 5.000 A" in refused[0]
    orthogonal, refused = corpus.with_cell("orthorhombic")
    assert orthogonal.ids == ("x-1", "tall", "close")
    assert "1 of 4 crystals are not orthorhombic (first: skew" in refused[0]


def test_the_digest_follows_crystals_labels_and_split(tmp_path):
    rows = (NACL | {"split": "train"}, CSCL | {"split": "train"})
    first = read_corpus([jsonl(tmp_path, *rows)]).digest
    assert read_corpus([jsonl(tmp_path, *rows)]).digest == first
    for changed in (NACL | {"a": 5.7}, NACL | {"band_gap": 5.0}, NACL | {"split": "val"}):
        assert read_corpus([jsonl(tmp_path, rows[0] | changed, rows[1])]).digest != first


def test_a_missing_file_and_a_file_without_crystals_say_so(tmp_path):
    with pytest.raises(DataError, match=r"none.jsonl: no such file"):
        read_corpus([tmp_path / "none.jsonl"])
    with pytest.raises(DataError, match="no usable crystal"):
        read_corpus([jsonl(tmp_path)])


def test_the_fast_reader_and_the_general_one_agree_on_the_shared_data(shared_data, tmp_path):
    for name in ("half_heusler", "properties", "castelli_perovskites"):
        with gzip.open(shared_data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for number, line in zip(range(4000), lines, strict=False) if number % 200 == 7]
        path = jsonl(tmp_path, *rows)
        corpus, known = read_corpus([path]), read_crystals(path).crystals
        kept = [one for one, row in zip(known, rows, strict=True) if row.get("primary", True)]
        assert len(corpus) == len(kept) > 1
        for i, one in enumerate(kept):
            np.testing.assert_allclose(corpus.crystals[i].lattice, one.structure.lattice.matrix, atol=1e-9)
            assert corpus.crystals[i].to_structure().matches(one.structure)
            assert {
                PROPERTIES[p]: corpus.labels[i, p] for p in np.flatnonzero(np.isfinite(corpus.labels[i]))
            } == one.labels


def test_castellis_heats_are_no_labels(shared_data, tmp_path):
    with gzip.open(shared_data / "castelli_perovskites.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(50), lines, strict=False)]
    assert any(row.get("heat_all") is not None for row in rows)
    assert np.isnan(read_corpus([jsonl(tmp_path, *rows)]).labels).all()
