"""Formation energies that a campaign's hull names: read from tables, every bad row named, put on one scale, never mixed."""

import gzip
import json

import pytest
from database_fixture import NOON

from crystalloop.db.ledger.records import ReferenceEnergy
from crystalloop.models.data.files import DataError
from crystalloop.orchestrator.campaign.choice.sections import HullSection
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError
from crystalloop.orchestrator.run.plan import check_hull
from crystalloop.orchestrator.settle.formation_set import read_formation_set
from crystalloop.orchestrator.settle.hull_energies import hull_reference, untied_hull

ROWS = [("Li", 0.0), ("F", 0.0), ("LiF", -3.17), ("LiF", -3.0), ("Li2F", -1.0)]


def table(path, rows=ROWS, **more):
    text = "".join(json.dumps({"formula": f, "formation_energy_per_atom": e} | more) + "\n" for f, e in rows)
    path.write_text(text)
    return path


def section(path, scheme="PBE", **more):
    return HullSection(reference=[{"path": path, **more}], scheme=scheme)


def read(path, scheme="PBE", **more):
    return read_formation_set(section(path, scheme, **more))


def refused(path, scheme="PBE", **more):
    with pytest.raises(DataError) as told:
        read(path, scheme, **more)
    return str(told.value)


def energies(found):
    return {entry.formula: entry.energy_ev_per_atom for entry in found.entries}


def test_the_lowest_of_several_rows_of_a_formula_counts(tmp_path):
    found = read(table(tmp_path / "a.jsonl", [*ROWS, ("Li4F4", -3.2)]))
    assert energies(found) == {"Li": 0.0, "F": 0.0, "Li4F4": -3.2, "Li2F": -1.0}
    assert found.name == "a.jsonl"


def test_the_same_set_is_read_from_every_form_of_table(tmp_path):
    by_id = {f"mp-{i}": {"formula": f, "e_form": e} for i, (f, e) in enumerate(ROWS)}
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(by_id).encode()))
    (tmp_path / "a.json").write_text(json.dumps([{"formula_pretty": f, "e_f": e} for f, e in ROWS]))
    (tmp_path / "a.csv").write_text("formula,formation_energy_per_atom\n" + "".join(f"{f},{e}\n" for f, e in ROWS))
    table(tmp_path / "a.jsonl")
    found = [energies(read(tmp_path / name)) for name in ("a.json.gz", "a.json", "a.csv", "a.jsonl")]
    assert found == [{"Li": 0.0, "F": 0.0, "LiF": -3.17, "Li2F": -1.0}] * 4
    assert {entry.name for entry in read(tmp_path / "a.json.gz").entries} == {"mp-0", "mp-1", "mp-2", "mp-4"}


def test_another_unit_is_said_with_the_file(tmp_path):
    rows = [(f, 1000 * e) for f, e in ROWS]
    assert energies(read(table(tmp_path / "a.jsonl", rows), unit="meV/atom"))["LiF"] == pytest.approx(-3.17)
    assert "another unit than eV/atom" in refused(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="no unit of a formation energy"):
        section(tmp_path / "a.jsonl", unit="furlong")


def test_rows_of_another_scheme_are_left_out_and_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [("LiF", -3.17, "MP2020"), ("LiF", -3.9, "OQMD"), ("Li2F", -1.0, "mp2020")]
    path.write_text(
        "".join(json.dumps({"formula": f, "e_form": e, "formation_energy_scheme": s}) + "\n" for f, e, s in lines)
    )
    found = read(path, "MP2020")
    assert energies(found) == {"LiF": -3.17, "Li2F": -1.0}
    assert found.notes[1] == "hull: a.jsonl: left out for their scheme: 1 of OQMD"
    assert {entry.scheme for entry in read(path, None).entries} == {"MP2020", "OQMD"}
    assert "gives no compound; rows left out for their scheme" in refused(path, "PBE")
    assert len(read(path, "as_given").entries) == 2


