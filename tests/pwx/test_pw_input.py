import re

import numpy as np
import pytest
from pw_fakes import cell_of, cubic, fake_table, rock_salt
from pydantic import ValidationError

from crystalloop.dft.energies.ground_states import ground_state
from crystalloop.dft.energies.references import reference_settings
from crystalloop.dft.pw.input import k_mesh, pw_input_text
from crystalloop.dft.recipe.cells import only_volume_is_free, primitive_cell
from crystalloop.dft.recipe.settings import InputError, PwSettings, preset


def test_rock_salt_is_written_as_its_primitive_cell_with_twelve_digits(tmp_path):
    cell = primitive_cell(rock_salt(4.2))
    text = pw_input_text(cell, preset("test"), fake_table(tmp_path), pseudo_dir="./pseudo")
    assert len(cell) == 2
    assert "nat = 2" in text and "ibrav = 0" in text and "occupations = 'smearing'" in text
    assert "2.100000000000" in text
    assert cell_of(text) == pytest.approx(cell.lattice.matrix)
    assert "conv_thr = 2e-08" in text  # 1e-8 Ry/atom
    assert "press_conv_thr = 5" in text and "cell_dofree = 'all'" in text


def test_noise_in_the_coordinates_does_not_survive_symmetrisation():
    noisy = primitive_cell(rock_salt(4.2).perturb(3e-4, seed=1))
    assert len(noisy) == 2
    assert 2 * noisy.frac_coords == pytest.approx(np.round(2 * noisy.frac_coords), abs=1e-12)


def test_k_points_are_no_further_apart_than_asked_with_two_pi():
    assert k_mesh(primitive_cell(rock_salt(4.06)), 0.70) == (4, 4, 4)
    assert k_mesh(rock_salt(4.06), 0.20) == (8, 8, 8)
    assert k_mesh(rock_salt(40.0), 2.0) == (1, 1, 1)


def test_an_scf_has_no_namelists_of_a_relaxation_and_a_molecule_the_gamma_point(tmp_path):
    table = fake_table(tmp_path, ("O",))
    settings = reference_settings("O", preset("test"))
    text = pw_input_text(ground_state("O"), settings, table, "scf")
    assert "&IONS" not in text and "&CELL" not in text
    assert "K_POINTS gamma" in text and "tot_magnetization = 2" in text and "starting_magnetization(1) = 0.5" in text


def test_cutoffs_below_the_table_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"30/320 Ry are below .* 40/320 Ry"):
        pw_input_text(rock_salt(), PwSettings(ecutwfc_ry=30), fake_table(tmp_path))
    text = pw_input_text(rock_salt(), PwSettings(ecutwfc_ry=100), fake_table(tmp_path))
    assert "ecutrho = 400" in text


@pytest.mark.parametrize(
    "fields", [{"ecutwfc_ry": 50, "ecutrho_ry": 100}, {"tot_magnetization": 2.0}, {"kspacing_inv_ang": 0}, {"beta": 1}]
)
def test_impossible_settings_are_refused(fields):
    with pytest.raises(ValidationError):
        PwSettings(**fields)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match="test, fast, paper"):
        preset("best")


@pytest.mark.parametrize(
    ("structure", "free"),
    [
        (rock_salt(), True),
        (cubic("Pm-3m", 3.9, ["Li", "Mg", "F"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]), True),
        (cubic("Fm-3m", 6.2, ["Li", "Mg", "Al"], [[0, 0, 0], [0.5] * 3, [0.25] * 3]), True),
        (cubic("Pa-3", 5.4, ["Li", "F"], [[0, 0, 0], [0.385] * 3]), False),  # pyrite: x is free
        (ground_state("Mg"), False),
    ],
)
def test_crystals_with_only_their_volume_free_are_recognised(structure, free):
    assert only_volume_is_free(structure) is free
    assert only_volume_is_free(primitive_cell(structure)) is free


def test_the_stress_of_a_polarised_cell_wants_a_tighter_scf(tmp_path):
    table, cell = fake_table(tmp_path, ("Li", "F")), primitive_cell(rock_salt())

    def conv_thr(**changes):
        text = pw_input_text(cell, preset("fast").model_copy(update=changes), table, "scf")
        return float(re.search(r"^ *conv_thr = (\S+)", text, re.MULTILINE)[1])

    assert conv_thr() == pytest.approx(2e-8)
    assert conv_thr(nspin=2) == pytest.approx(2e-12)
    assert conv_thr(nspin=2, vary="nothing") == pytest.approx(2e-8)  # a molecule in its box
