"""What hulls of a campaign are made of: its reference, tied to pw.x's own energies, or these alone; asked by formula before DFT.

How candidates are judged and what is stored: hulls. How files are read: formation_set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crystalloop.db.ledger.records import ReferenceEnergy
from crystalloop.dft.energies.hull import HullEntry, Own, SchemeHull, formation_entries, own_hull
from crystalloop.dft.energies.reference_hull import FormationEntry, Key, ReferenceHull, composition_key
from crystalloop.dft.energies.tie import fit_tie
from crystalloop.models.data.files import DataError
from crystalloop.orchestrator.campaign.choice.sections import HullSection
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.settle.formation_set import FormationSet, read_formation_set


@dataclass(frozen=True)
class HullReference:
    """A campaign's reference, on the scale of plain PBE, of its elements alone.

    Attributes:
        hull: of the reference's energies; compounds are moved when their system is first looked at.
        name: of its files.
        common: compounds that pw.x must have computed, too, before it is used.
        entries: what the hull is of, in the schemes of the files.
        notes: what was read.
    """

    hull: ReferenceHull
    name: str
    common: int
    entries: tuple[FormationEntry, ...]
    notes: tuple[str, ...] = ()

    def compositions(self) -> set[Key]:
        """Of its compounds."""
        return {key for entry in self.entries if len(key := composition_key(entry.formula)) > 1}


def hull_reference(campaign: Campaign, imported: Iterable[ReferenceEnergy] = ()) -> HullReference | None:
    """Read what a campaign's hull is measured against; None where it names nothing.

    Args:
        campaign: its `hull` and elements.
        imported: every imported energy of the database, for sets that are named.

    Raises:
        DataError: a file that cannot be used, an empty set, or one without an element of the campaign.
    """
    if not campaign.hull.reference:
        return None
    with_d2 = bool(campaign.dft.settings.get("d2"))
    found = read_formation_set(campaign.hull, imported, with_d2=with_d2)
    entries = _of_elements(found, campaign.elements)
    hull = ReferenceHull(entries, f"in {found.name}", _onto_plain_scale)
    said = [f"hull: {found.name}: {len(entries):,} energies of these elements, {_schemes(entries)}"]
    if with_d2:
        said.append(
            "hull: pw.x computes with D2 here; a reference without it is brought onto that scale by the tie alone"
        )
    return HullReference(hull, found.name, campaign.hull.common, tuple(entries), (*found.notes, *said))


def untied_hull(hull: HullSection) -> ReferenceHull:
    """The hull of a campaign's reference as its files give it, of all elements, for tables whose energies are of its scheme.

    Raises:
        DataError: what cannot be used, or energies of several schemes, which are not comparable as they are.
    """
    found = read_formation_set(hull)
    schemes = sorted({entry.scheme for entry in found.entries})
    if len(schemes) > 1:
        raise DataError(
            f"hull.reference: {found.name} has energies of {' and '.join(schemes)}: not comparable as they are; "
            f"`hull: {{scheme: {schemes[0]}}}` takes those alone"
        )
    return ReferenceHull(found.entries, f"in {found.name}")


def names_imported_set(campaign: Campaign) -> bool:
    """Whether the reference is in the database, and cannot be read without it."""
    return not all(one.is_file for one in campaign.hull.reference)


def _of_elements(found: FormationSet, elements: Sequence[str]) -> list[FormationEntry]:
    """The entries without other elements.

    Raises:
        DataError: an element of the campaign that the set says nothing of, or no compound of its elements.
    """
    keyed = [(composition_key(entry.formula), entry) for entry in found.entries]
    pure = {key[0][0] for key, _ in keyed if len(key) == 1}
    known = pure or {symbol for key, _ in keyed for symbol, _ in key}
    if missing := [symbol for symbol in elements if symbol not in known]:
        raise DataError(
            f"hull.reference: {found.name} lists no energy of {', '.join(missing)}, among the campaign's elements: no hull with "
            f"{'it' if len(missing) == 1 else 'them'} could be drawn; take {'it' if len(missing) == 1 else 'them'} out of "
            "`elements`, or name a further file that has a row of the element itself, at 0"
        )
    wanted = set(elements)
    kept = [(key, entry) for key, entry in keyed if wanted.issuperset(symbol for symbol, _ in key)]
    if not any(len(key) > 1 for key, _ in kept):
        raise DataError(f"hull.reference: {found.name} has no compound of {', '.join(elements)} alone")
    return [entry for _, entry in kept]


def _schemes(entries: Sequence[FormationEntry]) -> str:
    names = sorted({entry.scheme for entry in entries})
    return " and ".join("taken as given" if name == "as_given" else f"of scheme {name}" for name in names)


def _onto_plain_scale(entry: FormationEntry) -> float | None:
    from crystalloop.models.data.energy_schemes import plain_shift_of_formula  # late: 2 CPU s, for these hulls alone

    return plain_shift_of_formula(entry.formula, entry.scheme)


def scheme_hull(reference: HullReference | None, scheme: str, own: Own) -> SchemeHull:
    """The hull of a scheme of pw.x: the reference tied to it, where there are enough common compounds, or pw.x alone."""
    alone = own_hull(scheme, own)
    if reference is None:
        return alone
    tie = fit_tie(own, reference.hull.listed)
    if tie.common < reference.common:
        too_few = f"{tie.common} of the {reference.common} common compounds that tie {reference.name}"
        return SchemeHull(alone.hull, f"{alone.source}: it has {too_few}")
    source = f"{reference.name}, tied to pw.x by {tie.common} common compound{'s' * (tie.common != 1)}"
    return SchemeHull(reference.hull.with_own(own, tie.shift_ev), source, tie.error_ev_per_atom)


class CampaignHullEnergies:
    """The hull's energy at any composition, on the scale of pw.x's formation energies, as known at one moment.

    Own results of the database join the reference as soon as it is tied to them. Before that it stands alone, on the scale of
    plain PBE: what is only predicted is better measured against it than against nothing. Without a reference, the hull is
    that of pw.x's energies.

    Args:
        reference: of the campaign; None for none.
        entries: the database's total energies of the campaign's schemes.

    Attributes:
        source: which energies the hull is made of.
    """

    def __init__(self, reference: HullReference | None, entries: Sequence[HullEntry]) -> None:
        scheme, own = _largest_scheme(entries)
        made = scheme_hull(reference, scheme, own)
        if reference is not None and made.error is None:
            made = SchemeHull(
                reference.hull, f"{reference.name}, not yet tied to pw.x", fit_tie((), lambda _: None).error_ev_per_atom
            )
        self.source = made.source
        self._made = made

    def hull_energy(self, formula: str) -> float | None:
        """Energy of formation of the hull, eV/atom, 0 or below; None for elements and where the hull abstains.

        Raises:
            ValueError: a formula that cannot be read.
        """
        return self._made.hull.energy(formula)

    def why_none(self, formula: str) -> str | None:
        """The reason why there is no energy; None where there is one."""
        return self._made.hull.at(formula).reason

    def error(self, formula: str) -> float | None:
        """Standard error of `hull_energy` on the scale of pw.x, eV/atom; None where it is made of pw.x's energies alone."""
        return None if self._made.error is None else self._made.error(formula)


def _largest_scheme(entries: Sequence[HullEntry]) -> tuple[str, list[FormationEntry]]:
    """The scheme that most own energies are of: of several releases of pw.x, the one in use."""
    own = [entry.scheme for entry in entries if not entry.imported]
    scheme = max(sorted(set(own)), key=own.count, default="")
    return scheme, formation_entries([entry for entry in entries if entry.scheme == scheme])
