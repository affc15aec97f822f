"""D2: refused where it has no parameters, and both energies of a cell from one calculation."""

from dataclasses import replace

import pytest
from pw_fakes import fake_table, rock_salt
from relax_fakes import relaxed

from crystalloop.dft.pw.input import pw_input_text
from crystalloop.dft.pw.launch import LaunchOptions
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.recipe.element_rules import lanthanide_note, require_d2
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import InputError, preset
from crystalloop.dft.recipe.units import RYDBERG_EV
from crystalloop.dft.work.stored_result import StoredResult
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.run.plan import check_dft


@pytest.mark.parametrize("element", ["Fr", "Ra", "Th", "U"])
def test_d2_is_refused_beyond_radon_with_a_sentence(element):
    with pytest.raises(InputError, match=rf"no parameters for {element} .*d2 to false"):
        require_d2(["Li", element])
    require_d2(["Li", "Ce", "Rn"])


def test_a_campaign_with_d2_and_radium_is_refused_before_anything_runs(tmp_path):
    fake_table(tmp_path, ("Ra", "F"))
    fields = {"name": "x", "elements": ["Ra", "F"], "prototypes": ["rocksalt_B1"], "target": {"direction": "minimise"}}
    dft = {"pseudos": str(tmp_path), "settings": {"d2": True}}
    with pytest.raises(InputError, match="no parameters for Ra"):
        check_dft(Campaign.model_validate(fields | {"dft": dft}))


def test_lanthanides_are_flagged_and_more_so_with_d2():
    assert lanthanide_note(["La", "Li", "F"], d2=True) is None
    assert lanthanide_note(["Gd", "F", "Ce"], d2=False).startswith("Ce, Gd: SSSP lanthanides keep f electrons")
    assert "one C6 for all of them" in lanthanide_note(["Gd"], d2=True)


def test_what_d2_adds_is_read_for_its_own_cycle():
    text = """
!    total energy              =     -10.00000000 Ry
     Dispersion Correction     =      -0.03929424 Ry
!    total energy              =     -11.00000000 Ry
     Dispersion Correction     =      -0.02000000 Ry
!    total energy              =     -12.00000000 Ry
"""
    first, second, third = parse_pw_output(None, text, "", 0).cycles
    assert first.dispersion_ev == pytest.approx(-0.03929424 * RYDBERG_EV)
    assert second.dispersion_ev == pytest.approx(-0.02 * RYDBERG_EV)
    assert third.dispersion_ev is None


def test_a_stored_relaxation_has_both_energies_where_d2_was_on():
    plain = relaxed(primitive_cell(rock_salt()))
    assert StoredResult.of("key", plain, ()).relaxation.energy_without_d2_ev is None
    with_d2 = StoredResult.of("key", replace(plain, dispersion_ev=-0.5), ()).relaxation
    assert (with_d2.energy_ev, with_d2.energy_without_d2_ev) == (plain.energy_ev, plain.energy_ev + 0.5)


@pytest.mark.pw
def test_the_energy_without_d2_is_that_of_a_calculation_without_it(pw_command, pseudo_folder, tmp_path):
    table, cell = PseudoTable.load(pseudo_folder), primitive_cell(rock_salt(4.06))
    outputs = []
    for d2 in (True, False):
        settings = preset("test").model_copy(update={"d2": d2, "kspacing_inv_ang": 2.0})
        ran = run_pw(
            pw_input_text(cell, settings, table, "scf"), tmp_path / str(d2), LaunchOptions(pw_command, timeout_s=120)
        )
        outputs.append(parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode).last)
    with_d2, without = outputs
    assert without.dispersion_ev is None
    assert with_d2.dispersion_ev < -0.1
    assert with_d2.energy_ev - with_d2.dispersion_ev == pytest.approx(without.energy_ev, abs=1e-5)
