"""How far a campaign is and what it found, as JSON-able numbers. Reads the store, changes nothing, prints nothing."""

from __future__ import annotations

from typing import Any

from crystalloop.db.ledger.campaigns import CampaignRecord
from crystalloop.db.ledger.records import REFERENCES, Candidate
from crystalloop.db.ledger.store import Store
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.account.arms import arm_rows, gain_sentences
from crystalloop.orchestrator.account.calibration import calibration_line, calibration_summary, judged
from crystalloop.orchestrator.account.judged import best_candidate, computed_value
from crystalloop.orchestrator.account.rounds import (
    RoundResult,
    hit_definition,
    other_objectives,
    predicted_in,
    round_results,
    unjudged_text,
    value_text,
)
from crystalloop.orchestrator.account.wall_time import Account, account, time_parts

LEAST_S = 0.5
"""Shorter phases are not named."""


class UnknownCampaign(Exception):
    """No campaign of this name in the database."""

    exit_kind = "usage"


def campaign_status(store: Store, name: str) -> dict[str, Any]:
    """State, outcome, a row per round, and where the time went.

    Raises:
        UnknownCampaign: there is none of this name.
    """
    record = _record(store, name)
    candidates = store.candidates(name)
    target = _target(record)
    rounds = round_results(target, candidates, store.rounds(name))
    forecasts = judged(candidates, {hit for result in rounds for hit in result.hits})
    return {
        "campaign": name,
        "state": str(record.state),
        "outcome": record.outcome,
        "models": [version.id for version in store.model_versions(name)],
        "rounds": [_row(result) for result in rounds],
        "arms": arm_rows(candidates, rounds),
        "lines": summary_lines(store, name) if candidates else [],
        "forecasts": calibration_summary(forecasts),
        "time": _time(_account(store, record, candidates)),
    }


def campaign_hits(store: Store, name: str) -> dict[str, tuple[str, ...]]:
    """The hits so far, each with the target's properties that were predicted for it and not computed; none before `run`."""
    record = store.campaign(name)
    if record is None:
        return {}
    target, candidates = Target.from_stored(record.spec["target"]), {c.id: c for c in store.candidates(name)}
    results = round_results(target, list(candidates.values()), store.rounds(name))
    return {one: predicted_in(candidates[one], target) for result in results for one in result.hits}


def summary_lines(store: Store, name: str) -> list[str]:
    """The campaign in a few sentences, for the end of `run`."""
    record = _record(store, name)
    candidates = store.candidates(name)
    target = _target(record)
    time = _account(store, record, candidates)
    best = best_candidate(candidates, target)
    results = round_results(target, candidates, store.rounds(name))
    hits, relaxed = sum(len(result.hits) for result in results), sum(result.relaxed for result in results)
    unjudged = unjudged_text(results, target)
    lines = [f"hits: {hits} of {relaxed} relaxed{f'; {unjudged}' if unjudged else ''}. {hit_definition(target)}"]
    if best is not None:
        value = computed_value(best, target)
        said = "" if value is None else value_text(value, target.property)
        said = ", ".join([said, *other_objectives(best, target)])
        lines.append(f"best: {best.id}, {best.prototype or 'no known prototype'}, {said}")
        if rest := predicted_in(best, target):
            lines[-1] += f" ({', '.join(name.removeprefix('log10_') for name in rest)} predicted, not computed)"
    if said := calibration_line(judged(candidates, {hit for result in results for hit in result.hits})):
        lines.append(said)
    lines += gain_sentences(candidates, results)
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in time_parts(time) if seconds >= LEAST_S)
    lines.append(
        f"time: {time.wall_s:.0f} s: {parts or 'nothing worth a line'}; "
        f"neither pw.x nor training: {100 * time.overhead_share:.0f} %"
    )
    lines.append(f"pw.x used {time.pw_cpu_s + time.reference_cpu_s:.0f} CPU s, elemental references included")
    return lines


def _record(store: Store, name: str) -> CampaignRecord:
    record = store.campaign(name)
    if record is None:
        known = ", ".join(other.id for other in store.campaigns()) or "none yet"
        raise UnknownCampaign(
            f"no campaign {name!r} in this database (there are: {known}); start it with `crystalloop run`"
        )
    return record


def _target(record: CampaignRecord) -> Target:
    """What the campaign wanted; another release may have written it down in another way."""
    try:
        return Target.from_stored(record.spec["target"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnknownCampaign(
            f"the target of the campaign {record.id!r} cannot be read ({type(error).__name__}: {error}); look at it with the "
            "release that wrote it"
        ) from error


def _account(store: Store, record: CampaignRecord, candidates: tuple[Candidate, ...]) -> Account:
    return account(record, (*candidates, *store.candidates(REFERENCES)))


def _row(result: RoundResult) -> dict[str, Any]:
    return {
        "round": result.number,
        "model": result.model_version,
        "generated": result.funnel[0][1] if result.funnel else 0,
        "sent": result.sent,
        "relaxed": result.relaxed,
        "gave_up": result.gave_up,
        "hits": len(result.hits),
        "mae_ev": result.mae_ev,
        "cpu_s": round(result.cpu_s, 1),
        **({"unjudged": result.unjudged} if result.unjudged else {}),
        **({} if result.expected_hits is None else {"expected_hits": round(result.expected_hits, 3)}),
    }


def _time(time: Account) -> dict[str, float]:
    return {
        "wall_s": round(time.wall_s, 1),
        "pw_s": round(time.pw_s, 1),
        "train_s": round(time.train_s, 1),
        "train_steps_s": round(time.train_steps_s, 1),
        "generate_s": round(time.generate_s, 1),
        "ray_s": round(time.ray_s, 1),
        "wait_s": round(time.wait_s, 1),
        "prepare_s": round(time.prepare_s, 1),
        "settle_s": round(time.settle_s, 1),
        "report_s": round(time.report_s, 1),
        "other_s": round(time.other_s, 1),
        "overhead_s": round(time.overhead_s, 1),
        "overhead_share": round(time.overhead_share, 4),
        "overhead_strict_share": round(time.overhead_strict_share, 4),
        "pw_cpu_s": round(time.pw_cpu_s, 1),
        "reference_cpu_s": round(time.reference_cpu_s, 1),
    }
