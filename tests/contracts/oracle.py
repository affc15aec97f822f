"""What every Oracle promises, as tests: a class to inherit."""

from __future__ import annotations

import math

import pytest

from crystalloop.dft.oracles.base import Job
from crystalloop.dft.pw.limit import Clock
from crystalloop.dft.pw.stop_and_restart import Interrupted
from crystalloop.dft.recipe.settings import preset
from crystalloop.dft.relax.outcome import GaveUp, Relaxed

SETTINGS = preset("test")


class OraclePromises:
    """Inherit, and give what is under test, a crystal that it has an answer for, and one for which it has none."""

    @pytest.fixture
    def oracle(self, tmp_path):
        raise NotImplementedError

    @pytest.fixture
    def known(self):
        raise NotImplementedError

    @pytest.fixture
    def hopeless(self):
        raise NotImplementedError

    @pytest.fixture
    def reports(self):
        return []

    @pytest.fixture
    def job(self, tmp_path, reports):
        return Job(tmp_path / "runs" / "crystal", on_attempt=reports.append)

    def test_a_crystal_is_answered_with_its_energy_in_ev(self, oracle, known, job):
        answer = oracle(known, SETTINGS, job)
        assert isinstance(answer, Relaxed)
        assert math.isfinite(answer.energy_ev)
        assert answer.energy_per_atom_ev == pytest.approx(answer.energy_ev / len(answer.structure))
        assert answer.structure.composition.reduced_formula == known.composition.reduced_formula
        assert answer.conventional.composition.reduced_formula == known.composition.reduced_formula
        assert answer.a_ang == pytest.approx(answer.conventional.lattice.a)

    def test_another_cell_of_the_same_crystal_has_the_same_energy_per_atom(self, oracle, known, job, tmp_path):
        other = Job(tmp_path / "runs" / "another")
        once, twice = oracle(known, SETTINGS, job), oracle(known * (2, 1, 1), SETTINGS, other)
        assert twice.energy_per_atom_ev == pytest.approx(once.energy_per_atom_ev, abs=1e-3)

    def test_every_attempt_is_told_with_its_price(self, oracle, known, job, reports):
        answer = oracle(known, SETTINGS, job)
        assert [(at.number, at.outcome) for at in reports] == [(at.number, at.outcome) for at in answer.attempts]
        assert reports[-1].outcome == "converged" and reports[-1].detail
        assert answer.cpu_s == pytest.approx(sum(report.cpu_s for report in reports))
        assert answer.wall_s == pytest.approx(sum(report.wall_s for report in reports))

    def test_a_crystal_without_an_answer_is_given_up_with_a_reason(self, oracle, hopeless, job):
        answer = oracle(hopeless, SETTINGS, job)
        assert isinstance(answer, GaveUp)
        assert len(answer.reason.split()) > 2

    def test_asked_again_in_the_same_folder_it_says_the_same(self, oracle, known, job):
        first, second = oracle(known, SETTINGS, job), oracle(known, SETTINGS, job)
        assert second.energy_ev == pytest.approx(first.energy_ev)
        assert second.structure.lattice.abc == pytest.approx(first.structure.lattice.abc)

    def test_it_writes_nowhere_but_below_its_folder_and_leaves_the_crystal_alone(self, oracle, known, job, tmp_path):
        before, given = set(tmp_path.rglob("*")), known.copy()
        oracle(known, SETTINGS, job)
        assert all(path == job.folder or path.is_relative_to(job.folder) or path == job.folder.parent
                   for path in set(tmp_path.rglob("*")) - before)  # fmt: skip
        assert known == given

    @pytest.mark.parametrize("said", ["stop", "lost"])
    def test_it_ends_where_the_clock_says_so(self, oracle, known, job, said):
        clock = Clock()
        getattr(clock, said).set()
        with pytest.raises(Interrupted):
            oracle(known, SETTINGS, Job(job.folder, clock, job.on_attempt))
