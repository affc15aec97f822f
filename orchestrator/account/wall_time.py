"""Where a campaign's wall time went: pw.x, training, generation, and what the orchestration cost. Pure; records in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from crystalloop.db.ledger.campaigns import CampaignRecord
from crystalloop.db.ledger.records import Candidate

Interval = tuple[datetime, datetime]
LAYERS = ("ray", "train", "generate", "dft", "prepare", "settle", "report")
"""Kinds of spans, each before those that it lies within: Ray starts while something trains or is generated."""
PAUSE_S = 60.0
"""Nothing written down for this long means that no run was going on; shorter gaps are orchestration."""


@dataclass(frozen=True)
class Account:
    """Seconds of a campaign, in parts that do not overlap and add up to `wall_s`.

    Where two things went on at once, the second belongs to the one named first here.

    Attributes:
        sessions: stretches in which the campaign ran; pauses between runs are not counted anywhere.
        wall_s: their length.
        pw_s: at least one pw.x ran, elemental references included.
        train_steps_s: inside optimiser steps.
        train_start_s: the rest of training: Ray Train's start and end, tracing, checkpoints.
        generate_s: generating and screening.
        ray_s: starting Ray, or waiting for it, and loading the networks.
        wait_s: waiting for DFT while no pw.x ran: workers that start, the queue.
        prepare_s: reading data, checking pw.x and pseudopotentials, finding the database.
        settle_s: formation energies and hulls.
        report_s: writing the report.
        other_s: everything else: what lies between these.
        pw_cpu_s: processor seconds of pw.x for the campaign's own crystals, failed attempts included.
        reference_cpu_s: the same for the elemental references of its elements, whichever campaign had them computed.
    """

    sessions: int
    wall_s: float
    pw_s: float
    train_steps_s: float
    train_start_s: float
    generate_s: float
    ray_s: float
    wait_s: float
    prepare_s: float
    settle_s: float
    report_s: float
    other_s: float
    pw_cpu_s: float
    reference_cpu_s: float

    @property
    def train_s(self) -> float:
        """Training with Ray Train's start-up."""
        return self.train_steps_s + self.train_start_s

    @property
    def overhead_s(self) -> float:
        """Wall time spent neither in pw.x nor in training, Ray Train's start-up counted as training."""
        return max(0.0, self.wall_s - self.pw_s - self.train_s)

    @property
    def overhead_strict_s(self) -> float:
        """Wall time spent neither in pw.x nor inside optimiser steps: Ray Train's start-up counted as overhead."""
        return max(0.0, self.wall_s - self.pw_s - self.train_steps_s)

    @property
    def overhead_share(self) -> float:
        """`overhead_s` as a share of the wall time, 0 before anything ran."""
        return self.overhead_s / self.wall_s if self.wall_s else 0.0

    @property
    def overhead_strict_share(self) -> float:
        """`overhead_strict_s` as a share of the wall time, 0 before anything ran."""
        return self.overhead_strict_s / self.wall_s if self.wall_s else 0.0


def time_parts(time: Account) -> list[tuple[str, float]]:
    """The parts of the wall time in words, with seconds."""
    return [
        ("pw.x", time.pw_s),
        ("training: optimiser steps", time.train_steps_s),
        ("training: start-up", time.train_start_s),
        ("generating and screening", time.generate_s),
        ("starting Ray, or waiting for it", time.ray_s),
        ("waiting for workers", time.wait_s),
        ("reading and checking", time.prepare_s),
        ("formation energies and hulls", time.settle_s),
        ("report", time.report_s),
        ("everything else", time.other_s),
    ]


def account(record: CampaignRecord, candidates: Sequence[Candidate], pause_s: float = PAUSE_S) -> Account:
    """Account for a campaign's time.

    Args:
        record: the campaign with its spans.
        candidates: its candidates and, so that waiting for them is not taken for overhead, the elemental references;
            references of elements that the campaign does not have are left out.
        pause_s: a gap of this length in everything written down separates two runs.

    A run that was killed leaves no span of what it was doing; the attempts of its workers still tell that it was there.
    """
    own = [c for c in candidates if c.campaign == record.id]
    elements = set(record.spec.get("elements", ()))
    references = [c for c in candidates if c.kind == "reference" and set(c.crystal.species) <= elements]
    sessions = _sessions(record, own, pause_s)

    def seconds(*groups: Iterable[Interval]) -> float:
        """Length of the union of all groups within the sessions."""
        return length(_within(merge(interval for group in groups for interval in group), sessions))

    layers = [_running((*own, *references)), *(_spans(record, what) for what in LAYERS)]
    covered = [seconds(*layers[:count]) for count in range(len(layers) + 1)]
    pw_s, ray_s, train_s, generate_s, wait_s, prepare_s, settle_s, report_s = (b - a for a, b in pairwise(covered))
    train_steps_s = min(_busy_s(record), train_s)
    return Account(
        sessions=len(sessions),
        wall_s=length(sessions),
        pw_s=pw_s,
        train_steps_s=train_steps_s,
        train_start_s=train_s - train_steps_s,
        generate_s=generate_s,
        ray_s=ray_s,
        wait_s=wait_s,
        prepare_s=prepare_s,
        settle_s=settle_s,
        report_s=report_s,
        other_s=max(0.0, length(sessions) - covered[-1]),
        pw_cpu_s=_cpu_s(own),
        reference_cpu_s=_cpu_s(references),
    )


def merge(intervals: Iterable[Interval], gap_s: float = 0.0) -> tuple[Interval, ...]:
    """The union as intervals in order, with gaps of at most `gap_s` closed."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and (start - merged[-1][1]).total_seconds() <= gap_s:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def length(intervals: Iterable[Interval]) -> float:
    """Seconds in intervals that do not overlap."""
    return sum((end - start).total_seconds() for start, end in intervals)


def _within(intervals: Iterable[Interval], bounds: Sequence[Interval]) -> list[Interval]:
    cuts = [(max(start, low), min(end, high)) for start, end in intervals for low, high in bounds]
    return [(start, end) for start, end in cuts if start < end]


def _sessions(record: CampaignRecord, own: Sequence[Candidate], pause_s: float) -> tuple[Interval, ...]:
    """Stretches in which something was written down. Moments without a length count where they join one."""
    marks = [(moment, moment) for moment in (record.created_at, record.updated_at)]
    known = [(span.started_at, span.finished_at) for span in record.spans] + _running(own) + marks
    return tuple((start, end) for start, end in merge(known, gap_s=pause_s) if start < end)


def _running(candidates: Iterable[Candidate]) -> list[Interval]:
    attempts = [attempt for candidate in candidates for attempt in candidate.attempts if attempt.wall_s > 0]
    return [(a.started_at, a.started_at + timedelta(seconds=a.wall_s)) for a in attempts]


def _spans(record: CampaignRecord, what: str) -> list[Interval]:
    return [(span.started_at, span.finished_at) for span in record.spans if span.what == what]


def _busy_s(record: CampaignRecord) -> float:
    """Seconds inside optimiser steps; a training span that does not say so counts whole."""
    return sum(
        (span.finished_at - span.started_at).total_seconds() if span.busy_s is None else span.busy_s
        for span in record.spans
        if span.what == "train"
    )


def _cpu_s(candidates: Iterable[Candidate]) -> float:
    return sum(attempt.cpu_s for candidate in candidates for attempt in candidate.attempts)
