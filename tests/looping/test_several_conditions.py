"""A target of several properties: its forms in a campaign file, what is a hit, who is chosen, what is said of predictions."""

from __future__ import annotations

from math import log10

import numpy as np
import pytest
from database_fixture import NOON, new_candidate, new_relaxation

from crystalloop.db.ledger.campaigns import Round
from crystalloop.db.ledger.records import CandidateState
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import E_F, PROPERTIES, TABLE
from crystalloop.models.crystals.quantities import QUANTITIES, quantity
from crystalloop.models.data.files import read_crystals
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import ABOVE_HULL, Direction, Range, Target
from crystalloop.models.generate.funnel import near_target
from crystalloop.orchestrator.account.judged import best_candidate, value_of
from crystalloop.orchestrator.account.rounds import (
    hit_definition,
    predicted_in,
    round_results,
)
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError
from crystalloop.orchestrator.campaign.target_words import plan_notes, target_sentence
from crystalloop.orchestrator.learn.training_set import build_training_set
from crystalloop.orchestrator.run.network_keys import check_labels

GAP, K = "band_gap", "log10_bulk_modulus"
STABLE_GAP = Target(GAP, 1.0, 2.0, None, (Range(E_F, high=-1.0),))


def campaign_of(folder, target: str) -> Campaign:
    (folder / "c.yaml").write_text(
        f"name: a\nelements: [Li, F]\nprototypes: [rocksalt_B1]\ndata: [{{path: x.csv}}]\ntarget: {target}\n",
        encoding="utf-8",
    )
    return read_campaign(folder / "c.yaml")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("{maximum: -1}", Target(E_F, None, -1.0)),
        ("band_gap in 1..2 and formation_energy_per_atom < -1", STABLE_GAP),
        ("[gap in 1..2 eV, e_f < -1000 meV]", STABLE_GAP),
        ("[{property: gap, minimum: 1, maximum: 2}, {property: e_f, maximum: -1}]", STABLE_GAP),
        ("{gap: {minimum: 1, maximum: 2}, formation_energy_per_atom: {maximum: -1}}", STABLE_GAP),
        ("{gap: 1..2, e_f: '\u2264 \u22121 eV/atom'}", STABLE_GAP),
        ("{gap: [1, 2], e_f: < -1}", STABLE_GAP),
        ("{property: gap, minimum: 1000 meV, maximum: 2, also: [{property: e_f, maximum: -1}]}", STABLE_GAP),
        ("[gap > 1, gap < 2, e_f < -1]", STABLE_GAP),
        ("{e_above_hull: < 50 meV, gap: 1..2}", Target(GAP, 1.0, 2.0, None, (Range(ABOVE_HULL, high=0.05),))),
        ("{gap: 1..2, e_f: minimise}", Target(E_F, None, None, Direction.MINIMISE, (Range(GAP, 1.0, 2.0),))),
        ("{property: bulk_modulus, minimum: 100}", Target(K, 2.0)),
        ("{property: log10_bulk_modulus, minimum: 2}", Target(K, 2.0)),
        ("{property: K, minimum: 1 Mbar}", Target(K, 2.0)),
        ("bulk_modulus in 100..200 GPa", Target(K, 2.0, log10(200.0))),
    ],
)
def test_every_form_of_a_target_means_the_same(tmp_path, text, target):
    made = campaign_of(tmp_path, text)
    assert made.target == target
    assert Campaign.model_validate(made.spec()).target == target
    assert Target.from_stored(made.spec()["target"]) == target


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{property: bulk_modulus, minimum: 16000}", "bulk_modulus lies within 0.01..1584.89 GPa: wrong unit?"),
        ("{property: band_gap, minimum: 1 GPa}", "minimum '1 GPa': the unit is eV; also meV"),
        ("{property: K, minimum: 0}", "minimum = 0 is not positive"),
        ("{property: e_f, maximum: 1e300}", "maximum = 1e+300 is beyond any value of e_f"),
        ("{property: e_f, maximum: .nan}", "target.maximum: not a finite number"),
        ("{property: e_f, maximum: true}", "target.maximum: true and false are no numbers"),
        ("{property: e_f, maximum: '1; 2'}", "maximum '1; 2'"),
        ("e_f < -1 or gap > 2", "character 10: expected `and`, or the end"),
        ("e_f < 1e999", "a number beyond what any field holds"),
        ("e_above_hull < -0.05", "no crystal is more stable than the hull"),
        ("{gap: minimise, e_f: minimise, direction: minimise}", "unknown key 'target.gap'"),
        ("{gap: 5}", "gap: write a range such as 1..2"),
        ("{gapp: 1..2, e_f: < -1}", "unknown property 'gapp'; did you mean gap?"),
        ("{propery: e_f, maximum: 1}", "unknown key 'target.propery'; did you mean 'property'?"),
        ("{property: gap, minimum: 1, also: [{property: gap, maximum: 2}]}", "band_gap is wanted twice"),
        (
            "{property: gap, minimum: 1, also: [{property: e_f}]}",
            "also formation_energy_per_atom: give minimum or maximum",
        ),
        ("[]", "nothing is wanted"),
        ("5", "write a table, a list of conditions, or a text"),
        ("null", "write a table, a list of conditions, or a text"),
        ("[[[gap > 1]]]", "is no condition"),
    ],
)
def test_a_target_that_means_nothing_is_told_why(tmp_path, text, says):
    with pytest.raises(ConfigError) as refused:
        campaign_of(tmp_path, text)
    assert says in str(refused.value)
    assert "line 5" in str(refused.value)


