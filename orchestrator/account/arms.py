"""What each arm of a campaign brought for what it cost, and whether the loop gains on it, with intervals. Pure; records in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from statistics import NormalDist
from typing import Any

from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.orchestrator.account.rounds import RoundResult

LOOP = "loop"
INTERVAL_LEVEL = 0.9
"""Of every interval, both of its ends equally likely to be passed."""
HOUR_S = 3600.0

RangeEnds = tuple[float, float]
"""Ends of an interval."""


@dataclass(frozen=True)
class ArmResult:
    """One arm in numbers.

    Attributes:
        name: of the arm.
        first_round: in which it was given a relaxation.
        ended: relaxations that ended with a result or without; copies of results of other campaigns are left out.
        relaxed: of these, with a relaxed crystal.
        hits: of these, hits.
        cpu_s: processor seconds of pw.x for those that ended, failed attempts included, references not.
        reused: relaxations that another campaign had paid for; in no other number.
        open: relaxations that have not ended; in no other number.
    """

    name: str
    first_round: int
    ended: int
    relaxed: int
    hits: int
    cpu_s: float
    reused: int = 0
    open: int = 0

    @property
    def cpu_hours(self) -> float:
        """Of pw.x."""
        return self.cpu_s / HOUR_S

    @property
    def hits_per_cpu_hour(self) -> float | None:
        """None before any was spent."""
        return self.hits / self.cpu_hours if self.cpu_s > 0 else None


@dataclass(frozen=True)
class Gain:
    """The loop beside one baseline, both counted from the first round in which the baseline took part.

    Attributes:
        arm: the baseline's name.
        loop, baseline: what each brought since then.
        ratio: hits per CPU-hour of the loop over those of the baseline; inf where the baseline has none, None where neither has.
        between: interval of the ratio.
        rate_difference: hits per ended relaxation, the loop's less the baseline's; None where one has ended none.
        rate_between: its interval.
    """

    arm: str
    loop: ArmResult
    baseline: ArmResult
    ratio: float | None
    between: RangeEnds
    rate_difference: float | None
    rate_between: RangeEnds | None

    def sentence(self) -> str:
        """What can be said, and no more."""
        loop, other = self.loop, self.baseline
        if not loop.cpu_s > 0 or not other.cpu_s > 0:
            which = other.name if loop.cpu_s > 0 else "the loop"
            return f"{which} has used no CPU time yet: the loop and {other.name} cannot be compared"
        counts = f"{_hits(loop)} against {_hits(other)}"
        if self.ratio is None:
            return f"neither the loop nor {other.name} has found a hit: {counts}"
        low, high = self.between
        interval = f"{100 * INTERVAL_LEVEL:.0f} %: {_text(low)}..{_text(high)}; {counts}"
        times = f"{_text(self.ratio)} times as many" if isfinite(self.ratio) else f"{other.name} has found none"
        if low > 1:
            return f"the loop finds more hits per CPU-hour than {other.name}: {times} ({interval})"
        if high < 1:
            return f"the loop finds fewer hits per CPU-hour than {other.name}: {times} ({interval})"
        return f"no difference in hits per CPU-hour can be told between the loop and {other.name}: {times} ({interval})"


def _hits(one: ArmResult) -> str:
    return f"{one.hits} hit{'' if one.hits == 1 else 's'} in {one.ended} relaxations and {one.cpu_hours:.2g} CPU-hours"


def given_before(candidates: Sequence[Candidate], round_: int) -> Mapping[str, int]:
    """Relaxations that each arm was given in rounds before this one."""
    return Counter(one.arm for one in candidates if one.round < round_ and _is_sent(one))


def arm_results(
    candidates: Sequence[Candidate], rounds: Sequence[RoundResult], since: int = 0
) -> tuple[ArmResult, ...]:
    """Every arm that was given a relaxation, the loop first, then by name.

    Args:
        candidates: of the campaign.
        rounds: what counts as a hit.
        since: rounds before this one are left out.
    """
    hits = {hit for one in rounds for hit in one.hits}
    sent = [one for one in candidates if _is_sent(one) and one.round >= since]
    names = sorted({one.arm for one in sent}, key=lambda name: (name != LOOP, name))
    return tuple(_result(name, [one for one in sent if one.arm == name], hits) for name in names)


def _result(name: str, mine: Sequence[Candidate], hits: set[str]) -> ArmResult:
    reused = [one for one in mine if one.relaxation is not None and one.relaxation.reused_from]
    paid = [one for one in mine if one not in reused]
    ended = [one for one in paid if one.state in (CandidateState.RELAXED, CandidateState.GAVE_UP)]
    relaxed = [one for one in ended if one.state is CandidateState.RELAXED]
    return ArmResult(
        name=name,
        first_round=min((one.round for one in mine), default=0),
        ended=len(ended),
        relaxed=len(relaxed),
        hits=sum(one.id in hits for one in relaxed),
        cpu_s=sum(attempt.cpu_s for one in ended for attempt in one.attempts),
        reused=len(reused),
        open=len(paid) - len(ended),
    )


def gains(candidates: Sequence[Candidate], rounds: Sequence[RoundResult]) -> tuple[Gain, ...]:
    """The loop beside each baseline; none where it has no baseline, or no share of its own."""
    found = []
    for arm in arm_results(candidates, rounds):
        results = {one.name: one for one in arm_results(candidates, rounds, arm.first_round)}
        if arm.name != LOOP and LOOP in results:
            found.append(gain(results[LOOP], results[arm.name]))
    return tuple(found)


def gain(loop: ArmResult, baseline: ArmResult, level: float = INTERVAL_LEVEL) -> Gain:
    """The loop beside one baseline, with intervals of this level."""
    between = rate_ratio_interval(loop.hits, loop.cpu_hours, baseline.hits, baseline.cpu_hours, level)
    both = loop.ended > 0 and baseline.ended > 0
    return Gain(
        arm=baseline.name,
        loop=loop,
        baseline=baseline,
        ratio=_ratio(loop, baseline),
        between=between,
        rate_difference=loop.hits / loop.ended - baseline.hits / baseline.ended if both else None,
        rate_between=difference_interval(loop.hits, loop.ended, baseline.hits, baseline.ended, level) if both else None,
    )


def _ratio(loop: ArmResult, baseline: ArmResult) -> float | None:
    mine, theirs = loop.hits_per_cpu_hour, baseline.hits_per_cpu_hour
    if mine is None or theirs is None or (mine == 0 and theirs == 0):
        return None
    return mine / theirs if theirs > 0 else inf


def rate_ratio_interval(
    first: int, first_hours: float, second: int, second_hours: float, level: float = INTERVAL_LEVEL
) -> RangeEnds:
    """Exact interval of the ratio of two Poisson rates.

    Given their sum, the first count is binomial with p = r h1 / (r h1 + h2) for a ratio r of the rates (Przyborowski and
    Wilenski, Biometrika 31, 313, 1940); p has the interval of Clopper and Pearson (Biometrika 26, 404, 1934). It covers at least
    as often as it says; hits that are frequent among the relaxations scatter less than Poisson's, so that it is wide then.

    Args:
        first: count of the one above the line.
        first_hours: its exposure.
        second: count of the one below the line.
        second_hours: its exposure, in the same unit.
        level: share of cases in which the interval holds the true ratio.

    Returns:
        RangeEnds of the ratio, (0, inf) where nothing was counted or an exposure is zero.
    """
    if first + second == 0 or first_hours <= 0 or second_hours <= 0:
        return 0.0, inf
    from scipy.special import betaincinv  # late: results of a campaign without baselines are told without it

    tail = (1 - level) / 2
    low = float(betaincinv(first, second + 1, tail)) if first else 0.0
    high = float(betaincinv(first + 1, second, 1 - tail)) if second else 1.0
    scale = second_hours / first_hours
    return low / (1 - low) * scale, inf if high == 1.0 else high / (1 - high) * scale


def difference_interval(
    first: int, of_first: int, second: int, of_second: int, level: float = INTERVAL_LEVEL
) -> RangeEnds:
    """Interval of the difference of two shares: the hybrid of two score intervals (Newcombe, Stat. Med. 17, 873, 1998, no. 10)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, q = first / of_first, second / of_second
    (p_low, p_high), (q_low, q_high) = _wilson(first, of_first, z), _wilson(second, of_second, z)
    return p - q - sqrt((p - p_low) ** 2 + (q_high - q) ** 2), p - q + sqrt((p_high - p) ** 2 + (q - q_low) ** 2)


