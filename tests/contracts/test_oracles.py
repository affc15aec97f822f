"""pw.x (its words scripted) and a table of known energies, held to the contract of Oracle."""

from __future__ import annotations

import pytest
from oracle import SETTINGS, OraclePromises
from pw_fakes import Murnaghan, fake_table, rock_salt

from crystalloop.dft.oracles.base import Job
from crystalloop.dft.oracles.pwx import PwxOracle
from crystalloop.dft.oracles.table import TableOracle
from crystalloop.dft.relax.outcome import Relaxed

pytestmark = pytest.mark.slow


class Written(Murnaghan):
    """Leaves the files of a launch, as run_pw does."""

    def __call__(self, input_text, folder, options):
        ran = super().__call__(input_text, folder, options)
        (folder / "pw.in").write_text(input_text)
        (folder / "pw.err").write_text("")
        return ran


class TestPwx(OraclePromises):
    @pytest.fixture
    def pw(self):
        return Written(v0_ang3=4.06**3 / 4)

    @pytest.fixture
    def oracle(self, tmp_path, pw):
        return PwxOracle(fake_table(tmp_path / "upf"), run=pw)

    @pytest.fixture
    def known(self):
        return rock_salt(4.2)

    @pytest.fixture
    def hopeless(self):
        return rock_salt(1.2)

    def test_finished_launches_are_not_repeated(self, oracle, pw, known, job, reports):
        first = oracle(known, SETTINGS, job)
        launched = len(pw.launches)
        assert oracle(known, SETTINGS, job).energy_ev == first.energy_ev
        assert len(pw.launches) == launched > 1
        assert {report.folder for report in reports} == {"attempt-1"}  # which answered the second time, too


class TestTable(OraclePromises):
    @pytest.fixture
    def oracle(self):
        return TableOracle({"LiF": -4.85}, cpu_s=120.0)

    @pytest.fixture
    def known(self):
        return rock_salt(4.06)

    @pytest.fixture
    def hopeless(self):
        return rock_salt(5.6, ("Na", "Cl"))

    def test_the_table_is_of_energies_per_atom_and_the_price_is_the_one_given(self, oracle, known, job):
        answer = oracle(known, SETTINGS, job)
        assert (answer.energy_per_atom_ev, answer.energy_ev) == pytest.approx((-4.85, -4.85 * len(known)))
        assert answer.cpu_s == 120.0 and answer.structure == known

    def test_who_is_missing_is_said(self, oracle, hopeless, job):
        assert oracle(hopeless, SETTINGS, job).reason == "NaCl is not among the 1 crystals with a known energy"

    def test_a_table_may_tell_structures_of_one_formula_apart(self, known, tmp_path):
        def name(structure):
            return f"{structure.composition.reduced_formula} of {len(structure)}"

        oracle = TableOracle({"LiF of 8": -4.85, "LiF of 16": -4.0}, name)
        answers = [oracle(cell, SETTINGS, Job(tmp_path)) for cell in (known, known * (2, 1, 1))]
        assert all(isinstance(answer, Relaxed) for answer in answers)
        assert [answer.energy_per_atom_ev for answer in answers] == pytest.approx([-4.85, -4.0])
