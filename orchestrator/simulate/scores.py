"""What a policy is worth in a laboratory, in numbers: trials in, scores out. Pure: nothing is run, read or drawn here.

Definitions: Rohr et al., Chem. Sci. 11, 2696 (2020) and Liang et al., npj Comput. Mater. 7, 188 (2021) for Top%, EF and AF;
MADE, arXiv 2601.20996, for hits; calibration: Naeini, Cooper, Hauskrecht, AAAI 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.surrogate.chances.reliability import perfect_error
from crystalloop.orchestrator.simulate.trials import Call, Trial

FOUND_SHARES = (0.5, 0.8, 0.9)
"""Shares of all hits whose calls are counted."""
FIRST_JUDGED = 3
"""Round from which forecasts are judged as a whole: before it there is next to nothing to forecast from."""
CLASSES_OF_CHANCE = 10
"""Of equal width, for the calibration error of a probability."""


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its standard error (sample standard deviation over the root of n); None for one seed."""

    mean: float
    error: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean | None:
        """Of some values; None of none."""
        if not values:
            return None
        spread = float(np.std(values, ddof=1)) / sqrt(len(values)) if len(values) > 1 else None
        return cls(float(np.mean(values)), spread, len(values))


@dataclass(frozen=True)
class Reach:
    """Calls until a share of all hits was found.

    Attributes:
        share: of the hits, 0..1.
        hits: how many those are, rounded up.
        calls: mean over the seeds that got there; None where none did.
        reached: seeds that did, of `seeds`.
        af: acceleration factor: calls that random choice needs on average over `calls`; None unless every seed got there,
            since the mean of those that did would flatter.
    """

    share: float
    hits: int
    calls: Mean | None
    reached: int
    seeds: int
    af: float | None


@dataclass(frozen=True)
class RoundScores:
    """One round, over all seeds.

    Attributes:
        number: 1 for the calls at random.
        calls: of all seeds together.
        hit_rate: hits over calls.
        coverage: share of the values that lie in their 90 % intervals; None where no interval was given.
        covered: values that had one.
        ece: expected calibration error of the probabilities of a hit, 0..1; None where nobody gave one. Of a few dozen calls
            it is large by chance alone, see `ece_by_chance`.
        ece_so_far: the same over all calls from the third round up to this one; None before.
        ece_by_chance: what `ece` would be if every probability were right.
        mae: mean absolute error of the predicted values, in the target's unit; None without any.
    """

    number: int
    calls: int
    hit_rate: float
    coverage: float | None
    covered: int
    ece: float | None
    ece_so_far: float | None
    ece_by_chance: float | None
    mae: float | None


@dataclass(frozen=True)
class Scores:
    """What a policy is worth.

    Attributes:
        policy: its name.
        seeds: trials.
        calls: of each trial; the most, where they differ.
        hits: found in all, per trial.
        top: share of all hits that were found.
        ef: enhancement factor at the last call: hits over those that random choice finds on average in as many calls.
        ef_max: the largest of the mean curve, after the calls at random.
        reach: calls to FOUND_SHARES of the hits.
        curve: mean hits after 0, 1, 2, ... calls.
        band: their standard error; zeros for one seed.
        wasted: calls without a value, per trial.
        raw_share: share of unranked, unfiltered draws that are hits; the table's own share where its rows are the pool.
        cost_s: processor seconds that the table says its calls cost, per trial; None where it does not.
        seconds: processor seconds of this program, per trial.
        rounds: round by round.
    """

    policy: str
    seeds: int
    calls: int
    hits: Mean
    top: Mean
    ef: Mean
    ef_max: float
    reach: tuple[Reach, ...]
    curve: tuple[float, ...]
    band: tuple[float, ...]
    wasted: Mean
    raw_share: float
    cost_s: Mean | None
    seconds: Mean | None
    rounds: tuple[RoundScores, ...]


def score(trials: Sequence[Trial], rows: int, hits: int) -> Scores:
    """Scores of the trials of one policy.

    Args:
        trials: at least one, each with another seed.
        rows: of the laboratory, those without a value included.
        hits: among them, at least one.

    Raises:
        ValueError: no trial, or no hit to be found.
    """
    if not trials or not 0 < hits <= rows:
        raise ValueError(f"{len(trials)} trials in a laboratory of {rows} rows with {hits} hits cannot be scored")
    curves = [hits_curve(trial.calls) for trial in trials]
    last = max(len(curve) for curve in curves) - 1
    padded = np.array([np.pad(curve, (0, last + 1 - len(curve)), mode="edge") for curve in curves], dtype=float)
    mean = padded.mean(axis=0)
    start = max(1, min(sum(call.round == 1 for call in trial.calls) for trial in trials))
    found = [float(trial.hits) for trial in trials]
    return Scores(
        policy=trials[0].policy,
        seeds=len(trials),
        calls=last,
        hits=_mean(found),
        top=_mean([one / hits for one in found]),
        ef=_mean([enhancement(t.hits, len(t.calls), rows, hits) for t in trials]),
        ef_max=max((enhancement(mean[i], i, rows, hits) for i in range(start, last + 1)), default=0.0),
        reach=tuple(_reach(share, curves, rows, hits) for share in FOUND_SHARES),
        curve=tuple(mean.tolist()),
        band=tuple((padded.std(axis=0, ddof=1) / sqrt(len(trials)) if len(trials) > 1 else 0.0 * mean).tolist()),
        wasted=_mean([float(sum(call.wasted for call in trial.calls)) for trial in trials]),
        raw_share=_raw_share(trials, rows, hits),
        cost_s=Mean.of([s for t in trials if (s := sum(call.cost_s for call in t.calls)) > 0]),
        seconds=Mean.of([sum(trial.seconds.values()) for trial in trials if trial.seconds]),
        rounds=round_scores(trials),
    )


