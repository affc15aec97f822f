"""Metals get the k points of metals; salts, references and coarse presets do not."""

import pytest
from pw_fakes import cubic, fake_table, rock_salt

from crystalloop.dft.energies.references import (
    calculation_key,
    energy_scheme,
    reference_settings,
    reference_structure,
    same_scheme,
)
from crystalloop.dft.recipe.element_rules import for_crystal
from crystalloop.dft.recipe.settings import preset
from crystalloop.dft.relax.estimate import estimate_cpu_s
from crystalloop.dft.relax.rungs import cheap_settings

FAST = preset("fast")
CAMG = cubic("Pm-3m", 3.96, ["Ca", "Mg"], [[0, 0, 0], [0.5] * 3])


def test_a_compound_of_metals_gets_the_k_points_of_its_references():
    dense = for_crystal(CAMG, FAST)
    assert dense.kspacing_inv_ang == reference_settings("Ca", FAST).kspacing_inv_ang == 0.20
    assert for_crystal(CAMG, dense) == dense
    assert for_crystal(reference_structure("Mg"), FAST).kspacing_inv_ang == 0.20  # an element that somebody relaxes


@pytest.mark.parametrize(
    ("structure", "settings"),
    [
        (rock_salt(), FAST),
        (CAMG, preset("test")),
        (CAMG, FAST.model_copy(update={"kspacing_inv_ang": 0.15})),
        (reference_structure("Si"), reference_settings("Si", FAST)),
        (CAMG, cheap_settings(FAST.model_copy(update={"cheap_first": True}))),
    ],
    ids=["a salt", "a coarse preset", "denser than asked", "a reference", "the cheap rung"],
)
def test_all_others_keep_theirs(structure, settings):
    assert for_crystal(structure, settings).kspacing_inv_ang == settings.kspacing_inv_ang


def test_dense_k_points_are_another_calculation_and_cost_more(tmp_path):
    table = fake_table(tmp_path, ("Ca", "Mg", "Li", "F"))
    everywhere = FAST.model_copy(update={"kspacing_metals_inv_ang": None})
    assert calculation_key(CAMG, FAST, table) != calculation_key(CAMG, everywhere, table)
    assert calculation_key(rock_salt(), FAST, table) == calculation_key(rock_salt(), everywhere, table)
    assert estimate_cpu_s(CAMG, FAST, table) > 2 * estimate_cpu_s(CAMG, everywhere, table)


def test_energies_of_metals_with_few_and_with_many_k_points_are_of_two_schemes(tmp_path):
    table, everywhere = fake_table(tmp_path, ("Ca",)), FAST.model_copy(update={"kspacing_metals_inv_ang": None})
    assert not same_scheme(FAST, everywhere)
    assert energy_scheme(FAST, table, "6.7") != energy_scheme(everywhere, table, "6.7")
