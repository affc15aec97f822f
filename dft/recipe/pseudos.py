"""PseudoTable: element -> pseudopotential file, md5 and cutoffs. Copies files; nothing is downloaded here."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from crystalloop.dft.recipe.pseudo_places import places, where_looked
from crystalloop.dft.recipe.upf import NotUpf, read_upf_header
from crystalloop.dft.recipe.whole_file import whole

BUNDLED_TABLE = Path(__file__).with_name("sssp_1.3.0_pbe_efficiency.json")
DEFAULT_VALENCE = 8.0
"""Electrons of an atom whose header does not say: enough for an estimate."""
CUTOFF_RY = (15.0, 400.0)
"""Wave-function cutoffs that a table may hold: no pseudopotential in use is converged below."""
ACTINIDES = frozenset(["Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr"])
LANTHANIDES = frozenset(["Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu"])
"""Their f electrons are valence in SSSP: other physics than a frozen 3+ core. Allowed, but to be reported."""


class PwEnvironmentError(RuntimeError):
    """The machine cannot run pw.x as asked. Nothing is wrong with the crystal: mend it and run again."""

    exit_kind = "environment"


class MissingPseudo(PwEnvironmentError):
    """No pseudopotential for an element, or its file is not in the folder."""


class CorruptPseudo(PwEnvironmentError):
    """A pseudopotential file is not the one of the table."""


@dataclass(frozen=True)
class Pseudo:
    """One pseudopotential: file name, its md5, and the cutoffs below which it is not converged."""

    element: str
    filename: str
    md5: str
    ecutwfc_ry: float
    ecutrho_ry: float


@dataclass(frozen=True)
class PseudoTable:
    """The pseudopotentials of one folder. Nothing is read from UPF files before `check`."""

    folder: Path
    entries: Mapping[str, Pseudo]

    @classmethod
    def load(cls, folder: Path | str, table: Path | None = None) -> PseudoTable:
        """Read `table.json` of the folder if there is one, else the bundled table of SSSP 1.3.0 PBE efficiency.

        A table is a JSON object: element -> {"filename", "md5", "ecutwfc", "ecutrho"}, cutoffs in Ry. Norm-conserving
        sets are read in the same way; cutoffs published in hartree, as PseudoDojo's, are to be doubled.

        Args:
            folder: of the UPF files.
            table: read in place of the folder's own.

        Raises:
            MissingPseudo: there is no such folder, or no such table.
            CorruptPseudo: the table is not such a table.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise MissingPseudo(_no_folder(folder))
        if table is not None and not table.is_file():
            raise MissingPseudo(f"no pseudopotential table {table}; name a JSON file, or leave it out")
        own = table or folder / "table.json"
        return cls(folder, read_table(own if own.exists() else BUNDLED_TABLE))

    @classmethod
    def named(cls, folder: Path | str) -> PseudoTable:
        """The table alone, for questions that need no UPF file: the folder's own, else the bundled; no folder is needed.

        Raises:
            CorruptPseudo: the folder's table is no table.
        """
        own = Path(folder) / "table.json"
        return cls(Path(folder), read_table(own if own.is_file() else BUNDLED_TABLE))

    def __getitem__(self, element: str) -> Pseudo:
        if element in ACTINIDES:
            raise MissingPseudo(f"{element} is an actinide: plain PBE is not reliable for it; leave the element out")
        try:
            return self.entries[element]
        except KeyError:
            raise MissingPseudo(
                f"no pseudopotential for {element} in the table of {self.folder}; "
                "leave the element out, or add its UPF file and a line to table.json"
            ) from None

    def valence(self, element: str) -> float:
        """Valence electrons of an element's pseudopotential, from its header; 8 where the header does not say."""
        return _z_valence(self.folder / self[element].filename)

    def check(self, elements: Iterable[str]) -> dict[str, str]:
        """The md5 of every element's file, compared with the table.

        pw.x itself falls back to a system folder for a missing file and reads a truncated one for a while,
        so this comes before every launch.

        Raises:
            MissingPseudo: an element or its file is missing.
            CorruptPseudo: a file has another md5 than the table says.
        """
        return {element: self._verified_md5(self[element]) for element in sorted(set(elements))}

    def _verified_md5(self, pseudo: Pseudo) -> str:
        path = self.folder / pseudo.filename
        if not path.is_file():
            raise MissingPseudo(
                f"the pseudopotential of {pseudo.element}, {path}, is missing; run `crystalloop pseudos install` again"
            )
        stat = path.stat()
        found = _md5(path, stat.st_size, stat.st_mtime_ns)
        if found != pseudo.md5:
            raise CorruptPseudo(
                f"{path} has md5 {found}, the table says {pseudo.md5}: truncated or another file; "
                "delete it and run `crystalloop pseudos install` again"
            )
        return found


