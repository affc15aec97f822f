"""Laboratories from files: what is read, what is left out and said, and what is refused with what would fit."""

import gzip
import json

import pytest
from laboratories import ANIONS, CATIONS, TARGET, energy, jsonl, laboratory, line, lines, rows

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.problems import DataError
from crystalloop.models.draw.target import ABOVE_HULL, Target
from crystalloop.orchestrator.campaign.choice.laboratory import LaboratorySection
from crystalloop.orchestrator.simulate.truth.laboratory import LaboratoryError, check_calls, judged
from crystalloop.orchestrator.simulate.truth.read import read_laboratory

ELEMENTS = [*CATIONS, *ANIONS]


def read(path, target=TARGET, hull_at=None, elements=ELEMENTS, **keys):
    return read_laboratory(LaboratorySection(file=path, **keys), target, elements, hull_at)


def test_rows_values_and_hits_are_those_of_the_file(tmp_path):
    found = read(jsonl(tmp_path / "salts.jsonl", lines()))
    assert (found.name, len(found), found.unit, found.notes) == ("salts", 60, "eV/atom", ())
    assert {found.rows[i].id for i in found.hits} == {
        f"{c}{a}" for c in CATIONS for a in ANIONS if energy(c, a) <= -1.9
    }
    assert found.value(found.rows[found.place["MgO"]]) == pytest.approx(energy("Mg", "O"))


def test_a_packed_csv_with_formula_prototype_and_value_alone_is_a_laboratory(tmp_path):
    path = tmp_path / "pairs.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write(
            "formula,prototype,a,e_f,cpu_s\nLiF,rocksalt_B1,4.0,-3.1,12\nLi2O2,CsCl_B2,3.0,,40\nNaI,CsCl_B2,,-1.0,9\n"
        )
    found = read(path, Target(maximum=-2), value="e_f", cost="cpu_s", missing="waste")
    assert [(row.formula, row.prototype, row.cost_s) for row in found.rows] == [
        ("LiF", "rocksalt_B1", 12),
        ("Li2O2", "CsCl_B2", 40),
        ("NaI", "CsCl_B2", 9),
    ]
    assert [found.value(row) for row in found.rows] == [-3.1, None, -1.0]
    assert "2 has no" not in found.notes[0] and "line 3, Li2O2" in found.notes[0] and "wasted" in found.notes[0]


def test_another_column_stands_in_for_the_targets_property(tmp_path):
    made = [line("Li", "F", heat=0.1), line("Na", "Cl", heat=0.4), line("K", "Br", heat=0.5)]
    found = read(jsonl(tmp_path / "heats.jsonl", made), Target(maximum=0.2), value="heat")
    assert [found.rows[i].id for i in found.hits] == ["LiF"]
    assert found.value(found.rows[1]) == 0.4


def test_where_keeps_rows_and_says_what_there_is_where_it_keeps_none(tmp_path):
    path = jsonl(tmp_path / "s.jsonl", [one | {"source": "a" if i % 2 else "b"} for i, one in enumerate(lines())])
    assert len(read(path, where="source = a")) == 30
    assert len(read(path, where={"source": ["a", "b"]})) == 60
    with pytest.raises(DataError, match="keeps none of 60 rows: source is b, a there"):
        read(path, where="source = c")


def test_rows_without_a_value_are_dropped_or_kept_to_be_wasted(tmp_path):
    path = jsonl(tmp_path / "s.jsonl", [*lines()[:20], line("Mg", "I", formation_energy_per_atom=None)])
    dropped, kept = read(path), read(path, missing="waste")
    assert (len(dropped), len(kept)) == (20, 21)
    assert "1 rows have no formation_energy_per_atom (the first: s.jsonl line 21" in dropped.notes[0]
    assert "--missing waste" in dropped.notes[0]
    assert kept.value(kept.rows[20]) is None and 20 not in kept.hits


def test_a_crystal_that_stands_twice_is_one_row_whatever_its_volume_and_origin(tmp_path):
    again = line("Mg", "O", a=4.2, id="other", formation_energy_per_atom=-2.0)
    again["frac_coords"] = [[x + 0.25 for x in place] for place in again["frac_coords"]]
    found = read(jsonl(tmp_path / "s.jsonl", [*lines(), again]))
    assert len(found) == 60
    assert "1 rows are crystals of earlier rows" in found.notes[0] and "differ by 0.38 at most" in found.notes[0]
    assert found.value(found.rows[found.place["MgO"]]) == pytest.approx(energy("Mg", "O"))


