"""Magnetic elements start polarised, and go on without spin where the moment vanishes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pw_fakes import FIXTURES, cell_of, cubic, fake_table, replay, rock_salt, scf_text

from crystalloop.dft.energies.references import calculation_key
from crystalloop.dft.heal.failures import PwFailure, diagnose
from crystalloop.dft.pw.input import pw_input_text
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.recipe.element_rules import for_crystal, starts
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.relax.relax import relax

TEST = preset("test")
NIAL = cubic("Pm-3m", 2.9, ["Ni", "Al"], [[0, 0, 0], [0.5] * 3])
SPIN = """     total magnetization       =     {:.2f} Bohr mag/cell
     absolute magnetization    =     {:.2f} Bohr mag/cell
"""


class Spinning:
    """Pressure falls linearly with the volume; the moment is as told. Notes nspin and volume of each input."""

    def __init__(self, moment, v0=24.0):
        self.moment, self.v0, self.nspin = moment, v0, []

    def __call__(self, text, folder, options):
        self.nspin.append(2 if "nspin = 2" in text else 1)
        volume = abs(np.linalg.det(cell_of(text)))
        stdout = scf_text(text, -100.0, 1500 * (self.v0 / volume - 1))
        if self.nspin[-1] == 2:
            stdout = SPIN.format(self.moment, abs(self.moment)) + stdout
        return replay(folder, stdout)


def test_only_crystals_with_a_magnetic_element_start_polarised():
    assert for_crystal(rock_salt(), TEST) == TEST
    polarised = for_crystal(NIAL, TEST)
    assert polarised.nspin == 2 and polarised.starting_moments == {"Ni": 2.0}
    assert for_crystal(NIAL, polarised) == polarised
    assert for_crystal(NIAL, PwSettings()) == PwSettings()  # as in stored documents: off
    asked = TEST.model_copy(update={"starting_moments": {"Al": 1.0}})
    assert for_crystal(NIAL, asked).starting_moments == {"Al": 1.0}


def test_keys_of_crystals_without_a_magnetic_element_stay_what_they_were(tmp_path):
    table = fake_table(tmp_path, ("Li", "F", "Ni", "Al"))
    off = TEST.model_copy(update={"magnetic": "off"})
    assert calculation_key(rock_salt(), TEST, table) == calculation_key(rock_salt(), off, table)
    assert calculation_key(NIAL, TEST, table) != calculation_key(NIAL, off, table)


def test_a_starting_moment_is_written_as_share_of_the_valence(tmp_path):
    table = fake_table(tmp_path, ("Ni", "Al"))  # 8 valence electrons where the file does not say
    text = pw_input_text(NIAL, for_crystal(NIAL, TEST), table)
    assert (
        "nspin = 2" in text and "starting_magnetization(1) = 0.25" in text and "starting_magnetization(2) = 0" in text
    )


def test_a_vanished_moment_is_followed_by_cheaper_launches_without_spin(tmp_path):
    run, reports = Spinning(0.0), []
    table = fake_table(tmp_path / "upf", ("Ni", "Al"))
    result = relax(NIAL, TEST, table, tmp_path / "run", run=run, on_attempt=reports.append)
    assert isinstance(result, Relaxed)
    assert run.nspin[0] == 2 and set(run.nspin[1:]) == {1}
    assert [report.outcome for report in reports] == ["moment_vanished", "converged"]
    assert "nspin 2 -> 1" in reports[0].correction
    assert result.magnetization_bohr is None
    assert result.steps >= 1


def test_a_moment_that_stays_is_kept_and_stored(tmp_path):
    run = Spinning(1.2)
    result = relax(NIAL, TEST, fake_table(tmp_path / "upf", ("Ni", "Al")), tmp_path / "run", run=run)
    assert isinstance(result, Relaxed) and set(run.nspin) == {2}
    assert result.magnetization_bohr == pytest.approx(1.2) and result.absolute_magnetization_bohr == pytest.approx(1.2)


def test_an_antiferromagnet_has_no_total_moment_and_keeps_its_spin():
    folder = FIXTURES / "moment_vanished"
    stdout = (folder / "pw.out").read_text()
    settings = PwSettings(**json.loads((folder / "expected.json").read_text())["settings"])
    assert diagnose(parse_pw_output(None, stdout, "", 0), settings) is PwFailure.MOMENT_VANISHED
    last = stdout.rindex("absolute magnetization    =     ")
    opposed = stdout[:last] + stdout[last:].replace("0.01", "3.10", 1)
    assert diagnose(parse_pw_output(None, opposed, "", 0), settings) is PwFailure.RESIDUAL_STRESS


@pytest.mark.pw
def test_nickel_has_its_moment_with_the_real_pw(tmp_path, pw_command, pseudo_folder):
    nickel = cubic("Fm-3m", 3.52, ["Ni"], [[0, 0, 0]])
    settings = TEST.model_copy(update={"vary": "nothing", "kspacing_inv_ang": 1.1})
    result = relax(nickel, settings, PseudoTable.load(pseudo_folder), tmp_path, command=pw_command)
    assert isinstance(result, Relaxed), result
    assert 0.3 < result.magnetization_bohr < 1.5 and result.absolute_magnetization_bohr >= result.magnetization_bohr


SETS = TEST.model_copy(update={"moment_sets": ({"Ni": 2.0}, {"Ni": 0.5, "Fe": 1.0})})


def test_several_starts_are_those_that_name_an_element_of_the_crystal(tmp_path):
    assert [each.starting_moments for each in starts(NIAL, SETS)] == [{"Ni": 2.0}, {"Ni": 0.5}]
    assert all(each.nspin == 2 and not each.moment_sets for each in starts(NIAL, SETS))
    assert [each.nspin for each in starts(rock_salt(), SETS)] == [1] and starts(NIAL, TEST) == (TEST,)
    table = fake_table(tmp_path, ("Li", "F", "Ni", "Al"))
    assert calculation_key(rock_salt(), SETS, table) == calculation_key(rock_salt(), TEST, table)
    assert calculation_key(NIAL, SETS, table) != calculation_key(NIAL, TEST, table)


class TwoMinima(Spinning):
    """High spin or low spin, as it began; which of them is lower is told."""

    def __init__(self, energies_ry):
        super().__init__(0.0)
        self.energies_ry = energies_ry

    def __call__(self, text, folder, options):
        high = float(text.split("starting_magnetization(1) = ")[1].split("\n")[0]) > 0.1
        volume = abs(np.linalg.det(cell_of(text)))
        energy, moment = self.energies_ry[not high], 1.8 if high else 0.6
        return replay(folder, SPIN.format(moment, moment) + scf_text(text, energy, 1500 * (self.v0 / volume - 1)))


@pytest.mark.parametrize(("energies_ry", "moment"), [((-100.0, -99.9), 1.8), ((-100.0, -100.1), 0.6)])
def test_of_several_starts_the_lowest_energy_counts(tmp_path, energies_ry, moment):
    table, told = fake_table(tmp_path, ("Ni", "Al")), []
    found = relax(NIAL, SETS, table, tmp_path / "run", run=TwoMinima(energies_ry), on_attempt=told.append)
    assert isinstance(found, Relaxed) and found.magnetization_bohr == moment
    assert [state.magnetization_bohr for state in found.spin_states] == [1.8, 0.6]
    assert len(found.attempts) == len(told) == 2 and found.cpu_s == sum(report.cpu_s for report in told)
    assert "from moments Ni 2: converged" in told[0].detail and "from moments Ni 0.5" in told[1].detail
    assert "magnetisation 1.80, absolute 1.80 Bohr magnetons" in told[0].detail


def test_where_no_start_leads_anywhere_all_attempts_are_told(tmp_path):
    table = fake_table(tmp_path, ("Ni", "Al"))
    never = SETS.model_copy(update={"max_attempts": 1, "nstep": 1})
    found = relax(NIAL, never, table, tmp_path / "run", run=TwoMinima((-100.0, -100.0)))
    assert isinstance(found, GaveUp) and len(found.attempts) == 2
