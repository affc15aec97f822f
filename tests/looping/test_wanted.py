"""Targets as materials scientists type them: what is understood, and what is refused before anything runs, with what would fit."""

from itertools import product

import pytest
from test_several_conditions import campaign_of

from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.target import ABOVE_HULL, Direction, Objective, Range, Target
from crystalloop.models.draw.vicinity import Vicinity, amounts, distance
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError
from crystalloop.orchestrator.campaign.target_section import DEFAULT_TARGET
from crystalloop.orchestrator.campaign.target_words import target_sentence
from crystalloop.orchestrator.campaign.wanted.reach import Ground
from crystalloop.orchestrator.run.cost import batch_notes

GAP, K, E_F = "band_gap", "log10_bulk_modulus", "formation_energy_per_atom"
LOW, HIGH = Direction.MINIMISE, Direction.MAXIMISE
BOTH = (Objective(ABOVE_HULL, LOW), Objective(GAP, HIGH))
SEVERAL = Target(ABOVE_HULL, direction=LOW, objectives=BOTH)
NEAR_HULL = Target(ABOVE_HULL, maximum=0.05)


def file_of(tmp_path, **changes):
    keys = {"name": "a", "elements": "[Li, Na, Mg, Al, O, F, Cl]", "prototypes": "[rocksalt_B1, CsCl_B2]"} | changes
    path = tmp_path / "campaign.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items() if value))
    return path


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("{property: energy_above_hull, maximum: 0.05}", NEAR_HULL),
        ("'e_above_hull <= .05'", NEAR_HULL),
        ("{e_above_hull: < 50 meV}", NEAR_HULL),
        ("[e_hull < 0.05]", NEAR_HULL),
        ("Energy above hull \u2264 0.05 eV/atom", NEAR_HULL),
        ("minimise e_above_hull", Target(ABOVE_HULL, direction=LOW)),
        ("minimize e_above_hull", Target(ABOVE_HULL, direction=LOW)),
        ("{property: e_hull, direction: minimize}", Target(ABOVE_HULL, direction=LOW)),
        ("lowest energy above hull", Target(ABOVE_HULL, direction=LOW)),
        ("minimise e_hull <= 0.05", DEFAULT_TARGET),
        ("{property: e_hull, maximum: 0.05, direction: minimise}", DEFAULT_TARGET),
        ("band_gap in 1..2 with e_above_hull <= .05", Target(GAP, 1.0, 2.0, None, (Range(ABOVE_HULL, high=0.05),))),
        ("Band gap between 1 and 2 eV, e_hull < 0.05", Target(GAP, 1.0, 2.0, None, (Range(ABOVE_HULL, high=0.05),))),
        ("gap >= 1; gap <= 2", Target(GAP, 1.0, 2.0)),
        ("1 < band_gap <= 2", Target(GAP, 1.0, 2.0)),
        ("Eg in 1 to 2 eV", Target(GAP, 1.0, 2.0)),
        ("bulk modulus >= 100 GPa", Target(K, 2.0)),
        ("{bulk modulus: 100..1000}", Target(K, 2.0, 3.0)),
        (
            "near LiF within 2 without Cl",
            Target(**{**vars(DEFAULT_TARGET), "vicinity": Vicinity(("LiF",), 2.0, ("Cl",))}),
        ),
        (
            "{near: LiF, without: Cl}",
            Target(**{**vars(DEFAULT_TARGET), "vicinity": Vicinity(("LiF",), without=("Cl",))}),
        ),
        (
            "gap > 1, near LiF or NaCl, no O and Al",
            Target(GAP, 1.0, vicinity=Vicinity(("LiF", "NaCl"), without=("O", "Al"))),
        ),
        ("[gap > 1, near LiF, near NaCl]", Target(GAP, 1.0, vicinity=Vicinity(("LiF", "NaCl")))),
        (
            "{gap: '> 1', near: ['LiF:rocksalt_B1'], within: 3}",
            Target(GAP, 1.0, vicinity=Vicinity(("LiF:rocksalt_B1",), 3.0)),
        ),
        ("{property: gap, minimum: 1, without: [Cl]}", Target(GAP, 1.0, vicinity=Vicinity(without=("Cl",)))),
        ("minimise e_above_hull, maximise band_gap", SEVERAL),
        ("minimize e_hull and maximize gap", SEVERAL),
        ("{e_hull: minimise, gap: maximise}", SEVERAL),
        ("[minimise e_hull, {gap: maximise}]", SEVERAL),
        ("{objectives: [minimise e_hull, maximise gap]}", SEVERAL),
        ("{objectives: 'minimise e_hull, maximise gap'}", SEVERAL),
        ("{objectives: [{property: e_hull, direction: minimise}, {gap: maximise}]}", SEVERAL),
        (
            "{objectives: [{property: e_hull, direction: minimise, scale: 10 meV}, {property: K, direction: maximise, scale: 10}]}",
            Target(
                ABOVE_HULL,
                direction=LOW,
                objectives=(Objective(ABOVE_HULL, LOW, 1.0, 0.01), Objective(K, HIGH, 1.0, 1.0)),
            ),
        ),
        (
            "minimise e_hull <= 0.1, maximise gap, e_f < -1, without F",
            Target(ABOVE_HULL, None, 0.1, LOW, (Range(E_F, high=-1.0),), Vicinity(without=("F",)), BOTH),
        ),
        ("{objectives: [{property: gap, direction: maximise, weight: 3}]}", Target(GAP, direction=HIGH)),
    ],
)
def test_what_a_scientist_types_is_understood(tmp_path, text, target):
    path = file_of(tmp_path, target=text if text[0] in "{['" else f'"{text}"', data="[{path: x.csv}]")
    made = read_campaign(path)
    assert made.target == target
    assert Campaign.model_validate(made.spec()).target == target
    assert Target.from_stored(made.spec()["target"]) == target
    assert target_sentence(target)