def test_a_stored_target_of_before_is_read_and_a_single_one_is_stored_as_before():
    stored = {"property": GAP, "minimum": 1.0, "maximum": None, "direction": None}
    assert Target.from_stored(stored) == Target(GAP, 1.0)
    assert Target(GAP, 1.0).stored() == stored


def relaxed(number, gap, e_f, round_=1):
    return new_candidate(number, round=round_).model_copy(
        update={
            "state": CandidateState.RELAXED,
            "relaxation": new_relaxation(),
            "e_f": e_f,
            "predicted": {GAP: gap},
        }
    )


def round_of(number, candidates):
    return Round(
        id=f"first/{number}",
        campaign="first",
        number=number,
        model_version=None,
        funnel=(),
        chosen=tuple(c.id for c in candidates),
        started_at=NOON,
    )


def test_a_hit_has_every_property_of_the_target():
    candidates = [relaxed(1, 1.5, -2.0), relaxed(2, 1.5, -0.5), relaxed(3, 3.0, -2.0), relaxed(4, None, -2.0)]
    (found,) = round_results(STABLE_GAP, candidates, [round_of(1, candidates)])
    assert found.hits == (candidates[0].id,)
    assert best_candidate(candidates[::-1], STABLE_GAP).id == candidates[0].id


def test_what_is_minimised_is_compared_among_those_with_the_other_properties():
    target = Target(E_F, None, None, Direction.MINIMISE, (Range(GAP, 1.0, 2.0),))
    first = [relaxed(1, 1.5, -1.0), relaxed(2, 9.0, -3.0)]
    second = [relaxed(3, 1.5, -1.5, 2), relaxed(4, 9.0, -4.0, 2)]
    results = round_results(target, [*first, *second], [round_of(1, first), round_of(2, second)])
    assert [one.hits for one in results] == [(), (second[0].id,)]


def test_the_height_above_the_hull_is_a_condition():
    target = Target(GAP, 1.0, 2.0, None, (Range(ABOVE_HULL, high=0.05),))
    low, high = (relaxed(n, 1.5, -1.0).model_copy(update={"e_above_hull": e}) for n, e in ((1, 0.04), (2, 0.06)))
    (found,) = round_results(target, [low, high], [round_of(1, [low, high])])
    assert found.hits == (low.id,)


def proposal(**predicted):
    crystal = Crystal(np.eye(3) * 4.0, np.array([3, 9]), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]))
    return Proposal(crystal, Kind.RANDOM, predicted=predicted, sigma=0.1)


