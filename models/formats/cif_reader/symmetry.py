"""What a CIF says of its space group -> the readings that this leaves: operations, Hall symbol, symbol, number. No sites here.

The settings are those of gemmi's table; what a sloppy, old or full symbol means is decided here, and what contradicts is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystalloop.models.formats.cif_reader.blocks import NULLS, CifBlock, number
from crystalloop.models.formats.cif_reader.operations import (
    MOST_OPERATIONS,
    Operations,
    misfit,
    missing,
    number_of,
    of_gemmi,
    of_setting,
    operations_of,
    products,
    tabulated,
    triplet,
)
from crystalloop.models.formats.cif_reader.refusal import CifError
from crystalloop.models.formats.cif_reader.symbols import Claim, claim_of_symbol, settings_by_number

EDGE_SHARE, ANGLE_DEGREES = 0.005, 0.3
"""How far a cell may be from its space group: rounding, and relaxations that were not held to it."""
_LISTS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_xyz",
    "_symmetry_equiv_xyz",
)
_MAGNETIC = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_xyz")
_CENTERINGS = ("_space_group_symop_magn_centering_xyz",)
_SYMBOLS = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m",
    "_symmetry_space_group_name",
)
_NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number", "_symmetry_group_it_number", "_symmetry_it_number")
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_CODE = ("_space_group_it_coordinate_system_code",)
_SYSTEM = ("_space_group_crystal_system", "_symmetry_cell_setting")


@dataclass(frozen=True)
class Reading:
    """One meaning of what the block says of its symmetry.

    Attributes:
        name: for messages: `F d -3 m:1 (227)`, `its 48 operations`.
        operations: of the whole cell.
    """

    name: str
    operations: Operations


@dataclass(frozen=True)
class Readings:
    """What is left to be decided by the sites.

    Attributes:
        all: in the order of the conventions; at least one.
        contradiction: a sentence where the block contradicts itself: the readings must then give one and the same crystal.
        magnetic: whether the operations say what becomes of moments.
    """

    all: tuple[Reading, ...]
    contradiction: str | None = None
    magnetic: bool = False


def readings_of(block: CifBlock, lattice: NDArray[np.float64]) -> Readings:
    """The readings of a block's symmetry that its cell allows.

    Raises:
        CifError: operations that are no group, names that nobody knows, a cell of another crystal system.
    """
    if (magnetic := _listed(block, _MAGNETIC)) is not None:
        centred = _listed(block, _CENTERINGS)
        whole = _group(block, magnetic if centred is None else products(centred, magnetic))
        return Readings((_fitting(Reading(f"its {len(whole)} magnetic operations", whole), lattice),), None, True)
    listed = _listed(block, _LISTS)
    claims = _claims(block, listed is not None)
    if (hall := _of_hall(block, listed is not None)) is not None:
        found = tabulated(hall[1])
        claims.insert(0, Claim(f"Hall symbol {hall[0][:60]!r}", (found,) if found else ()))
    if listed is None and hall is not None and not claims[0].settings:
        listed = hall[1]
    if listed is not None:
        return _by_operations(block, _group(block, listed), claims, lattice)
    if not claims:
        return _without_group(block)
    return _by_names(block, claims, lattice)


def _listed(block: CifBlock, names: Sequence[str]) -> Operations | None:
    if (count := block.length(*names)) > MOST_OPERATIONS:
        raise CifError(f"lists {count} operations, {MOST_OPERATIONS} are read; mend the list of operations")
    given = [text for text in block.column(*names) or [] if text not in NULLS and text.strip()]
    if not given:
        return None
    found = operations_of(given)
    if len(found) < len(given):
        block.note(f"{len(given) - len(found)} of {len(given)} operations are listed twice")
    return found


def _group(block: CifBlock, listed: Operations) -> Operations:
    if tabulated(listed.without_time()) is not None:
        return listed
    if (gap := missing(listed.without_time())) is None:
        return listed
    identity = operations_of(["x,y,z"])
    if not identity.key <= listed.key:
        whole = operations_of(["x,y,z", *(triplet(*one) for one in zip(listed.rotations, listed.shifts, strict=True))])
        if (listed.reversals == 1).all() and missing(whole) is None:
            block.note("the operation x,y,z is not listed, and was added")
            return whole
    raise CifError(f"its {len(listed)} operations are no group: {gap}, which is not listed; list all of them")


def _of_hall(block: CifBlock, listed: bool) -> tuple[str, Operations] | None:
    if (given := block.first(*_HALL)) is None:
        return None
    try:
        return given, of_gemmi(gemmi.symops_from_hall(given.replace("_", " ").strip()))
    except (RuntimeError, ValueError) as error:  # gemmi's words for a symbol that it cannot read
        named = listed or block.first(*_SYMBOLS, *_NUMBERS)
        if not named:
            raise CifError(f"Hall symbol {given[:60]!r} cannot be read ({error}); list the operations") from error
        block.note(f"Hall symbol {given[:60]!r} cannot be read and is not used")
        return None


def _claims(block: CifBlock, listed: bool) -> list[Claim]:
    claims = []
    for tag, given in block.all_of(*_SYMBOLS):
        claim = claim_of_symbol(given, block.first(*_CODE))
        if claim is None and not listed and not block.first(*_HALL):
            raise CifError(
                f"space group {given[:60]!r} is not known and no operations are listed; write its symbol as the International "
                "Tables do (F m -3 m), or its number as _space_group_IT_number"
            )
        if claim is None:
            block.note(f"the symbol {given[:60]!r} ({tag}) is not in the tables; the operations of the file are used")
        else:
            claims.append(claim)
    for tag, given in block.all_of(*_NUMBERS):
        value = number(given)
        if value not in range(1, 231):
            raise CifError(f"{tag} is {given[:60]!r}, wanted is a number of 1 to 230; mend the file")
        claims.append(Claim(f"number {int(value)}", settings_by_number()[int(value)]))
    return claims


def _without_group(block: CifBlock) -> Readings:
    system = block.first(*_SYSTEM)
    others = block.all_of("_space_group_name_schoenflies", "_symmetry_space_group_name_schoenflies")
    if others or (system is not None and system.lower() not in ("triclinic", "anorthic")):
        said = others[0][1] if others else system
        raise CifError(f"says {str(said)[:60]!r} and no symbol, number or operations; write _space_group_name_H-M_alt")
    if magnetic := [*block.named("_space_group_magn"), *block.named("_parent_space_group")]:
        raise CifError(f"names a magnetic space group ({magnetic[0]}) and lists no operations; list them")
    block.note("names no space group and lists no operations: read as P 1, the atoms as they are listed")
    return Readings((Reading("P 1 (1)", of_setting(gemmi.find_spacegroup_by_name("P 1"))),))


def _by_operations(block: CifBlock, listed: Operations, claims: list[Claim], lattice: NDArray[np.float64]) -> Readings:
    setting = tabulated(listed)
    found = setting.number if setting else number_of(listed, lattice)
    name = f"{setting.xhm()} ({setting.number})" if setting else f"no tabulated setting of group {found}"
    own = Reading(f"the operations, {name}", listed)
    others, against = [], []
    for claim in claims:
        agrees = not claim.settings or found in claim.numbers
        if agrees and setting is not None and claim.settings and setting not in claim.settings and not claim.soft:
            agrees = False
        if not agrees:
            against.append(claim.words)
            others += [_reading(one) for one in claim.usual if _fits(of_setting(one), lattice)]
    if not setting and not against:
        block.note(f"its {len(listed)} operations are in no table as they stand (space group {found}); they are used")
    if not against:
        return Readings((_fitting(own, lattice),))
    told = f"its operations are those of {name}, and its {' and '.join(against)} "
    told += "means" if len(against) == 1 else "mean"
    meant = sorted({f"{one.xhm()} ({one.number})" for claim in claims if claim.words in against for one in claim.usual})
    told += f" {', '.join(meant[:3])}"
    readings = [own] if _fits(listed, lattice) else []
    return Readings((*readings, *others) or (own,), told)


def _by_names(block: CifBlock, claims: list[Claim], lattice: NDArray[np.float64]) -> Readings:
    numbers = set.intersection(*(claim.numbers for claim in claims))
    if not numbers:
        told = " and ".join(f"{one.words} means {_shown(one.usual)}" for one in claims)
        return Readings(tuple(_reading(one) for claim in claims for one in claim.usual), told)
    for claim in claims:
        if claim.soft and not any(one.ext in ("1", "2", "H", "R") for one in claim.settings):
            raise CifError(f"{claim.words} has the suffix of a setting that is in no table; list its operations")
    sharp = [claim for claim in claims if not claim.words.startswith("number")] or claims
    common = [one for one in sharp[0].settings if all(one in claim.settings for claim in sharp[1:])]
    common = [one for one in common if one.number in numbers]
    if not common:
        told = " and ".join(f"{one.words} means {_shown(one.usual)}" for one in sharp)
        return Readings(tuple(_reading(one) for claim in sharp for one in claim.usual), told)
    fitting = [one for one in common if _fits(of_setting(one), lattice)]
    if not fitting:
        _fitting(_reading(common[0]), lattice, [_reading(one) for one in common[1:]])
    first = [one for one in fitting if one.hm == fitting[0].hm]
    by_number = sharp is claims and fitting[0].hm != common[0].hm
    standard = settings_by_number()[common[0].number][0].hm
    two_glides = common[0].crystal_system() == gemmi.CrystalSystem.Orthorhombic and fitting[0].hm != standard
    left = fitting if by_number or two_glides else first  # B m e m is B m c m or B m a m
    if fitting[0].hm != common[0].hm:
        block.note(f"the cell decides for {_shown(left)}: it does not fit {common[0].xhm()}")
    if sharp is claims and len({one.hm for one in fitting}) > 1 and not by_number:
        block.note(f"gives a number alone: read in the standard setting, {_shown(first)}")
    return Readings(tuple(_reading(one) for one in left))


def _reading(setting: gemmi.SpaceGroup) -> Reading:
    return Reading(f"{setting.xhm()} ({setting.number})", of_setting(setting))


def _shown(settings: Sequence[gemmi.SpaceGroup]) -> str:
    return " or ".join([f"{one.xhm()} ({one.number})" for one in settings[:3]])


def _fits(operations: Operations, lattice: NDArray[np.float64]) -> bool:
    edge, angle = misfit(operations, lattice)
    return edge <= EDGE_SHARE and angle <= ANGLE_DEGREES


def _fitting(reading: Reading, lattice: NDArray[np.float64], others: Sequence[Reading] = ()) -> Reading:
    """The reading itself, where the cell fits one of these.

    Raises:
        CifError: it fits none.
    """
    if any(_fits(one.operations, lattice) for one in (reading, *others)):
        return reading
    edge, angle = misfit(reading.operations, lattice)
    edges = np.linalg.norm(lattice, axis=1)
    cosines = [lattice[i] @ lattice[j] / (edges[i] * edges[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    cell = ", ".join(f"{x:g}" for x in [*edges.round(5).tolist(), *np.degrees(np.arccos(cosines)).round(4).tolist()])
    raise CifError(
        f"the cell ({cell}) does not fit {reading.name}: equal edges differ by {100 * edge:.2g} %, equal angles by "
        f"{angle:.2g} degrees; mend the cell, or the space group and its setting"
    )
