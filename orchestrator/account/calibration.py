"""How far forecasts came true, round by round: coverage, chances, drift. Records in, numbers and one sentence out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.models.draw.target import ABOVE_HULL, COMPUTED
from crystalloop.models.surrogate.base import Values
from crystalloop.models.surrogate.chances.drift import ALARM, Drift, drift, uncovered
from crystalloop.models.surrogate.chances.reliability import (
    Bin,
    brier,
    expected_calibration_error,
    perfect_error,
    reliability,
)
from crystalloop.orchestrator.account.judged import value_of

LOOP = "loop"
"""The arm whose forecasts are judged: baselines choose otherwise, and err otherwise."""


@dataclass(frozen=True)
class JudgedForecast:
    """A forecast whose value is known; ends and chance are NaN where none were given, sigma where there was none."""

    round: int
    mean: float
    sigma: float
    low: float
    high: float
    chance: float
    found: float
    hit: bool


@dataclass(frozen=True)
class RoundCalibration:
    """One round's forecasts, and all up to and with it.

    Attributes:
        round: its number.
        forecasts: of which the value is known.
        intervals: of them, with an interval.
        covered, covered_so_far: share of the values that lie in their intervals; None without one.
        width: mean width of the intervals, in the property's unit.
        expected_hits, hits: sum of the chances, and how many of those with one are hits; None without a chance.
        ece_so_far: expected calibration error of the chances so far, ten bins of equal width.
        ece_by_chance: what a perfect forecast would have with so few outcomes.
        brier_so_far: mean squared distance of chance and outcome.
        changed: capital of the gambler who bets that errors are no longer like those before.
        uncovered: capital of the one who bets that intervals miss more than they may.
    """

    round: int
    forecasts: int
    intervals: int
    covered: float | None
    covered_so_far: float | None
    width: float | None
    expected_hits: float | None
    hits: int | None
    ece_so_far: float | None
    ece_by_chance: float | None
    brier_so_far: float | None
    changed: float
    uncovered: float


@dataclass(frozen=True)
class DriftAccount:
    """Both alarms of a campaign.

    Attributes:
        rounds: [n], of the outcomes that were bet on, in order.
        changed: [n], bets that errors change.
        uncovered: [rounds], bets that intervals miss more than they may.
        alarm: what went off that should stop a campaign, as a sentence without its stop; empty where nothing did.
        notice: what else is worth saying; empty where nothing is.
    """

    rounds: tuple[int, ...]
    changed: Drift
    uncovered: Drift
    alarm: str
    notice: str


def judged(candidates: Iterable[Candidate], hits: Iterable[str]) -> tuple[JudgedForecast, ...]:
    """The loop's forecasts whose values are known, by round and id.

    Args:
        candidates: of the campaign, in any order and state.
        hits: ids of its hits, as `rounds.round_results` finds them.
    """
    hit_ids = set(hits)
    order = sorted((c for c in candidates if c.arm == LOOP and c.kind == "crystal"), key=lambda c: (c.round, c.id))
    made = (_judged(candidate, candidate.id in hit_ids) for candidate in order)
    return tuple(one for one in made if one is not None)


def _judged(candidate: Candidate, hit: bool) -> JudgedForecast | None:
    said = candidate.forecast
    if said is None or candidate.state is not CandidateState.RELAXED:
        return None
    found = value_of(candidate, said.property)
    if found is None or not np.isfinite(said.mean) or _is_predicted(candidate, said.property, found):
        return None
    ends = (said.sigma, said.low, said.high, said.hit)
    sigma, low, high, chance = (np.nan if one is None else one for one in ends)
    return JudgedForecast(candidate.round, said.mean, sigma, low, high, chance, found, hit)


def _is_predicted(candidate: Candidate, name: str, found: float) -> bool:
    """Whether the value is the networks' own, which no forecast can be held against."""
    return name not in (*COMPUTED, ABOVE_HULL) and found == candidate.predicted.get(name)


def drift_of(forecasts: Sequence[JudgedForecast]) -> DriftAccount:
    """Both martingales over forecasts in order.

    With intervals, errors are counted in half widths from the middle, so that a calibration that follows the errors is no
    drift; without any, in standard deviations.
    """
    with_interval = [one for one in forecasts if np.isfinite(one.high - one.low) and one.high > one.low]
    plain = [one for one in forecasts if np.isfinite(one.sigma) and one.sigma > 0]
    used = with_interval or plain
    ends = [_scaled(one) if with_interval else (one.found - one.mean) / one.sigma for one in used]
    changed = drift(np.array(ends, dtype=np.float64))
    rounds = tuple(one.round for one in used)
    outside = np.array([not one.low <= one.found <= one.high for one in with_interval], dtype=np.bool_)
    missed = uncovered(outside, np.array(rounds[: len(outside)], dtype=np.int_))
    alarm = "" if missed.first_above() is None else _alarm(rounds, missed, outside)
    if not with_interval and changed.first_above() is not None:
        alarm = f"{_changed(rounds, changed)}, and there are no intervals that could follow"
    notice = _changed(rounds, changed) if not alarm and changed.first_above() is not None else ""
    return DriftAccount(rounds, changed, missed, alarm, notice)