def test_without_a_target_crystals_near_the_hull_are_looked_for_the_lower_the_better(tmp_path):
    made = read_campaign(file_of(tmp_path))
    assert made.target == Target("energy_above_hull", None, 0.05, Direction.MINIMISE)
    assert target_sentence(made.target) == "energy_above_hull <= 0.05 eV/atom, minimise energy_above_hull"
    assert made.goes_on_with(made.spec())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("e_above_hull < 0", "e_above_hull <= 0 asks for these"),
        ("e_above_hull < -0.1", "no crystal is more stable than the hull"),
        ("band_gap > 40", "band_gap lies within 0..30 eV"),
        (
            "e_f > 0.5 and e_above_hull <= 0",
            "ask for an energy_above_hull of 0.5 or more, or for a lower formation energy",
        ),
        ("gap > 3 and gap < 2", "nothing has"),
        ("near UO2", "come no nearer than 9.33; allow U in `elements`, or say within: 9.4"),
        ("near LiFePO4 without F", "the nearest is MgO in CsCl_B2, at 14.86; say within: 14.9"),
        ("near LiF within 0", "ask for more than 0"),
        ("near LiF within two", "target.within: not a number"),
        ("within 3", "of what? name compounds"),
        ("within 3 without F", "of what? name compounds"),
        ("near", "'near': of what?"),
        ("e_f < -1 without", "'without': of what?"),
        ("minimise", "'minimise': of what?"),
        ("without Li, Na, Mg, Al, O, F, Cl", "leaves none of the elements"),
        ("without Li, Na, Mg, Al, O, F", "leaves Cl, and the prototypes take 2 elements or more"),
        ("near LiF without Li, Na, Mg, Al", "which lack Li, come no nearer than"),
        ("without Unobtainium", "not an element symbol"),
        ("near Kryptonite", "not a formula"),
        ("minimise e_f, maximise e_f", "an objective twice"),
        ("stability > 0.9", "energy_above_hull <= 0.05 asks for stable crystals"),
        ("band_gap = 1.5", "expected e.g."),
    ],
)
def test_what_nothing_can_meet_is_refused_with_its_line_and_what_would_fit(tmp_path, text, says):
    with pytest.raises(ConfigError) as refused:
        read_campaign(file_of(tmp_path, target=f'"{text}"', data=None if "near" in text else "[{path: x.csv}]"))
    assert says in str(refused.value)
    assert "line 4" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{objectives: [{property: gap, direction: up}]}", "target.objectives.0.direction"),
        ("{objectives: [{property: gapp, direction: maximise}]}", "did you mean gap?"),
        ("{objectives: [{property: gap, direction: maximise, weight: 0}]}", "target.objectives.0.weight"),
        ("{objectives: [{property: gap, direction: maximise, scale: -1}, minimise e_f]}", "must be above 0"),
        (
            "{property: e_f, direction: minimise, objectives: [minimise e_hull, maximise gap]}",
            "each of `objectives` has its own",
        ),
        ("{near: [LiF], within: 1e9}", "target.within"),
        ("{near: 5}", "near '5': not a formula"),
        ("{objectives: 5}", "target.objectives"),
    ],
)
def test_a_table_that_means_nothing_is_refused(tmp_path, text, says):
    with pytest.raises(ConfigError, match=r"line 4") as refused:
        read_campaign(file_of(tmp_path, target=text))
    assert says in str(refused.value)


