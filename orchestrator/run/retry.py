"""What was given up wrongly is taken back before a campaign goes on: computed, settled. When and what the loop does: loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crystalloop.db.ledger.campaigns import CampaignState, Span
from crystalloop.db.ledger.leases import INTERNAL, INTERRUPTED
from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.contracts import Parts
from crystalloop.orchestrator.loop.events import EnergySettled, LeasesExpired, Note, Waiting
from crystalloop.orchestrator.loop.timekeeper import Timekeeper

_POLL_S = 1.0
FEW_IDS = 3
"""More of them are counted, not named."""
NO_REFERENCE = "the elemental reference of "
"""How the reason begins of a crystal without a formation energy whose elements may have been computed since."""


def retry_given_up(campaign: Campaign, parts: Parts, *, everything: bool) -> None:
    """Take back candidates and elemental references of the campaign, and bring them to their end.

    Those that an error of this program gave up are taken back always, the others where that was asked for: these are
    computed afresh. Afterwards every crystal that lacked its formation energy for want of a reference is settled again.

    Args:
        campaign: whose.
        parts: the loop's; its workers are left running, or ended where this ends early.
        everything: also those that were given up for reasons of their own.
    """
    started = parts.now()
    taken = take_back(campaign, parts, everything=everything)
    try:
        if taken:
            _see_to_the_end([candidate.id for candidate in taken], campaign, parts, started)
        _settle_again({candidate.id for candidate in taken}, campaign, parts)
    except BaseException:
        parts.workers.stop()
        raise


def take_back(campaign: Campaign, parts: Parts, *, everything: bool) -> tuple[Candidate, ...]:
    """Move them back to the queue, and say so."""
    store, now = parts.store, parts.now()
    references = [store.candidate(one.id) for one in parts.energies.references(campaign.elements, now)]
    mine = store.candidates(campaign.name, states=[CandidateState.GAVE_UP])
    given_up = [one for one in (*references, *mine) if one is not None and one.state is CandidateState.GAVE_UP]
    ours = [one for one in given_up if _blames_us(one)]
    others = [one for one in given_up if everything and not _blames_us(one)]
    taken = [one for one in ours if store.take_back(one, now)]
    asked = [one for one in others if store.take_back(one, now, afresh=not _was_interrupted(one))]
    if taken:
        parts.tell(Note(f"{_named(taken)} given up for an error that was not the crystal's: taken back"))
    if asked:
        parts.tell(Note(f"{_named(asked)} given up before: taken back, as was asked for"))
    return (*taken, *asked)


def _blames_us(candidate: Candidate) -> bool:
    return (candidate.reason or "").startswith(INTERNAL)


def _was_interrupted(candidate: Candidate) -> bool:
    return (candidate.reason or "").startswith(INTERRUPTED)


def _named(candidates: Sequence[Candidate]) -> str:
    names = ", ".join(one.id for one in candidates[:FEW_IDS])
    more = f" and {len(candidates) - FEW_IDS} more" if len(candidates) > FEW_IDS else ""
    return f"{names}{more} {'was' if len(candidates) == 1 else 'were'}"


def _see_to_the_end(ids: Sequence[str], campaign: Campaign, parts: Parts, started: datetime) -> None:
    """Let the workers work until these have ended, a stop was asked for, or the campaign's time is over."""
    store, time = parts.store, Timekeeper(parts.store, campaign.name, parts.now, started, campaign.budget.wall_minutes)
    rounds = store.rounds(campaign.name)
    number = rounds[-1].number if rounds else 0
    while not all(one.has_ended for one in store.standings(ids)):
        record = store.campaign(campaign.name)
        if record is not None and record.state is CampaignState.STOPPING:
            break
        if time.left_s == 0.0:
            break
        parts.workers.ensure()
        if lost := parts.queue.reconcile(parts.now()).expired:
            parts.tell(LeasesExpired(lost))
        parts.tell(Waiting(number, store.standings(ids), ()))
        parts.sleep(_POLL_S)
    parts.tell(Waiting(number, store.standings(ids), ()))
    if store.campaign(campaign.name) is not None:
        store.add_span(campaign.name, Span(what="dft", round=number, started_at=started, finished_at=parts.now()))


def _settle_again(taken: set[str], campaign: Campaign, parts: Parts) -> None:
    """Formation energies of those that were taken back, and of crystals whose references came only now."""
    store, find = parts.store, parts.store.relaxation_by_key
    for candidate in store.candidates(campaign.name, states=[CandidateState.RELAXED]):
        lacks = candidate.e_f is None and (candidate.id in taken or (candidate.reason or "").startswith(NO_REFERENCE))
        if not lacks or candidate.relaxation is None:
            continue
        e_f, reason = parts.energies.formation_energy(candidate.relaxation, find)
        if e_f is None and reason == candidate.reason:
            continue
        without = parts.energies.formation_energy_without_d2(candidate.relaxation, find)
        store.set_formation_energy(candidate.id, e_f, reason, parts.now(), without)
        parts.tell(EnergySettled(candidate, e_f, reason))