def test_crystals_that_stand_twice_can_be_kept(tmp_path):
    path = jsonl(tmp_path / "s.jsonl", [*lines(), line("Mg", "O", id="other")])
    assert len(read(path, duplicates="keep")) == 61


def test_the_row_with_a_value_is_kept_of_a_crystal_that_stands_twice(tmp_path):
    nothing = line("Mg", "O", id="nothing", formation_energy_per_atom=None)
    found = read(jsonl(tmp_path / "s.jsonl", [nothing, *lines()]), missing="waste")
    assert len(found) == 60 and "nothing" not in found.place


def test_two_rows_of_one_id_are_told_apart(tmp_path):
    found = read(jsonl(tmp_path / "s.jsonl", [one | {"id": "same"} for one in lines()]))
    assert len(found.place) == 60


def test_an_unknown_column_is_answered_with_the_nearest(tmp_path):
    path = jsonl(tmp_path / "s.jsonl", [one | {"heat_all": 0.1} for one in lines()])
    with pytest.raises(DataError, match=r"laboratory.value: no column 'heat_al'; did you mean heat_all\?"):
        read(path, value="heat_al")
    with pytest.raises(DataError, match=r"laboratory.cost: no column 'cpu'; there are id, a, species"):
        read(path, cost="cpu")
    with pytest.raises(DataError, match="--value names another column"):
        read(path, Target("band_gap", minimum=1))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-310.0, r"s.jsonl line 61: .*-310 is outside -8..8 eV/atom: another unit\?"),
        ("low", "line 61: .*low is no number"),
    ],
)
def test_an_absurd_value_stops_with_its_line_or_is_left_out(tmp_path, value, said):
    path = jsonl(tmp_path / "s.jsonl", [*lines(), line("Mg", "I", id="odd", formation_energy_per_atom=value)])
    with pytest.raises(DataError, match=said):
        read(path)
    left = read(path, bad_rows="skip")
    assert len(left) == 60 and "1 rows cannot be used" in left.notes[0]


def test_atoms_on_top_of_each_other_are_no_row(tmp_path):
    path = jsonl(tmp_path / "s.jsonl", [*lines(), line("Mg", "I", a=0.9)])
    with pytest.raises(DataError, match="line 61"):
        read(path)


def test_elements_outside_the_campaign_are_left_out_and_named(tmp_path):
    found = read(jsonl(tmp_path / "s.jsonl", lines()), elements=["Mg", "O", "S", "Ca"])
    assert len(found) == 4 and "56 rows have elements" in found.notes[0] and "Ag, Ba" in found.notes[0]


@pytest.mark.parametrize(("target", "which"), [(Target(maximum=-9), "none"), (Target(maximum=5), "every one")])
def test_a_target_that_nothing_or_everything_meets_is_refused_with_one_that_fits(target, which):
    with pytest.raises(LaboratoryError, match=rf"{which} of 60 rows .* CaF with -2.85 is the best .*-2.85 as the end"):
        laboratory(target=target)


@pytest.mark.parametrize("target", [Target(maximum=5), Target(direction="minimise")])
def test_values_that_are_all_the_same_are_refused_without_a_range_that_cannot_help(target):
    with pytest.raises(LaboratoryError, match=r"all 60 rows with a value have the same one \(-1, .*--value"):
        judged("s", rows(values={E_F: -1.0}), target, None)


def test_without_a_range_the_best_share_are_the_hits():
    best = laboratory(target=Target(direction="minimise"), top=0.05)
    assert {best.rows[i].id for i in best.hits} == {"CaF", "SrF", "MgF"}
    assert best.target.maximum == pytest.approx(energy("Mg", "F"))
    assert "best 5 % of the rows: at most -2.66" in best.notes[0]
    assert len(laboratory(target=Target(direction="maximise")).hits) == 1  # 2 % of 60
    with pytest.raises(LaboratoryError, match="no direction"):
        laboratory(target=Target(maximum=-1), top=0.1)


def test_no_rows_and_no_values_are_refused(tmp_path):
    empty = tmp_path / "s.jsonl"
    empty.write_text("")
    with pytest.raises(DataError):
        read(empty)
    with pytest.raises(LaboratoryError, match="none of 60 rows has a value"):
        judged("s", rows(values={}), TARGET, None)
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="unknown format"):
        read(_written(tmp_path / "s.txt", "x"))
    with pytest.raises(LaboratoryError, match="--laboratory FILE"):
        read(None)


def test_more_calls_than_rows_are_refused_with_calls_that_fit():
    with pytest.raises(LaboratoryError, match="--calls 20 --start 4 --batch 4 would do"):
        check_calls(laboratory(), 60)
    check_calls(laboratory(), 59)


