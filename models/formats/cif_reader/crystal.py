"""The data block of a CIF -> its crystal: readings of its symmetry become places, and one of them is left by the claims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.models.formats.cif_reader.blocks import NULLS, CifBlock, block_of, number
from crystalloop.models.formats.cif_reader.claims import (
    complaint,
    has_amounts,
    mass_of,
    multiplicities_fit,
    note_system,
    refuse_volume,
    stated_formula,
)
from crystalloop.models.formats.cif_reader.moments import moments_of
from crystalloop.models.formats.cif_reader.operations import misfit
from crystalloop.models.formats.cif_reader.places import (
    WIDE_MERGE_ANG,
    Places,
    has_clashes,
    places_of,
    same_crystal,
)
from crystalloop.models.formats.cif_reader.refusal import CifError
from crystalloop.models.formats.cif_reader.sites import ListedSite, lattice_of_block, sites_of
from crystalloop.models.formats.cif_reader.symmetry import Reading, Readings, readings_of
from crystalloop.models.formats.crystal_read import CrystalRead


@dataclass(frozen=True)
class _Made:
    """What one reading of the symmetry gives."""

    reading: Reading
    places: Places

    def told(self) -> str:
        """The reading in a few words, for messages."""
        amounts = " ".join(f"{symbol}{n:.4g}" for symbol, n in sorted(self.places.amounts().items()))
        return f"{self.reading.name}: {(self.places.complaint or f'{amounts} in the cell').partition('; ')[0]}"


def crystal_of(text: str, block_name: str | None) -> CrystalRead:
    """The crystal of the block of this name, or of the only one.

    Raises:
        CifError: as `cif.read_cif`, whose work this is.
    """
    block = block_of(text, block_name)
    _refuse_other_kinds(block)
    lattice = lattice_of_block(block)
    volume_ang3 = float(abs(np.linalg.det(lattice)))
    refuse_volume(block, volume_ang3)
    readings = readings_of(block, lattice)
    sites = sites_of(block, lattice)
    if not sites:
        raise CifError("no atoms: all of its sites are dummies; give one CIF file with a cell and its atoms")
    made = [_made(block, one, sites, lattice, readings) for one in readings.all]
    chosen = _agreed(readings, made, lattice) if readings.contradiction else _chosen(block, made, lattice)
    for sentence in chosen.places.notes:
        block.note(sentence)
    _note_misfit(block, chosen.reading, lattice)
    note_system(block, chosen.reading.operations.rotations)
    if not _has_multiplicities(block, chosen):
        block.note("_atom_site_symmetry_multiplicity says other numbers of atoms than its operations make: not used")
    operations = chosen.reading.operations if readings.magnetic or len(chosen.reading.operations) == 1 else None
    moments = moments_of(block, sites, chosen.places, operations, lattice)
    return CrystalRead(_structure(chosen.places, lattice, moments), tuple(block.notes))


def _note_misfit(block: CifBlock, reading: Reading, lattice: NDArray[np.float64]) -> None:
    edge, angle = misfit(reading.operations, lattice)
    if edge > 3e-4 or angle > 0.03:
        block.note(
            f"the cell fits {reading.name} to {100 * edge:.2g} % of its edges and {angle:.2g} degrees: kept as it is written"
        )


def _refuse_other_kinds(block: CifBlock) -> None:
    dimension = block.first("_cell_modulation_dimension")
    ssg = any(
        one not in NULLS
        for tag in block.named("_space_group_ssg_")
        for one in block.column(tag.lower().replace(".", "_")) or []
    )
    if (dimension is not None and number(dimension) != 0) or ssg:
        raise CifError("is a modulated structure, which has no cell that repeats; give a commensurate approximant")


def _made(
    block: CifBlock, reading: Reading, sites: Sequence[ListedSite], lattice: NDArray[np.float64], readings: Readings
) -> _Made:
    operations = reading.operations.without_time() if readings.magnetic else reading.operations
    places = places_of(sites, operations, lattice)
    if places.complaint and places.wide and has_amounts(block):
        wider = places_of(sites, operations, lattice, WIDE_MERGE_ANG)
        places = wider if not wider.complaint and not _contradicted(block, sites, wider, lattice) else places
    if not places.complaint:
        places.complaint = _contradicted(block, sites, places, lattice)
    if places.twice and not places.complaint:
        if readings.contradiction or stated_formula(block) is not None:
            places.notes.append(f"{places.twice}, and counted once")
        else:
            places.complaint = f"atoms {places.twice.removeprefix('sites ')}; remove one of them"
    return _Made(reading, places)


def _contradicted(
    block: CifBlock, sites: Sequence[ListedSite], places: Places, lattice: NDArray[np.float64]
) -> str | None:
    """What the block says of formula, Z and density and these places contradict."""
    symbols: defaultdict[str, float] = defaultdict(float)
    for place in places.all:
        for symbol, occupancy in place.species.items():
            symbols[(sites[place.site].isotope or symbol) if len(place.species) == 1 else symbol] += occupancy
    return complaint(block, places.amounts(), float(abs(np.linalg.det(lattice))), mass_of(symbols))


def _agreed(readings: Readings, made: Sequence[_Made], lattice: NDArray[np.float64]) -> _Made:
    """The first reading, where a block that contradicts itself describes one crystal all the same.

    Raises:
        CifError: the readings are different crystals, or one of them is none.
    """
    first, *others = made
    same = others and not any(one.places.complaint for one in made)
    if same and all(same_crystal(first.places.all, one.places.all, lattice) for one in others):
        first.places.notes.append(f"{readings.contradiction}: the atoms are the same in both")
        return first
    told = "; ".join(dict.fromkeys(one.told() for one in made[:4]))
    raise CifError(f"contradicts itself: {readings.contradiction}. Readings: {told}. Mend what is wrong")


def _chosen(block: CifBlock, made: Sequence[_Made], lattice: NDArray[np.float64]) -> _Made:
    """The only reading, or the one that the atoms decide for.

    Raises:
        CifError: none is left, or several that are different crystals.
    """
    if len(made) == 1:
        if made[0].places.complaint:
            raise CifError(made[0].places.complaint)
        return made[0]
    left = [one for one in made if not one.places.complaint]
    left = [one for one in left if _has_multiplicities(block, one)] or left
    left = [one for one in left if not has_clashes(one.places.all, lattice)] or left
    if not left:
        raise CifError(f"no reading of its space group fits: {'; '.join(one.told() for one in made)}")
    if any(not same_crystal(left[0].places.all, one.places.all, lattice) for one in left[1:]):
        told = "; or ".join(one.told() for one in left)
        raise CifError(
            f"does not say which setting of its space group it means: {told}. Write the symbol with its setting "
            "(:1, :2, :H, :R), or list the operations"
        )
    others = "; ".join(one.told() for one in made if one not in left)
    if others:
        left[0].places.notes.append(f"read as {left[0].reading.name}, as the atoms do not fit the other ({others})")
    return left[0]


def _has_multiplicities(block: CifBlock, made: _Made) -> bool:
    found = [len(orbit.positions) for orbit in made.places.orbits]
    return multiplicities_fit(block, found, len(made.reading.operations))


def _structure(places: Places, lattice: NDArray[np.float64], moments: list[float] | None) -> Structure:
    species = [
        next(iter(place.species)) if place.species == {next(iter(place.species)): 1.0} else dict(place.species)
        for place in places.all
    ]
    properties = {} if moments is None else {"magmom": moments}
    positions = [place.position for place in places.all]
    return Structure(Lattice(lattice), species, positions, site_properties=properties)
