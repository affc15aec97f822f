"""Candidates with their calculation keys, elemental references, and formation energies. No database, no pw.x."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crystalloop.db.ledger.records import REFERENCES, Candidate, CrystalDoc, Origin, OriginKind, Relaxation
from crystalloop.dft.energies.references import (
    calculation_key,
    formation_energy_ev_per_atom,
    reference_settings,
    reference_structure,
    release,
)
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.draw.proposal import Proposal

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


def origin_of(proposal: Proposal) -> Origin:
    """Where a candidate comes from, of the proposal that it was."""
    return Origin(
        kind=OriginKind(proposal.kind),
        model_version=proposal.model_version,
        bases=proposal.bases,
        latent=proposal.stored_latent,
        condition=proposal.stored_condition,
        seed=proposal.seed,
    )


class Energies:
    """Knows the settings and pseudopotentials of one campaign; everything energetic is asked here."""

    def __init__(
        self, settings: PwSettings, table: PseudoTable, pw_version: str = "", reject_above_e_f: float | None = None
    ) -> None:
        self._settings = settings
        self._reject_above_e_f = reject_above_e_f
        self._table = table
        self._version = pw_version
        self._keys: dict[str, str] = {}

    def candidate(
        self, draft: Proposal, campaign: str, round_: int, passed: tuple[str, ...], now: datetime
    ) -> Candidate:
        """The record of a crystal that came through the funnel; the same crystal and settings get the same id."""
        key = calculation_key(draft.structure, self._settings, self._table, self._version)
        predicted = dict(draft.predicted)
        return Candidate(
            id=f"{campaign}-{round_}-{draft.formula}-{key[:8]}",
            campaign=campaign,
            round=round_,
            key=key,
            formula=draft.formula,
            prototype=draft.prototype,
            crystal=CrystalDoc.from_structure(draft.structure),
            settings=_plain(self._settings),
            origin=origin_of(draft),
            passed=passed,
            predicted=predicted,
            e_f_predicted=predicted.get(E_F),
            created_at=now,
            updated_at=now,
        )

    def limited(self, candidate: Candidate, find: Callable[[str], Candidate | None]) -> Candidate:
        """The candidate with the total energy above which its cheap rung rejects it.

        It is the campaign's limit of the formation energy over the elemental references. Those of the campaign's first
        crystals are computed along with them, so these have no limit.

        Args:
            candidate: not stored yet.
            find: looks up a RELAXED candidate by calculation key.
        """
        found = [find(self.reference_key(element)) for element in candidate.crystal.species]
        energies = [
            one.relaxation.energy_per_atom_ev for one in found if one is not None and one.relaxation is not None
        ]
        if self._reject_above_e_f is None or len(energies) < len(candidate.crystal.species):
            return candidate
        highest = {"reject_above_ev_per_atom": sum(energies) / len(energies) + self._reject_above_e_f}
        return candidate.model_copy(update={"settings": {**candidate.settings, **highest}})

    def shares_settings(self, candidate: Candidate) -> bool:
        """Whether a candidate, of any campaign, was computed as this one computes: limits, pseudopotentials, releases, too."""
        if candidate.settings != _plain(self._settings):
            return False
        structure = candidate.crystal.to_structure()
        return candidate.key == calculation_key(structure, self._settings, self._table, self._version)

    def references(self, elements: Iterable[str], now: datetime) -> tuple[Candidate, ...]:
        """The elemental reference calculations that formation energies over these elements need."""
        return tuple(self._reference(element, now) for element in sorted(set(elements)))

    def reference_key(self, element: str) -> str:
        """Key of an element's reference under this campaign's settings."""
        if element not in self._keys:
            self._keys[element] = self._reference_key(element, self._version)
        return self._keys[element]

    def _reference_key(self, element: str, version: str) -> str:
        settings = reference_settings(element, self._settings)
        return calculation_key(reference_structure(element), settings, self._table, version)

    def formation_energy(
        self, relaxation: Relaxation, find: Callable[[str], Candidate | None]
    ) -> tuple[float | None, str | None]:
        """Formation energy in eV/atom, or None with the reason.

        Args:
            relaxation: a finished relaxation under this campaign's settings.
            find: looks up a RELAXED candidate by calculation key.
        """
        references, reason = self._relaxed_references(relaxation, find)
        if reason:
            return None, reason
        energies = {element: found.energy_per_atom_ev for element, found in references.items()}
        return formation_energy_ev_per_atom(relaxation.energy_ev, _amounts(relaxation), energies), None

    def formation_energy_without_d2(
        self, relaxation: Relaxation, find: Callable[[str], Candidate | None]
    ) -> float | None:
        """The same cells' formation energy without D2, in eV/atom; None where one of them was computed without it."""
        references, reason = self._relaxed_references(relaxation, find)
        without = {element: _per_atom_without_d2(found) for element, found in references.items()}
        known = {element: energy for element, energy in without.items() if energy is not None}
        if reason or relaxation.energy_without_d2_ev is None or len(known) < len(without):
            return None
        return formation_energy_ev_per_atom(relaxation.energy_without_d2_ev, _amounts(relaxation), known)

    def _relaxed_references(
        self, relaxation: Relaxation, find: Callable[[str], Candidate | None]
    ) -> tuple[dict[str, Relaxation], str | None]:
        """The elemental references of a crystal, or the reason why one of them does not serve."""
        references: dict[str, Relaxation] = {}
        for element in sorted(set(relaxation.crystal.species)):
            # Databases that began before the release of pw.x was part of the key have references without it.
            found = find(self.reference_key(element)) or find(self._reference_key(element, ""))
            if found is None or found.relaxation is None:
                return (
                    {},
                    f"the elemental reference of {element} was not computed; `crystalloop trace` its ref- id says why",
                )
            theirs, ours = release(found.relaxation.pw_version), release(relaxation.pw_version)
            if theirs != ours:
                return {}, (
                    f"the elemental reference of {element} is of pw.x {theirs} and this crystal of {ours}: energies of two "
                    "releases are not subtracted; let all workers of a database run the same one"
                )
            references[element] = found.relaxation
        return references, None

    def _reference(self, element: str, now: datetime) -> Candidate:
        structure: Structure = reference_structure(element)
        settings = reference_settings(element, self._settings)
        key = self.reference_key(element)
        return Candidate(
            id=f"ref-{element}-{key[:8]}",
            campaign=REFERENCES,
            kind="reference",
            round=0,
            key=key,
            formula=str(structure.composition.reduced_formula),
            prototype=None,
            crystal=CrystalDoc.from_structure(structure),
            settings=_plain(settings),
            origin=Origin(kind=OriginKind.ELEMENT),
            created_at=now,
            updated_at=now,
        )


def _plain(settings: PwSettings) -> dict[str, Any]:
    plain: Mapping[str, Any] = settings.model_dump(mode="json")
    return dict(plain)


def _amounts(relaxation: Relaxation) -> dict[str, float]:
    species = relaxation.crystal.species
    return {element: float(species.count(element)) for element in set(species)}


def _per_atom_without_d2(relaxation: Relaxation) -> float | None:
    energy_ev = relaxation.energy_without_d2_ev
    return None if energy_ev is None else energy_ev / len(relaxation.crystal.species)
