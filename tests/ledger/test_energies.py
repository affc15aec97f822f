"""Elemental references: one procedure, once per key, shared by every campaign of a database."""

import pytest
from database_fixture import NOON, new_relaxation
from pw_fakes import fake_table, rock_salt

from crystalloop.db.ledger.records import REFERENCES, CandidateState, CrystalDoc
from crystalloop.dft.energies.references import reference_settings
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.orchestrator.settle.formation import Energies

TOTALS = {"Li": -7.0, "F": -20.0}  # eV per atom, D2 left out
D2 = {"Li": -0.2, "F": -0.1}


@pytest.fixture
def table(tmp_path):
    return fake_table(tmp_path)


@pytest.fixture(scope="module")
def crystal():
    return primitive_cell(rock_salt(4.06))


def relax_all(store, version="6.7MaX"):
    """A worker that computes whatever is queued."""
    waiting = store.candidates(states=[CandidateState.PROPOSED])
    store.queue([candidate.id for candidate in waiting], NOON)
    for candidate in store.candidates(states=[CandidateState.QUEUED]):
        claimed = store.claim(candidate.id, "w", NOON, 60.0)
        store.record_relaxation(claimed.id, claimed.lease.token, relaxation(claimed, version), NOON)
    return len(waiting)


def relaxation(candidate, version="6.7MaX", formation=-3.0):
    species = candidate.crystal.species
    plain = sum(TOTALS[element] for element in species) + (formation * len(species) if len(set(species)) > 1 else 0.0)
    with_d2 = PwSettings.model_validate(candidate.settings).d2
    energy = plain + (sum(D2[element] for element in species) - 0.1 * len(species) if with_d2 else 0.0)
    return new_relaxation(
        crystal=candidate.crystal,
        conventional=candidate.crystal,
        energy_ev=energy,
        energy_per_atom_ev=energy / len(species),
        pw_version=version,
        energy_without_d2_ev=plain if with_d2 else None,
    )


def decorated(structure):
    return Proposal(Crystal.from_structure(structure), Kind.DECORATED)


def test_two_campaigns_of_one_database_compute_each_reference_once(store, table, crystal):
    first, second = (Energies(preset("fast"), table, "6.7MaX") for _ in range(2))
    store.add_candidates(first.references(["Li", "F"], NOON))
    assert relax_all(store) == 2
    made = first.candidate(decorated(crystal), "first", 1, (), NOON)
    again = second.candidate(decorated(crystal), "second", 1, (), NOON)
    assert made.key == again.key
    assert store.add_candidates([*second.references(["Li", "F"], NOON), again]) == (again.id,)
    assert relax_all(store) == 1
    found = store.candidate(again.id).relaxation
    e_f, reason = second.formation_energy(found, store.relaxation_by_key)
    assert (e_f, reason) == (pytest.approx(-3.0), None)
    assert {c.campaign for c in store.candidates() if c.kind == "reference"} == {REFERENCES}


def test_other_settings_pseudopotentials_or_releases_have_references_of_their_own(store, table, tmp_path):
    text = (tmp_path / "table.json").read_text()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "table.json").write_text(text.replace(table["Li"].md5, "0" * 32))
    other_table = type(table).load(tmp_path / "other")
    fast = preset("fast")
    everyone = [
        Energies(fast, table, "6.7"),
        Energies(fast, table, "7.3"),
        Energies(fast, other_table, "6.7"),
        Energies(fast.model_copy(update={"d2": True}), table, "6.7"),
        Energies(fast.model_copy(update={"ecutwfc_ry": 90.0}), table, "6.7"),
        Energies(fast.model_copy(update={"degauss_ry": 0.01}), table, "6.7"),
        Energies(fast.model_copy(update={"kspacing_inv_ang": 0.15}), table, "6.7"),
    ]
    references = [energies.references(["Li"], NOON)[0] for energies in everyone]
    assert store.add_candidates(references) == tuple(reference.id for reference in references)


