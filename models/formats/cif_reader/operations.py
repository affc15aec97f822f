"""Symmetry operations of a CIF: their triplets, whether they are a group, what they ask of the cell, what they make of a site.

Translations are whole numbers of 1/5040, which holds every fraction that a lattice or a supercell of up to 10 cells has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray

from crystalloop.models.formats.cif_reader.refusal import CifError

EDGE_PARTS = 5040
MOST_OPERATIONS = 1536  # 192 operations in a supercell of 8 cells
_TERM = re.compile(r"([+-]?)(\d+/\d+|\d*\.\d+|\d+\.?)?\*?([xyz]?)")
_DENOMINATORS = (1, 2, 3, 4, 6, 8, 12, 24, 5, 7, 9, 10, 14, 15, 16, 18, 20)


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations of a space group, each once.

    Attributes:
        rotations: whole numbers [n, 3, 3], on fractional coordinates as columns.
        shifts: translations [n, 3] in 1/5040 of an edge, in 0..5039.
        reversals: +1, or -1 where time is reversed [n]; all +1 for a group that is not magnetic.
    """

    rotations: NDArray[np.int64]
    shifts: NDArray[np.int64]
    reversals: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rotations)

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """One number for rotation and shift of each operation [n]."""
        return codes_of(self.rotations, self.shifts)

    @cached_property
    def key(self) -> frozenset[int]:
        """What two lists of the same operations have in common."""
        return frozenset(self.codes.tolist())

    def images(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fractional coordinates [n, 3] to which the operations take a position [3]."""
        moved: NDArray[np.float64] = self.rotations @ position + self.shifts / EDGE_PARTS
        return moved

    def without_time(self) -> Operations:
        """The same positions: each pair of rotation and shift once."""
        _, index = np.unique(self.codes, return_index=True)
        index = np.sort(index)
        return Operations(self.rotations[index], self.shifts[index], np.ones(len(index), dtype=np.int64))


def codes_of(rotations: NDArray[np.int64], shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each rotation [..., 3, 3] with entries of -2..2 and shift [..., 3]."""
    code = np.zeros(shifts.shape[:-1], dtype=np.int64)
    for i in range(9):
        code = code * 5 + rotations[..., i // 3, i % 3] + 2
    for i in range(3):
        code = code * EDGE_PARTS + shifts[..., i]
    return code


@lru_cache(maxsize=4096)
def parsed_triplet(text: str) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...], int]:
    """Rotation, shift and reversal of `x+1/2,-y,z` (or `x,y,z,-1`).

    Raises:
        CifError: it is none.
    """
    parts = re.split(r"[,;]", text) if re.search(r"[,;]", text) else text.split()
    reversal = parts.pop().strip() if len(parts) == 4 else "+1"
    if len(parts) != 3 or reversal not in ("1", "+1", "-1", "m", "-m"):
        raise CifError(f"operation {text[:60]!r} has not three parts as in 'x+1/2,-y,z'; mend the list of operations")
    rows = [_part(part, text) for part in parts]
    rotation = tuple(tuple(row[0]) for row in rows)
    if abs(round(float(np.linalg.det(np.array(rotation))))) != 1 or max(abs(i) for row in rotation for i in row) > 2:
        raise CifError(f"operation {text[:60]!r} is no symmetry of a crystal; mend the list of operations")
    return rotation, tuple(row[1] for row in rows), -1 if reversal in ("-1", "-m") else 1


def _part(part: str, text: str) -> tuple[list[int], int]:
    """Factors of x, y, z and the shift of one part."""
    left, factors, shift = re.sub(r"\s+", "", part).lower(), [0, 0, 0], 0
    if not left or len(left) > 60:
        raise CifError(f"operation {text[:60]!r} has an empty or endless part; mend the list of operations")
    while left:
        found = _TERM.match(left)
        if found is None or not found[0].strip("+-*"):
            raise CifError(f"operation {text[:60]!r} cannot be read at {left!r}; mend the list of operations")
        sign = -1 if found[1] == "-" else 1
        if found[3]:
            size = float(found[2] or 1) if "/" not in (found[2] or "") else 0.5
            if size != int(size):
                raise CifError(f"operation {text[:60]!r} has a factor that is no whole number; mend it")
            factors["xyz".index(found[3])] += sign * int(size)
        else:
            shift += sign * _fraction(found[2], text)
        left = left[found.end() :]
    return factors, shift % EDGE_PARTS


def _fraction(given: str, text: str) -> int:
    """A shift in 1/5040; decimals are rounded as they are written (.33, .667 are thirds)."""
    if "/" in given:
        above, under = (int(one) for one in given.split("/"))
        if under and above * EDGE_PARTS % under == 0:
            return above * EDGE_PARTS // under
    else:
        value, last = float(given), 10.0 ** -len(given.partition(".")[2])
        for below in _DENOMINATORS:
            if abs(value - round(value * below) / below) < min(last, 0.006):
                return round(value * below) * EDGE_PARTS // below
    raise CifError(f"operation {text[:60]!r} has the shift {given}, no fraction that a lattice has; mend it")


def operations_of(triplets: Sequence[str]) -> Operations:
    """Operations of a list of triplets, each once, in the order of the list.

    Raises:
        CifError: one cannot be read.
    """
    found = dict.fromkeys(parsed_triplet(text) for text in triplets)
    return Operations(
        np.array([one[0] for one in found], dtype=np.int64).reshape(-1, 3, 3),
        np.array([one[1] for one in found], dtype=np.int64).reshape(-1, 3),
        np.array([one[2] for one in found], dtype=np.int64),
    )


