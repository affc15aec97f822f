"""The report's words: what was found as sentences, headline numbers, and how values are written. Pure; no files, no HTML page."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from markupsafe import Markup, escape
from pymatgen.symmetry.groups import sg_symbol_from_int_number

from crystalloop.db.ledger.records import CampaignRecord, Candidate, CandidateState, ModelVersion
from crystalloop.orchestrator.account.rounds import (
    MINUS,
    RoundResult,
    best_candidate,
    computed_value,
    property_name,
    property_unit,
    range_text,
)
from crystalloop.orchestrator.account.wall_time import Account
from crystalloop.orchestrator.campaign.spec import Campaign

NONE = "–"


@dataclass(frozen=True)
class Findings:
    """Everything that the page says, before it is put into words."""

    campaign: Campaign
    record: CampaignRecord | None
    candidates: tuple[Candidate, ...]  # of this campaign
    references: tuple[Candidate, ...]  # of its elements
    models: tuple[ModelVersion, ...]
    rounds: tuple[RoundResult, ...]
    account: Account | None

    @property
    def computed(self) -> list[Candidate]:
        """Candidates that were sent to DFT, finished or not."""
        return [c for c in self.candidates if c.state is not CandidateState.PROPOSED]

    def count(self, state: CandidateState) -> int:
        """Candidates in a state."""
        return sum(candidate.state is state for candidate in self.candidates)


def summary(findings: Findings) -> list[str]:
    """What was looked for, what came out, and why it ended, in sentences."""
    campaign, target, computed = findings.campaign, findings.campaign.target, findings.computed
    wanted = range_text(target) or f"as {'low' if target.direction == 'minimise' else 'high'} as possible"
    asked = f"Crystals of {', '.join(campaign.elements)} were searched for a {property_name(target)} {wanted}."
    if not computed:
        return [f"{asked} Nothing was computed yet."]
    relaxed, gave_up = findings.count(CandidateState.RELAXED), findings.count(CandidateState.GAVE_UP)
    open_ = len(computed) - relaxed - gave_up
    hits = sum(len(result.hits) for result in findings.rounds)
    found = (
        f"In {_many(len(findings.rounds), 'round')}, {_many(len(computed), 'crystal')} went to pw.x: {relaxed} relaxed, "
        f"{gave_up} gave up{f', {open_} not finished' if open_ else ''}; {hits} {'is a hit' if hits == 1 else 'are hits'}."
    )
    lines = [f"{asked} {found}"]
    best = best_candidate(findings.candidates, target)
    if best is not None:
        value = number(computed_value(best, target), 3)
        lines.append(
            f"The best is {best.formula} ({best.prototype or 'no known prototype'}) of round {best.round} with "
            f"{value} {property_unit(target)}".rstrip()
            + "."
        )
    if findings.record is not None and findings.record.outcome:
        lines.append(f"The campaign is {findings.record.state}: {findings.record.outcome}.")
    return lines


def cards(findings: Findings) -> list[dict[str, str]]:
    """The numbers at the top; none before anything was computed."""
    if not findings.computed:
        return []
    last = findings.rounds[-1] if findings.rounds else None
    time = findings.account
    known = [result for result in findings.rounds if result.mae_ev is not None]
    hits = sum(len(result.hits) for result in findings.rounds)
    rate = last.total_hits_per_cpu_hour if last else None
    made = [
        ("relaxed", str(findings.count(CandidateState.RELAXED)), f"of {len(findings.computed)} sent to DFT"),
        ("hits", str(hits), "" if rate is None else f"{number(rate, 1)} per CPU-hour"),
    ]
    if known:
        first, latest = known[0], known[-1]
        note = f"eV/atom in round {latest.number} (n {latest.compared})"
        if latest is not first:
            note += f", after {number(first.mae_ev, 2)} in round {first.number} (n {first.compared})"
        made.append(("error of prediction", number(latest.mae_ev, 2), note))
    if time is not None and time.wall_s > 0:
        made += [
            (
                "CPU time of pw.x",
                duration(time.pw_cpu_s),
                f"and {duration(time.reference_cpu_s)} for elemental references",
            ),
            ("wall time", duration(time.wall_s), _many(time.sessions, "run")),
            (
                "overhead",
                f"{100 * time.overhead_share:.1f} %",
                f"of wall time; {100 * time.overhead_strict_share:.0f} % with training's start-up",
            ),
        ]
    return [{"label": label, "value": value, "note": note} for label, value, note in made]


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def number(value: float | None, digits: int) -> str:
    """A number with a true minus sign, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", MINUS)


def significant(value: float) -> str:
    """Three significant digits with a true minus sign."""
    return f"{value:.3g}".replace("-", MINUS) if math.isfinite(value) else NONE


def duration(seconds: float) -> str:
    """Seconds in the units that a reader expects."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def formula_html(formula: str) -> Markup:
    """A chemical formula with its numbers as subscripts; everything else is escaped."""
    return Markup(re.sub(r"(?<=[A-Za-z)])(\d+(?:\.\d+)?)", r"<sub>\1</sub>", str(escape(formula))))


def spacegroup(value: int | None) -> str:
    """Number and symbol of a space group."""
    if value is None or not 1 <= value <= 230:
        return NONE
    return f"{value} {sg_symbol_from_int_number(value).removesuffix(':H')}"


def time_parts(time: Account) -> list[tuple[str, float]]:
    """The parts of the wall time in words, with seconds."""
    return [
        ("pw.x", time.pw_s),
        ("training: optimiser steps", time.train_steps_s),
        ("training: start-up", time.train_start_s),
        ("generating and screening", time.generate_s),
        ("starting Ray", time.ray_s),
        ("report", time.report_s),
        ("everything else", time.other_s),
    ]