def test_with_d2_both_formation_energies_are_made_from_references_with_and_without(store, table, crystal):
    energies = Energies(preset("fast").model_copy(update={"d2": True}), table, "6.7")
    made = energies.candidate(decorated(crystal), "first", 1, (), NOON)
    store.add_candidates([made, *energies.references(["Li", "F"], NOON)])
    relax_all(store)
    found = store.candidate(made.id).relaxation
    # D2 adds its share per element and -0.1 eV per atom to crystal and references alike: it cancels here.
    assert energies.formation_energy(found, store.relaxation_by_key)[0] == pytest.approx(-3.0)
    assert energies.formation_energy_without_d2(found, store.relaxation_by_key) == pytest.approx(-3.0)
    bound = found.model_copy(update={"energy_ev": found.energy_ev - 0.5})
    assert energies.formation_energy(bound, store.relaxation_by_key)[0] == pytest.approx(-3.25)
    assert energies.formation_energy_without_d2(bound, store.relaxation_by_key) == pytest.approx(-3.0)
    store.set_formation_energy(made.id, -3.25, None, NOON, -3.0)
    assert store.candidate(made.id).e_f_without_d2 == -3.0


def test_an_energy_of_another_release_is_not_measured_against_these_references(store, table, crystal):
    energies = Energies(preset("fast"), table, "6.7")
    made = energies.candidate(decorated(crystal), "first", 1, (), NOON)
    store.add_candidates([made, *energies.references(["Li", "F"], NOON)])
    relax_all(store)
    newer = store.candidate(made.id).relaxation.model_copy(update={"pw_version": "7.3.1"})
    e_f, reason = energies.formation_energy(newer, store.relaxation_by_key)
    assert e_f is None
    assert "reference of F is of pw.x 6.7 and this crystal of 7.3" in reason


def test_references_of_a_database_from_before_the_release_was_in_the_key_still_serve(store, table, crystal):
    before, now = Energies(preset("fast"), table), Energies(preset("fast"), table, "6.7MaX")
    made = before.candidate(decorated(crystal), "first", 1, (), NOON)
    store.add_candidates([made, *before.references(["Li", "F"], NOON)])
    relax_all(store)
    found = store.candidate(made.id).relaxation
    assert now.formation_energy(found, store.relaxation_by_key) == (pytest.approx(-3.0), None)


def test_a_missing_reference_is_named(store, table, crystal):
    energies = Energies(preset("fast"), table, "6.7")
    made = energies.candidate(decorated(crystal), "first", 1, (), NOON)
    e_f, reason = energies.formation_energy(relaxation(made), store.relaxation_by_key)
    assert e_f is None
    assert "elemental reference of F was not computed" in reason
    assert reference_settings("Li", preset("paper")).d2
    assert isinstance(made.crystal, CrystalDoc)


def test_the_cheap_rungs_limit_is_over_the_references_that_are_there(store, table, crystal):
    energies = Energies(preset("fast"), table, "6.7MaX", reject_above_e_f=0.3)
    made = energies.candidate(decorated(crystal), "first", 1, (), NOON)
    assert energies.limited(made, store.relaxation_by_key) == made  # no reference yet
    store.add_candidates(energies.references(["Li", "F"], NOON))
    relax_all(store)
    limited = energies.limited(made, store.relaxation_by_key)
    assert limited.settings["reject_above_ev_per_atom"] == pytest.approx((-7.0 - 20.0) / 2 + 0.3)
    assert (limited.id, limited.key) == (made.id, made.key)
    unlimited = Energies(preset("fast"), table, "6.7MaX")
    assert unlimited.limited(made, store.relaxation_by_key) == made


def test_a_candidate_shares_the_settings_only_of_a_campaign_that_would_compute_the_same(table, crystal):
    fast = preset("fast")
    ours = Energies(fast, table, "6.7")
    made = ours.candidate(Proposal(Crystal.from_structure(crystal), Kind.DECORATED), "first", 1, (), NOON)
    others = [
        Energies(fast, table, "7.3"),
        Energies(fast.model_copy(update={"degauss_ry": 0.01}), table, "6.7"),
        Energies(fast.model_copy(update={"max_attempts": 9}), table, "6.7"),
    ]
    assert ours.shares_settings(made)
    assert not any(other.shares_settings(made) for other in others)
