"""`dft: {band_gap: ...}`: what a campaign asks of pw.x, what is stored, and which value counts."""

from __future__ import annotations

import pytest
from database_fixture import NOON, new_candidate
from pw_fakes import fake_table, rock_salt
from relax_fakes import relaxed

from crystalloop.db.ledger.records import CandidateState
from crystalloop.dft.energies.references import calculation_key, reference_settings
from crystalloop.dft.recipe.settings import preset
from crystalloop.dft.relax.band_gap import BandGap
from crystalloop.dft.work.stored_result import StoredResult
from crystalloop.orchestrator.campaign.sections import Dft


@pytest.mark.parametrize(
    ("given", "meant"), [(True, "scf"), (False, None), ("scf", "scf"), ("nscf", "nscf"), (None, None)]
)
def test_true_is_the_gap_of_the_mesh(given, meant):
    assert Dft.model_validate({"band_gap": given}).band_gap == meant


@pytest.mark.parametrize("given", ["dense", 1.5, "yes please"])
def test_other_words_are_refused(given):
    with pytest.raises(ValueError, match="band_gap"):
        Dft.model_validate({"band_gap": given})


def test_a_result_without_a_gap_does_not_serve_where_one_is_asked_for_and_references_stay(tmp_path):
    table, test = fake_table(tmp_path), preset("test")
    asked = test.model_copy(update={"band_gap": "scf"})
    assert calculation_key(rock_salt(), asked, table) != calculation_key(rock_salt(), test, table)
    assert "band_gap" not in test.physics()
    assert reference_settings("Li", asked) == reference_settings("Li", test)


def test_the_gap_is_stored_and_counts_before_the_predicted_one():
    from dataclasses import replace

    answer = replace(relaxed(rock_salt()), gap=BandGap(1.25, 1.5, 8, "scf"))
    stored = StoredResult.of("key", answer, ()).relaxation
    assert stored.band_gap == 1.25
    candidate = new_candidate().model_copy(
        update={
            "relaxation": stored,
            "state": CandidateState.RELAXED,
            "predicted": {"band_gap": 3.0},
            "updated_at": NOON,
        }
    )
    assert candidate.value("band_gap") == 1.25
    without = StoredResult.of("key", relaxed(rock_salt()), ()).relaxation
    assert without.band_gap is None and candidate.model_copy(update={"relaxation": without}).value("band_gap") == 3.0