def products(left: Operations, right: Operations) -> Operations:
    """Every operation of the one after every operation of the other, each once.

    Raises:
        CifError: they are too many.
    """
    if len(left) * len(right) > MOST_OPERATIONS:
        raise CifError(f"lists {len(left)} times {len(right)} operations, {MOST_OPERATIONS} are read; mend the lists")
    rotations = left.rotations[:, None] @ right.rotations[None]
    shifts = (left.rotations[:, None] @ right.shifts[None, :, :, None])[..., 0] + left.shifts[:, None]
    reversals = left.reversals[:, None] * right.reversals[None]
    rotations, shifts, reversals = (
        rotations.reshape(-1, 3, 3),
        shifts.reshape(-1, 3) % EDGE_PARTS,
        reversals.reshape(-1),
    )
    codes = np.stack([codes_of(rotations, shifts), reversals], axis=1)
    _, index = np.unique(codes, axis=0, return_index=True)
    index = np.sort(index)
    return Operations(rotations[index], shifts[index], reversals[index])


def missing(operations: Operations) -> str | None:
    """A sentence on two operations whose product is not listed; None for a group."""
    known = np.unique(operations.codes)
    for i in range(len(operations)):
        rotations = operations.rotations[i] @ operations.rotations
        shifts = (operations.shifts @ operations.rotations[i].T + operations.shifts[i]) % EDGE_PARTS
        inside = (np.abs(rotations) <= 2).all(axis=(1, 2)) & np.isin(codes_of(rotations, shifts), known)
        if not inside.all():
            j = int(np.argmin(inside))
            return (
                f"{triplet(operations.rotations[i], operations.shifts[i])} after "
                f"{triplet(operations.rotations[j], operations.shifts[j])} gives {triplet(rotations[j], shifts[j])}"
            )
    return None


def triplet(rotation: NDArray[np.int64], shift: NDArray[np.int64]) -> str:
    """An operation as the field writes it: `-y,x-y,z+1/3`."""
    parts = []
    for row, part in zip(rotation.tolist(), shift.tolist(), strict=True):
        terms = "".join(
            f"{'+' if k > 0 else '-'}{abs(k) if abs(k) > 1 else ''}{n}" for k, n in zip(row, "xyz", strict=True) if k
        )
        divisor = int(np.gcd(part, EDGE_PARTS))
        terms += f"+{part // divisor}/{EDGE_PARTS // divisor}" if part else ""
        parts.append(terms.removeprefix("+") or "0")
    return ",".join(parts)


def tabulated(operations: Operations) -> gemmi.SpaceGroup | None:
    """The setting of gemmi's table that has these operations."""
    step = EDGE_PARTS // gemmi.Op.DEN
    if len(operations) > 192 or (operations.shifts % step).any():
        return None
    listed = []
    for rotation, shift in zip(operations.rotations.tolist(), (operations.shifts // step).tolist(), strict=True):
        one = gemmi.Op("x,y,z")
        one.rot = [[gemmi.Op.DEN * k for k in row] for row in rotation]
        one.tran = shift
        listed.append(one)
    group = gemmi.GroupOps(listed)
    found = gemmi.find_spacegroup_by_ops(group) if len(group) == len(operations) else None
    return found if found is not None and of_setting(found).key == operations.key else None


@lru_cache(maxsize=600)
def of_setting(setting: gemmi.SpaceGroup) -> Operations:
    """Operations of a setting of gemmi's table, centring included."""
    return of_gemmi(setting.operations())


def of_gemmi(group: gemmi.GroupOps) -> Operations:
    """Operations of a group of gemmi's."""
    listed = list(group)
    den = gemmi.Op.DEN
    return Operations(
        np.array([one.rot for one in listed], dtype=np.int64) // den,
        np.array([one.tran for one in listed], dtype=np.int64) % den * (EDGE_PARTS // den),
        np.ones(len(listed), dtype=np.int64),
    )


def number_of(operations: Operations, lattice: NDArray[np.float64]) -> int | None:
    """Number of the space group of any setting, by spglib; None where spglib finds none."""
    found = spglib.get_spacegroup_type_from_symmetry(
        operations.rotations.astype("intc"), operations.shifts / EDGE_PARTS, lattice=lattice, symprec=1e-4
    )
    return None if found is None else int(found.number)


def misfit(operations: Operations, lattice: NDArray[np.float64]) -> tuple[float, float]:
    """How far the cell is from what the rotations ask of it: largest share of an edge, largest angle in degrees."""
    metric = lattice @ lattice.T
    rotations = np.unique(operations.rotations, axis=0)
    moved = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    edges, angles = _shape(moved)
    own_edges, own_angles = _shape(metric[None])
    return float(np.abs(edges / own_edges - 1).max()), float(np.abs(angles - own_angles).max())


def _shape(metrics: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    edges = np.sqrt(np.maximum(np.diagonal(metrics, axis1=1, axis2=2), 1e-12))
    cosines = np.stack([metrics[:, i, j] / (edges[:, i] * edges[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))], axis=1)
    return edges, np.degrees(np.arccos(np.clip(cosines, -1, 1)))
