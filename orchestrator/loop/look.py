"""The one read of the ledger that a step makes: what others may have changed, each time; what the loop wrote, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from crystalloop.db.ledger.campaigns import CampaignState, ModelVersion, Round
from crystalloop.db.ledger.records import CandidateState
from crystalloop.db.ledger.standing import Standing
from crystalloop.db.ledger.store import Store
from crystalloop.orchestrator.account.calibration import pause_reason
from crystalloop.orchestrator.account.judged import fits, value_of
from crystalloop.orchestrator.account.rounds import round_results
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.outlook import Forecasted
from crystalloop.orchestrator.loop.policy import RoundView, Snapshot

OPEN = frozenset({CandidateState.PROPOSED, CandidateState.QUEUED, CandidateState.RUNNING})


@dataclass(frozen=True)
class Look:
    """What a step knows of the ledger.

    Attributes:
        snapshot: the same in the few numbers that `decide` looks at.
        rounds, versions: of the campaign, by number.
        chosen: the last round's candidates that were sent to DFT.
        references: the elemental references of the campaign's elements that exist so far.
    """

    snapshot: Snapshot
    rounds: tuple[Round, ...]
    versions: tuple[ModelVersion, ...]
    chosen: tuple[Standing, ...]
    references: tuple[Standing, ...]

    @property
    def standings(self) -> tuple[Standing, ...]:
        """References, then the round's candidates."""
        return (*self.references, *self.chosen)

    def lease_has_ended(self, now: datetime) -> bool:
        """Whether a worker gave no sign of life in time."""
        return any(one.lease_ends is not None and one.lease_ends < now for one in self.standings)


@dataclass(frozen=True)
class Totals:
    """What some candidates come to."""

    relaxations: int = 0
    labelled: int = 0
    cpu_s: float = 0.0

    @classmethod
    def of(cls, standings: Sequence[Standing]) -> Totals:
        """Candidates sent to DFT, those with a formation energy, and processor seconds with failed attempts."""
        labelled = sum(one.is_labelled for one in standings)
        return cls(len(standings), labelled, sum(one.cpu_s for one in standings))

    def __add__(self, other: Totals) -> Totals:
        labelled = self.labelled + other.labelled
        return Totals(self.relaxations + other.relaxations, labelled, self.cpu_s + other.cpu_s)


@dataclass(frozen=True)
class Hits:
    """How many hits there are, what came of the last forecast, and why the forecasts are no longer to be followed."""

    count: int = 0
    forecast: Forecasted | None = None
    drift: str = ""