def test_the_distance_to_a_hull_is_the_truth_where_it_is_asked_for(tmp_path):
    path = jsonl(tmp_path / "s.jsonl", lines())

    def hull_at(formula):
        return {"LiF": -1.9, "MgO": -2.38, "NaF": None, "CaF": 0.0}.get(formula, -9.0 + 8.9)

    found = read(path, Target(E_F, maximum=-0.5), hull_at, above_hull=True)
    assert found.rows[found.place["LiF"]].values[ABOVE_HULL] == pytest.approx(0.0)
    assert found.rows[found.place["MgO"]].hull_ev == -2.38
    assert "NaF" not in found.place and "CaF" not in found.place
    assert any("the hull says nothing" in note for note in found.notes)
    assert any("more than 0.05 eV/atom below the hull" in note for note in found.notes)
    with pytest.raises(LaboratoryError, match=r"hull: {reference: FILE}"):
        read(path, above_hull=True)


def test_a_table_without_crystals_is_described_by_its_columns(tmp_path):
    path = tmp_path / "barrel.csv"
    path.write_text("n,theta,toughness\n6,0,1.1\n8,50,30.5\n10,75,25\n12,100,2\n")
    found = read(path, Target(direction="maximise"), value="toughness", features=("n", "theta"), top=0.25)
    assert [row.features for row in found.rows] == [(6, 0), (8, 50), (10, 75), (12, 100)]
    assert sorted(found.hits) == [1]
    assert "stands in" not in found.notes[0] and found.feature_names == ("n", "theta")
    with pytest.raises(DataError, match="theta is empty"):
        path.write_text("n,theta,toughness\n6,,1.1\n")
        read(path, Target(direction="maximise"), value="toughness", features=("n", "theta"))


def test_the_column_of_values_is_no_feature(tmp_path):
    path = _written(tmp_path / "barrel.csv", "n,toughness\n6,1.1\n8,30.5\n")
    with pytest.raises(LaboratoryError, match=r"'toughness' is the column of the values.*--features n would do"):
        read(path, Target(direction="maximise"), value="toughness", features=("n", "toughness"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s.jsonl", "", "there is no row in it"),
        ("s.csv", "formula,prototype\n", "there is no row in it"),
        ("s.json", "[]", "there is no row in it"),
        ("s.jsonl", "formula,prototype\nLiF,rocksalt_B1\n", "s.jsonl line 1: not a whole JSON object"),
    ],
)
def test_a_file_without_a_row_says_so_rather_than_what_column_it_lacks(tmp_path, name, text, said):
    with pytest.raises(DataError, match=said):
        read(_written(tmp_path / name, text))


def test_formation_energies_are_offered_to_a_target_above_the_hull(tmp_path):
    with pytest.raises(DataError, match="--above-hull takes it from the formation energies"):
        read(jsonl(tmp_path / "s.jsonl", lines()), Target(property=ABOVE_HULL, maximum=0.05))


def test_repeated_measurements_of_a_table_without_crystals_are_one_row(tmp_path):
    path = _written(tmp_path / "barrel.csv", "n,toughness\n6,1\n6,3\n8,30\n10,5\n10,\n")
    found = read(path, Target(direction="maximise"), value="toughness", features=("n",), top=0.3)
    assert [(row.features, found.value(row)) for row in found.rows] == [((6,), 2), ((8,), 30), ((10,), 5)]
    assert any("4 rows have 3 different features" in note for note in found.notes)


def test_the_digest_changes_with_any_value():
    made = rows()
    other = rows()
    other[3] = laboratory().rows[4]
    assert laboratory(made).digest == laboratory(rows()).digest != laboratory(other[:3] + made[4:]).digest


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"start": 30, "calls": 20}, "start: 4 would do"),
        ({"start": 10, "calls": 20, "batch": 11}, "batch: 2 would do"),
        ({"features": ("n",), "above_hull": True}, "no crystal, and so no hull"),
        ({"top": 2}, "less than 1"),
        ({"features": ("n", "n")}, "'n' is named twice"),
    ],
)
def test_a_section_that_does_not_add_up_is_refused(keys, said):
    with pytest.raises(ValueError, match=said):
        LaboratorySection(**keys)


def _written(path, text):
    path.write_text(text)
    return path


def test_a_row_that_is_no_json_is_named_by_its_line(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(line("Mg", "O")) + "\n{oops\n")
    with pytest.raises(DataError, match=r"s.jsonl line 2"):
        read(path)
