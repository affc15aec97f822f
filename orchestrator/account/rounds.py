"""What each round brought: hits, processor time, and how well the model had predicted. Pure; records in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from crystalloop.db.ledger.campaigns import Round
from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.models.crystals.properties import TABLE
from crystalloop.models.draw.target import ABOVE_HULL, COMPUTED, Direction, Range, Target
from crystalloop.orchestrator.account.judged import Mark, is_hit, is_unjudged, value_of

Item = TypeVar("Item")
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class RoundResult:
    """One round in numbers.

    Attributes:
        model_version: the version that proposed it, None for a round without a model.
        funnel: stages and how many were left, down to the hits.
        sent, relaxed, gave_up: crystals sent to DFT and what became of them so far.
        hits: ids of the round's hits; see `hit_definition`.
        total_hits, total_cpu_s: with all rounds before.
        cpu_s: processor seconds of pw.x for the round's crystals, failed attempts included, references not.
        compared: crystals with both a predicted and a computed formation energy.
        mae_ev: mean absolute error of their prediction, eV/atom; None without any.
        bias_ev: mean of predicted minus computed, eV/atom.
        unjudged: relaxed crystals of which nobody can say whether they are hits: what the target asks of is not known.
        expected_hits: how many hits the ranking expected of the round; None where nobody said.
    """

    number: int
    model_version: str | None
    funnel: tuple[tuple[str, int], ...]
    sent: int
    relaxed: int
    gave_up: int
    hits: tuple[str, ...]
    total_hits: int
    cpu_s: float
    total_cpu_s: float
    compared: int
    mae_ev: float | None
    bias_ev: float | None
    unjudged: int = 0
    expected_hits: float | None = None

    @property
    def total_hits_per_cpu_hour(self) -> float | None:
        """Hits up to and with this round per CPU-hour spent; None before any was spent."""
        return self.total_hits / (self.total_cpu_s / 3600) if self.total_cpu_s > 0 else None


def hit_definition(target: Target) -> str:
    """What counts as a hit, as a sentence for readers."""
    wanted = f"A hit is a relaxed crystal whose {property_name(target)}"
    others = others_text(target, "and whose")
    if target.is_pareto():
        sentence = (
            f"A hit is a relaxed crystal{_beside(target)} that is not dominated: none known before the round is as good or better "
            f"in each of {_aims(target)}. The first round sets the mark and cannot have hits."
        )
    elif target.has_range():
        sentence = f"{wanted} is {range_text(target)}{others}."
    else:
        better = "lower" if target.direction is Direction.MINIMISE else "higher"
        sentence = (
            f"{wanted} is {better} than the best value that this campaign had computed before the round{others}. "
        )
        sentence += _first_round(target)
    predicted = [_words(name) for name in target.properties() if name not in (*COMPUTED, ABOVE_HULL)]
    if predicted:
        which = " and ".join(predicted)
        sentence += f" Where pw.x does not compute the {which}, the value is the one predicted before the relaxation."
    if ABOVE_HULL in target.properties():
        sentence += " Below the hull counts as on it; where the hull is too sparse to tell, a crystal is no hit."
    return sentence


def _first_round(target: Target) -> str:
    """Who sets the mark, where there is no range."""
    if target.property == ABOVE_HULL and target.direction is Direction.MINIMISE:
        return "Every one on the hull is one, too; of the first round no other can be."
    return "The first round sets the mark and cannot have hits."


def _beside(target: Target) -> str:
    """What of properties and composition must hold beside several objectives."""
    ranges = " and".join(f" whose {_words(one.property)} is {_text_of(one)}" for one in target.ranges())
    place = f" {target.vicinity}" if target.vicinity is not None else ""
    return f"{place}{' and' if place and ranges else ''}{ranges}"


def _aims(target: Target) -> str:
    """The objectives, in words."""
    names = [
        f"{'lower' if one.direction is Direction.MINIMISE else 'higher'} {_words(one.property)}"
        for one in target.objectives
    ]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def unjudged_text(results: Sequence[RoundResult], target: Target) -> str:
    """How many relaxed crystals could not be judged, and where it is said why, as the middle of a sentence; empty for none."""
    count = sum(result.unjudged for result in results)
    if not count:
        return ""
    why = "the hull is too sparse, `crystalloop results` says which compounds it lacks"
    reason = (
        why if ABOVE_HULL in target.properties() else f"{' or '.join(map(_words, target.properties()))} is not known"
    )
    return f"{count} more could not be judged: {reason}"


def others_text(target: Target, joint: str) -> str:
    """What the target asks beside its property, each after a joint, as the end of a sentence; empty without any."""
    ranges = "".join(f", {joint} {_words(one.property)} is {_text_of(one)}" for one in target.also)
    return ranges + (f", {joint} composition is {target.vicinity}" if target.vicinity is not None else "")


def property_name(target: Target) -> str:
    """The target's property in words."""
    return _words(target.property)


def property_unit(target: Target) -> str:
    """The unit of the target's property, empty for a number without one."""
    return _unit(target.property)


def range_text(target: Target) -> str:
    """The wanted range in words, empty without one."""
    return _text_of(target.as_range())


