"""The crystal of one row, as arrays, fast: no pymatgen for the plain layouts. Its labels: labels; distances: rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from math import cos, radians, sin, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.data.problems import number_of, shown
from crystalloop.models.formats.cif import first_line, read_cif
from crystalloop.models.formats.crystal_read import MOST_ATOMS

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

_EDGE_ANG = 10_000.0  # the longest edge
_COORDS = (-1.0, 2.0)  # fractions of a cell that is not moved by more than one; beyond they are angstrom
_REST_OF_CELL = ("b", "c", "alpha", "beta", "gamma")
_DOCUMENTS = frozenset(
    {"structure", "sites", "attributes", "data", "lattice_vectors", "cartesian_site_positions", "species_at_sites"}
    | {"positions", "cart_coords", "coords", "lattice_mat"}
)  # fields of rows that hold a crystal in another shape
_HEAVY = {"D": "deuterium", "T": "tritium"}
_FORMS = "a (cubic), [a, b, c, alpha, beta, gamma], an object of these, or a matrix of 3 x 3"
Read = tuple[Crystal, tuple[str, ...]]
"""A crystal, and remarks on how it was read."""


def crystal_of(row: Mapping[str, Any]) -> Read:
    """The crystal of a row: CIF text, or species, fractional coordinates and a cell.

    Raises:
        ValueError, KeyError, TypeError, ...: one of problems.ROW_ERRORS, with the value and the bound.
    """
    if row.get("cif"):
        read = read_cif(str(row["cif"]))
        return _of_structure(read.structure), read.notes
    if "species" not in row or "frac_coords" not in row:
        return _of_object(row)
    species = _species(row)
    _refuse_empty(row)
    coords = _coords(listed(row["frac_coords"], "frac_coords"), len(species))
    lattice = _lattice(row)
    try:
        table = atomic_numbers()
        numbers = np.array([table[symbol] for symbol in species])
    except (KeyError, TypeError):  # charges, shared sites: pymatgen knows them, and names what is wrong
        crystal, notes = _general(lattice, species, coords)
        return crystal, (*notes, *_on_edge(row, lattice))
    return Crystal(lattice, numbers, coords), _on_edge(row, lattice)


def listed(value: Any, name: str) -> Any:  # noqa: ANN401
    """A list or an object; from a CSV cell, the JSON text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            tried = value.replace("'", '"').replace("(", "[").replace(")", "]")
            raise ValueError(f"{name} = {shown(value)} is no JSON; write JSON, e.g. {_example(tried, name)}") from error
    if not isinstance(value, list | tuple | dict):
        raise ValueError(f"{name} = {shown(value)} is no list")
    return value


def _example(tried: str, name: str) -> str:
    try:
        return shown(json.loads(tried))
    except (ValueError, RecursionError):
        return '["Na", "Cl"]' if name == "species" else "[[0, 0, 0], [0.5, 0.5, 0.5]]"


def _species(row: Mapping[str, Any]) -> Sequence[Any]:
    species: Sequence[Any] = listed(row["species"], "species")
    if not species or isinstance(species, dict):
        raise ValueError(f"species = {shown(species)} names no atoms; write one symbol for each")
    if len(species) > MOST_ATOMS:
        raise ValueError(f"has {len(species):,} atoms; at most {MOST_ATOMS:,} are read")
    return species


def _refuse_empty(row: Mapping[str, Any]) -> None:
    """Occupancies in a field of their own are those of full sites, or the row is no ordered crystal."""
    for name in ("occupancy", "occupancies"):
        given = row.get(name)
        for share in given if isinstance(given, list) else []:
            if share != 1:
                raise ValueError(f"{name} = {shown(given)}: has partially occupied sites; order it first")