def test_bases_that_all_contain_an_unwanted_element_leave_nothing(tmp_path):
    path = file_of(tmp_path, prototypes=None, bases="['LiF:rocksalt_B1', 'NaF:rocksalt_B1']", target="without F")
    with pytest.raises(ConfigError, match="every one of the bases"):
        read_campaign(path)


def test_the_nearest_crystal_of_the_message_is_the_nearest_of_all(tmp_path):
    path = file_of(tmp_path, target="near LiFePO4 within 0.1", elements="[Li, Fe, P, O]", prototypes="[perovskite_E21]")
    with pytest.raises(ConfigError) as refused:
        read_campaign(path)
    tried = {
        f"{a}{b}{x}3": distance(amounts("LiFePO4"), {a: 1, b: 1, x: 3})
        for a, b, x in product(("Li", "Fe", "P", "O"), repeat=3)
        if len({a, b, x}) == 3
    }
    assert f"at {min(tried.values()):.2f}" in str(refused.value)
    said = str(refused.value).partition("within: ")[2].partition(",")[0]
    read_campaign(
        file_of(
            tmp_path, target=f"near LiFePO4 within {said}", elements="[Li, Fe, P, O]", prototypes="[perovskite_E21]"
        )
    )


def test_the_number_of_crystals_is_that_of_the_decorations():
    for prototypes in ([one] for one in Prototype):
        ground = Ground(("Li", "Na", "O", "F"), tuple(prototypes), (), has_data=False)
        assert ground.size() == len(list(ground.crystals()))


def test_data_files_may_bring_formulas_that_the_prototypes_do_not_have(tmp_path):
    made = read_campaign(file_of(tmp_path, target="near LiAlO2", data="[{path: x.csv}]"))
    assert made.target.vicinity == Vicinity(("LiAlO2",))
    with pytest.raises(ConfigError, match="the nearest is"):
        read_campaign(file_of(tmp_path, target="near LiAlO2"))


def test_stops_and_budgets_that_cannot_be_are_said_before_anything_runs(tmp_path):
    for stop, says in (
        ("{hits: 0}", "stop.hits"),
        ("{expected_hits: 0}", "stop.expected_hits"),
        ("{expected_hits: 7}", "no batch brings more hits than it has candidates, dft.per_round is 6"),
        ("{hit: 5}", "did you mean 'hits'?"),
    ):
        with pytest.raises(ConfigError, match="line 4") as refused:
            read_campaign(file_of(tmp_path, stop=stop))
        assert says in str(refused.value)
    (short,) = batch_notes(read_campaign(file_of(tmp_path, budget="{relaxations: 3}")))
    assert "`budget.relaxations` is 3 and a batch (`dft.per_round`) 6" in short
    assert "`dft.per_round: 1` gives rounds" in short
    (many,) = batch_notes(read_campaign(file_of(tmp_path, stop="{hits: 50}")))
    assert "`stop.hits` is 50, and no more than 18 crystals are computed" in many
    assert batch_notes(read_campaign(file_of(tmp_path, stop="{hits: 18}", budget="{relaxations: 18}"))) == []


def test_a_table_beside_older_forms_still_means_the_formation_energy(tmp_path):
    assert campaign_of(tmp_path, "{direction: minimise}").target == Target(E_F, direction=LOW)
    assert campaign_of(tmp_path, "{maximum: -1}").target == Target(E_F, maximum=-1.0)
