"""A campaign's crystals on the hulls of its database: what counts, what does not, and what an import changes."""

import json
import subprocess
import sys

import pytest
import yaml
from database_fixture import NOON, new_candidate, new_relaxation
from pw_fakes import fake_table
from pymongo.monitoring import CommandListener
from typer.testing import CliRunner

from crystalloop.db.ledger import connection
from crystalloop.db.ledger.records import REFERENCES, CandidateState, CrystalDoc
from crystalloop.dft.energies.references import energy_scheme, reference_settings
from crystalloop.dft.recipe.settings import CODE_VERSION, preset
from crystalloop.models.data.files import DataError
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.cli.app import app
from crystalloop.orchestrator.settle import hull_view
from crystalloop.orchestrator.settle.hull_view import hull_lines, look
from crystalloop.orchestrator.settle.hulls import hull_energies, judge_hulls, settle_hulls

ENERGIES = {"Li": -10.0, "F": -20.0}


@pytest.fixture
def campaign(tmp_path):
    fake_table(tmp_path / "pseudos")
    fields = {
        "name": "first",
        "elements": ["Li", "F"],
        "prototypes": ["rocksalt_B1"],
        "target": {"direction": "minimise"},
    }
    return Campaign.model_validate(fields | {"dft": {"pseudos": str(tmp_path / "pseudos")}})


@pytest.fixture
def table(campaign):
    return fake_table(campaign.pseudo_folder)


def relaxed(name, species, formation, table, settings=None, version="6.7MaX", **changes):
    """A stored crystal with this formation energy per atom."""
    energy = sum(ENERGIES[element] for element in species) / len(species) + formation
    doc = CrystalDoc(
        lattice=((3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0)),
        species=tuple(species),
        frac_coords=tuple((0.1 * i, 0.0, 0.0) for i in range(len(species))),
    )
    relaxation = new_relaxation(
        crystal=doc,
        conventional=doc,
        energy_ev=energy * len(species),
        energy_per_atom_ev=energy,
        pw_version=version,
        pseudos={element: table[element].md5 for element in set(species)},
    )
    fields = {
        "id": name,
        "key": f"key-{name}",
        "crystal": doc,
        "state": CandidateState.RELAXED,
        "relaxation": relaxation,
    }
    fields["settings"] = (settings or preset("fast")).model_dump(mode="json")
    return new_candidate(**(fields | changes))


def reference(element, table, settings=None, version="6.7MaX", name="ref"):
    how = reference_settings(element, settings or preset("fast"))
    more = {"campaign": REFERENCES, "kind": "reference"}
    return relaxed(f"{name}-{element}", [element], 0.0, table, how, version, **more)


def known(store, table, *candidates):
    store.add_candidates([reference("Li", table), reference("F", table), *candidates])


def above(store, campaign):
    return {name: at.e_above_hull for name, at in settle_hulls(store, campaign).above.items()}