def hits_curve(calls: Sequence[Call]) -> NDArray[np.int64]:
    """Hits after 0, 1, 2, ... calls; a hit called twice counts once. [calls + 1]."""
    seen: set[str | None] = set()
    new = []
    for call in calls:
        new.append(call.hit and call.row not in seen)
        seen.add(call.row)
    return np.concatenate([[0], np.cumsum(new, dtype=np.int64)])


def random_hits(calls: int, rows: int, hits: int) -> float:
    """Hits that drawing rows at random without repeats finds on average: the mean of the hypergeometric distribution."""
    return min(calls, rows) * hits / rows


def random_calls(wanted: int, rows: int, hits: int) -> float:
    """Calls that drawing at random without repeats needs on average for so many hits.

    The mean of the negative hypergeometric distribution, k (N + 1) / (H + 1).
    """
    return wanted * (rows + 1) / (hits + 1)


def enhancement(found: float, calls: int, rows: int, hits: int) -> float:
    """EF(i): hits found over `random_hits` of as many calls; 0 before the first call."""
    return float(found / random_hits(calls, rows, hits)) if calls else 0.0


def ceiling(calls: int, rows: int, hits: int) -> float:
    """The EF of a policy that finds nothing but hits until there are none left."""
    return enhancement(min(calls, hits), calls, rows, hits)


def calls_to(curve: NDArray[np.int64], wanted: int) -> int | None:
    """Calls until so many hits were found; None where they were not."""
    return int(np.argmax(curve >= wanted)) if curve[-1] >= wanted else None


def _reach(share: float, curves: Sequence[NDArray[np.int64]], rows: int, hits: int) -> Reach:
    wanted = ceil(share * hits - 1e-9)
    needed = [float(calls) for curve in curves if (calls := calls_to(curve, wanted)) is not None]
    mean = Mean.of(needed)
    all_did = len(needed) == len(curves)
    af = random_calls(wanted, rows, hits) / mean.mean if mean is not None and all_did else None
    return Reach(share, wanted, mean, len(needed), len(curves), af)


def round_scores(trials: Sequence[Trial]) -> tuple[RoundScores, ...]:
    """Round by round, the calls of all trials together."""
    by_round: dict[int, list[Call]] = {}
    for trial in trials:
        for call in trial.calls:
            by_round.setdefault(call.round, []).append(call)
    so_far: list[Call] = []
    found = []
    for number, calls in sorted(by_round.items()):
        so_far += calls if number >= FIRST_JUDGED else []
        found.append(_round(number, calls, so_far))
    return tuple(found)


def _round(number: int, calls: Sequence[Call], so_far: Sequence[Call]) -> RoundScores:
    inside = [c.low <= c.value <= c.high for c in calls if None not in (c.low, c.high, c.value)]  # type: ignore[operator]
    errors = [abs(call.mean - call.value) for call in calls if call.mean is not None and call.value is not None]
    chances, hits = _judged(calls)
    return RoundScores(
        number=number,
        calls=len(calls),
        hit_rate=sum(call.hit for call in calls) / len(calls),
        coverage=sum(inside) / len(inside) if inside else None,
        covered=len(inside),
        ece=calibration_error(chances, hits),
        ece_so_far=calibration_error(*_judged(so_far)),
        ece_by_chance=perfect_error(np.array(chances)),
        mae=float(np.mean(errors)) if errors else None,
    )


def _judged(calls: Sequence[Call]) -> tuple[list[float], list[bool]]:
    """Probabilities of a hit, and whether they were, of the calls that had both."""
    judged = [(call.chance, call.hit) for call in calls if call.chance is not None and call.value is not None]
    return [chance for chance, _ in judged], [hit for _, hit in judged]


def calibration_error(chances: Sequence[float], hits: Sequence[bool]) -> float | None:
    """Expected calibration error: |mean probability - share of hits| in classes of equal width, by their counts."""
    if not chances:
        return None
    said, true = np.asarray(chances, dtype=float), np.asarray(hits, dtype=float)
    bins = np.minimum((said * CLASSES_OF_CHANCE).astype(int), CLASSES_OF_CHANCE - 1)
    gaps = [abs(said[bins == b].mean() - true[bins == b].mean()) * (bins == b).sum() for b in np.unique(bins)]
    return float(sum(gaps) / len(said))


def _raw_share(trials: Sequence[Trial], rows: int, hits: int) -> float:
    drawn = sum(trial.raw_drawn for trial in trials)
    return sum(trial.raw_hits for trial in trials) / drawn if drawn else hits / rows


def _mean(values: Sequence[float]) -> Mean:
    found = Mean.of(values)
    if found is None:
        raise ValueError("the mean of no values")
    return found