def test_a_filter_keeps_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(json.dumps({"formula": "LiF", "e_form": e, "source": s}) + "\n" for e, s in ((-3.0, "mp"), (-9.5, "x")))
    )
    assert energies(read(path, where={"source": "mp"})) == {"LiF": -3.0}
    assert "`where` turned 2 away" in refused(path, where="source = oqmd")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"formula": "LiF"}, "no formation energy"),
        ({"formula": "LiF", "e_form": None}, "no formation energy"),
        ({"formula": "LiF", "e_form": ""}, "no formation energy"),
        ({"formula": "LiF", "e_form": "low"}, "low is no number"),
        ({"formula": "LiF", "e_form": True}, "true is no number"),
        ({"formula": "LiF", "e_form": float("nan")}, "NaN is no finite number"),
        ({"formula": "LiF", "e_form": -317.0}, "another unit than eV/atom"),
        ({"formula": "LiF", "e_form": 17.0}, "outside -8 to 5"),
        ({"formula": "Li", "e_form": -1.9}, "the element Li lies at -1.9 eV/atom, and formation energies have it at 0"),
        ({"formula": "Xx2O", "e_form": -1.0}, "Xx is no element"),
        ({"formula": "Li0.5F0.5", "e_form": -1.0}, "no formula of whole numbers"),
        ({"formula": "", "e_form": -1.0}, "no formula"),
        ({"e_form": -1.0}, "no formula"),
        ({"formula": "LiF", "e_form": -1.0, "id": "x"}, "id x has -1 eV/atom here and -3.17 in a.jsonl line 1"),
        ({"formula": "LiF", "energy_per_atom": -5.0}, "a total energy without a scheme"),
    ],
)
def test_every_bad_row_is_named_or_left_out(tmp_path, row, said):
    path = tmp_path / "a.jsonl"
    good = {"formula": "LiF", "e_form": -3.17, "id": "x"}
    path.write_text("".join(json.dumps(one) + "\n" for one in (good, row, row)))
    told = refused(path)
    assert [line.startswith(f"a.jsonl line {n}: ") for n, line in enumerate(told.splitlines()[1:3], start=2)] == [
        True
    ] * 2
    assert said in told
    found = read(path, bad_rows="skip")
    assert energies(found) == {"LiF": -3.17}
    assert "2 rows left out, the first: a.jsonl line 2" in found.notes[-1]


def test_what_is_no_reference_is_refused_as_a_whole(tmp_path):
    assert "no such file; paths are relative to the campaign file" in refused(tmp_path / "none.json")
    (tmp_path / "a.txt").write_text("LiF -3")
    assert "no table; give .jsonl" in refused(tmp_path / "a.txt")
    assert "no table" in refused(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    assert "gives no compound" in refused(tmp_path / "empty.jsonl")
    assert "gives no compound" in refused(table(tmp_path / "e.jsonl", ROWS[:2]))
    (tmp_path / "bad.json.gz").write_bytes(gzip.compress(b"[{}]")[:-9])
    assert "bad.json.gz" in refused(tmp_path / "bad.json.gz")
    assert "does not say the scheme" in refused(table(tmp_path / "a.jsonl"), None)
    totals = [("LiF", -6.5), ("Li2F", -5.7), ("LiF2", -5.5)]
    assert "these are total energies" in refused(table(tmp_path / "t.jsonl", totals))
    assert "scheme FOO of the formation energy is not known" in refused(table(tmp_path / "f.jsonl", scheme="FOO"), None)


@pytest.mark.parametrize("more", [{"heat_all": 0.1}, {"cpu_s": 12.0, "prototype": "CsCl_B2"}])
def test_a_laboratory_is_no_reference(tmp_path, more):
    assert "a laboratory, not a reference" in refused(table(tmp_path / "lab.jsonl", **more))


def test_total_energies_of_one_scheme_are_formed_from_their_own_elements(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [("Li", -10.0), ("F", -20.0), ("LiF", -18.0)]
    lines = [{"formula": f, "energy_per_atom": e, "scheme": "pw6.7-k0.45-00"} for f, e in rows]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    found = read(path, None)
    assert energies(found) == {"Li": 0.0, "F": 0.0, "LiF": -3.0}
    assert {entry.scheme for entry in found.entries} == {"PBE"}
    with pytest.raises(DataError, match="the campaign computes with D2"):
        read_formation_set(section(path, None), with_d2=True)
    path.write_text(path.read_text() + json.dumps(lines[0] | {"scheme": "pw7.3-k0.45-11"}) + "\n")
    assert "never mixed in one set" in refused(path, None)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines[1:]))
    assert "no energy of Li in this scheme to form LiF from" in refused(path, None)


def test_an_imported_set_of_the_database_goes_by_its_files_name():
    def imported(formula, energy, source="icsd.jsonl"):
        return ReferenceEnergy(
            id=f"pw6.7-k0.45-00/{formula}",
            name=formula,
            formula=formula,
            energy_per_atom_ev=energy,
            scheme="pw6.7-k0.45-00",
            source=source,
            created_at=NOON,
        )

    stored = [imported("Li", -10.0), imported("F2", -20.0), imported("LiF", -18.0), imported("Li2F", -9.0, "other.csv")]
    found = read_formation_set(HullSection(reference="icsd"), stored)
    assert energies(found) == {"Li": 0.0, "F2": 0.0, "LiF": -3.0}
    with pytest.raises(DataError, match="no imported set is named 'icds'; the database has icsd, other"):
        read_formation_set(HullSection(reference="icds"), stored)


def test_several_files_make_one_set(tmp_path):
    table(tmp_path / "a.jsonl")
    table(tmp_path / "b.jsonl", [("LiF", -3.3), ("MgO", -3.0)])
    found = read_formation_set(HullSection(reference=[tmp_path / "a.jsonl", str(tmp_path / "b.jsonl")], scheme="PBE"))
    assert (energies(found)["LiF"], energies(found)["MgO"], found.name) == (-3.3, -3.0, "a.jsonl and b.jsonl")


