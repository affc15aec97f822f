"""A crystal as arrays: lattice, atomic numbers, fractional coordinates; to and from pymatgen. No voxels, no networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import covalent_radii_ang, symbol_of, symbols

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


def translate(crystal: Crystal, shift: NDArray[np.floating]) -> Crystal:
    """The same crystal with its origin moved; shift in fractions of the cell, [3]."""
    return Crystal(crystal.lattice, crystal.numbers, crystal.frac_coords + shift)


def turn(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """The same crystal with a random origin, and in an orthogonal cell a random order and direction of the axes."""
    if not crystal.is_orthogonal:
        return translate(crystal, rng.random(3))
    order, signs = rng.permutation(3), rng.choice([-1.0, 1.0], size=3)
    coords = crystal.frac_coords[:, order] * signs + rng.random(3)
    return Crystal(np.diag(crystal.lengths_ang[order]), crystal.numbers, coords)


def _sorted_setting(
    crystal: Crystal, frac_coords: NDArray[np.float64]
) -> tuple[tuple[float, ...], NDArray[np.intp], NDArray[np.float64]]:
    """Key for comparison, order of atoms and coordinates of one setting, atoms sorted by number and place."""
    wrapped = np.round(frac_coords, 4) % 1.0
    order = np.lexsort((wrapped[:, 2], wrapped[:, 1], wrapped[:, 0], crystal.numbers))
    return tuple(wrapped[order].ravel()), order, frac_coords[order]


def canonical_origin(crystal: Crystal) -> Crystal:
    """The same crystal in one origin and hand, whatever cell setting it was given in.

    An atom of the rarest element (of several, the largest: the most electropositive) goes to the origin, and of all
    such settings and their inversions the first in lexicographic order is taken. For the cubic prototypes that is the
    origin of the shared data with the cation first.
    """
    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    rank = np.lexsort((numbers, -covalent_radii_ang()[numbers], counts))
    anchors = crystal.frac_coords[crystal.numbers == numbers[rank[0]]]
    settings = [
        _sorted_setting(crystal, sign * (crystal.frac_coords - anchor)) for anchor in anchors for sign in (1, -1)
    ]
    _, order, coords = min(settings, key=lambda setting: setting[0])
    return Crystal(crystal.lattice, crystal.numbers[order], coords)


def rescaled(crystal: Crystal, edge_ang: float, most: float) -> Crystal:
    """The crystal with the volume of a cube of that edge, its own edge changed by the share `most` at most."""
    if not most or not np.isfinite(edge_ang):
        return crystal
    scale = float(np.clip(edge_ang / crystal.volume_ang3 ** (1 / 3), 1 - most, 1 + most))
    return Crystal(crystal.lattice * scale, crystal.numbers, crystal.frac_coords)


CELL_TOLERANCE = 1e-3
"""Relative, of edges and right angles: within it a cell counts as cubic or orthogonal, and is made exactly so."""
_ORTHOGONAL_COSINE = 1e-6  # below this the Gaussians of a cell separate into three axes to float32 precision


class InvalidCrystal(ValueError):
    """Arrays or a structure that describe no ordered, periodic crystal."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """An ordered crystal.

    Attributes:
        lattice: lattice vectors as rows, angstrom, [3, 3].
        numbers: atomic number of every atom, [a].
        frac_coords: fractional coordinates, wrapped into [0, 1), [a, 3].
    """

    lattice: NDArray[np.float64]
    numbers: NDArray[np.int64]
    frac_coords: NDArray[np.float64]

    def __post_init__(self) -> None:
        lattice = np.array(self.lattice, dtype=np.float64)
        numbers = np.array(self.numbers, dtype=np.int64).reshape(-1)
        frac_coords = np.array(self.frac_coords, dtype=np.float64)
        _check(lattice, numbers, frac_coords)
        wrapped = frac_coords % 1.0
        wrapped[wrapped >= 1.0] = 0.0  # -1e-17 % 1.0 is 1.0
        for name, array in (("lattice", lattice), ("numbers", numbers), ("frac_coords", wrapped)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        lengths = ", ".join(f"{length:.3f}" for length in self.lengths_ang)
        return f"Crystal({self.composition}, lengths_ang=({lengths}))"

    @property
    def volume_ang3(self) -> float:
        """Cell volume in cubic angstrom."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def lengths_ang(self) -> NDArray[np.float64]:
        """Cell edges a, b, c in angstrom, [3]."""
        lengths: NDArray[np.float64] = np.linalg.norm(self.lattice, axis=1)
        return lengths

    @property
    def is_orthogonal(self) -> bool:
        """Whether all three cell angles are 90 degrees, to float32 precision."""
        return bool(are_orthogonal(self.lattice))

    def has_right_angles(self, tolerance: float = CELL_TOLERANCE) -> bool:
        """Whether all three cell angles are 90 degrees within this share of a right angle."""
        unit = self.lattice / self.lengths_ang[:, None]
        return bool(np.abs(unit @ unit.T - np.eye(3)).max() <= np.deg2rad(90 * tolerance))

    def is_cubic(self, tolerance: float = CELL_TOLERANCE) -> bool:
        """Whether the cell is a cube: right angles, and edges that differ by this share of the longest at most."""
        lengths = self.lengths_ang
        return bool(np.ptp(lengths) <= tolerance * lengths.max()) and self.has_right_angles(tolerance)

    @property
    def composition(self) -> dict[str, int]:
        """Atoms of each element in the cell, by symbol, in the order of atomic numbers."""
        numbers, counts = np.unique(self.numbers, return_counts=True)
        return {symbols()[number]: int(count) for number, count in zip(numbers, counts, strict=True)}

    @property
    def formula(self) -> str:
        """Reduced formula, written as pymatgen writes it (needs pymatgen)."""
        from pymatgen.core.composition import Composition  # arrays work without pymatgen

        return str(Composition(self.composition).reduced_formula)

    @classmethod
    def from_structure(cls, structure: Structure) -> Crystal:
        """Take over an ordered pymatgen structure, cell and setting unchanged.

        Raises:
            InvalidCrystal: a site is partially occupied or shared by several elements.
        """
        if not structure.is_ordered:
            raise InvalidCrystal(
                f"{structure.formula} has partially occupied sites; order it first "
                "(pymatgen: OrderDisorderedStructureTransformation)"
            )
        return cls(structure.lattice.matrix, np.array(structure.atomic_numbers), structure.frac_coords)

    def to_structure(self) -> Structure:
        """Return the same crystal as a pymatgen structure."""
        from pymatgen.core.structure import Structure  # arrays work without pymatgen

        species = [symbol_of(int(number)) for number in self.numbers]
        return Structure(self.lattice, species, self.frac_coords)


def are_orthogonal(lattices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the rows of each lattice [..., 3, 3] are mutually perpendicular: [...]."""
    unit = lattices / np.linalg.norm(lattices, axis=-1, keepdims=True)
    cosines = np.abs(unit @ np.swapaxes(unit, -1, -2) - np.eye(3))
    perpendicular: NDArray[np.bool_] = cosines.max(axis=(-1, -2)) < _ORTHOGONAL_COSINE
    return perpendicular


def _check(lattice: NDArray[np.float64], numbers: NDArray[np.int64], frac_coords: NDArray[np.float64]) -> None:
    if lattice.shape != (3, 3) or not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-6:
        raise InvalidCrystal(f"a lattice is 3 independent finite row vectors in angstrom, got {lattice.tolist()}")
    if len(numbers) == 0:
        raise InvalidCrystal("a crystal needs at least one atom, got none")
    if frac_coords.shape != (len(numbers), 3) or not np.isfinite(frac_coords).all():
        raise InvalidCrystal(f"expected finite fractional coordinates [{len(numbers)}, 3], got {frac_coords.shape}")
    for number in {int(numbers.min()), int(numbers.max())}:  # every number between two elements is one
        symbol_of(number)
