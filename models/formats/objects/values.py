"""A value of a parsed JSON object -> numbers, texts, cells; text, true and null are no numbers. No shapes of crystals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.formats.crystal_read import FormatError
from crystalloop.models.formats.parts.cells import cell_of_parameters, cell_of_vectors
from crystalloop.models.formats.parts.words import shown

_EDGES, _ANGLES = ("a", "b", "c"), ("alpha", "beta", "gamma")
_LATTICES = "three vectors, six parameters, or an object with matrix, or with a, b, c, alpha, beta, gamma"


def number(value: object, what: str) -> float:
    """A finite number.

    Raises:
        FormatError: text, true, null, NaN, or beyond what a float holds.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    raise FormatError(f"{what} is {shown(value)}, expected a number")


def sequence(value: object, what: str) -> Sequence[Any]:
    """A list.

    Raises:
        FormatError: anything else.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        raise FormatError(f"{what} is {shown(value)}, expected a list")
    return value


def mapping(value: object, what: str) -> Mapping[str, Any]:
    """An object.

    Raises:
        FormatError: anything else.
    """
    if not isinstance(value, Mapping):
        raise FormatError(f"{what} is {shown(value)}, expected an object")
    return value


def text(value: object, what: str) -> str:
    """A text.

    Raises:
        FormatError: anything else.
    """
    if not isinstance(value, str):
        raise FormatError(f"{what} is {shown(value)}, expected a text")
    return value


def vector(value: object, what: str, length: int = 3) -> list[float]:
    """Numbers, as many as are wanted.

    Raises:
        FormatError: another count, or one that is no number.
    """
    found = sequence(value, what)
    if len(found) != length:
        raise FormatError(f"{what} holds {len(found)} numbers, expected {length}")
    return [number(one, f"{what}[{index}]") for index, one in enumerate(found)]


def vectors(value: object, what: str) -> NDArray[np.float64]:
    """Vectors of three numbers each: [n, 3].

    Raises:
        FormatError: as `vector`.
    """
    rows = [vector(row, f"{what}[{index}]") for index, row in enumerate(sequence(value, what))]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def lattice_of(value: object, what: str = "lattice") -> NDArray[np.float64]:
    """The cell [3, 3] in angstrom of any form in which programs write a lattice; one number is the edge of a cube.

    Nine numbers are three vectors after each other. Where an object says the cell twice, both must agree.

    Raises:
        FormatError: another form, or numbers that make no cell.
    """
    if isinstance(value, Mapping):
        return _of_object(value, what)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return cell_of_parameters([number(value, what)] * 3, [90.0] * 3)
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise FormatError(f"{what} is {shown(value)}, expected {_LATTICES}")
    rows = sequence(value, what)
    if len(rows) == 6:
        six = vector(rows, what, 6)
        return cell_of_parameters(six[:3], six[3:])
    if len(rows) == 9:
        return cell_of_vectors(np.array(vector(rows, what, 9)).reshape(3, 3))
    if len(rows) != 3:
        raise FormatError(f"{what} holds {len(rows)} values, expected {_LATTICES}")
    return cell_of_vectors(vectors(rows, what))


def _of_object(value: Mapping[str, Any], what: str) -> NDArray[np.float64]:
    parameters = None
    if any(value.get(name) is not None for name in _EDGES):
        lengths = [number(value.get(name), f"{what}.{name}") for name in _EDGES]
        angles = [number(value.get(name), f"{what}.{name}") for name in _ANGLES]
        parameters = cell_of_parameters(lengths, angles)
    if value.get("matrix") is None:
        if parameters is None:
            raise FormatError(f"{what} has the keys {shown(sorted(map(str, value)))}, expected {_LATTICES}")
        return parameters
    cell = cell_of_vectors(_square(value["matrix"], f"{what}.matrix"))
    _refuse_other_parameters(cell, parameters, value, what)
    return cell


def _square(value: object, what: str) -> NDArray[np.float64]:
    rows = sequence(value, what)
    if len(rows) == 9:
        return np.array(vector(rows, what, 9)).reshape(3, 3)
    found = vectors(rows, what)
    if len(found) != 3:
        raise FormatError(f"{what} holds {len(found)} vectors, expected 3")
    return found


def _refuse_other_parameters(
    cell: NDArray[np.float64], parameters: NDArray[np.float64] | None, value: Mapping[str, Any], what: str
) -> None:
    """One cell said twice, by a matrix and by edges, angles or a volume, is said the same."""
    if parameters is not None and not np.allclose(cell @ cell.T, parameters @ parameters.T, rtol=1e-3, atol=1e-2):
        told = ", ".join(f"{edge:.4g}" for edge in np.linalg.norm(cell, axis=1))
        raise FormatError(
            f"{what}.matrix has the edges {told}, and a, b, c, alpha, beta, gamma say another cell; leave one of them out"
        )
    if value.get("volume") is not None:
        volume, said = abs(float(np.linalg.det(cell))), number(value["volume"], f"{what}.volume")
        if abs(volume - said) > 0.01 * volume:
            raise FormatError(
                f"{what}.volume is {said:g}, and the matrix has {volume:.4g} cubic angstrom; mend one of them"
            )
