"""The hulls of a campaign's database: judged, and noted at the crystals. No files; shown, imported and exported: hull_view.

Which energies make a hull is said in `hull_energies`; what a hull is, and when it abstains, in `dft.energies`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from crystalloop.db.ledger.records import Candidate, CandidateState, Relaxation
from crystalloop.db.ledger.store import Store
from crystalloop.dft.energies.hull import AboveHull, HullEntry, energies_above_hull
from crystalloop.dft.energies.references import energy_scheme, reference_settings, release, same_scheme
from crystalloop.dft.recipe.pseudos import PseudoTable, PwEnvironmentError
from crystalloop.dft.recipe.settings import CODE_VERSION, PwSettings
from crystalloop.models.crystals.chemistry import reduced_formula
from crystalloop.models.crystals.formulas import Formula, written
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.settle.hull_energies import (
    CampaignHullEnergies,
    HullReference,
    hull_reference,
    scheme_hull,
)


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

    def of(self, scheme: str) -> list[HullEntry]:
        """The energies of a scheme."""
        return [entry for entry in self.entries if entry.scheme == scheme]

    def elements(self) -> dict[str, dict[str, float]]:
        """Scheme -> element -> lowest of this database's own energies, eV/atom."""
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for entry in self.entries:
            if len(entry.elements) == 1 and not entry.imported:
                (element,) = entry.elements
                known = found[entry.scheme].get(element)
                found[entry.scheme][element] = min(entry.energy_per_atom_ev, known or entry.energy_per_atom_ev)
        return dict(found)


def settle_hulls(store: Store, campaign: Campaign, reference: HullReference | None = None) -> CampaignHull:
    """Judge every relaxed crystal of the campaign by what is known now, and note it in the database.

    What cannot be told on this machine stays as it was noted before; a hull that has become too sparse does not.

    Args:
        store: the database.
        campaign: whose crystals.
        reference: what the campaign's hull names, where it was read before; None reads it.
    """
    hull = judge_hulls(store, campaign, reference)
    for candidate in hull.crystals:
        at = hull.above[candidate.id]
        noted = (candidate.e_above_hull, candidate.hull_reason, candidate.hull_source, candidate.hull_error)
        if candidate.id not in hull.untold and noted != (at.e_above_hull, at.reason, at.source, at.error):
            store.set_above_hull(candidate.id, at.e_above_hull, at.reason, at.source, at.error)
    return hull


def judge_hulls(store: Store, campaign: Campaign, reference: HullReference | None = None) -> CampaignHull:
    """Judge every relaxed crystal of the campaign by what is known now; nothing is written."""
    reference = reference or hull_reference(campaign, store.imported_energies())
    relaxed = store.candidates(states=[CandidateState.RELAXED])
    mine = tuple(c for c in relaxed if c.campaign == campaign.name and c.kind == "crystal")
    try:
        table = PseudoTable.named(campaign.pseudo_folder)
    except PwEnvironmentError as error:
        above = {c.id: AboveHull(None, f"no hull: {error}") for c in mine}
        return CampaignHull({}, (), mine, above, frozenset(above))
    known = _known(store, relaxed, dft_settings(campaign), table)
    return _judged(known, table, mine, reference)


def hull_energies(store: Store, campaign: Campaign, reference: HullReference | None = None) -> CampaignHullEnergies:
    """The hull that candidates not computed yet are measured against, as known now; arguments as for `settle_hulls`."""
    reference = reference or hull_reference(campaign, store.imported_energies())
    try:
        table = PseudoTable.named(campaign.pseudo_folder)
    except PwEnvironmentError:  # said where pw.x is needed; a reference can be asked without it
        return CampaignHullEnergies(reference, ())
    relaxed = store.candidates(states=[CandidateState.RELAXED])
    return CampaignHullEnergies(reference, _known(store, relaxed, dft_settings(campaign), table).entries)


def hull_by_formula(
    store: Store, campaign: Campaign, reference: HullReference | None = None
) -> Callable[[Formula], float | None]:
    """The same as a look-up by reduced formula."""
    energies = hull_energies(store, campaign, reference)
    return lambda formula: energies.hull_energy(written(formula))


@dataclass(frozen=True)
class _Known:
    """Every energy of the campaign's schemes, the crystals' and references' by id."""

    schemes: dict[str, str]
    own: dict[str, HullEntry]
    imported: tuple[HullEntry, ...]

    @property
    def entries(self) -> tuple[HullEntry, ...]:
        return (*self.own.values(), *self.imported)


def _known(store: Store, relaxed: Sequence[Candidate], settings: PwSettings, table: PseudoTable) -> _Known:
    computed = [(c, c.relaxation) for c in _computed(relaxed, settings, table) if c.relaxation is not None]
    schemes = {release(r.pw_version): energy_scheme(settings, table, r.pw_version) for _, r in computed}
    imported = [
        HullEntry(energy.id, energy.formula, energy.energy_per_atom_ev, energy.scheme, imported=True)
        for energy in store.imported_energies()
        if energy.scheme in schemes.values()
    ]
    return _Known(schemes, {c.id: _entry(c, r, schemes) for c, r in computed}, tuple(imported))


def _judged(
    known: _Known, table: PseudoTable, mine: Sequence[Candidate], reference: HullReference | None
) -> CampaignHull:
    entries = known.own
    wanted = [entries[c.id] for c in mine if c.id in entries and len(entries[c.id].elements) > 1]
    above = energies_above_hull(wanted, known.entries, partial(scheme_hull, reference))
    other = AboveHull(None, "no hull: its settings or pseudopotentials are not those that the campaign has now")
    if not table.folder.is_dir():
        other = AboveHull(
            None, f"no hull: no folder {table.folder}, and the bundled pseudopotentials are not the crystal's"
        )
    element = AboveHull(None, "no hull: an element")
    judged = {c.id: above.get(c.id) or (element if c.id in entries else other) for c in mine}
    untold = frozenset(c.id for c in mine if not _can_be_told(c, table))
    return CampaignHull(known.schemes, known.entries, tuple(mine), judged, untold)


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
