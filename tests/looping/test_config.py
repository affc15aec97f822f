"""Campaign files: what is accepted, and what each mistake is told."""

import json
from pathlib import Path

import pytest
import yaml
from pymatgen.core.composition import Composition

from crystalloop.models.crystals.compounds import parse_compound
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.data.files import read_crystals
from crystalloop.orchestrator.campaign.digest import digest_of
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError

SMALL = {
    "name": "small",
    "elements": ["Li", "F"],
    "prototypes": ["rocksalt_B1"],
    "target": {"direction": "minimise"},
}
CAMPAIGNS = sorted((Path(__file__).parents[2] / "campaigns").glob("*.yaml"))


def written(tmp_path, **changes):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.name)
def test_every_ready_campaign_file_is_accepted(path):
    assert read_campaign(path).name == path.stem


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"elemnts": ["Li"]}, "unknown key 'elemnts'; did you mean 'elements'?"),
        ({"dft": {"slot": 2}}, "unknown key 'dft.slot'; did you mean 'slots'?"),
        ({"dft": {"preset": "quick"}}, "dft.preset: Input should be 'test', 'fast' or 'paper' (given: 'quick')"),
        ({"elements": ["Li", "Fl", "Xx"]}, "'Xx' is not an element symbol"),
        ({"elements": ["Li", "LI"]}, "'LI' is not an element symbol; did you mean Li?"),
        ({"elements": ["Li", "Li"]}, "named twice"),
        ({"target": {"minimum": -1.0, "maximum": -2.0}}, "minimum -1.0 is not below maximum -2.0"),
        ({"target": {}}, "give minimum, maximum or direction"),
        ({"target": {"property": "bandgp", "minimum": 1}}, "did you mean bandgap?"),
        ({"target": {"property": "band_gap", "minimum": 1}}, "its labels must come from data files"),
        ({"prototypes": []}, "give prototypes or bases"),
        ({"prototypes": ["rocksalt"]}, "rocksalt_B1"),
        ({"bases": ["NaCl:rocksalt_B1"]}, "contains Cl, Na, not among elements"),
        ({"bases": ["LiF"]}, "names no prototype"),
        ({"budget": {"relaxations": 0}}, "budget.relaxations: Input should be greater than or equal to 1 (given: 0)"),
        ({"generate": {"random": 0, "around": 0, "between": 0}}, "nothing would be generated"),
        ({"name": "../up"}, "name: a name has small letters, digits"),
        ({"voxels": {"n": 31}}, "voxels.n"),
        ({"data": [{"path": "x.csv", "where": {"class": {"a": 3}}}]}, "data.0.where: class: write a text, a number"),
        ({"data": [{"path": "x.csv", "where": "class ~ 3"}]}, "data.0.where: expected one of"),
    ],
)
def test_a_mistake_is_named_with_key_value_and_remedy(tmp_path, changes, says):
    with pytest.raises(ConfigError) as refused:
        read_campaign(written(tmp_path, **changes))
    assert says in str(refused.value)
    assert "c.yaml" in str(refused.value)


def test_files_that_are_no_campaign_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_campaign(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="holds list"):
        read_campaign(tmp_path / "list.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1\nb: 2\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_campaign(tmp_path / "bad.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text file"):
        read_campaign(tmp_path / "bytes.yaml")


def test_what_decides_the_candidates_is_in_the_digest_and_budgets_are_not(tmp_path):
    digest = read_campaign(written(tmp_path)).spec_digest()
    assert read_campaign(written(tmp_path, rounds=9, budget={"relaxations": 3})).spec_digest() == digest
    assert read_campaign(written(tmp_path, dft={"slots": 7})).spec_digest() == digest
    assert read_campaign(written(tmp_path, surrogate={"pause_at_drift": True})).spec_digest() == digest
    assert read_campaign(written(tmp_path, surrogate={"model": "trees"})).spec_digest() != digest
    assert read_campaign(written(tmp_path, seed=1)).spec_digest() != digest
    assert read_campaign(written(tmp_path, dft={"preset": "paper"})).spec_digest() != digest


def test_rows_of_a_data_file_are_kept_by_fields_or_by_a_condition_and_stored_as_written(tmp_path):
    for where in ({"class": "binary_AB"}, "class = binary_AB and not gap > 1"):
        campaign = read_campaign(written(tmp_path, data=[{"path": "rows.jsonl", "where": where}]))
        assert campaign.spec()["data"][0]["where"] == where
        row = {"a": 5.7, "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "class": "binary_AB"}
        (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row | {"class": c}) for c in ("other", "binary_AB")))
        (kept,) = read_crystals(campaign.data[0].path, where=campaign.data[0].keep).crystals
        assert kept.id == "rows.jsonl line 2"


