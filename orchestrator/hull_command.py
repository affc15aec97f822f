"""What `crystalloop hull` does: imports, judges, exports. Reading rows is in hull_file, judging in hulls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.dft.energies.references import energy_scheme, release
from crystalloop.dft.pw.command import pw_version
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.orchestrator.config import Campaign
from crystalloop.orchestrator.dft_settings import dft_settings
from crystalloop.orchestrator.hull_file import read_reference_set, write_reference_set
from crystalloop.orchestrator.hulls import CampaignHull, exported, refresh_hull, system_rows
from crystalloop.orchestrator.session import now


def look(
    store: MongoStore, campaign: Campaign, reference_set: Path | None, export: Path | None, *, skip_bad: bool
) -> dict[str, Any]:
    """Import a reference set where there is one, judge every crystal, export where asked; JSON data.

    Raises:
        DataError: the reference set cannot be used.
        PwEnvironmentError: nothing is computed yet, and pw.x cannot say its version.
    """
    hull, notes = refresh_hull(store, campaign), list[str]()
    schemes = hull.schemes or _scheme_of_this_machine(campaign)
    if reference_set is not None:
        read = read_reference_set(reference_set, set(schemes.values()), hull.elements(), now(), skip_bad=skip_bad)
        new, replaced = store.imported.put(read.energies)
        notes.append(f"{reference_set.name}: {new} energies are new, {replaced} replace earlier ones")
        notes += [f"left out: {message}" for message in read.left_out]
        hull = refresh_hull(store, campaign)
    if export is not None:
        rows = exported(hull)
        write_reference_set(export, rows)
        notes.append(f"{len(rows)} energies written to {export}")
    return {"schemes": schemes, "systems": system_rows(hull), "crystals": _crystals(hull), "notes": notes}


def hull_lines(found: Mapping[str, Any]) -> list[str]:
    """What `look` found, as lines of text."""
    lines = [f"scheme of pw.x {version}: {scheme}" for version, scheme in found["schemes"].items()]
    for row in found["systems"]:
        known = f"{row['computed']} computed, {row['imported']} imported"
        lines.append(
            f"{row['system']} (pw.x {_version(found, row)}): {known}; on the hull: {row['on the hull'] or 'not said'}"
        )
        lines += [f"  {row['no value because']}"] if row["no value because"] else []
    return lines if found["systems"] else [*lines, "no relaxed crystals of this campaign yet"]


def _version(found: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    return next(str(version) for version, scheme in found["schemes"].items() if scheme == row["scheme"])


def _scheme_of_this_machine(campaign: Campaign) -> dict[str, str]:
    version = pw_version(campaign.dft.pw_command)
    table = PseudoTable.load(campaign.pseudo_folder)
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
