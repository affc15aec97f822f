"""Shapes of lists side by side: {species, frac_coords, lattice or a}, and JARVIS's {elements, coords, lattice_mat}. No labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.objects.values import lattice_of, number, sequence, text, vectors
from crystalloop.models.formats.parts.assembled import assembled
from crystalloop.models.formats.parts.cells import fractions_of
from crystalloop.models.formats.parts.words import elements_of


def is_flat(found: Mapping[str, Any]) -> bool:
    """Whether an object has one of these shapes."""
    return "frac_coords" in found or "cart_coords" in found or {"lattice_mat", "coords"} <= set(found)


def crystal_of_flat(found: Mapping[str, Any]) -> CrystalRead:
    """The crystal of such a row; `cart_coords` and cartesian `coords` are in angstrom.

    Raises:
        FormatError: the field that is wrong, with its value.
    """
    cell_name = next((name for name in ("lattice", "lattice_mat", "a") if found.get(name) is not None), None)
    if cell_name is None:
        raise FormatError("has neither lattice nor a: no cell; write one of them")
    cell = lattice_of(number(found["a"], "a") if cell_name == "a" else found[cell_name], cell_name)
    kinds_name = next((name for name in ("species", "elements") if found.get(name) is not None), None)
    if kinds_name is None:
        raise FormatError("has no species: no atoms; write their symbols, one of each position")
    labels = [text(one, kinds_name) for one in sequence(found[kinds_name], kinds_name)]
    elements, notes = elements_of([label.strip() for label in labels], kinds_name)
    places = next(name for name in ("frac_coords", "cart_coords", "coords") if name in found)
    coords = vectors(found[places], places)
    if len(coords) != len(elements):
        raise FormatError(
            f"{kinds_name} holds {len(elements)} and {places} {len(coords)}: each position needs one element"
        )
    if places == "cart_coords" or (places == "coords" and found.get("cartesian") is True):
        coords = fractions_of(coords, cell)
    return assembled(cell, elements, coords, None, notes)
