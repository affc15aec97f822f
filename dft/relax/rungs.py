"""The cheap rung before the accurate one, and how far a relaxation moved a crystal. Pure; `relax` climbs them.

Bonds and edges are those of Table 3 of Court et al. (2020): a good generator proposes what hardly moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from crystalloop.dft.recipe.cells import conventional_cell, spacegroup_number
from crystalloop.dft.recipe.settings import PwSettings, preset

NEAREST_SHELL = 1.15
"""A neighbour within this factor of a site's shortest distance is bonded to it: the first shell of B1, B2, B3,
perovskites and Heuslers (the second shell of bcc and B2 begins at 1.155)."""


@dataclass(frozen=True)
class Comparison:
    """Mean relative change of nearest-neighbour bonds and of conventional cell edges; None where not comparable."""

    bond_change_percent: float | None
    cell_change_percent: float | None
    volume_change_percent: float | None = None  # per atom, signed: negative where the crystal shrank
    spacegroup_before: int | None = None
    spacegroup_after: int | None = None


def compare(generated: Structure, relaxed: Structure) -> Comparison:
    """Bonds are matched by kind of site, elements and length rank; edges a, b, c of conventional cells by length.

    Both figures are None when the two crystals have other compositions, and the bonds alone when the relaxation changed
    who is bonded to whom.
    """
    before, after = conventional_cell(generated), conventional_cell(relaxed)
    if before.composition.reduced_formula != after.composition.reduced_formula:
        return Comparison(None, None)
    volume = (after.volume / len(after)) / (before.volume / len(before)) - 1
    groups = spacegroup_number(generated), spacegroup_number(relaxed)
    edges = np.sort(before.lattice.abc), np.sort(after.lattice.abc)
    # Another centring or a lower symmetry makes another conventional cell: compare edges per formula unit then.
    if len(before) != len(after):
        edges = tuple(np.cbrt([cell.volume / len(cell)]) for cell in (before, after))  # type: ignore[assignment]
    bonds = bond_lengths(before), bond_lengths(after)
    cell = float(np.mean(np.abs(edges[1] / edges[0] - 1)) * 100)
    return Comparison(_bond_change(*bonds), cell, 100 * float(volume), *groups)


def bond_lengths(structure: Structure) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Bonds from each element to each: sorted lengths in angstrom of one atom of the cell on average.

    A bond counts from both its ends, so that a site's own nearest shell decides.
    """
    centres, points, _, distances = structure.get_neighbor_list(_reach(structure))
    shortest = np.full(len(structure), np.inf)
    np.minimum.at(shortest, centres, distances)
    symbols = np.array([site.specie.symbol for site in structure])
    near = distances <= NEAREST_SHELL * shortest[centres]
    kinds: dict[tuple[str, str], list[float]] = {}
    for centre, point, distance in zip(centres[near], points[near], distances[near], strict=True):
        kinds.setdefault((str(symbols[centre]), str(symbols[point])), []).append(float(distance))
    return {kind: np.sort(lengths) for kind, lengths in kinds.items()}


def _reach(structure: Structure) -> float:
    """A radius in which every site surely has its first shell: the longest shortest distance by doubling."""
    reach = 3.0
    while len(set(structure.get_neighbor_list(reach)[0].tolist())) < len(structure):
        reach *= 1.5
    return reach * NEAREST_SHELL


def _bond_change(
    before: dict[tuple[str, str], NDArray[np.float64]], after: dict[tuple[str, str], NDArray[np.float64]]
) -> float | None:
    if before.keys() != after.keys():
        return None
    changes: list[NDArray[np.float64]] = []
    for kind, lengths in before.items():
        old, new = _same_count(lengths, after[kind])
        changes.append(np.abs(new / old - 1))
    return float(np.mean(np.concatenate(changes)) * 100)


def _same_count(old: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both by rank: cells of different size hold multiples of the same lengths."""
    count = min(len(old), len(new))
    at = (np.arange(count) + 0.5) / count
    return np.quantile(old, at, method="inverted_cdf"), np.quantile(new, at, method="inverted_cdf")


CHEAP, ACCURATE = "cheap", "accurate"


@dataclass(frozen=True)
class Rung:
    """What one rung found."""

    name: str  # cheap or accurate
    kspacing_inv_ang: float
    energy_per_atom_ev: float
    volume_per_atom_ang3: float
    pressure_kbar: float
    cpu_s: float


def cheap_settings(settings: PwSettings) -> PwSettings | None:
    """The k points and thresholds of the test preset with everything else as asked; None where there is no such rung.

    There is none when it was not asked for, for fixed geometries, and where it would be no cheaper.
    """
    test = preset("test")
    if not settings.cheap_first or settings.vary != "cell" or settings.kspacing_inv_ang >= test.kspacing_inv_ang:
        return None
    looser = ("kspacing_inv_ang", "etot_conv_thr_ry", "forc_conv_thr_ry_bohr", "press_conv_thr_kbar")
    changes: dict[str, object] = {name: max(getattr(settings, name), getattr(test, name)) for name in looser}
    changes |= {"kspacing_metals_inv_ang": None, "band_gap": "none"}
    if settings.method == "eos":
        changes["method"] = "auto"
    return settings.model_copy(update={**changes, "cheap_first": False})


def rejection(cheap: Rung, change: Comparison, settings: PwSettings) -> str | None:
    """Why the crystal is not worth the accurate rung, in a sentence; None where it is.

    A volume at coarse k points is good to about 2 % and an energy to about 0.1 eV/atom (metals), so the limits lie far
    outside of that: what is rejected is wrong, not inaccurate.
    """
    limit, moved = settings.reject_volume_percent, change.volume_change_percent
    if moved is not None and abs(moved) > limit:
        return (
            f"the cheap rung changed the volume by {moved:+.0f} %, more than reject_volume_percent {limit:g}: "
            "not the crystal that was proposed"
        )
    highest = settings.reject_above_ev_per_atom
    if highest is not None and cheap.energy_per_atom_ev > highest:
        return (
            f"the cheap rung found {cheap.energy_per_atom_ev:.3f} eV/atom, "
            f"above reject_above_ev_per_atom {highest:g}: far above its elements"
        )
    return None