def wanted_text(target: Target) -> str:
    """The property and what is wanted of it, or several objectives, in words."""
    if target.objectives:
        aims = [f"{_with_article(one.property)} as {_extreme(one.direction)} as possible" for one in target.objectives]
        return f"{' and '.join(aims)}{', ' * target.has_range()}{range_text(target)}"
    return f"{_with_article(target.property)} {range_text(target) or f'as {_extreme(target.direction)} as possible'}"


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {_words(name)}"


def _extreme(direction: Direction | None) -> str:
    return "low" if direction is Direction.MINIMISE else "high"


def _words(name: str) -> str:
    return name.removeprefix("log10_").replace("_", " ")


def _unit(name: str) -> str:
    return next((row.unit for row in TABLE if row.name == name), "eV/atom")


def _text_of(wanted: Range) -> str:
    unit = _unit(wanted.property)
    ends = tuple(
        "" if np.isinf(end) else f"{_shown(wanted.property, end):g}".replace("-", MINUS)
        for end in (wanted.low, wanted.high)
    )
    if all(ends):
        return f"from {ends[0]} to {ends[1]} {unit}".rstrip()
    if ends[0]:
        return f"at least {ends[0]} {unit}".rstrip()
    return f"at most {ends[1]} {unit}".rstrip() if ends[1] else ""


def _shown(name: str, value: float) -> float:
    """A value in the property's unit; the networks hold some as logarithms."""
    return float(10.0**value) if name.startswith("log10_") else value


def in_unit(value: float | None, target: Target) -> float | None:
    """A value of the target's property in the unit of `property_unit`."""
    return None if value is None else _shown(target.property, value)


def value_text(value: float, name: str) -> str:
    """A value of a property with its name and unit."""
    if name in COMPUTED:
        return f"{name} {value:.3f}"
    return f"{name.removeprefix('log10_')} {_shown(name, value):.4g} {_unit(name)}".rstrip()


def round_results(target: Target, candidates: Sequence[Candidate], rounds: Sequence[Round]) -> tuple[RoundResult, ...]:
    """Every round in order.

    Args:
        target: decides what a hit is.
        candidates: of the campaign, in any order and state.
        rounds: as stored.
    """
    results: list[RoundResult] = []
    known = Mark()
    for round_ in sorted(rounds, key=lambda r: r.number):
        mine = [c for c in candidates if c.id in set(round_.chosen)]
        hits = tuple(sorted(c.id for c in mine if is_hit(c, target, known)))
        result = _result(round_, mine, hits, results[-1] if results else None)
        results.append(replace(result, unjudged=sum(is_unjudged(c, target) for c in mine)))
        known = known.with_(mine, target)
    return tuple(results)


def other_objectives(candidate: Candidate, target: Target) -> list[str]:
    """What a candidate has of the objectives after the first, each with its name and unit."""
    values = [(one.property, value_of(candidate, one.property)) for one in target.objectives[1:]]
    return [value_text(value, name) for name, value in values if value is not None]


def predicted_in(candidate: Candidate, target: Target) -> tuple[str, ...]:
    """The target's properties whose value, of this candidate, is the networks' and not pw.x's."""
    return tuple(
        name
        for name in target.properties()
        if name not in (*COMPUTED, ABOVE_HULL) and value_of(candidate, name) == candidate.predicted.get(name)
    )


def _result(round_: Round, mine: Sequence[Candidate], hits: tuple[str, ...], before: RoundResult | None) -> RoundResult:
    relaxed = sum(c.state is CandidateState.RELAXED for c in mine)
    cpu_s = sum(attempt.cpu_s for c in mine for attempt in c.attempts)
    errors = [predicted - computed for _, predicted, computed in compared(mine)]
    return RoundResult(
        number=round_.number,
        model_version=round_.model_version,
        funnel=(*round_.funnel, ("sent to DFT", len(round_.chosen)), ("relaxed", relaxed), ("hits", len(hits))),
        sent=len(round_.chosen),
        relaxed=relaxed,
        gave_up=sum(c.state is CandidateState.GAVE_UP for c in mine),
        hits=hits,
        total_hits=len(hits) + (before.total_hits if before else 0),
        cpu_s=cpu_s,
        total_cpu_s=cpu_s + (before.total_cpu_s if before else 0.0),
        compared=len(errors),
        mae_ev=float(np.mean(np.abs(errors))) if errors else None,
        bias_ev=float(np.mean(errors)) if errors else None,
        expected_hits=round_.expected_hits,
    )


def compared(candidates: Sequence[Candidate]) -> list[tuple[Candidate, float, float]]:
    """Candidates with both formation energies: candidate, predicted, computed, eV/atom."""
    return [
        (c, c.e_f_predicted, c.e_f)
        for c in candidates
        if c.e_f_predicted is not None and c.e_f is not None and np.isfinite([c.e_f_predicted, c.e_f]).all()
    ]


def merged_order(sequences: Sequence[Sequence[Item]]) -> list[Item]:
    """Every item once, each after the one that it follows where it first appears: one order for rounds of unequal funnels."""
    order: list[Item] = []
    for sequence in sequences:
        position = 0
        for item in sequence:
            if item not in order:
                order.insert(position, item)
            position = order.index(item) + 1
    return order