def _wilson(count: int, of: int, z: float) -> RangeEnds:
    """The score interval of a share (Wilson, J. Am. Stat. Assoc. 22, 209, 1927)."""
    middle, half = count + z * z / 2, z * sqrt(count * (of - count) / of + z * z / 4)
    return (middle - half) / (of + z * z), (middle + half) / (of + z * z)


def arm_rows(candidates: Sequence[Candidate], rounds: Sequence[RoundResult]) -> list[dict[str, Any]]:
    """A row of JSON data for each arm; none where the loop has all. None stands for what is unknown or unbounded."""
    results = arm_results(candidates, rounds)
    if [one.name for one in results] in ([], [LOOP]):
        return []
    against = {one.arm: one for one in gains(candidates, rounds)}
    return [_row(one, against.get(one.name)) for one in results]


def gain_sentences(candidates: Sequence[Candidate], rounds: Sequence[RoundResult]) -> list[str]:
    """A sentence for each baseline."""
    return [one.sentence() for one in gains(candidates, rounds)]


def _row(one: ArmResult, against: Gain | None) -> dict[str, Any]:
    rate = one.hits_per_cpu_hour
    return {
        "arm": one.name,
        "relaxations": one.ended,
        "relaxed": one.relaxed,
        "hits": one.hits,
        "cpu_hours": round(one.cpu_hours, 4),
        "hits_per_cpu_hour": None if rate is None else round(rate, 3),
        "reused": one.reused,
        "open": one.open,
        "loop_over_arm": against and _finite(against.ratio),
        "loop_over_arm_90": against and [_finite(end) for end in against.between],
        "rate_difference": against and _finite(against.rate_difference),
        "rate_difference_90": against and against.rate_between and [_finite(end) for end in against.rate_between],
        "since_round": against and against.baseline.first_round,
    }


def _finite(value: float | None) -> float | None:
    return round(value, 4) if value is not None and isfinite(value) else None


def _is_sent(candidate: Candidate) -> bool:
    return candidate.kind == "crystal" and candidate.state is not CandidateState.PROPOSED


def _text(value: float) -> str:
    if not isfinite(value):
        return "no bound"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
