"""The shape {numbers, positions, cell}: a row of ASE's JSON database, or Atoms.todict(). No ASE is needed, no other shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.objects.pymatgen_sites import open_note
from crystalloop.models.formats.objects.values import lattice_of, number, sequence, vector, vectors
from crystalloop.models.formats.parts.assembled import assembled
from crystalloop.models.formats.parts.cells import fractions_of
from crystalloop.models.formats.parts.words import element_of_number, shown


def is_ase(found: Mapping[str, Any]) -> bool:
    """Whether an object has this shape."""
    return "numbers" in found and "positions" in found


def crystal_of_ase(found: Mapping[str, Any]) -> CrystalRead:
    """The crystal of a row; initial moments before those that a calculator found.

    Raises:
        FormatError: the field that is wrong, with its value.
    """
    cell_given = _plain(found.get("cell"))
    if cell_given is None:
        raise FormatError("has no cell (three lattice vectors): pw.x computes crystals; add one, or put it into a box")
    cell = lattice_of(cell_given, "cell")
    numbers = sequence(_plain(found["numbers"]), "numbers")
    elements = [element_of_number(_whole(one, "numbers"), f"numbers[{index}]") for index, one in enumerate(numbers)]
    positions = vectors(_plain(found["positions"]), "positions")
    if len(positions) != len(elements):
        raise FormatError(f"holds {len(elements)} numbers and {len(positions)} positions; mend the file")
    periodic = _plain(found.get("pbc"))
    notes = [open_note(periodic)] if isinstance(periodic, list) and not all(periodic) else []
    if found.get("constraints"):
        notes.append("constraints are not used: all atoms may move")
    return assembled(cell, elements, fractions_of(positions, cell), _moments(found, len(elements)), notes)


def _moments(found: Mapping[str, Any], count: int) -> list[float] | list[list[float]] | None:
    for name in ("initial_magmoms", "magmoms"):
        given = _plain(found.get(name))
        if given is None:
            continue
        rows = sequence(given, name)
        if len(rows) != count:
            raise FormatError(f"{name} holds {len(rows)} moments for {count} atoms")
        if rows and isinstance(rows[0], (list, tuple)):
            return [vector(row, name) for row in rows]
        return [number(row, name) for row in rows]
    return None


def _whole(value: object, what: str) -> int:
    found = number(value, what)
    if not found.is_integer():
        raise FormatError(f"{what} holds {shown(value)}, expected whole numbers")
    return int(found)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A list, of {"__ndarray__": [shape, type, values]} or of a cell around one."""
    if isinstance(value, Mapping) and "array" in value:
        value = value["array"]
    if not isinstance(value, Mapping) or "__ndarray__" not in value:
        return value
    parts = sequence(value["__ndarray__"], "__ndarray__")
    if len(parts) != 3:
        raise FormatError(f"__ndarray__ is {shown(parts)}, expected shape, type and values")
    shape, values = [_whole(one, "shape") for one in sequence(parts[0], "shape")], sequence(parts[2], "values")
    if any(isinstance(one, (list, tuple)) for one in values):
        return values  # rows after each other are written as they are
    if math.prod(shape) != len(values) or any(one < 0 for one in shape):
        raise FormatError(f"an array of shape {shown(shape)} holds {len(values)} values")
    return np.array(values, dtype=object).reshape(shape).tolist()
