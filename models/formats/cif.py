"""CIF text -> the one crystal in it, or what is wrong with it: the reader for data files, base compounds and `relax` alike.

Libraries guess: `Va` is read as vanadium, two atoms at one place as one, the last crystal of several as the only one. A guess
would be learnt from or computed for hours, so what is not said clearly is refused here, by name.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crystalloop.models.formats.crystal_read import CrystalRead

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure
    from pymatgen.io.cif import CifBlock, CifParser

_TYPE_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:\d*\.?\d*[+-]?|[+-]\d*\.?\d*)")
_SPACE_GROUP = re.compile("_(symmetry_)?(space_group|Int_Tables)_(name|IT|number)", re.IGNORECASE)
_CELL = ("a", "b", "c", "alpha", "beta", "gamma")
_CAPITALS = {"h-m": "H-M", "_hall": "_Hall", "_it_number": "_IT_number", "_int_tables_": "_Int_Tables_"}


class CifError(ValueError):
    """The text does not hold the one crystal that was asked for; the message says why, and not in which file."""


def read_cif(text: str, block: str | None = None) -> CrystalRead:
    """The one crystal of a CIF file's text, cell and setting as written; sites may still be shared or partly empty.

    Args:
        text: of the whole file.
        block: the name of the data block to read, where several hold a crystal.

    Raises:
        CifError: none or several crystals, an impossible cell, coinciding atoms, symbols that name no element.
        ValueError: what the parser says of any other text, in one line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen's remarks on rounding and oxidation states
            return CrystalRead(_structure(_as_pymatgen_spells(text)))
    except CifError:
        raise
    except Exception as error:  # whatever a parser meets in a text of any content
        raise ValueError(first_line(error)) from error


def first_line(error: Exception) -> str:
    """What a parser says is wrong, short."""
    line = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {line}" if isinstance(error, KeyError) or not line else line


def _as_pymatgen_spells(text: str) -> str:
    """Names and keywords of cell, symmetry and atoms: CIF takes capitals for small letters, pymatgen does not."""

    def spelt(found: re.Match[str]) -> str:
        name = found[0].lower()
        for small, capital in _CAPITALS.items():
            name = name.replace(small, capital)
        return name

    return re.sub(r"(?im)^[ \t]*(data_|loop_|_(cell|atom_site|symmetry|space_group)_\S+)", spelt, text)


def _structure(text: str) -> Structure:
    from pymatgen.io.cif import CifFile, CifParser  # late: rows without CIF and every `--help` go without its second

    try:
        blocks = CifFile.from_str(text).data
    except ZeroDivisionError as error:
        raise CifError("a loop_ has names and no values: no atoms; mend the file") from error
    with_atoms = {name: block for name, block in blocks.items() if "_atom_site_fract_x" in block.data}
    if not with_atoms:
        what = "no atoms (_atom_site_fract_x) in any of its data blocks" if blocks else "no data block"
        raise CifError(f"{what}; give one CIF file with a cell and fractional coordinates")
    if len(with_atoms) > 1:
        raise CifError(f"holds {len(with_atoms)} crystals ({', '.join(with_atoms)}), wanted is one; split the file")
    ((name, block),) = with_atoms.items()
    _refuse_cell(block.data)
    _refuse_symbols(block.data)
    _refuse_gaps(block.data)
    if "_atom_site_label" not in block.data:  # pymatgen wants one of each site
        text = text.replace("_atom_site_type_symbol", "_atom_site_label")
    # 1.001 for rounding: beyond it atoms coincide, which pymatgen would scale to one.
    parser = CifParser.from_str(text, occupancy_tolerance=1.001)
    try:
        found = parser.parse_structures(primitive=False)
    except ValueError as error:
        told = "; ".join(line for warning in getattr(parser, "warnings", [])[-1:] for line in warning.splitlines()[-1:])
        if "exceeded tolerance" in told:
            raise CifError(
                "atoms coincide: the occupancies of one place add up to more than 1; remove what is too many"
            ) from error
        raise ValueError(told or str(error)) from error
    if len(found) != 1:
        raise CifError(f"the cell or the atoms of block {name} make no crystal; mend the file")
    _refuse_unknown_group(parser, block)
    return found[0]


