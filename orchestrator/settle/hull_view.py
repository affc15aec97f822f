"""What `crystalloop hull` shows of a campaign's hulls, and takes up and gives out: JSON data and lines. Judging: hulls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crystalloop.db.ledger.store import Store
from crystalloop.dft.energies.hull import ROUNDING_EV, HullEntry, formation_entries
from crystalloop.dft.energies.references import energy_scheme, release
from crystalloop.dft.energies.tie import fit_tie
from crystalloop.dft.pw.command import pw_version
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.models.crystals.chemistry import reduced_formula
from crystalloop.orchestrator.campaign.choice.sections import HullSection
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.settle.hull_energies import HullReference, hull_reference
from crystalloop.orchestrator.settle.hulls import CampaignHull, judge_hulls, settle_hulls
from crystalloop.orchestrator.settle.reference_set import read_reference_set, write_reference_set

STABLE_SHOWN = 40
"""Stable compounds of a reference that are printed; --json has every one."""
MOST_COMPOUNDS = 5_000
"""Of a reference whose hull is drawn whole, in ten seconds; of a larger one, the systems of the campaign's crystals alone."""


def look(
    store: Store, campaign: Campaign, reference_set: Path | None, export: Path | None, *, skip_bad: bool
) -> dict[str, Any]:
    """Judge every crystal, export where asked; JSON data. Only a reference set to import changes the database.

    Raises:
        DataError: the reference set, or what the campaign's hull names, cannot be used.
        PwEnvironmentError: nothing is computed yet, and pw.x cannot say its version.
    """
    notes = [] if reference_set is None else _imported(store, campaign, reference_set, skip_bad=skip_bad)
    reference = hull_reference(campaign, store.imported_energies())
    hull = (judge_hulls if reference_set is None else settle_hulls)(store, campaign, reference)
    schemes = hull.schemes or _scheme_of_this_machine(campaign)
    if export is not None:
        rows = exported(hull)
        write_reference_set(export, rows)
        notes.append(f"{len(rows)} energies written to {export}")
    found = {"schemes": schemes, "systems": system_rows(hull), "crystals": _crystals(hull), "notes": notes}
    if reference is None:
        return found
    return found | {"reference": _reference(reference, hull), "notes": [*reference.notes, *notes]}


def _imported(store: Store, campaign: Campaign, reference_set: Path, *, skip_bad: bool) -> list[str]:
    """Take up a set, held against the database's own elements; the campaign's hull may be waiting for it."""
    hull = judge_hulls(store, campaign.model_copy(update={"hull": HullSection()}))
    schemes = hull.schemes or _scheme_of_this_machine(campaign)
    read = read_reference_set(
        reference_set, set(schemes.values()), hull.elements(), datetime.now(UTC), skip_bad=skip_bad
    )
    new, replaced = store.import_energies(read.energies)
    told = f"{reference_set.name}: {new} energies are new, {replaced} replace earlier ones"
    return [told, *(f"left out: {message}" for message in read.left_out)]


def _reference(reference: HullReference, hull: CampaignHull) -> dict[str, Any]:
    """What the reference says: how it is tied to each scheme, and what is stable in it, on the scale of plain PBE."""
    schemes = sorted(set(hull.schemes.values())) or [""]
    ties = {scheme: fit_tie(formation_entries(hull.of(scheme)), reference.hull.listed) for scheme in schemes}
    return {
        "name": reference.name,
        "common_needed": reference.common,
        "ties": {
            scheme: {
                "common": tie.common,
                "other_structures": tie.left_out,
                "used": tie.common >= reference.common,
                "scatter": tie.scatter_ev,
                "shift": {one: {"ev": by, "error": tie.shift_error_ev(one)} for one, by in tie.shift_ev.items()},
            }
            for scheme, tie in ties.items()
        },
        "stable": _stable(reference, [entry.elements for entry in hull.entries if entry.name in hull.above]),
    }


def _stable(reference: HullReference, systems: Sequence[frozenset[str]]) -> list[dict[str, Any]]:
    keys = reference.compositions()
    if len(keys) > MOST_COMPOUNDS:
        keys = {key for key in keys if any(system.issuperset(one for one, _ in key) for system in set(systems))}
    energies = {key: reference.hull.listed(key) for key in keys}
    found = []
    for key, energy_ev in sorted(energies.items(), key=lambda one: (len(one[0]), one[0])):
        formula = reduced_formula({symbol: int(amount) for symbol, amount in key})
        hull_ev = reference.hull.at(formula, even_sparse=True).energy_ev_per_atom
        if energy_ev is not None and hull_ev is not None and energy_ev <= hull_ev + ROUNDING_EV:
            system = "-".join(symbol for symbol, _ in key)
            found.append({"system": system, "formula": formula, "e_f": energy_ev})
    return found