def rows_of(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_crystal_of_the_campaign_is_judged_and_the_value_is_stored(store, campaign, table):
    known(store, table, relaxed("a", ["Li", "F"], -3.0, table), relaxed("b", ["Li", "Li", "F"], -1.5, table))
    assert above(store, campaign) == {"a": 0.0, "b": pytest.approx(0.5)}
    assert store.candidate("b").e_above_hull == pytest.approx(0.5)
    assert store.candidate("b").updated_at == NOON
    assert [c.id for c in store.matching({"e_above_hull": {"$lt": 0.1}})] == ["a"]


def test_a_sparse_hull_is_said_and_stored(store, campaign, table):
    known(store, table, relaxed("a", ["Li", "F"], -3.0, table))
    assert above(store, campaign) == {"a": None}
    assert "sparse hull for F-Li" in store.candidate("a").hull_reason


def test_only_energies_of_the_same_scheme_count(store, campaign, table):
    changed = relaxed("p", ["Li", "Li", "F"], -9.0, table, campaign="p")
    wrong = changed.relaxation.model_copy(update={"pseudos": {"Li": "0" * 32, "F": table["F"].md5}})
    known(
        store,
        table,
        relaxed("a", ["Li", "F"], -3.0, table),
        relaxed("k", ["Li", "Li", "F"], -9.0, table, preset("test"), campaign="k"),
        relaxed("d", ["Li", "Li", "F"], -9.0, table, preset("fast").model_copy(update={"d2": True}), campaign="d"),
        relaxed("v", ["Li", "Li", "F"], -9.0, table, version="7.3.1", campaign="v"),
        changed.model_copy(update={"relaxation": wrong}),
    )
    assert above(store, campaign) == {"a": None}
    store.add_candidates([relaxed("other", ["Li", "Li", "F"], -2.5, table, campaign="second")])
    assert above(store, campaign) == {"a": 0.0}


def test_a_reference_of_other_settings_does_not_serve(store, campaign, table):
    paper = preset("paper")
    both = [relaxed("a", ["Li", "F"], -3.0, table), relaxed("b", ["Li", "Li", "F"], -1.5, table)]
    store.add_candidates([reference("Li", table), reference("F", table, paper), *both])
    assert above(store, campaign) == {"a": None, "b": None}
    assert "no reference energy of F" in store.candidate("a").hull_reason


def test_an_imported_set_makes_a_sparse_hull_a_hull(store, campaign, table, tmp_path):
    known(store, table, relaxed("a", ["Li", "F"], -2.4, table))
    scheme = energy_scheme(preset("fast"), table, "6.7")
    path = rows_of(
        tmp_path / "set.jsonl",
        {"formula": "LiF", "energy_per_atom": -18.0, "scheme": scheme, "id": "griceite"},
        {"formula": "Li", "energy_per_atom": -10.001, "scheme": scheme},
    )
    found = look(store, campaign, path, None, skip_bad=False)
    assert found["schemes"] == {"6.7": scheme}
    (crystal,) = found["crystals"]
    assert crystal["e_above_hull"] == pytest.approx(0.6)
    assert crystal["decomposition"][0]["id"] == f"{scheme}/griceite"
    (system,) = found["systems"]
    assert (system["computed"], system["imported"], system["on the hull"]) == (1, 1, "LiF")
    assert found["notes"] == ["set.jsonl: 2 energies are new, 0 replace earlier ones"]
    again = look(store, campaign, path, None, skip_bad=False)
    assert again["notes"] == ["set.jsonl: 0 energies are new, 2 replace earlier ones"]


def test_the_lines_name_what_is_stable_and_why_nothing_is_said(store, campaign, table):
    known(store, table, relaxed("a", ["Li", "F"], -3.0, table))
    lines = hull_lines(look(store, campaign, None, None, skip_bad=False))
    assert lines[1] == "F-Li (pw.x 6.7): 1 computed, 0 imported; on the hull: not said"
    assert lines[2].startswith("  sparse hull for F-Li")
    store.add_candidates([relaxed("b", ["Li", "Li", "F"], -1.5, table)])
    assert hull_lines(look(store, campaign, None, None, skip_bad=False))[1:] == [
        "F-Li (pw.x 6.7): 2 computed, 0 imported; on the hull: LiF"
    ]


def test_what_one_database_exports_another_imports(store, campaign, table, tmp_path):
    known(store, table, relaxed("a", ["Li", "F"], -3.0, table), relaxed("worse", ["Li", "F"], -2.0, table))
    look(store, campaign, None, tmp_path / "set.jsonl", skip_bad=False)
    rows = [json.loads(line) for line in (tmp_path / "set.jsonl").read_text().splitlines()]
    assert {row["formula"]: row["id"] for row in rows} == {"Li": "ref-Li", "F2": "ref-F", "LiF": "a"}
    store.database.client.drop_database(store.database.name)
    store.ensure_indexes()
    known(store, table, relaxed("b", ["Li", "F"], -2.9, table))
    found = look(store, campaign, tmp_path / "set.jsonl", None, skip_bad=False)
    assert found["crystals"][0]["e_above_hull"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"formula": "LiF", "energy_per_atom": -18.0, "scheme": "pw6.7-k0.2-d2-0"},
            "scheme 'pw6.7-k0.2-d2-0' is not this",
        ),
        ({"formula": "LiF", "energy_per_atom": -18.0}, "field 'scheme' is missing"),
        ({"formula": "LiF", "scheme": ""}, "field 'energy_per_atom' is missing"),
        ({"formula": "LiF", "energy_per_atom": "low"}, "energy_per_atom low is no number"),
        ({"formula": "LiF", "energy_per_atom": float("nan")}, "energy_per_atom NaN is no finite number"),
        ({"formula": "LiF", "energy_per_atom": True}, "energy_per_atom true is no number"),
        ({"formula": "", "energy_per_atom": -18.0}, "formula ''"),
        ({"formula": "Xx2", "energy_per_atom": -18.0}, "formula 'Xx2'"),
        ({"formula": "Li0.5F", "energy_per_atom": -18.0}, "no formula of whole numbers"),
        ({"formula": "Li", "energy_per_atom": -10.05}, "50 meV apart, over 20: not the same scheme"),
        ({"formula": "LiF", "energy_per_atom": -3.0}, "would form with 12.00 eV/atom"),
        ({"formula": "LiF", "energy_per_atom": -36.0}, "would form with -21.00 eV/atom"),
    ],
)
def test_bad_rows_are_refused_with_their_place_or_left_out(store, campaign, table, tmp_path, row, sentence):
    known(store, table)
    scheme = energy_scheme(preset("fast"), table, "6.7")
    named = row if "scheme" in row or "is missing" in sentence else row | {"scheme": scheme}
    good = {"formula": "LiF", "energy_per_atom": -18.0, "scheme": scheme}
    path = rows_of(tmp_path / "set.jsonl", good, named)
    with pytest.raises(DataError) as told:
        look(store, campaign, path, None, skip_bad=False)
    assert str(told.value).startswith("set.jsonl line 2: ")
    assert sentence in str(told.value)
    assert store.imported_energies() == ()
    notes = look(store, campaign, path, None, skip_bad=True)["notes"]
    assert notes[0] == "set.jsonl: 1 energies are new, 0 replace earlier ones"
    assert sentence in notes[1]