class Looker:
    """Looks at the ledger for the loop of one campaign.

    While the loop waits, only the candidates at work and the campaign's state are read: rounds and model versions are
    written by the loop alone, under the campaign's lock, and are read again after `forget`. Of rounds before the last
    nothing changes any more, so that they are added up once.

    Args:
        store: the ledger.
        campaign: its name, and what it looks for.
        references: ids of the elemental references of its elements.
        known: what data files say of crystals that are in no ledger.
    """

    def __init__(self, store: Store, campaign: Campaign, references: Callable[[], Sequence[str]], known: Known) -> None:
        self._store, self._campaign, self._references = store, campaign.name, references
        self._known, self._target, self._rounds = known, campaign.target, campaign.rounds
        self._written: tuple[tuple[Round, ...], tuple[ModelVersion, ...]] | None = None
        self._before: tuple[int, Totals] = (0, Totals())  # rounds added up so far
        self._stop, self._pauses = campaign.stop.hits, campaign.surrogate.pause_at_drift
        self._judged: tuple[datetime | None, Hits] = (
            None,
            Hits(),
        )  # when the last round was closed, and the hits up to it

    def forget(self) -> None:
        """The loop has written: read everything the next time."""
        self._written = None

    def look(self, wall_minutes: float, cut: str = "") -> Look:
        """What the ledger says now; `wall_minutes` is what the campaign has run so far, `cut` what the alarm cut off."""
        if self._written is None:
            self._written = self._store.rounds(self._campaign), self._store.model_versions(self._campaign)
        rounds, versions = self._written
        references = self._references()
        standings = self._store.standings([*references, *(rounds[-1].chosen if rounds else ())])
        chosen = tuple(one for one in standings if one.id not in set(references))
        theirs = tuple(one for one in standings if one.id in set(references))
        record = self._store.campaign(self._campaign)
        totals = self._totals_before(rounds) + Totals.of(chosen)
        current = _view(rounds[-1], chosen) if rounds else None
        hits = self._hits(rounds) if current is not None and current.closed else Hits()
        is_met, best = self._reached() if current is not None and self._may_be_the_last(current) else (None, "")
        snapshot = Snapshot(
            current=current,
            references_open=sum(one.state in OPEN for one in theirs),
            labelled=totals.labelled + self._known.labelled,
            model_round=versions[-1].round if versions else None,
            relaxations=totals.relaxations,
            cpu_hours=totals.cpu_s / 3600,
            wall_minutes=wall_minutes,
            stopping=record is not None and record.state is CampaignState.STOPPING,
            references_gave_up=tuple(
                f"the elemental reference {one.formula} ({one.id}) gave up: {one.reason}"
                for one in theirs
                if one.state is CandidateState.GAVE_UP
            ),
            is_met=is_met,
            best=best,
            cut=cut,
            hits=hits.count,
            forecast=hits.forecast,
            drift=hits.drift,
        )
        return Look(snapshot, rounds, versions, chosen, theirs)

    def _may_be_the_last(self, current: RoundView) -> bool:
        return current.closed and (not current.chosen or current.number >= self._rounds)

    def _hits(self, rounds: tuple[Round, ...]) -> Hits:
        """Of the campaign so far, once a round; nothing where nobody asks for it, and nothing was forecast."""
        forecast = [one.number for one in rounds if one.expected_hits is not None and one.chosen]
        if self._stop is None and not self._pauses and all(one.expected_hits is None for one in rounds):
            return Hits()
        if self._judged[0] != rounds[-1].finished_at:
            relaxed = self._store.candidates(self._campaign, states=[CandidateState.RELAXED])
            results = {one.number: one for one in round_results(self._target, relaxed, rounds)}
            last = results[forecast[-1]] if forecast else None
            expected = None if last is None or last.expected_hits is None else last.expected_hits
            told = (
                None
                if last is None or expected is None
                else Forecasted(last.number, last.sent, expected, len(last.hits))
            )
            count = sum(len(one.hits) for one in results.values())
            self._judged = rounds[-1].finished_at, Hits(count, told, pause_reason(relaxed) if self._pauses else "")
        return self._judged[1]

    def _reached(self) -> tuple[bool | None, str]:
        """Whether something known meets the target's range (None without one), and the best that is known, in words."""
        target, relaxed = self._target, self._store.candidates(self._campaign, states=[CandidateState.RELAXED])
        found, open_ = list(self._known.values), set[str]()
        for one in relaxed:
            if (value := value_of(one, target.property)) is not None:
                met = target.distance(value) == 0 and fits(one, target)
                found.append((value, one.formula, met))
                open_ |= {wanted.property for wanted in target.also if value_of(one, wanted.property) is None}
        asks = bool(target.ranges())
        if not found:
            return (False if asks else None), ""
        value, name, _ = max(found, key=lambda one: (one[2], target.merit(one[0])))
        is_met = any(met for *_, met in found) if asks else None
        unknown = f" ({', '.join(sorted(open_))} of some is not known: `crystalloop results` says why)"
        return is_met, f"{name} with {target.property} {value:.3f}{unknown if open_ and is_met is False else ''}"

    def _totals_before(self, rounds: Sequence[Round]) -> Totals:
        """Of every round but the last."""
        done, totals = self._before
        if missing := [identity for round_ in rounds[done:-1] for identity in round_.chosen]:
            totals += Totals.of(self._store.standings(missing))
        self._before = max(len(rounds) - 1, 0), totals
        return totals


@dataclass(frozen=True)
class Known:
    """What a campaign's data files say.

    Attributes:
        labelled: crystals with a formation energy.
        values: the target's property, the formula, and whether it meets the target, of crystals of the campaign's elements.
    """

    labelled: int = 0
    values: tuple[tuple[float, str, bool], ...] = ()


def _view(round_: Round, chosen: Sequence[Standing]) -> RoundView:
    return RoundView(
        number=round_.number,
        open=sum(one.state in OPEN for one in chosen),
        unsettled=sum(one.is_unsettled for one in chosen),
        closed=round_.finished_at is not None,
        chosen=len(round_.chosen),
        note=round_.note,
        expected_hits=round_.expected_hits,
        declined=round_.declined,
    )