def pause_reason(candidates: Iterable[Candidate]) -> str:
    """Why a campaign with `surrogate.pause_at_drift` is to pause, with the next move; empty where it is to go on.

    Args:
        candidates: of the campaign, in any order and state.
    """
    alarm = drift_of(judged(candidates, ())).alarm
    if not alarm:
        return ""
    return (
        f"paused: {alarm}; look at the report's forecasts, and go on with `surrogate.pause_at_drift: false`, or with another "
        "`surrogate.model` under another `name`"
    )


def _scaled(one: JudgedForecast) -> float:
    return (2 * one.found - one.low - one.high) / (one.high - one.low)


def _alarm(rounds: Sequence[int], missed: Drift, outside: NDArray[np.bool_]) -> str:
    turn = sorted(set(rounds))[missed.first_above() or 0]
    upto = np.array(rounds) <= turn
    return (
        f"the 90 % intervals no longer cover what is found: {outside[upto].sum()} of {upto.sum()} values up to round {turn} "
        f"lie outside (capital of the bet against them {missed.highest:.3g}, alarm at {ALARM:.0f})"
    )


def _changed(rounds: Sequence[int], changed: Drift) -> str:
    first = changed.first_above() or 0
    return (
        f"since round {rounds[first]} the errors of the forecasts are not like those before "
        f"(capital of the bet {changed.highest:.3g}, alarm at {ALARM:.0f})"
    )


def calibration_rows(forecasts: Sequence[JudgedForecast]) -> tuple[RoundCalibration, ...]:
    """A row for each round that has a forecast with a known value; none where there are no forecasts."""
    account = drift_of(forecasts)
    betting = np.array(account.rounds, dtype=np.int_)
    rounds_with_interval = np.unique(betting) if len(account.uncovered.capital) else betting[:0]
    return tuple(
        _row(
            number,
            [one for one in forecasts if one.round == number],
            [one for one in forecasts if one.round <= number],
            _capital(account.changed, betting, number),
            _capital(account.uncovered, rounds_with_interval, number),
        )
        for number in sorted({one.round for one in forecasts})
    )


def _capital(bets: Drift, rounds: NDArray[np.int_], number: int) -> float:
    """After a round, of what is bet on in these rounds."""
    count = int((rounds <= number).sum())
    return float(bets.capital[count - 1]) if count else 1.0


def _row(
    number: int, now: Sequence[JudgedForecast], so_far: Sequence[JudgedForecast], changed: float, missed: float
) -> RoundCalibration:
    widths = [one.high - one.low for one in now if np.isfinite(one.high - one.low)]
    chance, _ = told = _chances(so_far)
    own_chance, own_hits = _chances(now)
    return RoundCalibration(
        round=number,
        forecasts=len(now),
        intervals=len(widths),
        covered=_share(now),
        covered_so_far=_share(so_far),
        width=float(np.mean(widths)) if widths else None,
        expected_hits=float(own_chance.sum()) if len(own_chance) else None,
        hits=int(own_hits.sum()) if len(own_chance) else None,
        ece_so_far=expected_calibration_error(*told),
        ece_by_chance=perfect_error(chance),
        brier_so_far=brier(*told),
        changed=changed,
        uncovered=missed,
    )


def _share(forecasts: Sequence[JudgedForecast]) -> float | None:
    seen = [one.low <= one.found <= one.high for one in forecasts if np.isfinite(one.high - one.low)]
    return float(np.mean(seen)) if seen else None


def _chances(forecasts: Sequence[JudgedForecast]) -> tuple[Values, NDArray[np.bool_]]:
    """Chances and outcomes of those that had one."""
    seen = [one for one in forecasts if np.isfinite(one.chance)]
    return np.array([one.chance for one in seen], dtype=np.float64), np.array([one.hit for one in seen], dtype=np.bool_)


def diagram(forecasts: Sequence[JudgedForecast]) -> tuple[Bin, ...]:
    """Bins of the reliability diagram of P(hit); none without a chance."""
    return reliability(*_chances(forecasts))


def calibration_summary(forecasts: Sequence[JudgedForecast]) -> dict[str, Any]:
    """Rows, diagram and alarms as JSON data; empty where there are no forecasts."""
    if not forecasts:
        return {}
    account = drift_of(forecasts)
    return {
        "rounds": [asdict(row) for row in calibration_rows(forecasts)],
        "reliability": [asdict(one) for one in diagram(forecasts)],
        "alarm": account.alarm,
        "notice": account.notice,
    }


def calibration_line(forecasts: Sequence[JudgedForecast]) -> str:
    """The state of the forecasts in one line, for the end of `run`; empty where there are none to judge."""
    rows = calibration_rows(forecasts)
    if not rows:
        return ""
    last, account = rows[-1], drift_of(forecasts)
    parts = []
    if last.covered_so_far is not None:
        count = sum(row.intervals for row in rows)
        parts.append(f"{100 * last.covered_so_far:.0f} % of {count} values lie in their 90 % intervals")
    if last.ece_so_far is not None and last.ece_by_chance is not None:
        parts.append(
            f"chances of a hit are off by {last.ece_so_far:.2f} ({last.ece_by_chance:.2f} by chance alone with so few)"
        )
    said = [*parts, account.alarm or account.notice]
    return f"forecasts: {'; '.join(one for one in said if one)}" if any(said) else ""
