"""The page of a study in a laboratory: which numbers it has, in which words. Figures: figures; look: show.page."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from crystalloop.orchestrator.show.number_text import NONE, duration
from crystalloop.orchestrator.show.page import Maker, pictures, render
from crystalloop.orchestrator.show.simulation import figures
from crystalloop.orchestrator.simulate.scores import Mean, Reach, RoundScores, Scores, ceiling, random_hits
from crystalloop.orchestrator.simulate.study import Study

TABLE_ROUNDS = 12
"""Rounds of the table; of more, these are spread over all of them. The JSON file has every one."""


def write_study_page(study: Study, path: Path, now: datetime) -> Path:
    """Write the page; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(study_html(study, now), encoding="utf-8")
    return path


def study_html(study: Study, now: datetime) -> str:
    """The page as HTML."""
    laboratory, scores = study.laboratory, study.scores
    rows, hits = len(laboratory), len(laboratory.hits)
    best = max(scores, key=lambda one: one.hits.mean)
    makers: dict[str, Maker] = {
        "curves": (
            partial(figures.curves_figure, scores, rows, hits),
            "Hits found against calls, mean over the seeds with a band of one standard error; the numbers are in the table.",
        ),
        "rounds": (partial(figures.rounds_figure, scores), "Share of hits among the calls of each round."),
        "honesty": (
            partial(figures.honesty_figure, scores),
            "Share of values inside their 90 % intervals, and calibration error of the probability of a hit, by round.",
        ),
    }
    return render(
        "simulation/study.html.j2",
        now,
        name=laboratory.name,
        target=str(laboratory.target.as_range()),
        unit=laboratory.unit,
        rows=rows,
        hits=hits,
        study=study,
        seeds=max(one.seeds for one in scores),
        cards=_cards(best, study),
        scores=[_row(one) for one in scores],
        rounds=[_rounds(one) for one in scores],
        notes=(*laboratory.notes, *study.short),
        figures=pictures(makers),
        random=random_hits(study.calls, rows, hits),
    )


def _cards(best: Scores, study: Study) -> list[dict[str, str]]:
    rows, hits = len(study.laboratory), len(study.laboratory.hits)
    most, by_chance = ceiling(study.calls, rows, hits), random_hits(study.calls, rows, hits)
    half = best.reach[0]
    told = (
        ("best policy", best.policy, f"of {len(study.scores)}, {study.calls:,} calls each"),
        ("its hits", mean_text(best.hits), f"of {hits:,}; at random {by_chance:.1f}"),
        ("EF", mean_text(best.ef, 2), f"{most:.1f} is the most that is possible"),
        ("calls to half of the hits", reach_text(half), f"{half.hits:,} hits"),
    )
    return [{"label": label, "value": value, "note": note} for label, value, note in told]


def _row(one: Scores) -> dict[str, Any]:
    return {
        "policy": one.policy,
        "hits": mean_text(one.hits),
        "top": mean_text(one.top, 3),
        "ef": mean_text(one.ef, 2),
        "ef_max": f"{one.ef_max:.2f}",
        "reach": [(reach_text(reach), NONE if reach.af is None else f"{reach.af:.2f}") for reach in one.reach],
        "wasted": mean_text(one.wasted),
        "raw": f"{100 * one.raw_share:.2f} %",
        "cost": NONE if one.cost_s is None else duration(one.cost_s.mean),
        "seconds": NONE if one.seconds is None else f"{one.seconds.mean:.1f}",
    }


def _rounds(one: Scores) -> dict[str, Any]:
    return {"policy": one.policy, "rounds": [_round(found) for found in spread_out(one.rounds, TABLE_ROUNDS)]}


def _round(found: RoundScores) -> dict[str, Any]:
    def share(value: float | None) -> str:
        return NONE if value is None else f"{value:.3f}"

    return {
        "number": found.number,
        "calls": found.calls,
        "hit_rate": share(found.hit_rate),
        "coverage": share(found.coverage),
        "ece": share(found.ece),
        "ece_so_far": share(found.ece_so_far),
        "ece_by_chance": share(found.ece_by_chance),
        "mae": share(found.mae),
    }


def spread_out(rounds: tuple[RoundScores, ...], most: int) -> tuple[RoundScores, ...]:
    """At most so many rounds, the first and the last among them."""
    if len(rounds) <= most:
        return rounds
    places = dict.fromkeys(round(i * (len(rounds) - 1) / (most - 1)) for i in range(most))
    return tuple(rounds[place] for place in places)


def mean_text(value: Mean, digits: int = 1) -> str:
    """A mean with its standard error, where there is one."""
    error = "" if value.error is None else f" \N{PLUS-MINUS SIGN} {value.error:.{digits}f}"
    return f"{value.mean:.{digits}f}{error}"


def reach_text(reach: Reach) -> str:
    """Calls to a share of the hits, and how many seeds got there where not all did."""
    if reach.calls is None:
        return "not reached"
    some = "" if reach.reached == reach.seeds else f" ({reach.reached} of {reach.seeds} seeds)"
    return f"{mean_text(reach.calls, 0)}{some}"