def test_two_energies_under_one_id_and_files_of_another_kind_are_refused(store, campaign, table, tmp_path):
    known(store, table)
    row = {"formula": "LiF", "energy_per_atom": -18.0, "scheme": energy_scheme(preset("fast"), table, "6.7"), "id": "x"}
    with pytest.raises(DataError, match="id 'x' has another energy"):
        look(
            store,
            campaign,
            rows_of(tmp_path / "set.jsonl", row, row | {"energy_per_atom": -18.1}),
            None,
            skip_bad=False,
        )
    (tmp_path / "set.txt").write_text("{}")
    with pytest.raises(DataError, match=r"\.jsonl, \.jsonl\.gz, \.json, "):
        look(store, campaign, tmp_path / "set.txt", None, skip_bad=False)
    with pytest.raises(DataError, match="no such file"):
        look(store, campaign, tmp_path / "none.jsonl", None, skip_bad=False)
    with pytest.raises(DataError, match="no usable row"):
        look(store, campaign, rows_of(tmp_path / "empty.jsonl"), None, skip_bad=False)


def test_a_csv_is_read_as_well(store, campaign, table, tmp_path):
    known(store, table)
    scheme = energy_scheme(preset("fast"), table, "6.7")
    (tmp_path / "set.csv").write_text(f"formula,energy_per_atom,scheme,id\nLiF,-18.0,{scheme},x\n")
    look(store, campaign, tmp_path / "set.csv", None, skip_bad=False)
    (energy,) = store.imported_energies()
    assert (energy.formula, energy.energy_per_atom_ev, energy.source) == ("LiF", -18.0, "set.csv")


def test_looking_at_results_imports_no_hull_before_there_is_one_to_compute():
    heavy = (
        "scipy",
        "crystalloop.orchestrator.settle.hulls",
        "pymatgen.analysis.phase_diagram",
        "pymatgen.analysis.structure_matcher",
        "keras",
    )
    code = f"import sys, crystalloop.orchestrator.cli.results; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def elsewhere(campaign, folder):
    """The campaign on a machine with another folder of pseudopotentials."""
    return campaign.model_copy(update={"dft": campaign.dft.model_copy(update={"pseudos": folder})})


def stored(store, name):
    candidate = store.candidate(name)
    return candidate.e_above_hull, candidate.hull_reason


def test_without_the_pseudopotential_table_there_is_a_reason_and_stored_values_stay(store, campaign, table, tmp_path):
    known(store, table, relaxed("a", ["Li", "F"], -3.0, table), relaxed("b", ["Li", "Li", "F"], -1.5, table))
    settle_hulls(store, campaign)
    hull = settle_hulls(store, elsewhere(campaign, tmp_path / "nowhere"))
    assert "nowhere" in hull.above["a"].reason
    assert (stored(store, "a"), stored(store, "b")) == ((0.0, None), (pytest.approx(0.5), None))