def test_the_schema_names_every_key_of_a_campaign():
    assert set(Campaign.model_json_schema()["properties"]) == set(Campaign.model_fields)


def test_every_key_of_every_section_is_described():
    schema = Campaign.model_json_schema()
    parts = {"campaign": schema} | {name: part for name, part in schema["$defs"].items() if "properties" in part}
    assert len(parts) == 20
    assert [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, described in part["properties"].items()
        if not described.get("description")
    ] == []


def test_a_password_in_the_database_uri_is_not_stored():
    campaign = Campaign.model_validate(SMALL | {"database": {"uri": "mongodb://me:secret@db/"}})
    assert "secret" not in str(campaign.spec())


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("LiF:rocksalt_B1", ("Li", "F")),
        ("SrTiO3:perovskite_E21", ("Sr", "Ti", "O")),
        ("Fe2VAl:full_heusler_L21", ("Fe", "V", "Al")),
    ],
)
def test_base_compounds_put_elements_on_the_roles_in_writing_order(text, elements):
    compound = parse_compound(text)
    assert compound.elements == elements
    assert decorate(compound.prototype, compound.elements).composition.reduced_composition == Composition(
        text.partition(":")[0]
    )


@pytest.mark.parametrize("text", ["LiF2:rocksalt_B1", "li:rocksalt_B1", "LiF:wurtzite", "XyF:rocksalt_B1"])
def test_impossible_base_compounds_are_refused(text):
    with pytest.raises(ValueError, match=text.partition(":")[0]):
        parse_compound(text)


def test_a_limit_of_the_formation_energy_turns_the_cheap_rung_on_or_is_refused(tmp_path):
    fast = read_campaign(written(tmp_path, dft={"preset": "fast", "reject_above_e_f": 0.3}))
    assert dft_settings(fast).cheap_first
    coarse = read_campaign(written(tmp_path, dft={"preset": "test", "reject_above_e_f": 0.3}))
    with pytest.raises(ConfigError, match="no cheaper rung that could reject: preset 'test'"):
        dft_settings(coarse)


def test_a_campaign_of_before_whose_numbers_were_kept_as_texts_goes_on(tmp_path):
    path = written(tmp_path)
    path.write_text(path.read_text() + "dft: {settings: {conv_thr_ry_per_atom: 1e-4, nosym: yes}}\n")
    campaign = read_campaign(path)
    stored = campaign.spec()
    stored["dft"]["settings"] = {"conv_thr_ry_per_atom": "1e-4", "nosym": True}
    assert campaign.goes_on_with(stored)
    stored["dft"]["settings"] = {"conv_thr_ry_per_atom": "1e-5", "nosym": True}
    assert not campaign.goes_on_with(stored)


def test_a_target_of_several_conditions_has_a_digest_that_each_of_them_decides():
    def asked(also):
        return Campaign.model_validate(SMALL | {"target": {"maximum": -1.0, "also": also}, "dft": {"band_gap": "scf"}})

    window = asked([{"property": "band_gap", "minimum": 1.0, "maximum": 2.0}])
    other = asked([{"property": "band_gap", "minimum": 1.0, "maximum": 3.0}])
    assert window.goes_on_with(window.spec())
    assert not window.goes_on_with(other.spec())
    assert len({window.spec_digest(), other.spec_digest(), asked([]).spec_digest()}) == 3


def test_a_key_that_is_new_counts_in_the_digest_only_where_it_is_set():
    spec = Campaign.model_validate(SMALL | {"data": [{"path": "a.csv"}]}).spec()

    class Later(Campaign):
        brand_new: int = 3

    assert digest_of(spec | {"brand_new": 3}, Later) == digest_of(spec, Campaign)
    assert digest_of(spec | {"brand_new": 4}, Later) != digest_of(spec, Campaign)