def _coords(given: Any, atoms: int) -> NDArray[np.float64]:  # noqa: ANN401
    """Coordinates [a, 3], each of three finite numbers."""
    if isinstance(given, dict) or len(given) != atoms:
        what = f"{len(given)} positions" if not isinstance(given, dict) else "no list of positions"
        raise ValueError(f"{atoms} species and {what}; give one position for each, [x, y, z]")
    flat = list(chain.from_iterable(given)) if {*map(type, given)} <= {list} else []
    if (
        len(flat) == 3 * atoms
        and {*map(type, flat)} <= {float, int}
        and _COORDS[0] <= min(flat) <= max(flat) <= _COORDS[1]
    ):
        try:
            coords = np.array(given, dtype=np.float64)
        except ValueError:  # positions of unlike lengths
            coords = np.array([])
        if coords.shape == (atoms, 3) and math.isfinite(sum(flat)):
            return coords
    return np.array([_position(index, one) for index, one in enumerate(given, start=1)])


def _position(index: int, given: Any) -> list[float]:  # noqa: ANN401
    if not isinstance(given, list | tuple) or len(given) != 3:
        raise ValueError(_wanted(index, given))
    try:
        position = [number_of(x) for x in given]
    except ValueError as error:
        raise ValueError(_wanted(index, given)) from error
    if not _COORDS[0] <= min(position) <= max(position) <= _COORDS[1]:
        raise ValueError(_wanted(index, given))
    return position


def _wanted(index: int, given: object) -> str:
    return f"position {index} is {shown(given)}; wanted are three finite fractional coordinates, 0 to 1: angstrom?"


def _lattice(row: Mapping[str, Any]) -> NDArray[np.float64]:
    """Lattice rows [3, 3] from whichever form the row has."""
    given = row.get("lattice")
    if given is not None and given != "":
        return _of_lattice(listed(given, "lattice"))
    if not row.keys().isdisjoint(_REST_OF_CELL) and any(
        row.get(name) not in (None, "") for name in _REST_OF_CELL
    ):  # three edges and angles in columns of their own
        return _of_cell({name: row.get(name) for name in ("a", *_REST_OF_CELL)})
    a = _edge(row["a"], "a")
    return np.array([[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]])


def _on_edge(row: Mapping[str, Any], lattice: NDArray[np.float64]) -> tuple[str, ...]:
    """A remark where a field `a` beside the lattice says another edge."""
    if row.get("lattice") in (None, "") or row.get("a") in (None, ""):
        return ()
    try:
        a, edge = number_of(row["a"]), float(np.linalg.norm(lattice[0]))
    except ValueError:
        a, edge = math.nan, 1.0
    return () if abs(a - edge) <= 0.01 * edge else ("the field a is not used: lattice has another first edge",)


def _of_lattice(cell: Any) -> NDArray[np.float64]:  # noqa: ANN401
    if isinstance(cell, dict):
        if "matrix" in cell:
            return _of_lattice(listed(cell["matrix"], "lattice.matrix"))
        return _of_cell(cell)
    if len(cell) == 6:
        return _of_cell(dict(zip(("a", *_REST_OF_CELL), cell, strict=True)))
    if len(cell) == 9:
        cell = [cell[:3], cell[3:6], cell[6:]]
    if len(cell) != 3 or not all(isinstance(one, list | tuple) and len(one) == 3 for one in cell):
        raise ValueError(f"lattice = {shown(cell)}; write {_FORMS}")
    try:
        lattice = np.array([[number_of(x) for x in one] for one in cell])
    except ValueError as error:
        raise ValueError(f"lattice = {shown(cell)}: {error}") from error
    if np.abs(lattice).max() > _EDGE_ANG:
        raise ValueError(f"lattice = {shown(cell)}: an edge is at most {_EDGE_ANG:,.0f} angstrom")
    return lattice


def _of_cell(cell: Mapping[str, Any]) -> NDArray[np.float64]:
    missing = [name for name in ("a", *_REST_OF_CELL) if cell.get(name) in (None, "")]
    if missing:
        raise ValueError(f"lattice lacks {', '.join(missing)}; write {_FORMS}")
    edges = [_edge(cell[name], name) for name in ("a", "b", "c")]
    angles = [_number(cell[name], name) for name in ("alpha", "beta", "gamma")]
    for name, angle in zip(("alpha", "beta", "gamma"), angles, strict=True):
        if not 0 < angle < 180:
            raise ValueError(f"{name} = {angle:g}; an angle lies between 0 and 180 degrees")
    return lattice_of(*edges, *angles)


