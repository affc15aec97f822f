import pytest
from pw_fakes import cubic, fake_table, rock_salt
from pymatgen.core.structure import Structure

from crystalloop.dft.energies.ground_states import BOX_ANG, MOLECULES
from crystalloop.dft.energies.references import (
    NoReference,
    calculation_key,
    energy_scheme,
    formation_energy_ev_per_atom,
    reference_settings,
    reference_structure,
    release,
    same_scheme,
    supported_elements,
)
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.relax.preflight import closest_pair, preflight

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("element", sorted(supported_elements()))
def test_every_reference_state_is_a_crystal_of_its_element_that_pw_would_get(element):
    structure = reference_structure(element)
    assert {site.specie.symbol for site in structure} == {element}
    assert len(primitive_cell(structure)) <= 12
    assert preflight(structure) is None
    *_, ratio = closest_pair(structure)
    assert 0.7 < ratio < 1.35


@pytest.mark.parametrize(
    ("element", "distance"), [("Si", 2.369), ("Fe", 2.447), ("I", 2.715), ("B", 1.66), ("P", 2.22)]
)
def test_bond_lengths_of_some_are_as_published(element, distance):
    assert closest_pair(reference_structure(element))[2] == pytest.approx(distance, abs=0.01)


def test_an_element_without_a_reference_is_named():
    with pytest.raises(NoReference, match="for Mn"):
        reference_structure("Mn")
    assert not supported_elements() & {"He", "Ne", "Hg", "Mn", "Gd", "U"}


def test_metals_get_denser_k_points_than_the_crystals():
    assert reference_settings("Al", preset("test")).kspacing_inv_ang == 0.20
    assert reference_settings("Al", preset("fast")).kspacing_inv_ang == 0.20
    assert reference_settings("Si", preset("fast")).kspacing_inv_ang == 0.30
    assert reference_settings("Al", PwSettings(kspacing_inv_ang=0.15)).kspacing_inv_ang == 0.15


def test_references_keep_what_must_cancel():
    paper = preset("paper")
    for element in ("Li", "O", "Fe"):
        settings = reference_settings(element, paper)
        assert (settings.degauss_ry, settings.d2, settings.smearing) == (paper.degauss_ry, True, paper.smearing)


def test_molecules_are_fixed_in_a_box_and_oxygen_is_a_triplet():
    for element in MOLECULES - {"S"}:
        settings = reference_settings(element, preset("test"))
        assert (settings.vary, settings.gamma_only) == ("nothing", True)
        assert reference_structure(element).lattice.abc == (BOX_ANG[element],) * 3
    assert reference_settings("O", preset("test")).tot_magnetization == 2.0
    assert reference_settings("N", PwSettings(nspin=2)).nspin == 1


def test_formation_energies_are_per_atom_and_name_a_missing_reference():
    energies = {"Li": -2.0, "F": -5.0}
    assert formation_energy_ev_per_atom(-13.0, {"Li": 1, "F": 1}, energies) == -3.0
    assert formation_energy_ev_per_atom(-26.0, rock_salt().composition.reduced_composition.as_dict(), energies) < 0
    with pytest.raises(NoReference, match="Mg"):
        formation_energy_ev_per_atom(-1.0, {"Li": 1, "Mg": 1}, energies)


def test_the_key_knows_a_crystal_in_any_cell_origin_and_order(tmp_path):
    table, settings = fake_table(tmp_path), preset("test")
    key = calculation_key(rock_salt(4.06), settings, table)
    shifted = rock_salt(4.06)
    shifted.translate_sites(range(8), [0.13, 0.24, 0.35])
    turned = rock_salt(4.06, species=("F", "Li"))
    for same in (primitive_cell(rock_salt(4.06)), shifted, turned, rock_salt(4.06 + 1e-7)):
        assert calculation_key(same, settings, table) == key


def test_the_key_tells_other_crystals_settings_and_pseudopotentials_apart(tmp_path):
    table, settings = fake_table(tmp_path), preset("test")
    caesium_chloride = cubic("Pm-3m", 2.55, ["Li", "F"], [[0, 0, 0], [0.5] * 3])
    other_table = fake_table(tmp_path / "other", ("Li", "F", "H"))
    (tmp_path / "other" / "table.json").write_text(
        (tmp_path / "other" / "table.json").read_text().replace(other_table["F"].md5, "0" * 32)
    )
    keys = [
        calculation_key(rock_salt(4.06), settings, table),
        calculation_key(rock_salt(4.16), settings, table),
        calculation_key(caesium_chloride, settings, table),
        calculation_key(rock_salt(4.06), preset("fast"), table),
        calculation_key(rock_salt(4.06), settings, type(table).load(tmp_path / "other")),
    ]
    assert len(set(keys)) == len(keys)


