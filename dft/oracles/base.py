"""Oracle, the contract of whatever answers what a crystal relaxes to, and what it is told besides. Computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pymatgen.core.structure import Structure

from crystalloop.dft.pw.limit import Clock
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.attempt import AttemptReport
from crystalloop.dft.relax.outcome import GaveUp, Relaxed


@dataclass(frozen=True)
class Job:
    """Where one crystal is relaxed, and how long whoever asked will wait.

    Args:
        folder: of this crystal; may hold what an earlier call left, and need not exist.
        clock: to be asked, with `check`, about once a second.
        on_attempt: hears of each attempt as soon as it has ended, so that it is recorded whatever comes next.
    """

    folder: Path
    clock: Clock = field(default_factory=Clock)
    on_attempt: Callable[[AttemptReport], None] = lambda _: None


class Oracle(Protocol):
    """What a crystal relaxes to: pw.x, or whatever stands in for it.

    Promised, and held by tests/contracts/oracle.py:

    * A crystal's fault is a GaveUp with its reason in a sentence, never an exception.
    * `energy_ev` is that of all atoms of `Relaxed.structure`, in eV, and `energy_per_atom_ev` the same over their number:
      total energies, which have a meaning among those of one oracle alone. Another cell of the same crystal has the same
      energy per atom.
    * The answer has the composition that was asked for.
    * The price is told: each attempt in CPU and wall seconds, and `cpu_s` of the answer is their sum. `on_attempt` has
      heard of each of them when the answer comes.
    * All files lie below `job.folder`. Asked again with the same folder, it goes on from what is there and comes to the
      same answer; a finished calculation is not repeated.
    * Where the clock says that the time is over, the call ends with Interrupted, and what was computed so far is left.
    """

    def __call__(self, structure: Structure, settings: PwSettings, job: Job, /) -> Relaxed | GaveUp:
        """Relax one crystal.

        Args:
            structure: as generated, in any cell.
            settings: what is asked for; an oracle with a method of its own leaves aside what it has no use for.
            job: where, and how long.

        Raises:
            Interrupted: the clock ended it.
            PwEnvironmentError: this machine cannot answer; the crystal is not to blame, and another machine may.
        """
