"""The one crystal of a file that somebody hands in, of any format, or what is wrong with the file. CIF itself: cif.

Libraries guess, of a POSCAR without symbols hydrogen, helium and so on. A guess would be computed for hours, so what names
no element is refused here, by name.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path

from pymatgen.core.periodic_table import DummySpecies
from pymatgen.core.structure import Structure

from crystalloop.models.formats.cif import CifError, first_line, read_cif
from crystalloop.models.formats.crystal_read import CrystalRead

_FORMATS = "CIF, POSCAR (or .vasp), .json of pymatgen, .xyz with a Lattice, input of pw.x (.in, .pwi)"
_MAX_MB = 20


class CrystalFileError(ValueError):
    """The file does not hold the one ordered crystal that was asked for."""

    exit_kind = "usage"


def read_crystal(file: Path, block: str | None = None) -> CrystalRead:
    """The one ordered crystal of a file; the format goes by its name, CIF where that says nothing.

    Args:
        file: to read.
        block: the data block of a CIF to read, where several hold a crystal.

    Raises:
        CrystalFileError: no such file, another format, none or several crystals, shared or partly empty sites, coinciding
            atoms, symbols that name no element.
    """
    if file.is_dir() or not file.exists():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise CrystalFileError(f"{file} {what}; give one crystal: {_FORMATS}")
    text, (name, parse) = _text(file), _reader(file, block)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen's remarks on rounding and oxidation states
            read = parse(text)
    except (CrystalFileError, CifError) as error:
        raise CrystalFileError(f"{file}: {error}") from error
    except Exception as error:  # whatever a parser meets in a file of any content
        raise CrystalFileError(
            f"{file} cannot be read as {name} ({first_line(error)}); mend it, or convert it to one of: {_FORMATS}"
        ) from error
    _refuse_unknown(file, read.structure)
    _refuse_disorder(file, read.structure)
    read.structure.remove_oxidation_states()
    return read


def _text(file: Path) -> str:
    try:
        megabytes = file.stat().st_size / 2**20
        if not file.is_file() or megabytes > _MAX_MB:
            what = f"has {megabytes:.0f} MB, {_MAX_MB} are read" if file.is_file() else "is no regular file"
            raise CrystalFileError(f"{file} {what}; give one crystal: {_FORMATS}")
        content = file.read_bytes()
    except OSError as error:
        raise CrystalFileError(
            f"{file} cannot be read ({error.strerror or error}); change its mode or owner"
        ) from error
    if b"\0" in content:
        raise CrystalFileError(f"{file} is no text (byte {content.index(0)} is zero), or UTF-16; convert it to UTF-8")
    if not content.strip():
        raise CrystalFileError(f"{file} is empty; give one crystal: {_FORMATS}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:  # old files hold names of authors in Latin-1, which takes every byte
        return content.decode("latin-1")


def _reader(file: Path, block: str | None) -> tuple[str, Callable[[str], CrystalRead]]:
    stem, ending = file.name.lower(), file.suffix.lower()
    if ending in (".vasp", ".poscar", ".contcar") or (ending != ".cif" and stem.startswith(("poscar", "contcar"))):
        return "POSCAR", _of_poscar
    if ending == ".json":
        return "JSON of pymatgen", _of_json
    if ending in (".xyz", ".extxyz"):
        return "XYZ", lambda text: _of_ase(text, "extxyz")
    if ending in (".in", ".pwi"):
        return "input of pw.x", lambda text: _of_ase(text, "espresso-in")
    return "CIF", lambda text: read_cif(text, block)


def _of_poscar(text: str) -> CrystalRead:
    from pymatgen.io.vasp.inputs import Poscar  # late: every `--help` goes without its second

    read = Poscar.from_str(text)
    if not read.true_names:
        raise CrystalFileError(
            "no element symbols (the form of VASP 4); write them in the line above the numbers of atoms"
        )
    return CrystalRead(read.structure)


def _of_json(text: str) -> CrystalRead:
    """Lattice and sites alone: pymatgen's own reader imports whatever module a property names."""
    document = json.loads(text)
    if isinstance(document, list):
        raise CrystalFileError(f"holds a list of {len(document)}, wanted is one crystal; split the file")
    species = [
        {str(kind["element"]): float(kind["occu"]) for kind in site["species"]} for site in document["sites"]
    ]  # fmt: skip
    coords = [site["abc"] for site in document["sites"]]
    return CrystalRead(Structure(document["lattice"]["matrix"], species, coords))


def _of_ase(text: str, form: str) -> CrystalRead:
    from ase.io import read  # late: as above

    crystals = read(io.StringIO(text), index=":", format=form)
    if len(crystals) != 1:
        raise CrystalFileError(f"holds {len(crystals)} crystals, wanted is one; split the file")
    (atoms,) = crystals
    if atoms.cell.rank < 3:
        raise CrystalFileError(
            "has no cell (three lattice vectors): pw.x computes crystals; add one, or put it into a box"
        )
    coords = atoms.get_scaled_positions(wrap=False)
    return CrystalRead(Structure(atoms.cell[:], atoms.get_chemical_symbols(), coords))


def _refuse_disorder(file: Path, structure: Structure) -> None:
    shared = [site for site in structure if not site.is_ordered]
    if shared:
        raise CrystalFileError(
            f"{file}: {len(shared)} of {len(structure)} sites are shared or partly empty, the first holds "
            f"{shared[0].species.formula!r}; choose one element per site (an ordered approximant) and give that"
        )


def _refuse_unknown(file: Path, structure: Structure) -> None:
    if len(structure) == 0:
        raise CrystalFileError(f"{file} holds no atoms; give one crystal: {_FORMATS}")
    kinds = [kind for site in structure for kind in site.species]
    unknown = sorted({kind.symbol for kind in kinds if isinstance(kind, DummySpecies)})
    if unknown:
        raise CrystalFileError(f"{file}: {', '.join(unknown)} is not an element symbol; mend the file")
