import pytest
from pw_fakes import cubic, rock_salt

from crystalloop.dft.energies.ground_states import ground_state
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.relax.rungs import bond_lengths, compare


def test_a_uniform_expansion_changes_bonds_and_edges_alike():
    change = compare(rock_salt(4.0), primitive_cell(rock_salt(4.1)))
    assert change.cell_change_percent == pytest.approx(2.5)
    assert change.bond_change_percent == pytest.approx(2.5)
    assert change.volume_change_percent == pytest.approx(100 * (1.025**3 - 1))
    assert (change.spacegroup_before, change.spacegroup_after) == (225, 225)


def test_a_lost_symmetry_is_told():
    change = compare(rock_salt(4.0), rock_salt(4.0).apply_strain([0, 0, 0.05], inplace=False))
    assert (change.spacegroup_before, change.spacegroup_after) == (225, 139)
    assert change.volume_change_percent == pytest.approx(5.0)


def test_the_same_crystal_in_another_cell_has_not_changed():
    change = compare(primitive_cell(rock_salt(4.0)) * (2, 1, 1), rock_salt(4.0))
    assert change.cell_change_percent == pytest.approx(0.0, abs=1e-6)
    assert change.bond_change_percent == pytest.approx(0.0, abs=1e-6)


def test_a_moved_atom_changes_bonds_without_changing_edges():
    before = cubic("P-43m", 4.0, ["Li", "F"], [[0, 0, 0], [0.25] * 3])
    after = cubic("P-43m", 4.0, ["Li", "F"], [[0, 0, 0], [0.26] * 3])
    change = compare(before, after)
    assert change.cell_change_percent == pytest.approx(0.0, abs=1e-9)
    assert change.bond_change_percent > 0.5


def test_another_composition_or_another_bonding_is_not_compared():
    assert compare(rock_salt(), rock_salt(species=("Na", "F"))).cell_change_percent is None
    graphite, diamond = ground_state("C"), cubic("F-43m", 3.57, ["C", "C"], [[0, 0, 0], [0.25] * 3])
    assert compare(graphite, diamond).cell_change_percent is not None
    caesium_chloride = cubic("Pm-3m", 2.5, ["Li", "F"], [[0, 0, 0], [0.5] * 3])
    segregated = caesium_chloride.copy()
    segregated.make_supercell([2, 2, 2])
    for i in range(8):
        segregated.replace(i, "Li" if i < 4 else "F")
        segregated.replace(8 + i, "Li" if i < 4 else "F")
    assert compare(caesium_chloride, segregated).bond_change_percent is None


def test_the_first_shell_of_rock_salt_has_six_bonds_from_each_end():
    bonds = bond_lengths(rock_salt(4.0))
    assert set(bonds) == {("Li", "F"), ("F", "Li")}
    assert len(bonds["Li", "F"]) == 6 * 4
    assert bonds["F", "Li"] == pytest.approx(2.0)
