"""Stand-ins for pw.x and dft.relax: they answer at once, or when a file called `gate` appears in the runs folder."""

from __future__ import annotations

import time
from pathlib import Path

from database_fixture import NOON, new_candidate

from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.oracles.pwx import PwxOracle
from crystalloop.dft.pw.launch import LaunchOptions, PwRun
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.relax.attempt import AttemptReport
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.work.candidate_work import WorkContext

NO_PSEUDOS = PseudoTable(Path(), {})


def until(condition, timeout_s: float = 30.0, what: str = "the condition"):
    """Wait for the condition and return its value; fail when it does not come."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}")
        time.sleep(0.02)
    return value


def report(number: int = 1, outcome: str = "converged") -> AttemptReport:
    return AttemptReport(number, NOON, outcome, "as told", "", 2.5, 3.0, f"attempt-{number}")


def relaxed(structure, attempts=()) -> Relaxed:
    return Relaxed(
        structure=structure,
        conventional=structure,
        energy_ev=-20.0,
        energy_per_atom_ev=-10.0,
        a_ang=4.06,
        spacegroup=225,
        pressure_kbar=0.1,
        fmax_ev_ang=0.0,
        steps=3,
        bond_change_percent=0.5,
        cell_change_percent=0.4,
        cpu_s=2.5,
        wall_s=3.0,
        pw_version="6.7",
        pseudos={"Li": "0" * 32, "F": "1" * 32},
        attempts=tuple(attempts),
    )


class FakeRelax:
    """One launch, then an answer. Notes each launch in `<runs>/launches`.

    Args:
        answer: "relaxed", "gave up", or an exception to raise.
    """

    def __init__(self, answer="relaxed"):
        self.answer = answer

    def __call__(self, structure, settings, table, folder, *, run, on_attempt, start, command, memory_mb=None):
        if isinstance(self.answer, Exception):
            raise self.answer
        number = 1 + len(list(folder.glob("attempt-*")))
        run("input", folder / f"attempt-{number}", LaunchOptions(command, timeout_s=60.0))
        attempts = [report(number, "converged" if self.answer == "relaxed" else "scf_not_converged")]
        on_attempt(attempts[0])
        if self.answer == "relaxed":
            return relaxed(structure, attempts)
        return GaveUp(next(iter(PwFailure)), "SCF did not converge", tuple(attempts), None)


def fake_run(text, folder, options):
    """A launch that asks `on_progress` until the gate is open."""
    runs = folder.parent.parent
    with (runs / "launches").open("a") as file:
        file.write(folder.parent.name + "\n")
    folder.mkdir(parents=True)
    (folder / "pw.in").write_text(text)
    until(lambda: options.on_progress(None) or (runs / "gate").exists(), what="the gate")
    for name in ("pw.out", "pw.err"):
        (folder / name).touch()
    return PwRun(0, "", "", None, 2.5, 3.0, False, folder)


def launches(runs: Path) -> list[str]:
    """Ids of the candidates launched, in order."""
    path = runs / "launches"
    return path.read_text().split() if path.exists() else []


def context_of(store, tmp_path):
    """Builds the context of a worker whose pw.x ends at once."""
    (tmp_path / "gate").touch()

    def build(answer="relaxed", **changes):
        oracle = {"table": NO_PSEUDOS, "relax": FakeRelax(answer), "run": fake_run}
        oracle |= {name: changes.pop(name) for name in ("table", "relax", "run", "command") if name in changes}
        fields = {"store": store, "oracle": PwxOracle(**oracle), "runs": tmp_path, "worker": "worker-1"}
        return WorkContext(**(fields | {"ttl_s": 600.0, "now": lambda: NOON} | changes))

    return build


def queued(store, number=0, **changes):
    candidate = new_candidate(number, **changes)
    store.add_candidates([candidate])
    store.queue([candidate.id], NOON)
    return candidate.id
