"""What a campaign would do, before it does anything: data, first batch, references, cost. Reads files, writes nothing."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from crystalloop.dft.energies.references import reference_settings, reference_structure
from crystalloop.dft.pw.input import cutoffs_ry
from crystalloop.dft.recipe.element_rules import lanthanide_note, require_d2
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.estimate import estimate_cpu_s
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.files import KnownCrystal, read_crystals
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.nets.configs import CGCNNConfig, UNetConfig, VAEConfig
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError
from crystalloop.orchestrator.propose.cold_start import choose_decorated, decorated_pool

CONFIGS: dict[str, type[Any]] = {"unet": UNetConfig, "vae": VAEConfig, "cgcnn": CGCNNConfig}


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


def check_networks(campaign: Campaign) -> None:
    """Refuse overrides that no network configuration has.

    Raises:
        ConfigError: names the field and those there are.
    """
    networks = campaign.networks
    for name, given in (("unet", networks.unet), ("vae", networks.vae), ("cgcnn", networks.cgcnn)):
        if not given:
            continue
        known = [field.name for field in fields(CONFIGS[name])]
        for key in given:
            if key not in known:
                raise ConfigError(f"networks.{name}.{key}: unknown field; there are {', '.join(known)}")


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
        crystals += kept
        labelled = sum(E_F in crystal.labels for crystal in kept)
        notes.append(f"{file.path.name}: {len(kept)} crystals used, {labelled} with a formation energy")
        if read.left_out:
            notes.append(f"{file.path.name}: {len(read.left_out)} rows left out, the first: {read.left_out[0]}")
        notes += read.notes
    if any(E_F in crystal.labels for crystal in crystals):
        notes.append(
            "formation energies of data files come from another scheme than pw.x's here; the CGCNN learns both as given"
        )
    return tuple(crystals), notes


def first_batch(campaign: Campaign, known: tuple[KnownCrystal, ...]) -> list[Proposal]:
    """What a cold start computes first; empty for a warm start, whose first batch the trained networks propose."""
    if _is_warm(campaign, known):
        return []
    count = min(campaign.dft.per_round, campaign.budget.relaxations or campaign.dft.per_round)
    proposed = choose_decorated(campaign, decorated_pool(campaign), KnownCrystals(), count)
    return [draft for draft, _ in proposed.chosen]


def _is_warm(campaign: Campaign, known: tuple[KnownCrystal, ...]) -> bool:
    return sum(E_F in crystal.labels for crystal in known) >= campaign.networks.minimum_labels


def make_plan(campaign: Campaign) -> dict[str, Any]:
    """The plan as JSON-able data.

    Raises:
        ConfigError, DataError, PwEnvironmentError: what `run` would refuse, too.
    """
    check_networks(campaign)
    settings, table = check_dft(campaign)
    known, notes = known_crystals(campaign)
    if note := lanthanide_note(campaign.elements, settings.d2):
        notes.append(note)
    batch = first_batch(campaign, known)
    drafts = batch or decorated_pool(campaign)
    costs_s = [estimate_cpu_s(draft.structure, settings, table) for draft in drafts]
    elements = sorted({symbol for draft in drafts for symbol in draft.structure.symbol_set})
    references_s = sum(
        estimate_cpu_s(reference_structure(element), reference_settings(element, settings), table)
        for element in elements
    )
    each_s = float(np.mean(costs_s))
    count = campaign.dft.per_round
    total = min(campaign.rounds * count, campaign.budget.relaxations or campaign.rounds * count)
    warm = _is_warm(campaign, known)
    return {
        "name": campaign.name,
        "start": f"warm start from {len(known)} crystals" if warm else "cold start from decorated prototypes",
        "elements": list(campaign.elements),
        "target": _describe_target(campaign),
        "rounds": campaign.rounds,
        "per_round": count,
        "slots": campaign.dft.slots,
        "references": elements,
        "relaxations": total,
        "cpu_hours_first_round": (references_s + each_s * min(count, total)) / 3600,
        "cpu_hours": (references_s + each_s * total) / 3600,
        "first_batch": [_batch_row(draft, cost_s) for draft, cost_s in zip(batch, costs_s, strict=False)],
        "notes": notes,
    }


def _batch_row(draft: Proposal, cost_s: float) -> dict[str, Any]:
    return {
        "formula": draft.formula,
        "prototype": draft.prototype,
        "a": round(draft.structure.lattice.a, 3),
        "atoms": len(draft.structure),
        "cpu_s": round(cost_s, 1),
    }


def _describe_target(campaign: Campaign) -> str:
    target = campaign.target
    ends = [f"{end:g}" if end is not None else "..." for end in (target.minimum, target.maximum)]
    words = [f"from {ends[0]} to {ends[1]}"] if target.has_range() else []
    words += [str(target.direction)] if target.direction else []
    return f"{target.property} {', '.join(words)}"
