"""Several policies, each with the same seeds, in one laboratory: what is finished is written, and not run again. Scores: scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from crystalloop import __version__
from crystalloop.orchestrator.loop.events import Event, RoundClosed
from crystalloop.orchestrator.simulate.policies import Policy
from crystalloop.orchestrator.simulate.scores import Scores, ceiling, random_hits, score
from crystalloop.orchestrator.simulate.trial import MakeRanker, run_trial
from crystalloop.orchestrator.simulate.trials import Trial, append_trial, of_policies, read_trials
from crystalloop.orchestrator.simulate.truth.laboratory import Laboratory, LaboratoryError, check_calls


class Watcher(Protocol):
    """Hears how a study goes on. Quick, and raises nothing."""

    def started(self, policy: str, seed: int, number: int, of: int) -> None:
        """A trial begins, the `number`-th of all."""

    def called(self, calls: int) -> None:
        """So many calls of it are done."""

    def finished(self, trial: Trial) -> None:
        """It is done and written."""


@dataclass(frozen=True)
class Study:
    """What was found.

    Attributes:
        laboratory: the truth.
        start, batch, calls: of every trial.
        trials: of all policies and seeds.
    """

    laboratory: Laboratory
    start: int
    batch: int
    calls: int
    trials: tuple[Trial, ...]

    @property
    def scores(self) -> tuple[Scores, ...]:
        """Of each policy, in the order in which they were named."""
        rows, hits = len(self.laboratory), len(self.laboratory.hits)
        return tuple(score(trials, rows, hits) for trials in of_policies(self.trials).values())

    @property
    def short(self) -> tuple[str, ...]:
        """A sentence on each policy that ended before its last call; its EF is that of the calls it made."""
        cut = [trial for trial in self.trials if len(trial.calls) < self.calls]
        return tuple(
            f"{name}: {len(trials)} of its trials ended early, the first (seed {trials[0].seed}) after "
            f"{len(trials[0].calls):,} of {self.calls:,} calls ({trials[0].ended}): hits and EF are those of fewer calls"
            for name, trials in of_policies(cut).items()
        )

    def told(self) -> dict[str, Any]:
        """As plain JSON data: the laboratory, and the scores of every policy."""
        laboratory, target = self.laboratory, self.laboratory.target
        rows, hits = len(laboratory), len(laboratory.hits)
        return {
            "laboratory": {
                "name": laboratory.name,
                "rows": rows,
                "hits": hits,
                "target": target.stored(),
                "start": self.start,
                "batch": self.batch,
                "calls": self.calls,
                "random_hits": random_hits(self.calls, rows, hits),
                "ceiling_ef": ceiling(self.calls, rows, hits),
                "notes": [*laboratory.notes, *self.short],
            },
            "policies": [asdict(scores) for scores in self.scores],
        }


def run_study(
    laboratory: Laboratory,
    policies: Sequence[Policy],
    seeds: Sequence[int],
    file: Path,
    make_ranker: MakeRanker,
    watcher: Watcher | None = None,
) -> Study:
    """Run what is missing, seed by seed, so that every policy has the same seeds at any time.

    Args:
        laboratory: the truth.
        policies: at least one, no name twice; all with the same section `laboratory`.
        seeds: of each.
        file: of the finished trials, a line each; made with its folder where it is missing.
        make_ranker: see trial.run_trial.
        watcher: hears how it goes on.

    Raises:
        LaboratoryError: more calls than rows, a policy named twice, a folder that is a file.
    """
    names = [policy.name for policy in policies]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise LaboratoryError(f"policy {twice!r} is named twice; name each once")
    section = policies[0].campaign.laboratory
    check_calls(laboratory, section.calls)
    _check_place(file)
    keys = {policy.name: trial_key(laboratory, policy) for policy in policies}
    done = {(t.policy, t.seed): t for t in read_trials(file, keys.values()) if keys.get(t.policy) == t.key}
    wanted = [(policy, seed) for seed in seeds for policy in policies]
    for number, (policy, seed) in enumerate(wanted, start=1):
        if (policy.name, seed) in done:
            continue
        if watcher is not None:
            watcher.started(policy.name, seed, number, len(wanted))
        trial = run_trial(laboratory, policy, seed, keys[policy.name], make_ranker, _rounds_to(watcher))
        append_trial(file, trial)
        done[policy.name, seed] = trial
        if watcher is not None:
            watcher.finished(trial)
    trials = tuple(done[policy.name, seed] for policy in policies for seed in sorted(seeds))
    return Study(laboratory, section.start, section.batch, section.calls, trials)


def _check_place(file: Path) -> None:
    """Refuse, before the first trial, a place where none could be written."""
    if barred := next((one for one in file.parents if one.exists() and not one.is_dir()), None):
        raise LaboratoryError(f"{barred} is a file, and the trials need a folder there; name another one with --folder")
    if file.is_dir():
        raise LaboratoryError(f"{file} is a folder, and the trials are a file there; name another place with --folder")


def trial_key(laboratory: Laboratory, policy: Policy) -> str:
    """Digest of what decides a policy's calls but for its seed: truth, campaign, policy, this release."""
    section = policy.campaign.laboratory
    deciding = [
        __version__,
        laboratory.digest,
        policy.campaign.model_copy(update={"seed": 0}).spec_digest(),
        section.start,
        section.batch,
        section.calls,
        policy.name,
        policy.digest,
    ]
    return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()


def _rounds_to(watcher: Watcher | None) -> Any:  # noqa: ANN401  (an EventListener)
    calls = 0

    def hear(event: Event, /) -> None:
        nonlocal calls
        if watcher is not None and isinstance(event, RoundClosed):
            calls += len(event.candidates)
            watcher.called(calls)

    return hear
