"""The report's words: what was found as sentences, and headline numbers. Pure; no files, no HTML page."""

from __future__ import annotations

from dataclasses import dataclass

from crystalloop.db.ledger.campaigns import CampaignRecord, ModelVersion
from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.orchestrator.account.judged import best_candidate, computed_value
from crystalloop.orchestrator.account.rounds import (
    RoundResult,
    in_unit,
    other_objectives,
    others_text,
    predicted_in,
    property_unit,
    unjudged_text,
    wanted_text,
)
from crystalloop.orchestrator.account.wall_time import Account
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.show.number_text import decimals, duration


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

    @property
    def hits(self) -> set[str]:
        """Ids of the hits."""
        return {hit for result in self.rounds for hit in result.hits}

    def count(self, state: CandidateState) -> int:
        """Candidates in a state."""
        return sum(candidate.state is state for candidate in self.candidates)


def summary(findings: Findings) -> list[str]:
    """What was looked for, what came out, and why it ended, in sentences."""
    campaign, target, computed = findings.campaign, findings.campaign.target, findings.computed
    asked = f"Crystals of {', '.join(campaign.elements)} were searched for {wanted_text(target)}"
    asked += f"{others_text(target, 'where')}."
    ended = [_ending(findings.record)] if findings.record is not None and findings.record.outcome else []
    if not computed:
        return [f"{asked} Nothing was computed yet.", *ended]
    relaxed, gave_up = findings.count(CandidateState.RELAXED), findings.count(CandidateState.GAVE_UP)
    open_ = len(computed) - relaxed - gave_up
    hits = sum(len(result.hits) for result in findings.rounds)
    unjudged = unjudged_text(findings.rounds, target)
    found = (
        f"In {_many(len(findings.rounds), 'round')}, {_many(len(computed), 'crystal')} went to pw.x: {relaxed} relaxed, "
        f"{gave_up} gave up{f', {open_} not finished' if open_ else ''}; {hits} {'is a hit' if hits == 1 else 'are hits'}"
        f"{f'; {unjudged}' if unjudged else ''}."
    )
    lines = [f"{asked} {found}"]
    best = best_candidate(findings.candidates, target)
    if best is not None:
        value = decimals(in_unit(computed_value(best, target), target), 3)
        others = "".join(f", {text}" for text in other_objectives(best, target))
        names = [name.removeprefix("log10_") for name in predicted_in(best, target)]
        predicted = f" (predicted: {', '.join(names)})" if names else ""
        lines.append(
            f"The best is {best.formula} ({best.prototype or 'no known prototype'}) of round {best.round} with "
            f"{value} {property_unit(target)}".rstrip()
            + f"{others}{predicted}."
        )
    if findings.record is not None and findings.record.data_notes:
        ended.append(f"Its data: {'; '.join(findings.record.data_notes)}.")
    return lines + ended


def _ending(record: CampaignRecord) -> str:
    """The sentence with which `run` and `status` end, too."""
    return f"The campaign is {record.state}: {record.outcome}."


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
        ("hits", str(hits), "" if rate is None else f"{decimals(rate, 1)} per CPU-hour"),
    ]
    if known:
        first, latest = known[0], known[-1]
        note = f"eV/atom in round {latest.number} (n {latest.compared})"
        if latest is not first:
            note += f", after {decimals(first.mae_ev, 2)} in round {first.number} (n {first.compared})"
        made.append(("error of prediction", decimals(latest.mae_ev, 2), note))
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


def largest_parts(parts: list[tuple[str, float]], count: int = 6) -> list[tuple[str, float]]:
    """So many of the parts, in their order, and what is left of the others as one more: as many as a figure has colours."""
    kept = sorted(parts, key=lambda part: -part[1])[:count]
    rest = sum(seconds for _, seconds in parts) - sum(seconds for _, seconds in kept)
    return [part for part in parts if part in kept] + [("the rest", max(0.0, rest))]
