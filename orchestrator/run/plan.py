"""What a campaign would do, before it does anything: data, first batch, references, cost. Reads files, writes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crystalloop.dft.energies.references import reference_settings, reference_structure
from crystalloop.dft.pw.input import cutoffs_ry
from crystalloop.dft.recipe.element_rules import lanthanide_note, require_d2
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.estimate import estimate_cpu_s
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.contradictions import contradicting_labels
from crystalloop.models.data.files import DataError, KnownCrystal, read_crystals
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import ABOVE_HULL
from crystalloop.orchestrator.campaign.choice.idle import idle_notes
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.campaign.target_words import plan_notes, target_sentence
from crystalloop.orchestrator.propose.cold_start import decorated_pool
from crystalloop.orchestrator.run.arm_notes import arm_notes
from crystalloop.orchestrator.run.cost import campaign_cost, short_budgets
from crystalloop.orchestrator.run.network_keys import check_labels, check_networks
from crystalloop.orchestrator.run.preview import first_batch
from crystalloop.orchestrator.settle.hull_energies import hull_reference, names_imported_set

SAMPLED = 50
"""Decorations whose cost is estimated where there is no first batch."""


def check_dft(campaign: Campaign) -> tuple[PwSettings, PseudoTable]:
    """The campaign's DFT settings and pseudopotentials, once everything is there for each of its elements.

    Raises:
        ConfigError, MissingPseudo, CorruptPseudo, InputError, NoReference: what is missing, and for which element.
    """
    settings = dft_settings(campaign)
    table = PseudoTable.load(campaign.pseudo_folder)
    table.check(campaign.elements)
    cutoffs_ry(campaign.elements, settings, table)
    if settings.d2:
        require_d2(campaign.elements)
    for element in campaign.elements:
        reference_structure(element)
    return settings, table


def known_crystals(campaign: Campaign) -> tuple[tuple[KnownCrystal, ...], list[str]]:
    """The crystals of the campaign's data files, and notes for the user.

    Raises:
        DataError: a file or a row that cannot be used.
    """
    crystals: list[KnownCrystal] = []
    notes: list[str] = []
    for number, file in enumerate(campaign.data):
        read = read_crystals(file.path, skip_bad=file.bad_rows == "skip", where=file.keep, units=file.units)
        kept = list(read.crystals)
        if file.limit is not None and len(kept) > file.limit:
            rng = np.random.default_rng([campaign.seed, 31, number])
            kept = [kept[i] for i in sorted(rng.choice(len(kept), file.limit, replace=False))]
        crystals += [_with_scheme(crystal, file.scheme) for crystal in kept]
        labelled = sum(E_F in crystal.labels for crystal in kept)
        notes.append(f"{file.path.name}: {len(kept)} crystals used, {labelled} with a formation energy")
        if read.left_out:
            notes.append(f"{file.path.name}: {len(read.left_out)} rows left out, the first: {read.left_out[0]}")
        notes += read.notes
    if any(E_F in crystal.labels for crystal in crystals):
        from crystalloop.models.data.energy_schemes import on_plain_scale  # late: 2 CPU s, for labelled files alone

        scaled = on_plain_scale(crystals)
        told = contradicting_labels(scaled.crystals)
        return scaled.crystals, [*notes, *scaled.notes, *([told] if told else [])]
    return tuple(crystals), notes


def check_hull(campaign: Campaign) -> list[str]:
    """Read what the campaign's hull is measured against, and say it; sets of the database are read where that is open.

    Raises:
        DataError: a file that cannot be used, or that lacks an element of the campaign.
    """
    if names_imported_set(campaign):
        names = ", ".join(one.path.name for one in campaign.hull.reference if not one.is_file)
        return [f"hull: {names}: no file, so an imported set of the database, looked for when `run` begins"]
    reference = hull_reference(campaign)
    return [] if reference is None else list(reference.notes)


def _with_scheme(crystal: KnownCrystal, scheme: str | None) -> KnownCrystal:
    """The crystal with the scheme that the campaign says; a row of its own may say another only if all are as given.

    Raises:
        DataError: row and campaign name two schemes.
    """
    if scheme is None or crystal.scheme.lower() == scheme.lower():
        return crystal
    if crystal.scheme and scheme != "as_given":
        raise DataError(
            f"{crystal.where}: formation_energy_scheme is {crystal.scheme!r}, and the campaign says `scheme: {scheme}`; "
            "remove one of them, or say `scheme: as_given`"
        )
    return replace(crystal, scheme=scheme)


def _is_warm(campaign: Campaign, known: tuple[KnownCrystal, ...]) -> bool:
    enough = sum(E_F in crystal.labels for crystal in known) >= campaign.networks.minimum_labels
    return enough and campaign.arms.need_networks


def make_plan(campaign: Campaign) -> dict[str, Any]:
    """The plan as JSON-able data.

    Raises:
        ConfigError, DataError, PwEnvironmentError: what `run` would refuse, too.
    """
    check_networks(campaign)
    settings, table = check_dft(campaign)
    known, notes = known_crystals(campaign)
    check_labels(campaign, known)
    notes += check_hull(campaign)
    notes += plan_notes(campaign.target, campaign.dft)
    if note := lanthanide_note(campaign.elements, settings.d2):
        notes.append(note)
    warm, pool = _is_warm(campaign, known), decorated_pool(campaign)
    preview = first_batch(campaign, known, warm=warm)
    drafts = preview.batch or pool[:SAMPLED]
    costs_s = [estimate_cpu_s(draft.structure, settings, table) for draft in drafts]
    # Only those can be asked of: which others the networks will want is not known yet.
    elements = sorted({symbol for draft in (pool if warm else drafts) for symbol in draft.structure.symbol_set})
    references_s = sum(
        estimate_cpu_s(reference_structure(element), reference_settings(element, settings), table)
        for element in elements
    )
    labelled = sum(E_F in crystal.labels for crystal in known)
    cost = campaign_cost(
        campaign,
        each_s=float(np.mean(costs_s)) if costs_s else 0.0,
        references_s=references_s,
        crystals=len(known) + len(pool),
        labelled=labelled,
        warm=warm,
    )
    return {
        "name": campaign.name,
        "start": f"warm start from {len(known)} crystals" if warm else "cold start from decorated prototypes",
        "elements": list(campaign.elements),
        "target": target_sentence(campaign.target),
        "rounds": campaign.rounds,
        "per_round": campaign.dft.per_round,
        "slots": campaign.dft.slots,
        "references": elements,
        "relaxations": cost.relaxations,
        "trainings": cost.trainings,
        "cpu_hours_first_round": cost.first_cpu_s / 3600,
        "cpu_hours": cost.cpu_s / 3600,
        "minutes": cost.minutes,
        "minutes_of": {phase: seconds / 60 for phase, seconds in cost.seconds.items()},
        "decorations": len(pool),
        "first_batch": [
            _batch_row(campaign, draft, cost_s) for draft, cost_s in zip(preview.batch, costs_s, strict=False)
        ],
        "first_batch_error": preview.error,
        "short_budgets": short_budgets(campaign, cost),
        "notes": [*notes, *_notes(campaign, len(pool), labelled), *arm_notes(campaign, known, len(pool))],
    }


def _notes(campaign: Campaign, pool: int, labelled: int) -> list[str]:
    """What of the plan a user should know, and may want to change."""
    notes = []
    if not pool:
        notes.append(
            "these elements make no crystal in these prototypes: nothing can be proposed; allow more of either"
        )
    elif labelled + pool < campaign.networks.minimum_labels:
        notes.append(
            f"{pool} decorations and {labelled} labelled crystals are fewer than `networks.minimum_labels` "
            f"({campaign.networks.minimum_labels}): the networks will never be trained; allow more elements or prototypes"
        )
    if ABOVE_HULL in campaign.target.properties() and not campaign.hull.reference:
        notes.append(
            "the hull is made of pw.x energies alone: a crystal without computed competitors of each of its elements cannot be "
            "judged, and is no hit; `hull: {reference: FILE}` brings known compounds"
        )
    notes += idle_notes(campaign.acquire, campaign.surrogate)
    if campaign.dft.slots == 0:
        notes.append("`dft.slots` is 0: pw.x waits for workers that you start with `crystalloop worker FILE`")
    return notes


def _batch_row(campaign: Campaign, draft: Proposal, cost_s: float) -> dict[str, Any]:
    name = campaign.target.for_networks().property
    value = draft.value(name)
    return {
        "formula": draft.formula,
        "prototype": draft.prototype,
        "a": round(draft.structure.lattice.a, 3),
        "atoms": len(draft.structure),
        "cpu_s": round(cost_s, 1),
    } | ({} if value is None else {"estimate": round(value, 3), "+-": round(draft.sigma_of(name) or 0.0, 3)})