def test_a_table_without_the_element_and_a_crystal_of_a_later_version_tell_nothing(store, campaign, table, tmp_path):
    fake_table(tmp_path / "fewer", ["Li"])
    later = relaxed("c", ["Li", "Li", "F"], -1.0, table).model_copy(update={"e_above_hull": 0.3})
    newer = later.relaxation.model_copy(update={"code_version": CODE_VERSION + 1})
    unread = later.model_copy(update={"id": "d", "key": "d", "settings": {"of_a_later_version": 1}})
    known(
        store,
        table,
        relaxed("a", ["Li", "F"], -3.0, table),
        relaxed("b", ["Li", "Li", "F"], -1.5, table),
        later.model_copy(update={"relaxation": newer}),
        unread,
    )
    settle_hulls(store, campaign)
    settle_hulls(store, elsewhere(campaign, tmp_path / "fewer"))
    assert [stored(store, name) for name in "abcd"] == [(0.0, None), (pytest.approx(0.5), None), *[(0.3, None)] * 2]


def test_a_hull_that_has_become_too_sparse_takes_the_value_away(store, campaign, table):
    once = relaxed("a", ["Li", "F"], -3.0, table).model_copy(update={"e_above_hull": 0.2})
    known(store, table, once)
    settle_hulls(store, campaign)
    value, reason = stored(store, "a")
    assert value is None
    assert "sparse hull for F-Li" in reason


class Heard(CommandListener):
    """Names of the commands that were sent to a database; the probe of the server has one of its own."""

    def __init__(self, database):
        self.database, self.names = database, set()

    def started(self, event):
        if event.database_name == self.database:
            self.names.add(event.command_name)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def documents(store):
    database = store.database
    return {name: list(database[name].find().sort("_id", 1)) for name in sorted(database.list_collection_names())}


