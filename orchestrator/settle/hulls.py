"""The hulls of a campaign's database: judged, noted at the crystals, imported to and exported from.

Files of energies are read in `reference_set`; what a hull is, and when it abstains, is said in `dft.energies.hull`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crystalloop.db.ledger.records import Candidate, CandidateState, Relaxation
from crystalloop.db.ledger.store import Store
from crystalloop.dft.energies.hull import AboveHull, HullEntry, energies_above_hull
from crystalloop.dft.energies.references import energy_scheme, reference_settings, release, same_scheme
from crystalloop.dft.pw.command import pw_version
from crystalloop.dft.recipe.pseudos import PseudoTable, PwEnvironmentError
from crystalloop.dft.recipe.settings import CODE_VERSION, PwSettings
from crystalloop.models.crystals.chemistry import reduced_formula
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.settle.reference_set import read_reference_set, write_reference_set


def look(
    store: Store, campaign: Campaign, reference_set: Path | None, export: Path | None, *, skip_bad: bool
) -> dict[str, Any]:
    """Judge every crystal, export where asked; JSON data. Only a reference set to import changes the database.

    Raises:
        DataError: the reference set cannot be used.
        PwEnvironmentError: nothing is computed yet, and pw.x cannot say its version.
    """
    hull, notes = judge_hulls(store, campaign), list[str]()
    schemes = hull.schemes or _scheme_of_this_machine(campaign)
    if reference_set is not None:
        read = read_reference_set(
            reference_set, set(schemes.values()), hull.elements(), datetime.now(UTC), skip_bad=skip_bad
        )
        new, replaced = store.import_energies(read.energies)
        notes.append(f"{reference_set.name}: {new} energies are new, {replaced} replace earlier ones")
        notes += [f"left out: {message}" for message in read.left_out]
        hull = settle_hulls(store, campaign)
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


@dataclass(frozen=True)
class CampaignHull:
    """What the database knows about the campaign's scheme.

    Args:
        schemes: release of pw.x -> scheme, for the releases that crystals or references were computed with.
        entries: every energy of these schemes.
        crystals: the relaxed crystals of the campaign.
        above: for each of these, by id.
        untold: ids that are not judged here, because this machine or this version of the program lacks something.
    """

    schemes: dict[str, str]
    entries: tuple[HullEntry, ...]
    crystals: tuple[Candidate, ...]
    above: dict[str, AboveHull]
    untold: frozenset[str] = frozenset()

    def elements(self) -> dict[str, dict[str, float]]:
        """Scheme -> element -> lowest of this database's own energies, eV/atom."""
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for entry in self.entries:
            if len(entry.elements) == 1 and not entry.imported:
                (element,) = entry.elements
                known = found[entry.scheme].get(element)
                found[entry.scheme][element] = min(entry.energy_per_atom_ev, known or entry.energy_per_atom_ev)
        return dict(found)


def settle_hulls(store: Store, campaign: Campaign) -> CampaignHull:
    """Judge every relaxed crystal of the campaign by what is known now, and note it in the database.

    What cannot be told on this machine stays as it was noted before; a hull that has become too sparse does not.
    """
    hull = judge_hulls(store, campaign)
    for candidate in hull.crystals:
        at = hull.above[candidate.id]
        if candidate.id not in hull.untold and (candidate.e_above_hull, candidate.hull_reason) != (
            at.e_above_hull,
            at.reason,
        ):
            store.set_above_hull(candidate.id, at.e_above_hull, at.reason)
    return hull


def judge_hulls(store: Store, campaign: Campaign) -> CampaignHull:
    """Judge every relaxed crystal of the campaign by what is known now; nothing is written."""
    relaxed = store.candidates(states=[CandidateState.RELAXED])
    mine = tuple(c for c in relaxed if c.campaign == campaign.name and c.kind == "crystal")
    try:
        table = PseudoTable.named(campaign.pseudo_folder)
    except PwEnvironmentError as error:
        above = {c.id: AboveHull(None, f"no hull: {error}") for c in mine}
        return CampaignHull({}, (), mine, above, frozenset(above))
    return _hull(store, dft_settings(campaign), table, relaxed, mine)


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


def _hull(
    store: Store, settings: PwSettings, table: PseudoTable, relaxed: Sequence[Candidate], mine: Sequence[Candidate]
) -> CampaignHull:
    computed = list(_computed(relaxed, settings, table))
    schemes = {
        release(c.relaxation.pw_version): energy_scheme(settings, table, c.relaxation.pw_version)
        for c in computed
        if c.relaxation is not None
    }
    entries = {c.id: _entry(c, c.relaxation, schemes) for c in computed if c.relaxation is not None}
    imported = [
        HullEntry(energy.id, energy.formula, energy.energy_per_atom_ev, energy.scheme, imported=True)
        for energy in store.imported_energies()
        if energy.scheme in schemes.values()
    ]
    everything = (*entries.values(), *imported)
    wanted = [entries[c.id] for c in mine if c.id in entries and len(entries[c.id].elements) > 1]
    above = energies_above_hull(wanted, everything)
    other = AboveHull(None, "no hull: its settings or pseudopotentials are not those that the campaign has now")
    if not table.folder.is_dir():
        other = AboveHull(
            None, f"no hull: no folder {table.folder}, and the bundled pseudopotentials are not the crystal's"
        )
    element = AboveHull(None, "no hull: an element")
    judged = {c.id: above.get(c.id) or (element if c.id in entries else other) for c in mine}
    untold = frozenset(c.id for c in mine if not _can_be_told(c, table))
    return CampaignHull(schemes, everything, tuple(mine), judged, untold)


def _can_be_told(candidate: Candidate, table: PseudoTable) -> bool:
    """Whether this machine's table and this version of the program know what the crystal was computed with."""
    relaxation = candidate.relaxation
    return (
        relaxation is not None
        and relaxation.code_version <= CODE_VERSION
        and set(relaxation.crystal.species) <= set(table.entries)
        and (table.folder.is_dir() or _same_pseudos(relaxation, table))
        and _own_settings(candidate) is not None
    )


def _own_settings(candidate: Candidate) -> PwSettings | None:
    """The settings that a candidate was computed with; None where a later version wrote them."""
    try:
        return PwSettings.model_validate(candidate.settings)
    except ValidationError:
        return None


def _computed(relaxed: Iterable[Candidate], settings: PwSettings, table: PseudoTable) -> Iterable[Candidate]:
    """Crystals in the scheme of the settings, and the elemental references that go with them."""
    wanted: dict[str, dict[str, Any]] = {}
    for candidate in relaxed:
        relaxation = candidate.relaxation
        if relaxation is None or relaxation.code_version != CODE_VERSION or not _same_pseudos(relaxation, table):
            continue
        own = _own_settings(candidate)
        if own is None:  # nothing can be said about its scheme
            continue
        if candidate.kind == "crystal":
            if same_scheme(own, settings):
                yield candidate
            continue
        (element,) = set(relaxation.crystal.species)
        if element not in wanted:
            wanted[element] = reference_settings(element, settings).physics()
        if own.physics() == wanted[element]:
            yield candidate


def _same_pseudos(relaxation: Relaxation, table: PseudoTable) -> bool:
    return all(
        element in table.entries and table.entries[element].md5 == relaxation.pseudos.get(element)
        for element in set(relaxation.crystal.species)
    )


def _entry(candidate: Candidate, relaxation: Relaxation, schemes: dict[str, str]) -> HullEntry:
    formula = reduced_formula(Counter(relaxation.crystal.species))
    return HullEntry(candidate.id, formula, relaxation.energy_per_atom_ev, schemes[release(relaxation.pw_version)])