FIELDS = {"name": "first", "elements": ["Li", "F"], "prototypes": ["rocksalt_B1"], "target": {"direction": "minimise"}}


def campaign(path, elements=("Li", "F"), **hull):
    reference = {"reference": str(path), "scheme": "PBE"} | hull
    return Campaign.model_validate(FIELDS | {"elements": list(elements), "hull": reference})


def test_a_hull_without_an_element_of_the_campaign_is_refused_with_what_would_fit(tmp_path):
    path = table(tmp_path / "a.jsonl", [*ROWS, ("YbF3", -4.0)])
    with pytest.raises(DataError, match=r"a\.jsonl lists no energy of Mg, Yb, among the campaign's elements"):
        hull_reference(campaign(path, ["Li", "F", "Mg", "Yb"]))
    with pytest.raises(DataError, match="no compound of Li alone"):
        hull_reference(campaign(path, ["Li"]))
    assert hull_reference(campaign(path)).hull.energy("LiF3") == pytest.approx(-3.17 / 2)


def test_a_laboratory_asks_a_reference_as_it_is_and_of_one_scheme(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [("Li", 0.0, "MP2020"), ("O", 0.0, "MP2020"), ("Li2O", -2.1, "MP2020"), ("MgO", -3.0, "OQMD")]
    path.write_text(
        "".join(json.dumps({"formula": f, "e_form": e, "formation_energy_scheme": s}) + "\n" for f, e, s in lines)
    )
    assert untied_hull(section(path, "MP2020")).energy("Li4O2") == -2.1
    with pytest.raises(DataError, match="energies of MP2020 and OQMD: not comparable"):
        untied_hull(HullSection(reference=path))


def test_a_plan_says_what_the_hull_is_of_and_refuses_what_is_none(tmp_path):
    path = table(tmp_path / "a.jsonl")
    assert check_hull(campaign(path)) == [
        "hull: a.jsonl: 5 energies",
        "hull: a.jsonl: 4 energies of these elements, of scheme PBE",
    ]
    assert check_hull(Campaign.model_validate(FIELDS)) == []
    assert "looked for when `run` begins" in check_hull(campaign("icsd"))[0]
    with pytest.raises(DataError, match="no table"):
        check_hull(campaign("."))
    with pytest.raises(DataError, match="no energy of Mg"):
        check_hull(campaign(path, ["Li", "Mg"]))


def test_a_reference_without_dispersion_is_told_to_who_computes_with_it(tmp_path):
    with_d2 = campaign(table(tmp_path / "a.jsonl"), scheme="MP2020")
    with_d2 = Campaign.model_validate(with_d2.spec() | {"dft": {"settings": {"d2": True}}})
    assert "pw.x computes with D2 here" in hull_reference(with_d2).notes[-1]


def test_corrections_are_taken_off_and_never_of_other_elements(tmp_path):
    path = table(tmp_path / "a.jsonl", [("Li", 0.0), ("O", 0.0), ("Li2O", -2.1), ("Li2O2", -1.65), ("MgO", -3.0)])
    hull = hull_reference(campaign(path, ["Li", "O"], scheme="MP2020")).hull
    # doi:10.1038/s41598-021-94550-5: -0.687 eV per oxide O, -0.465 per peroxide O
    assert hull.energy("Li2O") == pytest.approx(-2.1 + 0.687 / 3)
    assert hull.energy("Li2O2") == pytest.approx(-1.65 + 0.465 / 2)
    assert hull_reference(campaign(path, ["Li", "O"])).hull.energy("Li2O") == pytest.approx(-2.1)


def test_a_campaign_file_names_its_reference_beside_itself(tmp_path):
    table(tmp_path / "ref.jsonl")
    for text in ("ref.jsonl", "[ref.jsonl]", "[{path: ref.jsonl, scheme: PBE}]", "{path: ref.jsonl}"):
        path = tmp_path / "c.yaml"
        path.write_text(json.dumps(FIELDS)[:-1] + f', "hull": {{"reference": {text}, "scheme": "PBE"}}}}')
        read_back = read_campaign(path)
        assert [one.path for one in read_back.hull.reference] == [tmp_path / "ref.jsonl"]
        assert Campaign.model_validate(read_back.spec()).spec_digest() == read_back.spec_digest()
    path.write_text(json.dumps(FIELDS)[:-1] + ', "hull": {"scheme": "PBE"}}')
    with pytest.raises(ConfigError, match="scheme PBE says nothing without `reference`"):
        read_campaign(path)
    path.write_text(json.dumps(FIELDS)[:-1] + ', "hull": {"reference": {"file": "x"}}}')
    with pytest.raises(ConfigError, match=r"hull\.reference"):
        read_campaign(path)