@pytest.mark.parametrize("command", ["results", "hull"])
def test_commands_that_look_write_nothing(store, campaign, table, tmp_path, mongodb_uri, monkeypatch, command):
    known(store, table, relaxed("a", ["Li", "F"], -3.0, table), relaxed("b", ["Li", "Li", "F"], -1.5, table))
    before, heard = documents(store), Heard(store.database.name)
    assert {c["_id"]: c["e_above_hull"] for c in before["candidates"]}["b"] is None
    monkeypatch.setattr(connection, "CLIENT_OPTIONS", {**connection.CLIENT_OPTIONS, "event_listeners": [heard]})
    fields = {"name": "first", "elements": ["Li", "F"], "prototypes": ["rocksalt_B1"]}
    fields |= {"target": {"direction": "minimise"}, "dft": {"pseudos": str(campaign.pseudo_folder)}}
    fields["database"] = {"uri": mongodb_uri, "name": store.database.name}
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(fields))
    done = CliRunner().invoke(app, [command, str(tmp_path / "first.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    assert heard.names == {"find", "createIndexes"}  # indexes that are there already
    assert documents(store) == before


def test_judging_writes_nothing_and_settling_does(store, campaign, table):
    known(store, table, relaxed("a", ["Li", "F"], -3.0, table), relaxed("b", ["Li", "Li", "F"], -1.5, table))
    before = documents(store)
    assert judge_hulls(store, campaign).above["b"].e_above_hull == pytest.approx(0.5)
    assert documents(store) == before
    settle_hulls(store, campaign)
    assert stored(store, "b") == (pytest.approx(0.5), None)


# Hulls against a reference


REFERENCE = [("Li", 0.0), ("F", 0.0), ("LiF", -3.1), ("Li2F", -1.1), ("Li3F", -1.0), ("LiF3", -0.4)]


@pytest.fixture
def measured(campaign, tmp_path):
    """The campaign with a reference whose fluorides lie .1 eV per F atom below pw.x's."""
    rows = [{"formula": formula, "e_form": energy} for formula, energy in REFERENCE]
    rows_of(tmp_path / "ref.jsonl", *rows)

    def of(common):
        named = {"reference": str(tmp_path / "ref.jsonl"), "scheme": "PBE", "common": common}
        return Campaign.model_validate(campaign.spec() | {"hull": named})

    return of


def own_compounds(table):
    """LiF, Li2F and Li3F as pw.x has them: the reference's energy and .1 eV per F atom."""
    return [
        relaxed("a", ["Li", "F"], -3.1 + 0.05, table),
        relaxed("b", ["Li", "Li", "F"], -1.1 + 0.1 / 3, table),
        relaxed("c", ["Li", "Li", "Li", "F"], -1.0 + 0.025, table),
    ]


def test_a_tied_reference_is_what_crystals_are_measured_against(store, measured, table):
    known(store, table, *own_compounds(table), relaxed("d", ["Li", "F", "F", "F"], 0.0, table))
    found = settle_hulls(store, measured(3))
    tied = found.above["d"]
    assert tied.source == "ref.jsonl, tied to pw.x by 3 common compounds"
    # LiF at -3.05 and F: half of LiF3's atoms are in LiF
    assert tied.e_above_hull == pytest.approx(3.05 / 2, abs=0.01)
    stored = store.candidate("d")
    assert (stored.hull_source, stored.e_above_hull) == (tied.source, tied.e_above_hull)
    assert 0.01 < stored.hull_error < 0.1
    assert found.above["a"].e_above_hull == pytest.approx(0.0, abs=0.02)


def test_too_few_common_compounds_leave_pwx_alone_and_say_so(store, measured, table):
    known(store, table, *own_compounds(table))
    found = settle_hulls(store, measured(4))
    assert found.above["a"].e_above_hull == 0.0
    assert found.above["a"].source == "pw.x alone: it has 3 of the 4 common compounds that tie ref.jsonl"
    assert (store.candidate("a").hull_error, found.above["b"].error) == (None, None)


def test_candidates_are_measured_before_dft_against_what_is_known_at_that_moment(store, measured, table):
    before = hull_energies(store, measured(3))
    assert before.source == "ref.jsonl, not yet tied to pw.x"
    assert before.hull_energy("LiF") == before.hull_energy("Li2F2") == -3.1
    assert before.error("LiF") > 0.05
    known(store, table, *own_compounds(table), relaxed("new", ["Li", "F", "F"], -2.5, table))
    after = hull_energies(store, measured(3))
    assert after.hull_energy("LiF2") == pytest.approx(-2.5)
    assert after.hull_energy("LiF") == pytest.approx(-3.05, abs=0.02)
    assert after.error("LiF") < before.error("LiF")
    assert after.hull_energy("Li") is None
    assert after.why_none("Li") == "no hull: an element"


def test_without_a_reference_candidates_are_measured_against_pwx_alone(store, campaign, table):
    assert hull_energies(store, campaign).hull_energy("LiF") is None
    known(store, table, *own_compounds(table))
    found = hull_energies(store, campaign)
    assert (found.source, found.error("LiF")) == ("pw.x alone", None)
    assert found.hull_energy("LiF3") == pytest.approx(-3.05 / 2)


def test_the_lines_say_how_the_reference_is_tied_and_what_is_stable_in_it(store, measured, table):
    known(store, table, *own_compounds(table))
    found = look(store, measured(3), None, None, skip_bad=False)
    text = "\n".join(hull_lines(found))
    assert "reference ref.jsonl: tied to pw.x by 3 common compounds, which leaves" in text
    assert "on its hull, eV/atom: LiF -3.100" in text
    assert "against ref.jsonl, tied to pw.x by 3 common compounds" in text
    assert found["reference"]["stable"] == [{"system": "F-Li", "formula": "LiF", "e_f": -3.1}]
    early = look(store, measured(9), None, None, skip_bad=False)
    assert "`hull.common` asks for 9: crystals are judged by pw.x alone until then" in "\n".join(hull_lines(early))


def test_of_a_large_reference_the_systems_of_the_crystals_alone_are_shown(store, measured, table, monkeypatch):
    monkeypatch.setattr(hull_view, "MOST_COMPOUNDS", 1)
    assert look(store, measured(3), None, None, skip_bad=False)["reference"]["stable"] == []
    known(store, table, *own_compounds(table))
    assert [row["formula"] for row in look(store, measured(3), None, None, skip_bad=False)["reference"]["stable"]] == [
        "LiF"
    ]


def test_a_set_is_imported_that_the_hull_already_names(store, campaign, table, tmp_path):
    known(store, table, *own_compounds(table))
    scheme = energy_scheme(preset("fast"), table, "6.7")
    rows = [("Li", -10.0), ("F2", -20.0), ("LiF", -18.06), ("LiF3", -17.8)]
    path = rows_of(tmp_path / "mine.jsonl", *({"formula": f, "energy_per_atom": e, "scheme": scheme} for f, e in rows))
    named = Campaign.model_validate(campaign.spec() | {"hull": {"reference": "mine", "common": 1}})
    with pytest.raises(DataError, match="no imported set is named 'mine'; the database has none"):
        settle_hulls(store, named)
    assert "mine: 4 energies" in " ".join(look(store, named, path, None, skip_bad=False)["notes"])
    assert store.candidate("b").hull_source == "mine, tied to pw.x by 1 common compound"