def test_the_funnel_and_the_choice_look_at_every_property():
    fitting = proposal(band_gap=1.5, formation_energy_per_atom=-1.05)
    unstable = proposal(band_gap=1.5, formation_energy_per_atom=-0.5)
    unknown = proposal(band_gap=1.5, formation_energy_per_atom=None)
    at_the_bar = proposal(band_gap=1.5, formation_energy_per_atom=-0.95)
    kept = near_target(STABLE_GAP, ()).keep([fitting, unstable, unknown, at_the_bar])
    assert kept == [fitting, unknown, at_the_bar]
    ((first, _),) = Greedy().choose([unstable, fitting], STABLE_GAP, 1, np.random.default_rng(0))
    assert first is fitting


def test_plan_says_which_hits_are_predicted_and_how_they_could_be_computed(tmp_path):
    made = campaign_of(tmp_path, "{gap: 1..2, G: '> 50 GPa', e_f: < -1}")
    assert target_sentence(made.target) == (
        "band_gap in 1..2 eV and shear_modulus >= 50 GPa and formation_energy_per_atom <= -1 eV/atom"
    )
    (note,) = plan_notes(made.target, made.dft)
    assert note.startswith("hits are predicted in band_gap and shear_modulus: pw.x does not compute them here")
    assert "band_gap is computed with `dft: {band_gap: scf}`" in note
    assert plan_notes(campaign_of(tmp_path, "e_f < -1").target, made.dft) == ()
    asked = made.dft.model_copy(update={"settings": {"method": "eos"}})
    assert plan_notes(Target(K, 2.0), asked) == ()
    computing = made.dft.model_copy(update={"band_gap": "scf"})
    assert plan_notes(Target(GAP, 1.0), computing) == ()
    assert "shear modulus is at least 50 GPa" in hit_definition(made.target)
    assert "Where pw.x does not compute the band gap and shear modulus" in hit_definition(made.target)


def test_a_bulk_modulus_of_an_equation_of_state_and_a_gap_are_computed_values():
    target = Target(K, 2.0, None, None, (Range(GAP, 1.0),))
    found = relaxed(1, 0.5, -1.0)
    assert round_results(target, [found], [round_of(1, [found])])[0].hits == ()
    computed = found.relaxation.model_copy(update={"bulk_modulus_gpa": 150.0, "band_gap": 2.0})
    found = found.model_copy(update={"relaxation": computed})
    assert round_results(target, [found], [round_of(1, [found])])[0].hits == (found.id,)
    assert value_of(found, K) == pytest.approx(log10(150.0))
    assert predicted_in(found, target) == ()
    corpus, _ = build_training_set([found], (), ())
    assert corpus.labels[0][PROPERTIES.index(GAP)] == 2.0
    assert np.isnan(corpus.labels[0][PROPERTIES.index(K)])


def test_a_property_that_nothing_tells_is_refused(tmp_path):
    row = '{"id": "x", "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "a": 3.4, "energy_per_atom": -3.0%s}\n'
    (tmp_path / "none.jsonl").write_text(row % "")
    (tmp_path / "some.jsonl").write_text(row % ', "band_gap": 8.0')
    made = campaign_of(tmp_path, "gap > 5")
    for file, told in (("none.jsonl", False), ("some.jsonl", True)):
        known = read_crystals(tmp_path / file).crystals
        if told:
            check_labels(made, known)
        else:
            with pytest.raises(
                ConfigError, match=r"no crystal of x.csv has a label of band_gap, and no calculation here teaches it"
            ):
                check_labels(made, known)
    check_labels(campaign_of(tmp_path, "e_f < -1"), ())


def test_one_vocabulary_names_what_the_networks_predict():
    assert [one.network for one in QUANTITIES if one.network] == [row.name for row in TABLE]
    for row in TABLE:
        one = quantity(row.name)
        assert one.unit == row.unit
        assert (one.to_network(one.lowest), one.to_network(one.highest)) == pytest.approx(
            (row.lowest, row.highest), rel=1e-6
        )


def test_quantities_have_the_bounds_and_units_of_the_properties_that_networks_learn():
    for row in TABLE:
        one = quantity(row.name)
        ends = (10**row.lowest, 10**row.highest) if one.is_logarithm else (row.lowest, row.highest)
        assert (one.lowest, one.highest) == pytest.approx(ends, rel=1e-6)
        assert one.unit == row.unit