def test_limits_and_corrections_do_not_change_the_key(tmp_path):
    table, settings = fake_table(tmp_path), preset("test")
    patient = settings.model_copy(update={"max_seconds": 99, "mixing_beta": 0.2, "max_attempts": 9})
    assert calculation_key(rock_salt(), patient, table) == calculation_key(rock_salt(), settings, table)


@pytest.mark.parametrize(("printed", "short"), [("6.7MaX", "6.7"), ("7.3.1", "7.3"), ("7.0", "7.0"), ("", "")])
def test_the_release_of_a_version_is_its_first_two_numbers(printed, short):
    assert release(printed) == short


def test_keys_hold_every_setting_that_shifts_an_energy_and_schemes_all_but_spin(tmp_path):
    table, settings, crystal = fake_table(tmp_path), preset("fast"), primitive_cell(rock_salt())
    changes = [
        {"d2": True},
        {"ecutwfc_ry": 90.0},
        {"ecutrho_ry": 800.0},
        {"kspacing_inv_ang": 0.3},
        {"smearing": "fermi-dirac"},
        {"degauss_ry": 0.01},
        {"nspin": 2},
    ]
    changed = [settings, *(settings.model_copy(update=change) for change in changes)]
    assert len({calculation_key(crystal, one, table) for one in changed}) == len(changed)
    assert len({energy_scheme(one, table, "6.7") for one in changed}) == len(changed) - 1
    assert [same_scheme(settings, one) for one in changed] == [True, *[False] * 6, True]


def test_keys_and_schemes_hold_the_release_of_pw_but_not_its_patch(tmp_path):
    table, settings, crystal = fake_table(tmp_path), preset("fast"), primitive_cell(rock_salt())
    keys = [calculation_key(crystal, settings, table, version) for version in ("", "6.7MaX", "7.3", "7.3.1")]
    assert len(set(keys)) == 3
    assert keys[2] == keys[3]
    assert energy_scheme(settings, table, "6.7MaX") == energy_scheme(settings, table, "6.7")
    assert energy_scheme(settings, table, "7.3") != energy_scheme(settings, table, "6.7")
    assert energy_scheme(settings, table, "6.7").startswith("pw6.7-k0.45-")


def test_what_is_asked_of_candidates_is_not_asked_of_the_elements():
    asked = preset("fast").model_copy(
        update={"method": "eos", "cheap_first": True, "reject_above_ev_per_atom": -1.0, "start_volume": "radii"}
    )
    assert reference_settings("Li", asked) == reference_settings("Li", preset("fast"))


@pytest.mark.parametrize(
    "of_candidates",
    [
        {"nspin": 2, "starting_magnetization": 0.3},
        {"nspin": 2, "starting_moments": {"Fe": -4.0, "O": 1.0}},
        {"method": "eos"},
        {"cheap_first": True, "start_volume": "radii", "reject_above_ev_per_atom": 0.0},
        {"max_seconds": 99, "electron_maxstep": 7},
    ],
    ids=str,
)
def test_what_is_asked_of_candidates_does_not_make_other_references(of_candidates):
    fast = preset("fast")
    for element in ("Li", "Fe", "O", "Cr"):
        changed = reference_settings(element, fast.model_copy(update=of_candidates))
        assert changed.physics() == reference_settings(element, fast).physics()


@pytest.mark.parametrize(("element", "spacegroup", "atoms"), [("Fe", "Im-3m", 2), ("Al", "Fm-3m", 4)])
def test_cubic_metals_are_what_their_space_group_makes_of_one_atom(element, spacegroup, atoms):
    structure = reference_structure(element)
    made = Structure.from_spacegroup(spacegroup, structure.lattice, [element], [[0, 0, 0]])
    assert len(structure) == atoms
    assert structure.frac_coords.tolist() == made.frac_coords.tolist()
    assert structure.as_dict() == made.as_dict()
