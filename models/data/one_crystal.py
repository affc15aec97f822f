"""The one crystal of a file that somebody hands in, or what is wrong with the file. Nothing is computed here.

Libraries guess: `Va` is read as vanadium, two atoms at one place as one, a POSCAR without symbols as hydrogen, helium and
so on. A guess would be computed for hours, so what names no element is refused here, by name.
"""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


FORMATS = "CIF, POSCAR (or .vasp), .json of pymatgen, .xyz with a Lattice, input of pw.x (.in, .pwi)"
_MAX_MB = 20
_TYPE_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:\d*\.?\d*[+-]?|[+-]\d*\.?\d*)")
_CELL = ("a", "b", "c", "alpha", "beta", "gamma")


class CrystalFileError(ValueError):
    """The file does not hold the one ordered crystal that was asked for."""

    exit_kind = "usage"


def read_crystal(file: Path) -> Structure:
    """The one ordered crystal of a file; the format goes by its name, CIF where that says nothing.

    Raises:
        CrystalFileError: no such file, another format, none or several crystals, shared or partly empty sites, coinciding
            atoms, symbols that name no element.
    """
    if file.is_dir() or not file.exists():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise CrystalFileError(f"{file} {what}; give one crystal: {FORMATS}")
    text, (name, parse) = _text(file), _reader(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen's remarks on rounding and oxidation states
            structure = parse(text)
    except CrystalFileError as error:
        raise CrystalFileError(f"{file}: {error}") from error
    except Exception as error:  # whatever a parser meets in a file of any content
        raise CrystalFileError(
            f"{file} cannot be read as {name} ({_first_line(error)}); mend it, or convert it to one of: {FORMATS}"
        ) from error
    _refuse_unknown(file, structure)
    _refuse_disorder(file, structure)
    structure.remove_oxidation_states()
    return structure


def _text(file: Path) -> str:
    try:
        megabytes = file.stat().st_size / 2**20
        if not file.is_file() or megabytes > _MAX_MB:
            what = f"has {megabytes:.0f} MB, {_MAX_MB} are read" if file.is_file() else "is no regular file"
            raise CrystalFileError(f"{file} {what}; give one crystal: {FORMATS}")
        content = file.read_bytes()
    except OSError as error:
        raise CrystalFileError(
            f"{file} cannot be read ({error.strerror or error}); change its mode or owner"
        ) from error
    if b"\0" in content:
        raise CrystalFileError(f"{file} is no text (byte {content.index(0)} is zero), or UTF-16; convert it to UTF-8")
    if not content.strip():
        raise CrystalFileError(f"{file} is empty; give one crystal: {FORMATS}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:  # old files hold names of authors in Latin-1, which takes every byte
        return content.decode("latin-1")


def _reader(file: Path) -> tuple[str, Callable[[str], Structure]]:
    stem, ending = file.name.lower(), file.suffix.lower()
    if ending in (".vasp", ".poscar", ".contcar") or (ending != ".cif" and stem.startswith(("poscar", "contcar"))):
        return "POSCAR", _of_poscar
    if ending == ".json":
        return "JSON of pymatgen", _of_json
    if ending in (".xyz", ".extxyz"):
        return "XYZ", lambda text: _of_ase(text, "extxyz")
    if ending in (".in", ".pwi"):
        return "input of pw.x", lambda text: _of_ase(text, "espresso-in")
    return "CIF", _of_cif


def _of_cif(text: str) -> Structure:
    from pymatgen.io.cif import CifFile, CifParser

    try:
        blocks = CifFile.from_str(text).data
    except ZeroDivisionError as error:
        raise CrystalFileError("a loop_ has names and no values: no atoms; mend the file") from error
    with_atoms = {name: block for name, block in blocks.items() if "_atom_site_fract_x" in block.data}
    if not with_atoms:
        what = "no atoms (_atom_site_fract_x) in any of its data blocks" if blocks else "no data block"
        raise CrystalFileError(f"{what}; give one CIF file with a cell and fractional coordinates")
    if len(with_atoms) > 1:
        raise CrystalFileError(
            f"holds {len(with_atoms)} crystals ({', '.join(with_atoms)}), wanted is one; split the file"
        )
    ((name, block),) = with_atoms.items()
    _refuse_cell(block.data)
    _refuse_symbols(block.data)
    # 1.001 for rounding: beyond it atoms coincide, which pymatgen would scale to one.
    parser = CifParser.from_str(text, occupancy_tolerance=1.001)
    try:
        found = parser.parse_structures(primitive=False)
    except ValueError as error:
        told = "; ".join(line for warning in getattr(parser, "warnings", [])[-1:] for line in warning.splitlines()[-1:])
        if "exceeded tolerance" in told:
            raise CrystalFileError(
                "atoms coincide: the occupancies of one place add up to more than 1; remove what is too many"
            ) from error
        raise ValueError(told or str(error)) from error
    if len(found) != 1:
        raise CrystalFileError(f"the cell or the atoms of block {name} make no crystal; mend the file")
    return found[0]


def _refuse_cell(block: Mapping[str, Any]) -> None:
    values = {}
    for name in _CELL:
        tag = f"_cell_length_{name}" if len(name) == 1 else f"_cell_angle_{name}"
        if tag not in block:
            raise CrystalFileError(f"{tag} is missing; write all three edges and angles")
        try:
            values[name] = float(re.sub(r"\(.*\)", "", str(block[tag])))
        except ValueError:
            values[name] = math.nan
        largest = math.inf if len(name) == 1 else 180.0
        if not 0 < values[name] < largest:
            wanted = "a length above 0" if len(name) == 1 else "an angle between 0 and 180"
            raise CrystalFileError(f"{tag} is {block[tag]!r}, wanted is {wanted}; mend the file")
    cosines = [math.cos(math.radians(values[name])) for name in _CELL[3:]]
    if 1 + 2 * math.prod(cosines) - sum(cosine**2 for cosine in cosines) <= 1e-9:
        angles = ", ".join(f"{values[name]:g}" for name in _CELL[3:])
        raise CrystalFileError(f"three edges cannot meet at angles of {angles} degrees; mend the cell")


def _refuse_symbols(block: Mapping[str, Any]) -> None:
    """The type symbols, or the letters that the labels begin with, must be elements as they stand."""
    from pymatgen.core.periodic_table import Element

    types = block.get("_atom_site_type_symbol")
    for given in types if types is not None else block.get("_atom_site_label", []):
        found = _TYPE_SYMBOL.fullmatch(given) if types is not None else re.match(r"([A-Za-z]+)", given)
        if found is None or not Element.is_valid_symbol(found[1].capitalize()):
            tag = "_atom_site_label" if types is None else "_atom_site_type_symbol"
            raise CrystalFileError(f"{tag} {given[:40]!r} names no element; write its symbol in _atom_site_type_symbol")


def _of_poscar(text: str) -> Structure:
    from pymatgen.io.vasp.inputs import Poscar

    read = Poscar.from_str(text)
    if not read.true_names:
        raise CrystalFileError(
            "no element symbols (the form of VASP 4); write them in the line above the numbers of atoms"
        )
    return read.structure


def _of_json(text: str) -> Structure:
    """Lattice and sites alone: pymatgen's own reader imports whatever module a property names."""
    from pymatgen.core.structure import Structure

    document = json.loads(text)
    if isinstance(document, list):
        raise CrystalFileError(f"holds a list of {len(document)}, wanted is one crystal; split the file")
    species = [
        {str(kind["element"]): float(kind["occu"]) for kind in site["species"]} for site in document["sites"]
    ]  # fmt: skip
    return Structure(document["lattice"]["matrix"], species, [site["abc"] for site in document["sites"]])


def _of_ase(text: str, form: str) -> Structure:
    from ase.io import read
    from pymatgen.core.structure import Structure

    crystals = read(io.StringIO(text), index=":", format=form)
    if len(crystals) != 1:
        raise CrystalFileError(f"holds {len(crystals)} crystals, wanted is one; split the file")
    (atoms,) = crystals
    if atoms.cell.rank < 3:
        raise CrystalFileError(
            "has no cell (three lattice vectors): pw.x computes crystals; add one, or put it into a box"
        )
    return Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False))


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {line}" if isinstance(error, KeyError) or not line else line


def _refuse_disorder(file: Path, structure: Structure) -> None:
    shared = [site for site in structure if not site.is_ordered]
    if shared:
        raise CrystalFileError(
            f"{file}: {len(shared)} of {len(structure)} sites are shared or partly empty, the first holds "
            f"{shared[0].species.formula!r}; choose one element per site (an ordered approximant) and give that"
        )


def _refuse_unknown(file: Path, structure: Structure) -> None:
    from pymatgen.core.periodic_table import DummySpecies

    if len(structure) == 0:
        raise CrystalFileError(f"{file} holds no atoms; give one crystal: {FORMATS}")
    kinds = [kind for site in structure for kind in site.species]
    unknown = sorted({kind.symbol for kind in kinds if isinstance(kind, DummySpecies)})
    if unknown:
        raise CrystalFileError(f"{file}: {', '.join(unknown)} is not an element symbol; mend the file")
