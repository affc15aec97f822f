"""What a user should know of a campaign's arms before anything runs: who gets what, and who cannot choose. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.files import KnownCrystal
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.baselines.armed_choice import KNOWN_BELOW_EV
from crystalloop.orchestrator.propose.baselines.seats import dealt, smallest_share

TELLS_LITTLE = 10
"""Fewer relaxations of an arm tell little: a baseline with 1 hit in 5 is not told from a loop with twice its rate."""


def arm_notes(campaign: Campaign, known: Sequence[KnownCrystal], candidates: int) -> list[str]:
    """Sentences on the arms; none where the loop has every relaxation.

    Args:
        campaign: with its shares and budgets.
        known: crystals of its data files.
        candidates: decorations that there are.
    """
    shares, total = campaign.arms.shares(), relaxations(campaign)
    if campaign.arms.loop >= 1:
        return []
    given = dealt(shares, total)
    notes = [f"arms: of {total} relaxations {', '.join(f'{count} go to {name}' for name, count in given.items())}"]
    notes += [
        f"arms: {name}: {shares[name]:g} gets none of {total} relaxations; {smallest_share(total):g} or more would get one"
        for name, count in given.items()
        if count == 0
    ]
    few = [name for name, count in given.items() if 0 < count < TELLS_LITTLE]
    if few and campaign.arms.loop > 0:
        notes.append(
            f"arms: fewer than {TELLS_LITTLE} relaxations of {_and(few)} will tell a large gain alone; raise shares, rounds or "
            "dft.per_round to tell a smaller one"
        )
    if shares["ion_exchange"] > 0 and not has_known_compounds(campaign, known):
        instead = "its relaxations are drawn at random" if len(given) == 1 else "the other arms choose in its place"
        notes.append(
            "arms: ion_exchange has no known compound to begin with: name `bases` or `data`; until pw.x has found a crystal "
            f"with a formation energy below {KNOWN_BELOW_EV:g} eV/atom, {instead}"
        )
    if not campaign.arms.need_networks:
        notes.append("arms: neither loop nor no_feedback has a share: no networks are trained")
    if campaign.arms.loop == 0:
        notes.append("arms: the loop has no share: there will be baselines, and nothing to compare them with")
    if 0 < candidates < total:
        notes.append(
            f"arms: {candidates} decorations are fewer than {total} relaxations: the arms will run out of candidates, and choose "
            "the same ones in the end; the earlier rounds are what compares them"
        )
    return notes


def relaxations(campaign: Campaign) -> int:
    """The most that the campaign's rounds and budget allow."""
    wanted = campaign.rounds * campaign.dft.per_round
    return wanted if campaign.budget.relaxations is None else min(wanted, campaign.budget.relaxations)


def has_known_compounds(campaign: Campaign, known: Sequence[KnownCrystal]) -> bool:
    """Whether there is a compound to exchange ions in before the first relaxation."""
    return bool(campaign.bases) or any(not one.labels.get(E_F, -1.0) >= KNOWN_BELOW_EV for one in known)


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
