"""The one crystal of a file that somebody hands in, of any format, or what is wrong with the file. No format is parsed here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

from crystalloop.models.formats.cif import CifError, first_line, read_cif
from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.extxyz import read_extxyz
from crystalloop.models.formats.parts.content import text_of_file
from crystalloop.models.formats.parts.sound import sound
from crystalloop.models.formats.poscar import read_poscar
from crystalloop.models.formats.pw_input import read_pw_input
from crystalloop.models.formats.structure_json import read_json

_FORMATS = (
    "CIF, POSCAR (or .vasp), .json (pymatgen, Materials Project, ...), .xyz with a Lattice, input of pw.x (.in, .pwi)"
)
_Reader = tuple[str, Callable[[str], CrystalRead]]
_ENDINGS: dict[str, _Reader] = {
    ".vasp": ("POSCAR", read_poscar),
    ".poscar": ("POSCAR", read_poscar),
    ".contcar": ("POSCAR", read_poscar),
    ".json": ("JSON", read_json),
    ".xyz": ("XYZ", read_extxyz),
    ".extxyz": ("XYZ", read_extxyz),
    ".exyz": ("XYZ", read_extxyz),
    ".in": ("input of pw.x", read_pw_input),
    ".inp": ("input of pw.x", read_pw_input),
    ".pwi": ("input of pw.x", read_pw_input),
    ".pwscf": ("input of pw.x", read_pw_input),
}
_VASP = "give the POSCAR or the CONTCAR beside it"
_NOT_READ = {
    "XDATCAR": f"the frames of a molecular dynamics run of VASP; {_VASP}",
    "CHGCAR": f"a charge density of VASP; {_VASP}",
    "CHG": f"a charge density of VASP; {_VASP}",
    "AECCAR": f"a charge density of VASP; {_VASP}",
    "PARCHG": f"a charge density of VASP; {_VASP}",
    "LOCPOT": f"a potential of VASP; {_VASP}",
    "ELFCAR": f"a localisation function of VASP; {_VASP}",
    "OUTCAR": f"the output of VASP; {_VASP}",
    "POTCAR": f"the potentials of VASP; {_VASP}",
    "INCAR": f"the settings of VASP; {_VASP}",
    "KPOINTS": f"the k points of VASP; {_VASP}",
    "WAVECAR": f"the wave functions of VASP; {_VASP}",
}
_OTHER_ENDINGS = {
    ".xml": "the output of VASP or pw.x",
    ".out": "the output of a program",
    ".pwo": "the output of pw.x",
    ".xsf": "a file of XCrySDen",
    ".axsf": "a file of XCrySDen",
    ".bxsf": "a Fermi surface of XCrySDen",
    ".cube": "a density on a grid",
    ".pdb": "a file of molecules",
    ".mol": "a file of molecules",
    ".sdf": "a file of molecules",
    ".mol2": "a file of molecules",
    ".res": "a file of SHELX",
    ".ins": "a file of SHELX",
    ".cell": "an input of CASTEP",
    ".gen": "an input of DFTB+",
    ".xtl": "a file of CrystalMaker",
    ".cssr": "a file of CSSR",
    ".traj": "a trajectory of ASE",
    ".db": "a database",
    ".lmp": "a file of LAMMPS",
    ".yaml": "YAML",
    ".yml": "YAML",
    ".csv": "a table",
    ".jsonl": "a table of crystals, one a line",
    ".upf": "a pseudopotential",
}


class CrystalFileError(ValueError):
    """The file does not hold the one ordered crystal that was asked for."""

    exit_kind = "usage"


def read_crystal(file: Path, block: str | None = None) -> CrystalRead:
    """The one ordered crystal of a file; the format goes by its name, by its content where the name says nothing.

    Moments of the file are the site property "magmom" (Bohr magnetons); charges and labels are left out.

    Args:
        file: to read; `.gz` is unpacked.
        block: the data block of a CIF to read, where several hold a crystal.

    Raises:
        CrystalFileError: no such file, another format, none or several crystals, shared or partly empty sites, coinciding
            atoms, symbols that name no element.
    """
    try:
        _refuse_other(file.name)
        text, notes = text_of_file(file)
    except FormatError as error:
        raise CrystalFileError(f"{file}: {error}; give one crystal: {_FORMATS}") from error
    name, parse = _reader(file.name, text, block)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read = sound(parse(text))
    except (FormatError, CifError) as error:
        raise CrystalFileError(f"{file}: {error}") from error
    except Exception as error:  # whatever a parser meets in a file of any content
        raise CrystalFileError(
            f"{file} cannot be read as {name} ({first_line(error)}); mend it, or convert it to one of: {_FORMATS}"
        ) from error
    return CrystalRead(read.structure, (*notes, *read.notes, *_told(caught)))


def _refuse_other(name: str) -> None:
    """Files that look like a crystal and hold more, or something else, by name."""
    stem, ending = _bare(name)
    word = re.match("[A-Za-z]*", stem)
    what = _NOT_READ.get(word[0].upper() if word and ending not in _ENDINGS and ending != ".cif" else "")
    what = what or _OTHER_ENDINGS.get(ending)
    if what:
        raise FormatError(f"is {what}")


def _bare(name: str) -> tuple[str, str]:
    """Name and ending, in small letters, without `.gz`."""
    path = Path(name.lower().removesuffix(".gz"))
    return path.name, path.suffix


def _reader(name: str, text: str, block: str | None) -> _Reader:
    """The reader that the name asks for, else the one that the first words do."""
    stem, ending = _bare(name)
    cif: _Reader = ("CIF", lambda text: read_cif(text, block))
    if ending in (".cif", ".mcif"):
        return cif
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if "poscar" in stem or "contcar" in stem:
        return _ENDINGS[".poscar"]
    if re.search(r"(?im)^[ \t]*&system\b", text):
        return _ENDINGS[".in"]
    return _ENDINGS[".json"] if text.lstrip()[:1] in "{[" else cif


def _told(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """What libraries warned of, each once, as notes; not what spglib says of its own next version."""
    said = dict.fromkeys(
        str(one.message).strip().split("\n")[0] for one in caught if not issubclass(one.category, DeprecationWarning)
    )
    return tuple(said)