def _edge(given: Any, name: str) -> float:  # noqa: ANN401
    if given is None or given == "":
        raise KeyError(name)
    edge = _number(given, name)
    if not 0 < edge <= _EDGE_ANG:
        raise ValueError(f"{name} = {edge:g}; a cell edge is positive, in angstrom, and at most {_EDGE_ANG:,.0f}")
    return edge


def _number(given: Any, name: str) -> float:  # noqa: ANN401
    try:
        return number_of(given)
    except ValueError as error:
        raise ValueError(f"{name} = {error}") from error


def lattice_of(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    """Lattice rows [3, 3] in pymatgen's orientation (c along z, a in the xz plane) from edges in angstrom and degrees."""
    al, be, ga = (radians(angle) for angle in (alpha, beta, gamma))
    cosine = (cos(al) * cos(be) - cos(ga)) / (sin(al) * sin(be))
    if not -1.0 < cosine < 1.0:
        raise ValueError(f"angles {alpha:g}, {beta:g}, {gamma:g} degrees make no cell: wrong unit?")
    sine = sqrt(1.0 - cosine * cosine)
    rows = [
        [a * sin(be), 0.0, a * cos(be)],
        [-b * sin(al) * cosine, b * sin(al) * sine, b * cos(al)],
        [0.0, 0.0, c],
    ]
    return np.array(rows)


def _of_object(row: Mapping[str, Any]) -> Read:
    """The crystal of a row that is, or holds, a document of pymatgen, Materials Project, OPTIMADE or ASE."""
    missing = "species" if "species" not in row else "frac_coords"
    if not _DOCUMENTS.intersection(row):
        raise KeyError(missing)
    from crystalloop.models.formats.structure_json import (
        structure_of_object,  # late: pymatgen, a second of every `--help`
    )

    read = structure_of_object({name: _parsed(value, name) for name, value in row.items()})
    return _of_structure(read.structure), read.notes


def _parsed(value: Any, name: str) -> Any:  # noqa: ANN401
    """A field; where it is the JSON text of a list or an object (a CSV cell), that."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        if name in _DOCUMENTS:
            raise ValueError(
                f"{name} = {shown(value)} is no JSON; write it with json.dumps, not as Python shows it"
            ) from error
        return value


def _general(lattice: NDArray[np.float64], species: Sequence[Any], coords: NDArray[np.float64]) -> Read:
    from pymatgen.core.structure import Structure  # late: plain rows and every `--help` go without its second

    for one in species:
        if (
            isinstance(one, bool)
            or not isinstance(one, str | int | dict)
            or (isinstance(one, str) and not one[:1].isalpha())
        ):
            raise ValueError(f"species: {shown(one)} is not an element symbol")
    try:
        structure = Structure(lattice, species, coords)
    except Exception as error:  # whatever pymatgen says of species of any content
        raise ValueError(f"species = {shown(list(species))}: {first_line(error)}") from error
    words = sorted({one for one in species if isinstance(one, str) and one not in atomic_numbers()})
    notes = [f"{_HEAVY[one]} ({one}) is computed as hydrogen" for one in words if one in _HEAVY]
    longer = [one for one in words if one not in _HEAVY and one[-1] not in "+-"]
    if longer:
        notes.append(f"species {', '.join(map(shown, longer[:4]))}: read as the elements that they begin with")
    return _of_structure(structure), tuple(notes)


def _of_structure(structure: Structure) -> Crystal:
    """The arrays of an ordered structure of elements, oxidation states left out."""
    if not 0 < len(structure) <= MOST_ATOMS:
        raise ValueError(
            f"has {len(structure):,} atoms; at most {MOST_ATOMS:,} are read" if len(structure) else "has no atoms"
        )
    structure.remove_oxidation_states()
    unknown = {symbol for symbol in structure.symbol_set if symbol not in atomic_numbers()}
    if unknown:
        raise ValueError(f"{', '.join(map(shown, sorted(unknown)))} is not an element symbol")
    if not structure.is_ordered:
        raise ValueError("has partially occupied sites; order it first")
    return Crystal.from_structure(structure)
