"""A worker that has to end: what pw.x is given of its time, and what the next worker finds."""

from __future__ import annotations

import re
import signal
import threading
import time
from dataclasses import replace

import pytest
from relax_fakes import FakeRelax, context_of, fake_run, launches, queued

from crystalloop.db.ledger.records import CandidateState, CrystalDoc
from crystalloop.dft.energies.ground_states import ground_state
from crystalloop.dft.pw.input import time_limit
from crystalloop.dft.pw.launch import PwRun
from crystalloop.dft.pw.limit import LEAST_LEFT_S
from crystalloop.dft.pw.replay import was_cut_off
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.pw.scratch import Scratch, require_scratch
from crystalloop.dft.pw.stop_and_restart import has_scratch
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import preset
from crystalloop.dft.relax.relax import relax
from crystalloop.dft.work.candidate_work import Outcome, perform


@pytest.fixture
def context(store, tmp_path):
    return context_of(store, tmp_path)


def test_a_launch_gets_no_more_time_than_is_left_of_the_slot(store, context, tmp_path):
    given = []

    class Timed(FakeRelax):
        def __call__(self, structure, settings, table, folder, *, run, **named):
            def limited(_text, place, options):
                return run("&CONTROL\n  max_seconds = 3600\n/", place, options)

            return super().__call__(structure, settings, table, folder, run=limited, **named)

    def run(text, folder, options):
        given.append(time_limit(text))
        return fake_run(text, folder, options)

    for number, left in enumerate((100.0, 86400.0, None)):
        ends_at = left and time.monotonic() + left
        candidate_id = queued(store, number)
        assert perform(candidate_id, context(relax=Timed(), run=run, ends_at=ends_at)) is Outcome.RELAXED
    assert 60 <= given[0] <= 70 and given[1:] == [3600, 3600]
    assert store.candidate(candidate_id).settings == {}


def test_a_slot_with_little_left_hands_back_between_launches(store, context, tmp_path):
    candidate_id = queued(store)
    ends_at = time.monotonic() + LEAST_LEFT_S - 1
    assert perform(candidate_id, context(ends_at=ends_at)) is Outcome.RELEASED
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.attempts) == (CandidateState.QUEUED, ())
    assert launches(tmp_path) == []


def test_pw_killed_with_the_rest_of_its_job_is_no_attempt_of_the_candidate(store, context, tmp_path):
    stop = threading.Event()

    def run(text, folder, options):
        fake_run(text, folder, options)
        threading.Timer(0.2, stop.set).start()  # the batch system's signal arrives here a moment later
        return PwRun(-signal.SIGTERM, "", "", None, 1.0, 1.0, False, folder)

    candidate_id = queued(store)
    assert perform(candidate_id, context(run=run, stop=stop)) is Outcome.RELEASED
    candidate = store.candidate(candidate_id)
    assert (candidate.state, candidate.attempts) == (CandidateState.QUEUED, ())


def test_a_stop_in_the_fresh_cell_is_no_attempt_of_the_candidate(store, context, tmp_path):
    stop = threading.Event()

    def run(text, folder, options):
        ran = fake_run(text, folder, options)
        stop.set()
        said = "Final scf calculation at the relaxed structure.\nProgram stopped by user request\nJOB DONE."
        return replace(ran, returncode=255, stdout=said)

    candidate_id = queued(store)
    assert perform(candidate_id, context(run=run, stop=stop)) is Outcome.RELEASED
    assert store.candidate(candidate_id).attempts == ()
    assert was_cut_off(tmp_path / candidate_id)


@pytest.mark.pw
@pytest.mark.alone
def test_a_stopped_worker_leaves_what_the_next_one_goes_on_from(store, context, tmp_path, pw_command, pseudo_folder):
    """The real pw.x, stopped in its second SCF cycle on scratch; a worker without scratch goes on with that cycle."""
    cell = primitive_cell(ground_state("Li"))
    cell.scale_lattice(1.05 * cell.volume)
    settings = preset("test").model_copy(update={"kspacing_inv_ang": 0.55, "method": "vc-relax"})
    candidate_id = queued(store, settings=settings.model_dump(), crystal=CrystalDoc.from_structure(cell))
    stop, real = threading.Event(), {"relax": relax, "table": PseudoTable.load(pseudo_folder)}
    launch = Scratch(require_scratch(tmp_path / "scratch"), run_pw)

    def stopped_early(text, folder, options):
        def look(progress):
            if progress.n_scf:
                stop.set()
            options.on_progress(progress)

        return launch(text, folder, replace(options, on_progress=look))

    first = context(run=stopped_early, stop=stop, command=pw_command, **real)
    assert perform(candidate_id, first) is Outcome.RELEASED
    waiting = store.candidate(candidate_id)
    assert (waiting.state, waiting.attempts) == (CandidateState.QUEUED, ())
    folder = tmp_path / candidate_id
    assert "Program stopped by user request" in (folder / "attempt-1" / "pw.out").read_text()
    assert list(tmp_path.rglob("*.EXIT")) == []
    assert has_scratch(folder / "attempt-1")

    second = context(run=run_pw, worker="worker-2", command=pw_command, ends_at=time.monotonic() + 300, **real)
    assert perform(candidate_id, second) is Outcome.RELAXED
    (attempt, *_) = store.candidate(candidate_id).attempts
    assert "continued 1 x" in attempt.detail
    before, after = (folder / at / "pw.out" for at in ("attempt-1", "attempt-2/continued-1"))
    moves = re.findall(r"number of scf cycles    = +(\d+)", before.read_text() + after.read_text())
    assert moves == [str(number) for number in range(1, len(moves) + 1)]  # none of its steps was made twice
    assert time_limit((after.parent / "pw.in").read_text()) < settings.max_seconds
    assert not any((tmp_path / "scratch").iterdir())
