"""Candidates with their calculation keys, elemental references, and formation energies. No database, no pw.x."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from db.records import REFERENCES, Candidate, CrystalDoc, Origin, OriginKind, Relaxation
from dft.pseudos import PseudoTable
from dft.references import (
    calculation_key,
    formation_energy_ev_per_atom,
    reference_settings,
    reference_structure,
)
from dft.settings import PwSettings
from orchestrator.screen import Draft

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


class Energies:
    """Knows the settings and pseudopotentials of one campaign; everything energetic is asked here."""

    def __init__(self, settings: PwSettings, table: PseudoTable) -> None:
        self._settings = settings
        self._table = table
        self._keys: dict[str, str] = {}

    def candidate(self, draft: Draft, campaign: str, round_: int, passed: tuple[str, ...], now: datetime) -> Candidate:
        """The record of a crystal that came through the funnel; the same crystal and settings get the same id."""
        key = calculation_key(draft.structure, self._settings, self._table)
        predicted = dict(draft.predicted or {})
        return Candidate(
            id=f"{campaign}-{round_}-{draft.formula}-{key[:8]}",
            campaign=campaign,
            round=round_,
            key=key,
            formula=draft.formula,
            prototype=draft.prototype,
            crystal=CrystalDoc.from_structure(draft.structure),
            settings=_plain(self._settings),
            origin=Origin(
                kind=OriginKind(draft.kind),
                model_version=draft.model_version,
                bases=draft.bases,
                latent=draft.latent,
                condition=draft.condition,
                seed=draft.seed,
            ),
            passed=passed,
            predicted=predicted,
            e_f_predicted=predicted.get("formation_energy_per_atom"),
            created_at=now,
            updated_at=now,
        )

    def references(self, elements: Iterable[str], now: datetime) -> tuple[Candidate, ...]:
        """The elemental reference calculations that formation energies over these elements need."""
        return tuple(self._reference(element, now) for element in sorted(set(elements)))

    def reference_key(self, element: str) -> str:
        """Key of an element's reference under this campaign's settings."""
        if element not in self._keys:
            settings = reference_settings(element, self._settings)
            self._keys[element] = calculation_key(reference_structure(element), settings, self._table)
        return self._keys[element]

    def formation_energy(
        self, relaxation: Relaxation, find: Callable[[str], Candidate | None]
    ) -> tuple[float | None, str | None]:
        """Formation energy in eV/atom, or None with the reason.

        Args:
            relaxation: a finished relaxation under this campaign's settings.
            find: looks up a RELAXED candidate by calculation key.
        """
        structure = relaxation.crystal.to_structure()
        energies: dict[str, float] = {}
        for element in sorted(structure.symbol_set):
            found = find(self.reference_key(element))
            if found is None or found.relaxation is None:
                return (
                    None,
                    f"the elemental reference of {element} was not computed; `crystalloop trace` its ref- id says why",
                )
            energies[element] = found.relaxation.energy_per_atom_ev
        amounts = structure.composition.get_el_amt_dict()
        return formation_energy_ev_per_atom(relaxation.energy_ev, amounts, energies), None

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