def _refuse_cell(block: Mapping[str, Any]) -> None:
    values = {}
    for name in _CELL:
        tag = f"_cell_length_{name}" if len(name) == 1 else f"_cell_angle_{name}"
        if tag not in block:
            raise CifError(f"{tag} is missing; write all three edges and angles")
        try:
            values[name] = float(re.sub(r"\(.*\)", "", str(block[tag])))
        except ValueError:
            values[name] = math.nan
        largest = math.inf if len(name) == 1 else 180.0
        if not 0 < values[name] < largest:
            wanted = "a length above 0" if len(name) == 1 else "an angle between 0 and 180"
            raise CifError(f"{tag} is {block[tag]!r}, wanted is {wanted}; mend the file")
    cosines = [math.cos(math.radians(values[name])) for name in _CELL[3:]]
    if 1 + 2 * math.prod(cosines) - sum(cosine**2 for cosine in cosines) <= 1e-9:
        angles = ", ".join(f"{values[name]:g}" for name in _CELL[3:])
        raise CifError(f"three edges cannot meet at angles of {angles} degrees; mend the cell")


def _refuse_gaps(block: Mapping[str, Any]) -> None:
    """Every site needs a position, and a number where occupancies are given: pymatgen reads a gap as 0, and drops empty sites."""
    for tag in ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z", "_atom_site_occupancy"):
        for index, given in enumerate(block.get(tag, [])):
            empty = tag == "_atom_site_occupancy" and re.fullmatch(r"0*\.?0*(\(\d*\))?", str(given).strip())
            if str(given).strip() in {".", "?"} or empty:
                labels = block.get("_atom_site_label", [])
                site = labels[index] if index < len(labels) else f"number {index + 1}"
                raise CifError(
                    f"{tag} of site {site} is {given!r}, wanted is a number{' above 0' if empty else ''}; mend the file"
                )


def _refuse_unknown_group(parser: CifParser, block: CifBlock) -> None:
    """A space group that pymatgen does not know, without a list of operations, is not P1."""
    named = [str(given) for tag, given in block.data.items() if _SPACE_GROUP.match(tag) and str(given).strip(" .?")]
    told: list[str] = getattr(parser, "warnings", [])
    told.clear()
    parser.get_symops(block)
    if named and any("Defaulting to P1" in remark for remark in told):
        raise CifError(
            f"space group {named[0]!r} is not known and no operations are listed; write its symbol as the International "
            "Tables do (F m -3 m), or its number as _space_group_IT_number"
        )


def _refuse_symbols(block: Mapping[str, Any]) -> None:
    """The type symbols, or the letters that the labels begin with, must be elements as they stand."""
    from pymatgen.core.periodic_table import Element  # late: as above

    types = block.get("_atom_site_type_symbol")
    formula = re.findall("[A-Z][a-z]?", str(block.get("_chemical_formula_sum", "")))
    for given in types if types is not None else block.get("_atom_site_label", []):
        found = _TYPE_SYMBOL.fullmatch(given) if types is not None else re.match(r"([A-Za-z]+)", given)
        if found is None or not Element.is_valid_symbol(found[1].capitalize()):
            tag = "_atom_site_label" if types is None else "_atom_site_type_symbol"
            raise CifError(f"{tag} {given[:40]!r} names no element; write its symbol in _atom_site_type_symbol")
        first, both = found[1][0], found[1].capitalize()
        if (
            types is None
            and len(both) == 2
            and found[1].isupper()
            and Element.is_valid_symbol(first)
            and (both not in formula or first in formula)
        ):
            raise CifError(
                f"_atom_site_label {given[:40]!r} may be {first} or {both}; write its symbol in _atom_site_type_symbol"
            )