_SYMBOL = re.compile(r"[A-Z][a-z]?", flags=re.ASCII)
_FILENAME = re.compile(r"[\w.+-]{1,200}", flags=re.ASCII)


@cache
def _z_valence(path: Path) -> float:
    try:
        return (read_upf_header(path).z_valence or DEFAULT_VALENCE) if path.is_file() else DEFAULT_VALENCE
    except NotUpf:
        return DEFAULT_VALENCE


def _no_folder(folder: Path) -> str:
    move = (
        "`crystalloop pseudos install` fetches SSSP, `crystalloop pseudos install --source FOLDER` takes files that you "
        "have; CRYSTALLOOP_PSEUDOS or `--pseudos`, `--folder`, `dft.pseudos` name a folder of yours"
    )
    if folder in places():
        return f"no pseudopotentials in {where_looked()}; {move}"
    return f"no pseudopotential folder {folder}; {move}"


def read_table(path: Path) -> dict[str, Pseudo]:
    """A table file as Pseudo entries.

    Raises:
        CorruptPseudo: not JSON, or a field is missing; says which element.
    """
    try:
        rows = json.loads(path.read_text())
        return {element: _entry(element, row) for element, row in rows.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptPseudo(
            f"{path} is no pseudopotential table ({error}); wanted: element -> filename, md5, ecutwfc, ecutrho"
        ) from error


def _entry(element: str, row: Mapping[str, str | float]) -> Pseudo:
    filename = str(row["filename"])
    if _FILENAME.fullmatch(filename) is None or filename in (".", ".."):
        raise ValueError(f"{element}: filename {filename!r} must be letters, digits and . _ + - without a folder")
    if _SYMBOL.fullmatch(element) is None:
        raise ValueError(f"{element!r} is no element symbol")
    wfc, rho = float(row["ecutwfc"]), float(row["ecutrho"])
    low, high = CUTOFF_RY
    # Written so that NaN fails, too. Headers of UPF files often hold zeros here: no hint at all.
    if not (low <= wfc <= high and 4 * wfc <= rho <= 20 * wfc):
        raise ValueError(
            f"{element}: cutoffs {wfc:g} and {rho:g} Ry are no hints: wanted are {low:g} to {high:g} for the wave "
            "functions, and 4 to 20 times that for the density"
        )
    return Pseudo(element, filename, str(row["md5"]).lower(), wfc, rho)


@cache
def _md5(path: Path, _size: int, _mtime_ns: int) -> str:
    """Cached while size and time stay: a worker checks the same few files before every launch."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def install_from(
    source: Path, target: Path, elements: Iterable[str] | None = None, table: Path | None = None
) -> PseudoTable:
    """Copy the table's UPF files from one folder to another, each with its md5 checked.

    Args:
        source: folder of UPF files, with or without a table.json.
        target: made if missing; files that are right already are left alone.
        elements: which; None for all but the actinides.
        table: in place of the source's own; becomes the target's table.json.

    Raises:
        MissingPseudo: a file is not in `source`.
        CorruptPseudo: a file in `source` has another md5 than the table says.
        PwEnvironmentError: `target` cannot be written.
    """
    known = PseudoTable.load(source, table)
    chosen = sorted(set(known.entries) - ACTINIDES) if elements is None else sorted(set(elements))
    checked = known.check(chosen)
    own = table or source / "table.json"
    try:
        target.mkdir(parents=True, exist_ok=True)
        for element, md5 in checked.items():
            _copy(source / known[element].filename, target, md5)
        if own.exists() and own.resolve() != (target / "table.json").resolve():
            shutil.copyfile(own, target / "table.json")
    except OSError as error:
        raise PwEnvironmentError(
            f"{error.filename or target} cannot be written ({error.strerror}): make room or choose another --folder"
        ) from error
    return PseudoTable.load(target)


def _copy(source: Path, target: Path, md5: str) -> None:
    copy = target / source.name
    if copy.exists() and hashlib.md5(copy.read_bytes(), usedforsecurity=False).hexdigest() == md5:
        return
    with whole(copy) as unfinished:
        shutil.copyfile(source, unfinished)
