"""The shape {lattice, sites}: pymatgen's Structure as a document, as Materials Project exports it. No other shape.

Read field by field: pymatgen's own reader imports whatever module an `@module` in the document names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.objects.values import lattice_of, mapping, number, sequence, text, vector
from crystalloop.models.formats.parts.assembled import assembled
from crystalloop.models.formats.parts.words import ISOTOPES, element_of, isotope_note, shown

_APART_ANG = 0.05


def has_sites(found: Mapping[str, Any]) -> bool:
    """Whether an object has this shape."""
    return "sites" in found and ("lattice" in found or "Molecule" in str(found.get("@class")))


def crystal_of_sites(found: Mapping[str, Any]) -> CrystalRead:
    """The crystal of {lattice, sites}; oxidation states are left out, disorder is kept.

    Raises:
        FormatError: the field that is wrong, with its value.
    """
    if found.get("lattice") is None:
        raise FormatError("holds sites without a lattice (a molecule): pw.x computes crystals; put it into a box")
    cell = lattice_of(found["lattice"])
    sites = [mapping(site, f"sites[{index}]") for index, site in enumerate(sequence(found["sites"], "sites"))]
    if not sites:
        raise FormatError("sites is empty: no atoms; give one crystal")
    heavy: set[str] = set()
    species = [_species(site, f"sites[{index}]", heavy) for index, site in enumerate(sites)]
    coords = np.array([_fractions(site, cell, f"sites[{index}]") for index, site in enumerate(sites)])
    notes = [*(isotope_note(one) for one in sorted(heavy)), *_notes(found, sites)]
    return assembled(cell, species, coords, _moments(sites), notes)


def _species(site: Mapping[str, Any], where: str, heavy: set[str]) -> dict[str, float]:
    kinds = sequence(site.get("species"), f"{where}.species")
    parts: dict[str, float] = {}
    for index, kind in enumerate(kinds):
        what = f"{where}.species[{index}]"
        fields = mapping(kind, what)
        element = element_of(_bare(text(fields.get("element"), f"{what}.element")), f"{what}.element")
        if element in ISOTOPES:
            heavy.add(element)
            element = "H"
        share = number(fields.get("occu", 1), f"{what}.occu")
        if not 0 < share <= 1.0 + 1e-6:
            raise FormatError(f"{what}.occu is {share:g}, expected more than 0 and at most 1")
        parts[element] = parts.get(element, 0.0) + share
    if not parts or sum(parts.values()) > 1.001:
        raise FormatError(f"{where} is occupied to {sum(parts.values()):g}, expected more than 0 and at most 1")
    return parts


def _bare(symbol: str) -> str:
    """`Fe3+`, as older documents have it, without the charge."""
    return symbol.rstrip("+-").rstrip("0123456789.") if symbol.endswith(("+", "-")) else symbol


def _fractions(site: Mapping[str, Any], cell: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    cartesian = None if site.get("xyz") is None else np.array(vector(site["xyz"], f"{where}.xyz"))
    if site.get("abc") is None:
        if cartesian is None:
            raise FormatError(f"{where} has no position, neither abc (fractions) nor xyz (angstrom)")
        solved: NDArray[np.float64] = np.linalg.solve(cell.T, cartesian)
        return solved
    fractions = np.array(vector(site["abc"], f"{where}.abc"))
    if cartesian is not None:
        # A cell in another orientation turns xyz, too; lengths from the origin and images are all that can be compared.
        apart = np.linalg.solve(cell.T, cartesian) - fractions
        if np.linalg.norm((apart - np.round(apart)) @ cell) > _APART_ANG:
            raise FormatError(f"{where}: abc and xyz say two different places in the cell; leave one of them out")
    return fractions


def _moments(sites: Sequence[Mapping[str, Any]]) -> list[float] | list[list[float]] | None:
    """From the property magmom, else from the spin of the species; vectors where one of them is a vector."""
    given = [_moment(site, f"sites[{index}]") for index, site in enumerate(sites)]
    if all(one is None for one in given):
        return None
    if any(isinstance(one, list) for one in given):
        return [one if isinstance(one, list) else [0.0, 0.0, one or 0.0] for one in given]
    return [one if isinstance(one, float) else 0.0 for one in given]


def _moment(site: Mapping[str, Any], where: str) -> float | list[float] | None:
    value = mapping(site.get("properties") or {}, f"{where}.properties").get("magmom")
    if isinstance(value, Mapping):  # pymatgen's Magmom
        value = value.get("moment")
    if isinstance(value, (list, tuple)):
        return vector(value, f"{where}.properties.magmom")
    if value is not None:
        return number(value, f"{where}.properties.magmom")
    spins = [_spin(kind) for kind in site["species"]]
    spins = [spin for spin in spins if spin is not None]
    return number(spins[0], f"{where}.species spin") if len(spins) == 1 else None


def _spin(kind: Mapping[str, Any]) -> Any:  # noqa: ANN401
    properties = kind.get("properties")
    return kind.get("spin", properties.get("spin") if isinstance(properties, Mapping) else None)


def _notes(found: Mapping[str, Any], sites: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    if found.get("charge"):
        notes.append(f"the charge of the crystal, {shown(found['charge'])}, is not used: it is computed neutral")
    properties = [site.get("properties") for site in sites]
    if any(isinstance(one, Mapping) and "selective_dynamics" in one for one in properties):
        notes.append("selective_dynamics is not used: all atoms may move")
    lattice = found["lattice"]
    periodic = lattice.get("pbc") if isinstance(lattice, Mapping) else None
    if isinstance(periodic, (list, tuple)) and not all(periodic):
        notes.append(open_note(periodic))
    return notes


def open_note(periodic: Sequence[object]) -> str:
    """The sentence on a cell that is not periodic in some direction."""
    told = " ".join("T" if one else "F" for one in periodic)
    return f"pbc is {told}: the cell is repeated in all three directions, as pw.x computes it"
