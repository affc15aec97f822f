"""Trial: one policy with one seed in a laboratory, call by call; written as a line and read again. No scores here: scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Call:
    """One calculation that was asked for.

    Attributes:
        round: 1 for the calls at random.
        row: name of the table's row; None for a crystal outside the table.
        formula: reduced formula, or the row's name where it has none.
        value: what the table says of the target's property; None where it says nothing.
        hit: the row is one of the hits.
        cost_s: processor seconds, as the table says them; 0 where it does not.
        mean, low, high, chance: expected before the call: value, ends of the 90 % interval, probability of a hit.
        arm: who asked.
    """

    round: int
    row: str | None
    formula: str
    value: float | None
    hit: bool
    cost_s: float = 0.0
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    arm: str = "loop"

    @property
    def wasted(self) -> bool:
        """Whether the call found no value."""
        return self.value is None


@dataclass(frozen=True)
class Trial:
    """What one policy did with one seed.

    Attributes:
        policy, seed: which.
        key: digest of laboratory, campaign and policy: a trial of another key is none of this study.
        calls: in the order in which they were asked for.
        ended: why it ended, in a sentence.
        seconds: processor seconds of this program, by what they went to.
        raw_drawn, raw_hits: crystals as the networks drew them, before any filter or rank, and hits among them; 0 without
            networks.
    """

    policy: str
    seed: int
    key: str
    calls: tuple[Call, ...]
    ended: str = ""
    seconds: dict[str, float] | None = None
    raw_drawn: int = 0
    raw_hits: int = 0

    @property
    def hits(self) -> int:
        """Hits in all."""
        return sum(call.hit for call in self.calls)

    @property
    def rounds(self) -> tuple[tuple[Call, ...], ...]:
        """Calls of each round, in order."""
        numbers = sorted({call.round for call in self.calls})
        return tuple(tuple(call for call in self.calls if call.round == number) for number in numbers)

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def of_line(cls, line: str) -> Trial:
        """Inverse of `line`.

        Raises:
            ValueError, TypeError, KeyError: the line is none, as the last one where the program was killed.
        """
        told: dict[str, Any] = json.loads(line)
        return cls(**{**told, "calls": tuple(Call(**call) for call in told["calls"])})


def read_trials(path: Path, key: Iterable[str]) -> tuple[Trial, ...]:
    """The finished trials of a file that have one of the keys, the first of each policy and seed; none without a file.

    A line that was cut off is left out: its trial runs again.
    """
    if not path.is_file():
        return ()
    wanted, found = set(key), dict[tuple[str, int], Trial]()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        trial = _of_line(line)
        if trial is not None and trial.key in wanted:
            found.setdefault((trial.policy, trial.seed), trial)
    return tuple(found.values())


def _of_line(line: str) -> Trial | None:
    try:
        return Trial.of_line(line)
    except (ValueError, TypeError, KeyError):
        return None


def append_trial(path: Path, trial: Trial) -> None:
    """Write a finished trial at the end of the file, on a line of its own, whatever the line before it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_off = path.is_file() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut_off else "") + trial.line() + "\n")


def of_policies(trials: Sequence[Trial]) -> dict[str, tuple[Trial, ...]]:
    """Trials by policy, in the order in which the policies came, each by seed."""
    names = dict.fromkeys(trial.policy for trial in trials)
    return {name: tuple(sorted((t for t in trials if t.policy == name), key=lambda t: t.seed)) for name in names}
