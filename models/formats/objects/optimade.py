"""The shape of an OPTIMADE structure resource {lattice_vectors, cartesian_site_positions, species_at_sites}. No requests.

Source: the OPTIMADE specification 1.2, entry type structures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.objects.pymatgen_sites import open_note
from crystalloop.models.formats.objects.values import lattice_of, mapping, number, sequence, text, vectors
from crystalloop.models.formats.parts.assembled import assembled
from crystalloop.models.formats.parts.cells import fractions_of
from crystalloop.models.formats.parts.words import ISOTOPES, element_of, isotope_note, shown

_BEYOND = {"implicit_atoms": "atoms that have no site", "assemblies": "alternatives of groups of sites"}


def is_optimade(found: Mapping[str, Any]) -> bool:
    """Whether an object has this shape."""
    return "cartesian_site_positions" in found or "species_at_sites" in found


def crystal_of_optimade(found: Mapping[str, Any]) -> CrystalRead:
    """The crystal of a resource's attributes.

    Raises:
        FormatError: the field that is wrong, with its value; atoms without a site, groups of alternatives.
    """
    features = found.get("structure_features")
    for feature in [] if features is None else sequence(features, "structure_features"):
        if isinstance(feature, str) and feature in _BEYOND:
            raise FormatError(f"structure_features says {feature}: {_BEYOND[feature]}; give a crystal without")
    cell = lattice_of(found.get("lattice_vectors"), "lattice_vectors")
    coords = fractions_of(vectors(found.get("cartesian_site_positions"), "cartesian_site_positions"), cell)
    at_sites = [text(one, "species_at_sites") for one in sequence(found.get("species_at_sites"), "species_at_sites")]
    known = _species(found, at_sites)
    missing = sorted(set(at_sites) - set(known))
    if missing:
        raise FormatError(f"species_at_sites names {shown(missing[0])}, which species does not hold")
    if isinstance(found.get("nsites"), int) and found["nsites"] != len(at_sites):
        raise FormatError(f"nsites is {found['nsites']}, and species_at_sites holds {len(at_sites)}; mend one of them")
    heavy = sorted({one for parts in known.values() for one in parts} & set(ISOTOPES))
    bare = {
        name: {"H" if one in ISOTOPES else one: share for one, share in parts.items()} for name, parts in known.items()
    }
    periodic = found.get("dimension_types")
    notes = [isotope_note(one) for one in heavy]
    if isinstance(periodic, list) and not all(periodic):
        notes.append(open_note(periodic))
    return assembled(cell, [bare[name] for name in at_sites], coords, None, notes)


def _species(found: Mapping[str, Any], at_sites: list[str]) -> dict[str, dict[str, float]]:
    """Name of a species -> how much of which element; a name without a species is an element's symbol."""
    if found.get("species") is None:
        return {name: {element_of(name, "species_at_sites"): 1.0} for name in at_sites}
    known = {}
    for index, given in enumerate(sequence(found["species"], "species")):
        where = f"species[{index}]"
        fields = mapping(given, where)
        name = text(fields.get("name"), f"{where}.name")
        if fields.get("attached"):
            raise FormatError(f"{where} ({name}) has atoms attached that have no positions; give a crystal without")
        elements = sequence(fields.get("chemical_symbols"), f"{where}.chemical_symbols")
        shares = sequence(fields.get("concentration") or [1.0] * len(elements), f"{where}.concentration")
        if len(elements) != len(shares):
            raise FormatError(f"{where} holds {len(elements)} chemical_symbols and {len(shares)} concentrations")
        known[name] = {
            element_of(text(element, where), f"{where}.chemical_symbols"): number(share, f"{where}.concentration")
            for element, share in zip(elements, shares, strict=True)
            if element != "vacancy"
        }
        if not known[name] or not all(0 < share <= 1.0 for share in known[name].values()):
            raise FormatError(f"{where} ({name}) holds {shown(dict(known[name]))}, expected elements and their shares")
    return known
