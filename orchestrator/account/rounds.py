"""What each round brought: hits, processor time, and how well the model had predicted. Pure; records in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from crystalloop.db.ledger.records import Candidate, CandidateState, Round
from crystalloop.models.crystals.properties import TABLE
from crystalloop.models.draw.target import ABOVE_HULL, COMPUTED, Direction, Range, Target

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

    @property
    def total_hits_per_cpu_hour(self) -> float | None:
        """Hits up to and with this round per CPU-hour spent; None before any was spent."""
        return self.total_hits / (self.total_cpu_s / 3600) if self.total_cpu_s > 0 else None


def hit_definition(target: Target) -> str:
    """What counts as a hit, as a sentence for readers."""
    wanted = f"A hit is a relaxed crystal whose {property_name(target)}"
    others = others_text(target, "and whose")
    if target.has_range():
        sentence = f"{wanted} is {range_text(target)}{others}."
    else:
        better = "lower" if target.direction is Direction.MINIMISE else "higher"
        sentence = (
            f"{wanted} is {better} than the best value that this campaign had computed before the round{others}. "
            "The first round sets the mark and cannot have hits."
        )
    predicted = [_words(name) for name in target.properties() if name not in (*COMPUTED, ABOVE_HULL)]
    if predicted:
        which = " and ".join(predicted)
        sentence += f" Where pw.x does not compute the {which}, the value is the one predicted before the relaxation."
    return sentence


def others_text(target: Target, joint: str) -> str:
    """The ranges of the target's other properties, each after a joint, as the end of a sentence; empty without any."""
    return "".join(f", {joint} {_words(one.property)} is {_text_of(one)}" for one in target.also)


def property_name(target: Target) -> str:
    """The target's property in words."""
    return _words(target.property)


def property_unit(target: Target) -> str:
    """The unit of the target's property, empty for a number without one."""
    return _unit(target.property)


def range_text(target: Target) -> str:
    """The wanted range in words, empty without one."""
    return _text_of(target.as_range())


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


def computed_value(candidate: Candidate, target: Target) -> float | None:
    """The target's property of a relaxed candidate; None for any other, and where there is no finite value."""
    if candidate.state is not CandidateState.RELAXED:
        return None
    return value_of(candidate, target.property)


def best_candidate(candidates: Sequence[Candidate], target: Target) -> Candidate | None:
    """The relaxed candidate with the largest merit, one with the other properties before all that lack them.

    The first by (round, id) of several.
    """
    values = {c.id: computed_value(c, target) for c in candidates}
    known = sorted((c for c in candidates if values[c.id] is not None), key=lambda c: (c.round, c.id))
    return max(known, key=lambda c: (_others_hold(c, target), target.merit(values[c.id] or 0.0)), default=None)


def round_results(target: Target, candidates: Sequence[Candidate], rounds: Sequence[Round]) -> tuple[RoundResult, ...]:
    """Every round in order.

    Args:
        target: decides what a hit is.
        candidates: of the campaign, in any order and state.
        rounds: as stored.
    """
    results: list[RoundResult] = []
    best: float | None = None  # merit
    for round_ in sorted(rounds, key=lambda r: r.number):
        mine = [c for c in candidates if c.id in set(round_.chosen)]
        fitting = [c for c in mine if _others_hold(c, target)]
        merits = {c.id: target.merit(value) for c in fitting if (value := computed_value(c, target)) is not None}
        hits = tuple(sorted(c.id for c in mine if _is_hit(c, target, best)))
        results.append(_result(round_, mine, hits, results[-1] if results else None))
        best = max([*merits.values(), *([] if best is None else [best])], default=None)
    return tuple(results)


def _is_hit(candidate: Candidate, target: Target, best: float | None) -> bool:
    value = computed_value(candidate, target)
    if value is None or not _others_hold(candidate, target):
        return False
    if target.has_range():
        return target.distance(value) == 0
    return best is not None and target.merit(value) > best


def _others_hold(candidate: Candidate, target: Target) -> bool:
    return target.others_hold(lambda name: value_of(candidate, name))


def value_of(candidate: Candidate, name: str) -> float | None:
    """A property of a finished candidate, finite or None: as computed where it was, else as predicted."""
    value = candidate.e_above_hull if name == ABOVE_HULL else candidate.value(name)
    return value if value is not None and np.isfinite(value) else None


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
