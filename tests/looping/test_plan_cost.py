"""What `plan` says a campaign will take, held against its budgets, and what it would compute first."""

import numpy as np
import pytest

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.learn.cost import TrainingSize
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.run.cost import campaign_cost, short_budgets
from crystalloop.orchestrator.run.preview import first_batch


def campaign(**changes):
    fields = {
        "name": "t",
        "elements": ["Li", "Na", "Mg", "O", "F", "Cl"],
        "prototypes": ["rocksalt_B1", "CsCl_B2"],
        "target": {"maximum": -2.0, "direction": "minimise"},
        "dft": {"per_round": 6, "slots": 2},
        "rounds": 3,
    }
    return Campaign.model_validate(fields | changes)


def cost(asked, warm=False, each_s=10.0, labelled=0):
    return campaign_cost(asked, each_s=each_s, references_s=100.0, crystals=30, labelled=labelled, warm=warm)


def test_the_first_campaign_takes_what_was_measured_on_two_idle_cores():
    # README: six minutes in all; the first training of 6 labelled and 24 unlabelled crystals took 74 s.
    first = cost(campaign(generate={"per_round": 128}))
    assert 4 < first.minutes < 9
    assert TrainingSize(30, 6, 16).seconds(warm=False) == pytest.approx(74, rel=0.25)
    assert (first.rounds, first.relaxations, first.trainings) == (3, 18, 2)
    assert (first.cpu_s, first.first_cpu_s, first.candidates_cpu_s) == (280.0, 160.0, 180.0)
    assert sum(first.seconds.values()) == pytest.approx(60 * first.minutes)


def test_training_grows_with_data_grid_steps_and_sizes_and_shrinks_with_workers():
    few = TrainingSize(30, 6, 16)
    more = [
        TrainingSize(3000, 6, 16),
        TrainingSize(30, 5000, 16),
        TrainingSize(30, 6, 32),
        TrainingSize(30, 6, 16, steps={"vae": 1000}),
        TrainingSize(30, 6, 16, preset="paper"),
    ]
    assert all(one.seconds(warm=False) > few.seconds(warm=False) for one in more)
    assert few.seconds(warm=True) < few.seconds(warm=False)
    assert TrainingSize(3000, 6, 16, workers=4).seconds(warm=False) < more[0].seconds(warm=False)


def test_a_warm_start_trains_once_more_than_a_cold_one():
    assert cost(campaign(), warm=True, labelled=100).trainings == 3
    assert cost(campaign(rounds=1)).seconds["training"] == 0.0


def test_every_budget_that_is_too_small_is_named_with_both_numbers():
    asked = campaign(budget={"relaxations": 7, "cpu_hours": 0.01, "wall_minutes": 2})
    found = short_budgets(asked, cost(asked))
    assert [sentence.count("`budget.") for sentence in found] == [1, 1, 1]
    assert "want 18 relaxations, `budget.relaxations` is 7: round 2 is the last" in found[0]
    assert "need about 0.019 CPU-hours, `budget.cpu_hours` is 0.01" in found[1]
    assert "`budget.wall_minutes` is 2" in found[2]
    assert short_budgets(campaign(), cost(campaign())) == []
    enough = campaign(budget={"relaxations": 18, "cpu_hours": 1.0, "wall_minutes": 30})
    assert short_budgets(enough, cost(enough)) == []


def salts():
    """Labels that a linear fit can learn: the larger the difference of electronegativity, the lower."""
    found = []
    for i, (cation, anion, value) in enumerate(
        [
            ("K", "F", -2.9),
            ("K", "Cl", -2.2),
            ("K", "Br", -2.0),
            ("Rb", "Cl", -2.2),
            ("Rb", "F", -2.8),
            ("Cs", "Cl", -2.2),
            ("Ca", "O", -3.2),
            ("Sr", "O", -3.0),
            ("Ba", "O", -2.8),
            ("Ca", "S", -2.3),
            ("Al", "Ni", -0.6),
            ("Cu", "Zn", -0.1),
        ]
    ):
        structure = decorate(Prototype.ROCKSALT, (cation, anion))
        found.append(KnownCrystal(str(i), f"row {i}", structure, {E_F: value}))
    return tuple(found)


def test_a_warm_start_shows_a_ranked_batch_with_the_error_of_its_stand_in():
    shown = first_batch(campaign(), salts(), warm=True)
    assert len(shown.batch) == 6
    assert 0 < shown.error < 1.5
    assert all(np.isfinite(draft.value(E_F)) for draft in shown.batch)
    assert {"LiF", "NaF", "MgO"} & {draft.formula for draft in shown.batch}
    assert not {"LiMg", "LiNa", "NaMg"} & {draft.formula for draft in shown.batch[:3]}
    again = first_batch(campaign(), salts(), warm=True)
    assert [d.formula for d in again.batch] == [d.formula for d in shown.batch]


def test_with_too_few_labels_of_the_target_the_batch_comes_without_estimates():
    shown = first_batch(campaign(), salts()[:4], warm=True)
    assert (len(shown.batch), shown.error) == (6, None)


def test_a_cold_start_shows_the_batch_that_it_computes():
    shown = first_batch(campaign(), (), warm=False)
    assert (len(shown.batch), shown.error) == (6, None)
    assert all(draft.value(E_F) is None for draft in shown.batch)