def hull_lines(found: Mapping[str, Any]) -> list[str]:
    """What `look` found, as lines of text."""
    lines = [f"scheme of pw.x {version}: {scheme}" for version, scheme in found["schemes"].items()]
    lines += _reference_lines(found["reference"]) if "reference" in found else []
    for row in found["systems"]:
        known = f"{row['computed']} computed, {row['imported']} imported"
        lines.append(
            f"{row['system']} (pw.x {_version(found, row)}): {known}; on the hull: {row['on the hull'] or 'not said'}"
        )
        lines += [f"  {row['no value because']}"] if row["no value because"] else []
        lines += [f"  against {row['against']}"] if "reference" in found and row["against"] else []
    return lines if found["systems"] else [*lines, "no relaxed crystals of this campaign yet"]


def _reference_lines(said: Mapping[str, Any]) -> list[str]:
    lines = [_tie_line(said, tie) for tie in said["ties"].values()]
    for tie in said["ties"].values():
        shifts = [f"{one} {by['ev']:+.3f} +- {by['error']:.3f}" for one, by in tie["shift"].items()]
        lines += [f"  shift, eV per atom of it: {', '.join(shifts)}"] if shifts else []
    stable = said["stable"]
    shown = ", ".join(f"{row['formula']} {row['e_f']:.3f}" for row in stable[:STABLE_SHOWN])
    more = f", and {len(stable) - STABLE_SHOWN:,} more (--json)" if len(stable) > STABLE_SHOWN else ""
    return [*lines, f"  on its hull, eV/atom: {shown}{more}"]


def _tie_line(said: Mapping[str, Any], tie: Mapping[str, Any]) -> str:
    others = f" ({tie['other_structures']} more are other structures)" if tie["other_structures"] else ""
    if not tie["used"]:
        return (
            f"reference {said['name']}: {tie['common']} compounds in common with pw.x{others}, `hull.common` asks for "
            f"{said['common_needed']}: crystals are judged by pw.x alone until then"
        )
    return (
        f"reference {said['name']}: tied to pw.x by {tie['common']} common compounds{others}, which leaves "
        f"{tie['scatter']:.3f} eV/atom"
    )


def _version(found: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    return next(str(version) for version, scheme in found["schemes"].items() if scheme == row["scheme"])


def _scheme_of_this_machine(campaign: Campaign) -> dict[str, str]:
    version = pw_version(campaign.dft.pw_command)
    table = PseudoTable.named(campaign.pseudo_folder)
    return {release(version): energy_scheme(dft_settings(campaign), table, version)}


def _crystals(hull: CampaignHull) -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "e_above_hull": at.e_above_hull,
            "reason": at.reason,
            "decomposition": [
                {"share": share, "formula": formula, "id": of} for share, formula, of in at.decomposition
            ],
        }
        for name, at in sorted(hull.above.items())
    ]


def system_rows(hull: CampaignHull) -> list[dict[str, Any]]:
    """One row per chemical system and scheme of the campaign: what is known, what is stable, or why nothing is said."""
    by_system: dict[tuple[str, str], list[HullEntry]] = defaultdict(list)
    for entry in hull.entries:
        if entry.name in hull.above:
            by_system["-".join(sorted(entry.elements)), entry.scheme].append(entry)
    return [_system_row(hull, system, scheme, mine) for (system, scheme), mine in sorted(by_system.items())]


def _system_row(hull: CampaignHull, system: str, scheme: str, mine: Sequence[HullEntry]) -> dict[str, Any]:
    elements, found = mine[0].elements, [hull.above[entry.name] for entry in mine]
    known = [e for e in hull.entries if e.scheme == scheme and e.elements <= elements and len(e.elements) > 1]
    stable = {formula for at in found for _, formula, name in at.decomposition if name in {e.name for e in known}}
    return {
        "system": system,
        "scheme": scheme,
        "computed": sum(not entry.imported for entry in known),
        "imported": sum(entry.imported for entry in known),
        "on the hull": ", ".join(sorted(stable)) or None,
        "against": next((at.source for at in found if at.source), None),
        "no value because": next((at.reason for at in found if at.reason), None),
    }


def exported(hull: CampaignHull) -> list[dict[str, Any]]:
    """The database's own energies as rows of a reference set, lowest of each formula and scheme."""
    lowest: dict[tuple[str, str], HullEntry] = {}
    for entry in sorted(hull.entries, key=lambda entry: entry.energy_per_atom_ev):
        if not entry.imported:
            lowest.setdefault((entry.scheme, entry.composition.reduced_formula), entry)
    return [
        {"id": e.name, "formula": formula, "energy_per_atom": e.energy_per_atom_ev, "scheme": scheme}
        for (scheme, formula), e in sorted(lowest.items())
    ]
