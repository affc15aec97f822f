import json
from io import StringIO

import pytest
from example_campaign import candidate, candidates, empty_store, example_store, reference, relaxation
from rich.console import Console

from crystalloop.orchestrator.account.results import UnknownCandidate, result_rows, trace_chain, used_references
from crystalloop.orchestrator.show.tables import show_results
from crystalloop.orchestrator.show.trace import trace_lines

PROMISED = [
    "id",
    "formula",
    "prototype",
    "round",
    "model_version",
    "status",
    "e_f_predicted",
    "e_f",
    "a",
    "attempts",
    "cpu_s",
]


def row_of(name):
    return next(row for row in result_rows(candidates()) if row["id"] == name)


def test_every_row_has_the_promised_fields_in_stable_order():
    rows = result_rows([*reversed(candidates()), reference("Li")])
    assert [list(row)[: len(PROMISED)] for row in rows] == [PROMISED] * len(candidates())
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), key=lambda i: (i.split("-")[1], i))


def test_a_relaxed_candidate_has_numbers_and_its_model():
    row = row_of("first-2-NaF")
    assert (row["status"], row["e_f"], row["e_f_predicted"]) == ("relaxed", -2.75, -2.2)
    assert (row["model_version"], row["attempts"], row["origin"]) == ("first-v1", 2, "around")
    assert row["cpu_s"] == pytest.approx(0.95 * 37)
    assert row["spacegroup"] == 225


def test_values_that_do_not_exist_are_null_in_json():
    failed, proposed = row_of("first-1-LiO"), row_of("first-2-NaO")
    assert failed["status"] == "gave_up"
    assert failed["reason"].startswith("SCF_NOT_CONVERGED")
    assert failed["a"] is failed["e_f"] is failed["model_version"] is failed["reused_from"] is None
    assert (proposed["attempts"], proposed["cpu_s"], proposed["a"]) == (0, 0, None)


def test_a_gap_that_pw_x_computed_is_in_the_rows_and_in_the_table():
    one = candidate("LiF", 1, ["Li", "F"], -3.0, -3.0)
    gap = one.model_copy(update={"relaxation": one.relaxation.model_copy(update={"band_gap": 8.75})})
    assert [row["band_gap"] for row in result_rows([one])] == [None]
    (row,) = rows = result_rows([gap])
    assert row["band_gap"] == 8.75
    console = Console(file=StringIO(), width=200)
    show_results(console, rows)
    assert "gap, eV" in console.file.getvalue()
    assert "8.75" in console.file.getvalue()


def test_nan_never_reaches_json():
    wrong = candidate("LiF", 1, ["Li", "F"], float("nan"), float("inf"))
    text = json.dumps(result_rows([wrong]), allow_nan=False)
    assert json.loads(text)[0]["e_f"] is None


def test_the_chain_proves_that_a_model_trained_on_round_1_proposed_round_2():
    chain = trace_chain(example_store(), "first-2-NaF")
    model = chain["proposed_by"]["model"]
    assert model["trained_on"] == ["first-1-LiF", "first-1-MgO", "first-1-NaCl", "first-1-LiCl"]
    assert chain["proposed_by"]["latent"] == [0.5, -1.25, 0.75]
    assert set(model["networks"]) == {"unet", "vae", "cgcnn"}
    assert [stage["left"] for stage in chain["filters"]["funnel"]] == [64, 51, 33, 9]
    assert [a["outcome"] for a in chain["attempts"]] == ["SCF_NOT_CONVERGED", "converged"]
    assert chain["used_by"] == [{"id": "first-v2", "number": 2, "round": 2, "proposed_rounds": [3]}]


def test_the_chain_is_json_for_every_candidate():
    store = example_store()
    for known in store.candidates():
        text = json.dumps(trace_chain(store, known.id), allow_nan=False)
        assert known.id in text
        assert "schema_version" not in text


def test_parents_of_the_model_are_named():
    chain = trace_chain(example_store(), "first-3-LiF2")
    assert chain["proposed_by"]["model"]["parents"] == [{"id": "first-v1", "number": 1, "round": 1}]


def test_the_references_named_are_those_that_give_the_formation_energy():
    energy = trace_chain(example_store(), "first-2-NaF")["formation_energy"]
    assert [row["id"] for row in energy["references"]] == ["ref-F-fast", "ref-Na-fast"]
    assert energy["follows_from_references"] is True
    assert sum(row["fraction"] for row in energy["references"]) == pytest.approx(1)


def test_the_energy_decides_between_references_when_settings_do_not():
    made = candidate("NaF", 1, ["Na", "F"], -2.75, settings={})
    found = used_references(made, [reference(e, p, s) for e in ("Na", "F") for p, s in (("a", 0.4), ("b", 0.0))])
    assert [found[element].id for element in ("F", "Na")] == ["ref-F-b", "ref-Na-b"]


def test_another_pseudopotential_is_not_the_reference():
    made = candidate("NaF", 1, ["Na", "F"], -2.75)
    other = reference("F")
    doc = other.crystal
    other = other.model_copy(update={"relaxation": relaxation(doc, -660.0, 3.0, pseudos={"F": "another"})})
    assert set(used_references(made, [reference("Na"), other])) == {"Na"}


def test_an_unknown_candidate_names_the_nearest():
    with pytest.raises(UnknownCandidate, match=r"nearest: .*first-2-NaF"):
        trace_chain(example_store(), "first-2-NaFF")
    with pytest.raises(UnknownCandidate, match="nearest: first-1-MgO"):
        trace_chain(example_store(), "MGO")
    with pytest.raises(UnknownCandidate, match="has none yet"):
        trace_chain(empty_store(), "x")


def test_the_text_tells_the_whole_story():
    text = "\n".join(trace_lines(trace_chain(example_store(), "first-2-NaF")))
    for part in (
        "first-v1",
        "mixing_beta 0.7 -> 0.3",
        "ref-Na-fast",
        "it proposed round 3",
        "latent: 3 numbers",
        "225",
    ):
        assert part in text


def test_the_text_is_readable_for_every_candidate():
    store = example_store()
    for known in store.candidates():
        lines = trace_lines(trace_chain(store, known.id))
        assert not any("None" in line or "{" in line for line in lines)


def test_a_trace_and_a_row_say_which_hull_it_is_and_its_error():
    store = example_store()
    tied = "mp.json.gz, tied to pw.x by 7 common compounds"
    assert store.set_above_hull("first-2-NaF", 0.1234, None, tied, 0.034)
    text = "\n".join(trace_lines(trace_chain(store, "first-2-NaF")))
    assert f"0.123400 eV/atom above the hull of {tied}; standard error 0.034 eV/atom" in text
    row = next(row for row in result_rows(store.candidates()) if row["id"] == "first-2-NaF")
    assert (row["hull_source"], row["hull_error"]) == (tied, 0.034)
